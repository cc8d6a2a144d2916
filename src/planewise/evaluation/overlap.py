"""One sparse contingency table: how many voxels carry each pair of labels in two volumes of one shape.

Everything that compares label volumes reads this table instead of the voxels: metrics, linking, consensus. Volumes
are read once, in runs of equal pairs, so the cost is that of reading memory and does not depend on the objects.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

EMPTY = np.int64(-1)
MAX_LABEL = 2**31 - 1  # two of them make a key
CHUNK = 4096  # voxels that are counted before the table is asked whether it has room


@dataclass(frozen=True)
class Overlap:
    """The pairs of labels that occur together, sorted by (first, second), and their voxel counts.

    ``first``, ``second`` and ``count`` are int64 (n,). The pair (0, 0), background in both, is left out.
    """

    first: np.ndarray
    second: np.ndarray
    count: np.ndarray

    @property
    def objects(self) -> "Overlap":
        """The rows in which neither label is background."""
        keep = (self.first > 0) & (self.second > 0)
        return Overlap(self.first[keep], self.second[keep], self.count[keep])

    def first_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels above 0 of the first volume, ascending, and their voxel counts."""
        return _sizes(self.first, self.count)

    def second_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels above 0 of the second volume, ascending, and their voxel counts."""
        return _sizes(self.second, self.count)


def _sizes(labels: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ids, index = np.unique(labels, return_inverse=True)
    sizes = np.bincount(index, counts, len(ids)).astype(np.int64)
    return ids[ids > 0], sizes[ids > 0]


def overlap_table(first: np.ndarray, second: np.ndarray) -> Overlap:
    """Count the pairs of labels of two integer arrays of one shape, labels from 0 to 2**31 - 1.

    Raises ValueError for different shapes or larger labels.
    """
    counter = OverlapCounter()
    counter.add(first, second)
    return counter.table()


class OverlapCounter:
    """Counts the pairs of labels of two volumes that come piece by piece."""

    def __init__(self) -> None:
        self._keys, self._counts = new_table(4 * CHUNK)
        self._used = 0

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Count a piece of both volumes; see ``overlap_table`` for what may be counted."""
        check_comparable(first, second)
        self._keys, self._counts, self._used = _count_pairs(
            np.ravel(first), np.ravel(second), self._keys, self._counts, self._used
        )

    def table(self) -> Overlap:
        """Return what was counted so far."""
        keys, counts = filled_rows(self._keys, self._counts)
        order = np.argsort(keys)
        keys, counts = keys[order], counts[order]
        return Overlap(keys >> 32, keys & 0xFFFFFFFF, counts)


def check_comparable(first: np.ndarray, second: np.ndarray) -> None:
    """Raise ValueError unless both arrays have one shape and labels up to 2**31 - 1."""
    if first.shape != second.shape:
        raise ValueError(f"label arrays of shapes {first.shape} and {second.shape} cannot be compared")
    for labels in (first, second):
        if labels.dtype.itemsize >= 4 and labels.size and labels.max() > MAX_LABEL:
            raise ValueError(f"labels reach {labels.max()}; at most {MAX_LABEL} is supported")


@numba.njit(nogil=True, cache=True)
def _count_pairs(
    first: np.ndarray, second: np.ndarray, keys: np.ndarray, counts: np.ndarray, used: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Add the packed pairs (first << 32 | second) that are not (0, 0) to a table with ``used`` of them; return it."""
    for start in range(0, first.size, CHUNK):
        keys, counts = with_room(keys, counts, used, CHUNK)
        used += _count_chunk(first[start : start + CHUNK], second[start : start + CHUNK], keys, counts)
    return keys, counts, used


@numba.njit(nogil=True, cache=True)
def _count_chunk(first: np.ndarray, second: np.ndarray, keys: np.ndarray, counts: np.ndarray) -> int:
    """Add a chunk's pairs to the table; return the number of new ones.

    The table is not replaced in here: a loop that may replace its arrays counts references in every round, and is
    fifty times slower.
    """
    added = 0
    run_key, start = np.int64(0), 0
    for i in range(first.size + 1):
        key = (np.int64(first[i]) << 32) | np.int64(second[i]) if i < first.size else np.int64(-1)
        if key == run_key:
            continue
        if run_key != 0:
            added += add_count(keys, counts, run_key, i - start)
        run_key, start = key, i
    return added


# ---- a hash table of counts, for kernels: open addressing, keys of 64 bits from 0


@numba.njit(nogil=True, cache=True)
def new_table(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an empty table (keys, counts) of ``size`` places, a power of two."""
    return np.full(size, EMPTY, np.int64), np.zeros(size, np.int64)


@numba.njit(nogil=True, cache=True)
def find_place(keys: np.ndarray, key: int) -> int:
    """Return the place of ``key``, or the empty place where it belongs."""
    mask = keys.size - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing spreads neighbouring labels
    place = np.int64(mixed >> np.uint64(32)) & mask
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    return place


@numba.njit(nogil=True, cache=True)
def add_count(keys: np.ndarray, counts: np.ndarray, key: int, count: int) -> int:
    """Add ``count`` to ``key``; return 1 if it is new, else 0. The table must have room."""
    place = find_place(keys, key)
    counts[place] += count
    if keys[place] == EMPTY:
        keys[place] = key
        return 1
    return 0


@numba.njit(nogil=True, cache=True)
def with_room(keys: np.ndarray, counts: np.ndarray, used: int, more: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the table, enlarged if ``more`` keys than the ``used`` ones would fill over half of it."""
    size = keys.size
    while 2 * (used + more) > size:
        size *= 2
    if size == keys.size:
        return keys, counts
    new_keys, new_counts = new_table(size)
    for i in range(keys.size):
        if keys[i] != EMPTY:
            add_count(new_keys, new_counts, keys[i], counts[i])
    return new_keys, new_counts


@numba.njit(nogil=True, cache=True)
def filled_rows(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys in use and their counts."""
    used = keys != EMPTY
    return keys[used], counts[used]
