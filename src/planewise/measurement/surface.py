"""The surface of an object as a mesh: of a smooth body with the same volume, not of voxel faces.

Voxel faces overestimate the area of a ball by half, and marching cubes (Lewiner et al. 2003,
doi:10.1080/10867651.2003.10487582) of the mask itself by 9 %, for thick slices by 20 %: both follow the steps. So the
mask is first smoothed by one voxel side (see ``smoothing``), and the mesh is put at the level that keeps the volume.
Balls of at least 8 voxels radius are measured within 2 %, also with voxels of 1 : 4. The surface of objects thinner
than a few voxels is underestimated, but never below that of a ball of the same volume.
"""

import math
from typing import Any

import numpy as np

from planewise.measurement.smoothing import smooth_body
from planewise.volumes.volume import Spacing

SIDES = 1.0  # standard deviation of the smoothing in voxel sides


def surface_area(mask: np.ndarray, spacing: Spacing) -> float:
    """Return the area of the surface of ``mask`` (z, y, x) bool, in the square of the unit of ``spacing`` (z, y, x).

    Outside the array is background: where the face of a volume cuts an object, the cut is part of its surface.
    """
    from skimage.measure import marching_cubes, mesh_surface_area

    body = smooth_body(mask, spacing, SIDES)
    vertices, faces, _, _ = marching_cubes(body.smooth, body.level, spacing=spacing)
    volume = np.count_nonzero(mask) * math.prod(spacing)
    return max(float(mesh_surface_area(vertices, faces)), _of_ball(volume))


def sphericity(volume: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return the area of balls of the same volume as a share of ``area`` (Wadell 1932, doi:10.1086/623964)."""
    return _of_ball(volume) / area


def _of_ball(volume: Any) -> Any:
    """Return the surface of a ball of ``volume``."""
    return (math.pi * (6 * volume) ** 2) ** (1 / 3)
