"""Places labels whose file omits empty surroundings back into the whole grid."""

from dataclasses import replace

import numpy as np

from planewise.volumes.geometry import from_canonical, same_space, to_canonical
from planewise.volumes.indexing import check_memory
from planewise.volumes.tilt import without_tilt
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

DRIFT_PIXELS = 0.5  # largest difference of two tilts over all slices, so that nearest pixels still correspond


def laid_into(part: Volume, whole: Volume) -> Volume | None:
    """Return ``part`` (z, y, x) on the grid of ``whole``, in its axes, surrounded by zeros; the dtype is kept.

    None if the grid of ``part`` is not a part of the other: if direction or spacing differ by more than the tolerances
    of ``same_space``, if the offset is not a whole number of voxels, or if it extends beyond; or if one has no known
    position. The voxels of ``part`` are read. Raises PlanewiseError if the whole does not fit in memory.
    """
    if PIXEL in (part.unit, whole.unit) or not all(each.has_origin and each.has_direction for each in (part, whole)):
        return None
    part = part.in_unit(whole.unit)
    drift = np.abs(np.subtract(part.tilt, whole.tilt)) * (part.shape[0] - 1)
    if (drift > DRIFT_PIXELS * np.array(whole.spacing[1:])).any():
        return None
    first, last = _corners(part, whole)
    if (first < 0).any() or (last >= whole.shape).any():
        return None
    cut = replace(_hollow(whole, first, last), tilt=(0.0, 0.0))
    if same_space(part, cut):
        return None
    check_memory(whole.shape, part.voxels.dtype)
    voxels = np.zeros(whole.shape, part.voxels.dtype)
    there = tuple(slice(start, stop + 1) for start, stop in zip(first, last))
    voxels[there] = from_canonical(to_canonical(without_tilt(part)).read(), cut).read()
    return replace(whole, voxels=voxels, labels=part.labels, sparse=False)


def grid_of_both(part: Volume, other: Volume) -> Volume | None:
    """Return the grid of ``other``, extended so that it also holds ``part``, without voxels.

    None if one has no known position; ``laid_into`` checks whether ``part`` lies on the grid.
    """
    if PIXEL in (part.unit, other.unit) or not all(each.has_origin and each.has_direction for each in (part, other)):
        return None
    first, last = _corners(part.in_unit(other.unit), other)
    return _hollow(other, np.minimum(first, 0), np.maximum(last, np.subtract(other.shape, 1)))


def _corners(part: Volume, whole: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last voxel (3,) of the array of ``whole``, or beyond it, that ``part`` covers."""
    ends = np.array([part.origin, part.origin + _steps(part) @ np.subtract(part.shape, 1)])
    places = np.rint(np.linalg.solve(_steps(whole), (ends - whole.origin).T).T).astype(int)
    return places.min(axis=0), places.max(axis=0)


def _hollow(volume: Volume, first: np.ndarray, last: np.ndarray) -> Volume:
    """Return the grid of ``volume`` from voxel ``first`` to ``last``, empty and without memory."""
    z, y, x = (volume.origin + _steps(volume) @ first).tolist()
    return replace(volume, voxels=np.broadcast_to(np.uint8(0), tuple(last - first + 1)), origin=(z, y, x))


def _steps(volume: Volume) -> np.ndarray:
    """Return (3, 3): column i is the step (z, y, x), in the unit of ``volume``, to the next voxel along array axis
    i."""
    direction = np.asarray(volume.direction)
    steps: np.ndarray = direction * volume.spacing
    steps[:, 0] += direction[:, 1:] @ volume.tilt
    return steps
