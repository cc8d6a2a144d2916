"""The contingency table with places: where each pair of labels lies, for tables with links."""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.evaluation.overlap import EMPTY, Overlap, check_comparable, find_place

FIELDS = 10  # voxels; sums of z, y, x; least z, y, x; greatest z, y, x
FIRST_SIZE = 2**12


@dataclass(frozen=True)
class LocatedOverlap(Overlap):
    """An overlap table with the pairs' ``centre`` (n, 3) and half-open boxes ``lower``, ``upper`` (n, 3), in voxels."""

    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class LocatedCounter:
    """Counts and places the pairs of labels of two volumes that come slab by slab, labels up to 2**31 - 1."""

    def __init__(self) -> None:
        self._keys, self._fields = np.full(FIRST_SIZE, EMPTY), np.zeros((FIRST_SIZE, FIELDS), np.int64)
        self._used = 0

    def add(self, first: np.ndarray, second: np.ndarray, start: int) -> None:
        """Count slabs (planes, y, x) whose first plane is z = ``start``. Raises ValueError as ``overlap_table``."""
        check_comparable(first, second)
        for z in range(len(first)):
            row = 0
            while row < first.shape[1]:
                if row or 2 * (self._used + first.shape[2]) > len(self._keys):
                    self._enlarge(2 * (self._used + first.shape[2]))
                row, self._used = _add_rows(first[z], second[z], start + z, row, self._keys, self._fields, self._used)

    def _enlarge(self, needed: int) -> None:
        size = max(2 * len(self._keys), 1 << (needed - 1).bit_length())
        keys, fields = np.full(size, EMPTY), np.zeros((size, FIELDS), np.int64)
        _move(self._keys, self._fields, keys, fields)
        self._keys, self._fields = keys, fields

    def table(self) -> LocatedOverlap:
        """Return what was counted so far."""
        used = np.flatnonzero(self._keys != EMPTY)
        used = used[np.argsort(self._keys[used])]
        keys, fields = self._keys[used], self._fields[used]
        count = fields[:, 0]
        return LocatedOverlap(
            keys >> 32, keys & 0xFFFFFFFF, count, fields[:, 1:4] / count[:, None], fields[:, 4:7], fields[:, 7:10] + 1
        )


@numba.njit(nogil=True, cache=True)
def _add_rows(
    first: np.ndarray, second: np.ndarray, z: int, row: int, keys: np.ndarray, fields: np.ndarray, used: int
) -> tuple[int, int]:
    """Add the runs of equal pairs of a plane to the table, from ``row`` until another one might not fit.

    Returns the row to go on from, with a larger table, and how many pairs the table holds.
    """
    height, width = first.shape
    for y in range(row, height):
        if 2 * (used + width) > len(keys):
            return y, used
        run, start = np.int64(0), 0
        for x in range(width + 1):
            key = (np.int64(first[y, x]) << 32) | np.int64(second[y, x]) if x < width else np.int64(-1)
            if key == run:
                continue
            if run != 0:
                used += _add_run(keys, fields, run, z, y, start, x)
            run, start = key, x
    return height, used


@numba.njit(nogil=True, cache=True)
def _add_run(keys: np.ndarray, fields: np.ndarray, run: int, z: int, y: int, start: int, stop: int) -> int:
    """Add a run of voxels (z, y, start to stop) of one pair; return 1 if the pair is new, else 0."""
    i = find_place(keys, run)
    new = keys[i] == EMPTY
    if new:
        keys[i] = run
        fields[i, 4:7] = z, y, start
        fields[i, 7:10] = z, y, stop - 1
    length = stop - start
    fields[i, 0] += length
    fields[i, 1] += length * z
    fields[i, 2] += length * y
    fields[i, 3] += (start + stop - 1) * length // 2
    fields[i, 4], fields[i, 5] = min(fields[i, 4], z), min(fields[i, 5], y)
    fields[i, 6] = min(fields[i, 6], start)
    fields[i, 7], fields[i, 8] = max(fields[i, 7], z), max(fields[i, 8], y)
    fields[i, 9] = max(fields[i, 9], stop - 1)
    return int(new)


@numba.njit(nogil=True, cache=True)
def _move(keys: np.ndarray, fields: np.ndarray, new_keys: np.ndarray, new_fields: np.ndarray) -> None:
    for i in range(len(keys)):
        if keys[i] != EMPTY:
            place = find_place(new_keys, keys[i])
            new_keys[place] = keys[i]
            new_fields[place] = fields[i]
