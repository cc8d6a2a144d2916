"""Whether the lungs of two scans match: dense disease at the chest wall is sometimes segmented as wall."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

STEP_MM = 2.5  # finer voxels are skipped, since a piece is larger
THICK_MM = 10.0  # thinner shells come from registration and breathing: our choice, several times their error
LEAST_SHARE = 0.01  # share of the lungs that a piece must have: our choice


def missing_pieces_ml(lungs: np.ndarray, others: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return the ml of the largest piece of ``lungs`` (z, y, x), > 0, that ``others`` lack, and the reverse.

    Both are on one grid. Only parts that a ball of ``THICK_MM`` across fits into count; 0 if the piece is smaller than
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
