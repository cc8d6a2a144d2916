"""Orientation of volumes: into the canonical one, in which they are compared and processed, and back."""

import numpy as np

from planewise.volumes.tilt import tilted_again, upright
from planewise.volumes.volume import Volume


def canonical_axes(volume: Volume) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return (order, signs): which array axis points along each of patient z, y, x, and whether it runs backwards.

    Canonical is superior, posterior, left along increasing z, y, x: ITK's own LPS. Oblique axes go to the nearest.
    """
    direction = np.asarray(volume.direction)
    order: list[int] = []
    for patient_axis in range(3):
        strength = np.abs(direction[patient_axis])
        strength[order] = -1
        order.append(int(strength.argmax()))
    signs = [1 if direction[patient_axis, axis] >= 0 else -1 for patient_axis, axis in enumerate(order)]
    return (order[0], order[1], order[2]), (signs[0], signs[1], signs[2])


def to_canonical(volume: Volume, labels: bool = False) -> Volume:
    """Return the volume with its axes permuted and flipped into the canonical orientation.

    Resampled is only what a gantry tilted, see ``upright``: ``labels`` to the nearest. Of a volume that is canonical
    already the voxels stay where they are, on disk or in memory.
    """
    volume = upright(volume, labels)
    order, signs = canonical_axes(volume)
    if order == (0, 1, 2) and signs == (1, 1, 1):
        return volume
    voxels = np.transpose(volume.read(), order)[tuple(slice(None, None, sign) for sign in signs)]
    direction = np.asarray(volume.direction)
    columns = np.stack([direction[:, axis] * sign for axis, sign in zip(order, signs)], axis=1)
    origin = np.asarray(volume.origin, float)
    for axis, sign in zip(order, signs):
        if sign < 0:  # the last voxel becomes the first
            origin = origin + direction[:, axis] * volume.spacing[axis] * (volume.shape[axis] - 1)
    z, y, x = (volume.spacing[axis] for axis in order)
    oz, oy, ox = origin.tolist()
    return Volume(voxels, (z, y, x), volume.unit, (oz, oy, ox), tuple(tuple(row) for row in columns.tolist()))


def from_canonical(voxels: np.ndarray, original: Volume) -> Volume:
    """Return canonical ``voxels`` in the place and orientation of ``original``: the inverse of ``to_canonical``."""
    order, signs = canonical_axes(original)
    flipped = voxels[tuple(slice(None, None, sign) for sign in signs)]
    return original.with_voxels(tilted_again(np.transpose(flipped, np.argsort(order)), original))
