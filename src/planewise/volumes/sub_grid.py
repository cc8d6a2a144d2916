"""A part of a grid: labels that leave out what is empty around them, laid back into the whole."""

from dataclasses import replace

import numpy as np

from planewise.volumes.geometry import from_canonical, same_space, to_canonical
from planewise.volumes.indexing import check_memory
from planewise.volumes.tilt import without_tilt
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

DRIFT_PIXELS = 0.5  # over all slices: that much may two tilts differ, so that pixels still fall on the nearest


def laid_into(part: Volume, whole: Volume) -> Volume | None:
    """Return ``part`` (z, y, x) on the grid of ``whole``, as its array lies, with zeros around; its dtype is kept.

    None if the grid of ``part`` is no part of the other: of another direction or spacing by the tolerances of
    ``same_space``, off by no whole number of voxels, or not within it; or if either does not say its place. The voxels
    of ``part`` are read. Raises PlanewiseError if the whole does not fit in memory.
    """
    if PIXEL in (part.unit, whole.unit) or not all(each.has_origin and each.has_direction for each in (part, whole)):
        return None
    part = part.in_unit(whole.unit)
    drift = np.abs(np.subtract(part.tilt, whole.tilt)) * (part.shape[0] - 1)
    if (drift > DRIFT_PIXELS * np.array(whole.spacing[1:])).any():
        return None
    steps = _steps(whole)
    ends = np.array([part.origin, part.origin + _steps(part) @ np.subtract(part.shape, 1)])
    places = np.rint(np.linalg.solve(steps, (ends - whole.origin).T).T).astype(int)
    first, last = places.min(axis=0), places.max(axis=0)
    if (first < 0).any() or (last >= whole.shape).any():
        return None
    z, y, x = (whole.origin + steps @ first).tolist()
    hole = np.broadcast_to(np.uint8(0), tuple(last - first + 1))
    cut = replace(whole, voxels=hole, origin=(z, y, x), tilt=(0.0, 0.0))
    if same_space(part, cut):
        return None
    check_memory(whole.shape, part.voxels.dtype)
    voxels = np.zeros(whole.shape, part.voxels.dtype)
    there = tuple(slice(start, stop + 1) for start, stop in zip(first, last))
    voxels[there] = from_canonical(to_canonical(without_tilt(part)).read(), cut).read()
    return replace(whole, voxels=voxels, labels=part.labels, sparse=False)


def _steps(volume: Volume) -> np.ndarray:
    """Return (3, 3): column i is the way (z, y, x), in the unit of ``volume``, to the next voxel along array axis i."""
    direction = np.asarray(volume.direction)
    steps: np.ndarray = direction * volume.spacing
    steps[:, 0] += direction[:, 1:] @ volume.tilt
    return steps
