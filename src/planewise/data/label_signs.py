"""Signs that a volume holds labels, ids of objects, and not intensities: its values are whole numbers in solid pieces.

A single sign would also hold for images: padding, saturation and coarse grey levels make neighbours equal, and 16 bits
give each pixel a value that few others have. Only ids have both: neighbours are equal, and a value occurs in few pieces
of a slice. (A 16-bit image that was enlarged by repeating its pixels has both too, but its values change between the
same columns in all rows.) The two most frequent values of a slice are left out: background, padding, saturation.
"""

from typing import NamedTuple

import numpy as np

LEAST_EQUAL = 0.7  # of the neighbours along rows; objects 3 pixels wide have as many
MOST_PIECES = 8.0  # of a value in a slice, on average: objects branch, and planes cut them several times
LEAST_SIDE = 32  # pixels, of slices that are looked at: smaller ones have too few neighbours
MOST_SIDE = 2048  # pixels, of the part of a slice that is looked at: counting takes up to 40 bytes a pixel
LEAST_PIXELS = 400  # of objects, in all slices that are looked at
ALIGNED = 0.5  # least share of pixels that change, in columns where any does, by which a slice is of an image
SAMPLE = 2**16  # pixels of a slice in which frequent values are looked for, of types with too many to count them all


class LabelSigns(NamedTuple):
    """What slices show, without their two most frequent values: pixels, those that equal the next one in their row, and
    the values and pieces (4-connected) of slices, summed. Where values change as in an image, see
    ``_changes_in_most_rows``, only the pixels are counted.
    """

    pixels: int = 0
    equal: int = 0
    values: int = 0
    pieces: int = 0

    def with_slice(self, slice_: np.ndarray) -> "LabelSigns":
        """Return the signs of these slices and of another (H, W)."""
        more = signs_of(slice_)
        return LabelSigns(*(mine + its for mine, its in zip(self, more)))

    def __str__(self) -> str:
        """Return the evidence as text if the slices are of labels; else ""."""
        if self.pixels < LEAST_PIXELS or self.equal < LEAST_EQUAL * self.pixels:
            return ""
        if not 0 < self.pieces <= MOST_PIECES * self.values:
            return ""
        pieces = f"{self.pieces / self.values:.2g}"
        return (
            f"its values are whole numbers, {self.equal / self.pixels:.0%} of neighbours are equal, and a value occurs "
            f"in {pieces} solid piece{'s' * (pieces != '1')} of a slice"
        )


def signs_of(slice_: np.ndarray) -> LabelSigns:
    """Return the signs of one slice (H, W), of a large one in its middle; pieces are counted only where neighbours are
    equal."""
    top, left = (max(0, side - MOST_SIDE) // 2 for side in slice_.shape)
    slice_ = slice_[top : top + MOST_SIDE, left : left + MOST_SIDE]
    if min(slice_.shape) < LEAST_SIDE:
        return LabelSigns()
    if slice_.dtype.kind == "f" and not np.array_equal(slice_, np.rint(slice_)):
        return LabelSigns()
    rest = ~np.isin(slice_, _most_frequent(slice_))[:, :-1]
    pixels = int(rest.sum())
    changes = rest & (slice_[:, :-1] != slice_[:, 1:])
    if _changes_in_most_rows(rest, changes):
        return LabelSigns(pixels)
    equal = pixels - int(changes.sum())
    if pixels == 0 or equal < LEAST_EQUAL * pixels:
        return LabelSigns(pixels, equal)
    import cc3d

    values, codes = np.unique(slice_[:, :-1][rest], return_inverse=True)
    numbered = np.zeros(rest.shape, np.uint32)
    numbered[rest] = codes + 1
    pieces = int(cc3d.connected_components(numbered, connectivity=4, return_N=True)[1])
    return LabelSigns(pixels, equal, len(values), pieces)


def _changes_in_most_rows(rest: np.ndarray, changes: np.ndarray) -> bool:
    """Whether values change in most rows where they change at all, as in images, also in those that were enlarged.

    ``rest`` (H, W): pixels that are looked at; ``changes``: those that differ from the next one in their row.
    """
    return bool(changes.sum() > ALIGNED * rest[:, changes.any(axis=0)].sum())


def _most_frequent(slice_: np.ndarray) -> np.ndarray:
    """Return the two most frequent values."""
    flat = slice_.reshape(-1)
    if slice_.dtype.kind in "ui" and slice_.dtype.itemsize <= 2:
        least = int(flat.min())
        counts = np.bincount(flat.astype(np.int64) - least)
        return (np.argsort(counts)[-2:] + least).astype(slice_.dtype)
    values, amounts = np.unique(flat[:: max(1, flat.size // SAMPLE)], return_counts=True)
    return values[np.argsort(amounts)[-2:]]
