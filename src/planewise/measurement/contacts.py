"""Where labels touch: the pairs that share voxel faces, and the area over which they do.

Voxel faces that two labels share are a staircase, up to 1.7 times as large as the smooth surface between them. The area
of a face across axis i is therefore multiplied by |n_i|, n being the normal of the smooth surface there. For a plane
this is exact: its faces across i have |n_i| times its area, and the squares of n_i add up to 1. The normal is the
gradient of "second minus first label" around the face, fitted by least squares up to two voxels away if voxels are
cubes.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import math
from dataclasses import dataclass

import numba
import numpy as np

from planewise.measurement.rows import Rows, grown
from planewise.volumes.volume import Spacing

HALO = 4  # most voxels on either side of a face that are used, so as many planes beyond a slab
REACH = 2  # radius around a face that is used, in sides of a cube with a voxel's volume


@dataclass(frozen=True)
class Contacts:
    """Pairs of labels that touch, sorted by (first, second); ``area``: of each, in the square of the spacing's unit."""

    first: np.ndarray
    second: np.ndarray
    area: np.ndarray

    def of(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number and the area of the contacts in which each of ``labels``, ascending, is the first."""
        place = np.searchsorted(labels, self.first)
        return np.bincount(place, minlength=len(labels)), np.bincount(place, self.area, len(labels))

    @property
    def once(self) -> "Contacts":
        """The contacts with each pair once, if they are within one volume."""
        keep = self.first < self.second
        return Contacts(self.first[keep], self.second[keep], self.area[keep])


class ContactCounter:
    """Counts the contacts of a volume's labels with those of a second or of the same volume, slab by slab in order."""

    def __init__(self, spacing: Spacing) -> None:
        self._spacing = np.array(spacing, float)
        side = REACH * math.prod(spacing) ** (1 / 3)
        self._reach = np.clip(np.rint(side / self._spacing), 1, HALO).astype(np.int64)
        self._rows, self._area = Rows(), np.zeros(16)

    def add(self, first: np.ndarray, second: np.ndarray, core: slice) -> None:
        """Count the contacts from the planes ``core`` of two slabs (planes, y, x) of labels, uint32.

        The slabs have ``HALO`` more planes on either side, as far as the volume has them. A label of the first volume
        touches one of the second at two voxels that share a face, one with each label, and neither with both.
        """
        keys, area = _contacts(first, second, core.start, core.stop, self._spacing, self._reach)
        rows = self._rows.of(keys)
        self._area = grown(self._area, len(self._rows), 0)
        np.add.at(self._area, rows, area)

    def contacts(self) -> Contacts:
        """Return the contacts in all slabs added; within one volume, each pair in both orders."""
        keys = self._rows.keys
        order = np.argsort(keys)
        return Contacts(keys[order] >> 32, keys[order] & 0xFFFFFFFF, self._area[order])


@numba.njit(nogil=True, cache=True)
def _contacts(
    first: np.ndarray, second: np.ndarray, start: int, stop: int, spacing: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the packed pair (first << 32 | second) and the area of every face in which two labels touch."""
    depth, height, width = first.shape
    capacity = 0
    keys, area = np.empty(0, np.int64), np.empty(0, np.float64)
    for fill in (False, True):
        i = 0
        for z in range(start, stop):
            for y in range(height):
                for x in range(width):
                    a = first[z, y, x]
                    if a == 0:
                        continue
                    for axis in range(3):
                        for step in (-1, 1):
                            oz, oy, ox = z + step * (axis == 0), y + step * (axis == 1), x + step * (axis == 2)
                            if oz < 0 or oy < 0 or ox < 0 or oz >= depth or oy >= height or ox >= width:
                                continue
                            b = second[oz, oy, ox]
                            if b == 0 or first[oz, oy, ox] == a or second[z, y, x] == b:
                                continue
                            if fill:
                                keys[i] = (np.int64(a) << 32) | np.int64(b)
                                area[i] = _face_area(first, second, a, b, z, y, x, axis, step, spacing, reach)
                            i += 1
        if not fill:
            capacity = i
            keys, area = np.empty(capacity, np.int64), np.empty(capacity, np.float64)
    return keys, area


@numba.njit(nogil=True, cache=True)
def _face_area(
    first: np.ndarray,
    second: np.ndarray,
    a: int,
    b: int,
    z: int,
    y: int,
    x: int,
    axis: int,
    step: int,
    spacing: np.ndarray,
    reach: np.ndarray,
) -> float:
    """Return the share of the surface that the face of voxel (z, y, x) across ``axis`` stands for."""
    low, high = -reach, reach.copy()
    if step > 0:  # as far on either side of the face
        low[axis] += 1
    else:
        high[axis] -= 1
    slope, square = np.zeros(3), np.zeros(3)
    for dz in range(max(low[0], -z), min(high[0], first.shape[0] - 1 - z) + 1):
        for dy in range(max(low[1], -y), min(high[1], first.shape[1] - 1 - y) + 1):
            for dx in range(max(low[2], -x), min(high[2], first.shape[2] - 1 - x) + 1):
                side = (second[z + dz, y + dy, x + dx] == b) * 1.0 - (first[z + dz, y + dy, x + dx] == a) * 1.0
                for i, offset in enumerate((dz, dy, dx)):
                    along = (offset - 0.5 * step * (i == axis)) * spacing[i]
                    slope[i] += side * along
                    square[i] += along * along
    for i in range(3):
        slope[i] = slope[i] / square[i] if square[i] > 0 else 0.0
    length = np.sqrt((slope * slope).sum())
    share = abs(slope[axis]) / length if length > 0 else 1.0
    return share * spacing.prod() / spacing[axis]
