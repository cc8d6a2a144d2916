"""Whether an image has the contrast of those that a model was trained on, or the opposite one.

Nothing in an image says which way round it is, so what is compared are signs that inverting it turns: those of thin
lines, and of broader lines. Neither is reliable by itself: a coarser sampling turns thin lines. The skewness of the
values was tried as a third sign; it follows gamma and the objects in a crop more than the contrast.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from planewise.data.line_contrast import AGREEING, LEAST_TILES, Lines, Polarity, known_contrasts, polarities_of

# Each row suffices: least line contrast of both widths; tiles; distance of the median from the pressed end. What they
# refuse, rightly and wrongly: benchmarks/bench_contrast.py
CERTAIN = (
    (0.11, 1, 0.0),
    (0.06, 1, 0.35),
    (0.0, 8, 0.42),
)
LEAST_DIFFERENCE = 0.2  # between objects and background, in standard deviations of a slice
LEAST_PIXELS = 16  # of objects, and of background, in a slice that both are measured in

OPPOSITE: dict[Polarity, Polarity] = {"dark": "bright", "bright": "dark", "unclear": "unclear"}


class Contrast(BaseModel):
    """Whether ``fine`` and ``broad`` lines, such as membranes, are darker or brighter than what lies around them.

    See ``line_contrast``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fine: Polarity = "unclear"
    broad: Polarity = "unclear"

    def __str__(self) -> str:
        return f"thin lines {self.fine}, broad lines {self.broad}"

    @property
    def polarity(self) -> Polarity:
        """That of lines of all widths."""
        return self.fine if self.fine == self.broad else "unclear"

    def inverted(self) -> "Contrast":
        """Return that of the inverted image."""
        return Contrast(fine=OPPOSITE[self.fine], broad=OPPOSITE[self.broad])

    def completed(self, by: "Contrast") -> "Contrast":
        """Return it with what is unclear taken from ``by``."""
        return self.model_copy(update={name: value for name, value in by if getattr(self, name) == "unclear"})

    def against(self, trained: "Contrast") -> Literal["same", "inverted", "unclear"]:
        """Return how it compares with that of a model's training images; lines of both widths must say so."""
        if "unclear" in (self.fine, self.broad, trained.fine, trained.broad):
            return "unclear"
        return "same" if self == trained else "inverted" if self.inverted() == trained else "unclear"


def contrast_of(of_tiles: list[Lines]) -> Contrast:
    """Return the contrast of an image from the lines of its tiles."""
    fine, broad = polarities_of(of_tiles)
    return Contrast(fine=fine, broad=broad)


def is_certain(contrast: Contrast, of_tiles: list[Lines], middle: float) -> bool:
    """Whether an image's contrast, from the lines of its tiles, is certain enough to refuse the image for it.

    ``middle``: the median as a share of the used range. A gamma of 3 presses it to black and flattens dark lines, so
    that bright ones of both widths seem to be stronger; likewise for dark lines in an image that is pressed to white.
    No gamma makes thin lines brighter and broad ones darker, or the reverse: then the median does not count.
    """
    known = known_contrasts(of_tiles)
    if not len(known):
        return False
    lines = float(np.abs(known.mean(axis=0)).min())
    distance = {"bright": middle, "dark": 1 - middle, "unclear": 1.0}[contrast.polarity]
    return any(lines >= least and len(known) >= tiles and distance >= away for least, tiles, away in CERTAIN)


def objects_contrast(image: np.ndarray, labels: np.ndarray) -> float:
    """Return how much brighter objects are than background in a slice (H, W), in its standard deviations.

    ``labels`` (H, W): above 0 in objects, 0 in background, below 0 where that is not known. NaN if the slice shows too
    little of one of them.
    """
    objects, background = image[labels > 0], image[labels == 0]
    spread = float(image.std(dtype=np.float64))
    if min(objects.size, background.size) < LEAST_PIXELS or spread == 0:
        return float("nan")
    return float(objects.mean(dtype=np.float64) - background.mean(dtype=np.float64)) / spread


def objects_polarity(contrasts: list[float]) -> Polarity:
    """Return whether objects are darker or brighter than background, from ``objects_contrast`` of slices; NaN are left
    out, and most of the others must agree.
    """
    known = np.array([value for value in contrasts if value == value])
    mean = float(known.mean()) if len(known) >= LEAST_TILES else 0.0
    if abs(mean) < LEAST_DIFFERENCE or (np.sign(known) == np.sign(mean)).mean() < AGREEING:
        return "unclear"
    return "dark" if mean < 0 else "bright"
