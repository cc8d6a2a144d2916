"""A mask as a smooth body of the same volume, of which surface and centre line are measured.

Voxels make steps, and outlines that are drawn slice by slice are rough. A Gaussian removes both, but with a threshold
of 0.5 it would shrink convex objects. The threshold is therefore the level that leaves as many voxels as the mask has.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from planewise.volumes.volume import Spacing

REACH = 3.0  # standard deviations of the Gaussian that are computed


class SmoothBody(NamedTuple):
    """The smoothed mask with a margin, float32, and the ``level`` above which the body is."""

    smooth: np.ndarray
    level: float


def smooth_body(mask: np.ndarray, spacing: Spacing, sides: float) -> SmoothBody:
    """Smooth ``mask`` (z, y, x) bool, which has at least one voxel, equally in all directions.

    The standard deviation is ``sides`` times the side of a cube of the volume of a voxel. The mask is empty beyond the
    array.
    """
    side = sides * math.prod(spacing) ** (1 / 3)
    sigmas = [side / size for size in spacing]
    margin = [(math.ceil(REACH * sigma) + 2,) * 2 for sigma in sigmas]
    smooth = ndimage.gaussian_filter(np.pad(mask, margin).astype(np.float32), sigmas, truncate=REACH, mode="constant")
    place = smooth.size - int(np.count_nonzero(mask))  # of the lowest value inside the body, in ascending order
    ordered = np.partition(smooth.ravel(), (place - 1, place))
    return SmoothBody(smooth, (float(ordered[place - 1]) + float(ordered[place])) / 2)
