"""Whether an image has the contrast of those that a model was trained on, or the opposite one.

Nothing in an image says which way round it is, so what is compared are signs that inverting it turns: those of thin
lines, of broader lines, and of the values' distribution. No sign is reliable by itself: a bright object turns the
distribution of a small volume, and a coarser sampling the lines.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from planewise.data.line_contrast import AGREEING, LEAST_TILES, Lines, Polarity, polarities_of

LEAST_SKEWNESS = 0.3  # of a normal distribution it is 0
SMOOTHED = 2.0  # pixels, sigma: noise hides the skewness
LEAST_DIFFERENCE = 0.2  # between objects and background, in standard deviations of a slice
LEAST_PIXELS = 16  # of objects, and of background, in a slice that both are measured in

OPPOSITE: dict[Polarity, Polarity] = {"dark": "bright", "bright": "dark", "unclear": "unclear"}


class Contrast(BaseModel):
    """Whether ``fine`` and ``broad`` lines, such as membranes, are darker or brighter than what lies around them.

    See ``line_contrast``. ``tail``: whether the rarer values are the dark or the bright ones, by their skewness.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fine: Polarity = "unclear"
    broad: Polarity = "unclear"
    tail: Polarity = "unclear"

    def __str__(self) -> str:
        return f"thin lines {self.fine}, broad lines {self.broad}, rarer values {self.tail}"

    @property
    def polarity(self) -> Polarity:
        """That of lines of all widths."""
        return self.fine if self.fine == self.broad else "unclear"

    def inverted(self) -> "Contrast":
        """Return that of the inverted image."""
        return Contrast(fine=OPPOSITE[self.fine], broad=OPPOSITE[self.broad], tail=OPPOSITE[self.tail])

    def completed(self, by: "Contrast") -> "Contrast":
        """Return it with what is unclear taken from ``by``."""
        return self.model_copy(update={name: value for name, value in by if getattr(self, name) == "unclear"})

    def against(self, trained: "Contrast") -> Literal["same", "inverted", "unclear"]:
        """Return how it compares with that of a model's training images.

        It needs two signs that say so, and no width of lines that says the opposite.
        """
        if self._says(trained):
            return "same"
        return "inverted" if self.inverted()._says(trained) else "unclear"

    def _says(self, other: "Contrast") -> bool:
        lines = [(self.fine, other.fine), (self.broad, other.broad)]
        clear = [pair for pair in (*lines, (self.tail, other.tail)) if "unclear" not in pair]
        return sum(a == b for a, b in clear) >= 2 and all(a == b for a, b in lines if "unclear" not in (a, b))


def skewness(tile: np.ndarray) -> float:
    """Return the skewness of the values of ``tile`` (H, W) without its noise; NaN if they are all the same."""
    from scipy.ndimage import gaussian_filter

    pixels = gaussian_filter((tile - tile.mean(dtype=np.float64)).astype(np.float32), SMOOTHED)
    pixels -= pixels.mean()
    spread = float(np.square(pixels).mean())
    return float((pixels**3).mean()) / spread**1.5 if spread > 0 else float("nan")


def contrast_of(of_tiles: list[Lines], skewnesses: list[float]) -> Contrast:
    """Return the contrast of an image from the lines, and the skewness, of its tiles."""
    fine, broad = polarities_of(of_tiles)
    return Contrast(fine=fine, broad=broad, tail=_agreed(skewnesses, LEAST_SKEWNESS))


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
    """Return whether objects are darker or brighter than background, from ``objects_contrast`` of slices."""
    return _agreed(contrasts, LEAST_DIFFERENCE)


def _agreed(values: list[float], least: float) -> Polarity:
    """Return the sign of ``values`` if most agree on it, and their mean is ``least`` or more; NaN are left out."""
    known = np.array([value for value in values if value == value])
    mean = float(known.mean()) if len(known) >= LEAST_TILES else 0.0
    if abs(mean) < least or (np.sign(known) == np.sign(mean)).mean() < AGREEING:
        return "unclear"
    return "dark" if mean < 0 else "bright"
