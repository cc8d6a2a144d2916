"""Whether the lungs of two scans are the same: dense disease at the chest wall is at times taken for the wall."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

STEP_MM = 2.5  # voxels that are finer are passed over: a piece is larger
THICK_MM = 10.0  # thinner shells are what registration and breath leave: our choice, several times their error
LEAST_SHARE = 0.01  # of the lungs, that a piece holds: our choice


def missing_pieces_ml(lungs: np.ndarray, others: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return the ml of the largest piece of ``lungs`` (z, y, x), > 0, that ``others`` lack, and the other way round.

    Both lie on one grid. Counted is what a ball of ``THICK_MM`` across fits into; 0 where the piece is no
    ``LEAST_SHARE`` of the lungs.
    """
    strides = [max(1, int(STEP_MM / step)) for step in spacing_mm]
    coarse = tuple(slice(None, None, stride) for stride in strides)
    inside, there = lungs[coarse] > 0, others[coarse] > 0
    steps_mm = [step * stride for step, stride in zip(spacing_mm, strides)]
    radii = [max(1, round(THICK_MM / 2 / step)) for step in steps_mm]
    offsets = np.ogrid[tuple(slice(-radius, radius + 1) for radius in radii)]
    ball = sum((offset / radius) ** 2 for offset, radius in zip(offsets, radii)) <= 1

    def largest_ml(lacking: np.ndarray) -> float:
        pieces, count = ndimage.label(ndimage.binary_opening(lacking, ball))
        largest = int(np.bincount(pieces.ravel())[1:].max()) if count else 0
        return largest * float(np.prod(steps_mm)) / 1000 if largest >= LEAST_SHARE * inside.sum() else 0.0

    return largest_ml(inside & ~there), largest_ml(there & ~inside)
