"""Objects of a slice as runs: stretches of one label along a row.

A slice has a few thousand runs where it has hundreds of thousands of pixels, and all that follows grouping -
connecting, measuring, overlapping, fusing - can be done on them. They are held in flat arrays, not in objects.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.evaluation.overlap import add_count, filled_rows, new_table, with_room


@dataclass(frozen=True)
class Runs:
    """The runs of a slice, by row and then by column.

    ``row_starts`` (rows + 1,) int64: the first run of each row; ``start``, ``stop`` (runs,) int32: columns, half open;
    ``label`` (runs,) int32, above 0.
    """

    row_starts: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    label: np.ndarray

    def paint(self, columns: int) -> np.ndarray:
        """Return the slice as an image of labels (rows, columns), int32."""
        image = np.zeros((len(self.row_starts) - 1, columns), np.int32)
        for row in range(len(image)):
            for run in range(self.row_starts[row], self.row_starts[row + 1]):
                image[row, self.start[run] : self.stop[run]] = self.label[run]
        return image


@dataclass(frozen=True)
class SliceObjects:
    """The connected objects of one slice.

    ``runs`` with labels 1 to n; ``sizes`` (n,) int64 in pixels; ``boxes`` (n, 4) int64: row and column from, row and
    column to (half open).
    """

    runs: Runs
    sizes: np.ndarray
    boxes: np.ndarray


def connect_slice(ids: np.ndarray) -> SliceObjects:
    """Return the 8-connected components of equal values above 0 in ``ids`` (H, W), of any integer type."""
    return connect(Runs(*_find_runs(np.ascontiguousarray(ids, np.int32))))


def as_one_object(mask: np.ndarray) -> SliceObjects:
    """Return all of ``mask`` (H, W), of 0 and 1, as one object, connected or not; none if it is empty."""
    runs = Runs(*_find_runs(np.ascontiguousarray(mask, np.int32)))
    rows = np.flatnonzero(np.diff(runs.row_starts))
    if not len(rows):
        return SliceObjects(runs, np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    box = [rows[0], runs.start.min(), rows[-1] + 1, runs.stop.max()]
    size = (runs.stop.astype(np.int64) - runs.start).sum()
    return SliceObjects(runs, np.array([size]), np.array([box], np.int64))


def connect(runs: Runs) -> SliceObjects:
    """Return the 8-connected components of runs of equal label, numbered in the order of their first runs."""
    labels, sizes, boxes = _connect(runs.row_starts, runs.start, runs.stop, runs.label)
    return SliceObjects(Runs(runs.row_starts, runs.start, runs.stop, labels), sizes, boxes)


def shared_pixels(first: Runs, second: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of labels of two slices that share pixels, and how many: three int64 arrays (pairs,)."""
    keys, counts = _count_shared(
        first.row_starts,
        first.start,
        first.stop,
        first.label,
        second.row_starts,
        second.start,
        second.stop,
        second.label,
    )
    return keys >> 32, keys & 0xFFFFFFFF, counts


@numba.njit(nogil=True, cache=True)
def _find_runs(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    height, width = ids.shape
    row_starts = np.zeros(height + 1, np.int64)
    for y in range(height):
        runs, before = 0, 0
        for x in range(width):
            runs += ids[y, x] != 0 and ids[y, x] != before
            before = ids[y, x]
        row_starts[y + 1] = row_starts[y] + runs
    count = row_starts[height]
    start, stop, label = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    run = 0
    for y in range(height):
        before = 0
        for x in range(width + 1):
            value = ids[y, x] if x < width else 0
            if value != before:
                if before != 0:
                    stop[run] = x
                    run += 1
                if value != 0:
                    start[run], label[run] = x, value
                before = value
    return row_starts, start, stop, label


@numba.njit(nogil=True, cache=True)
def find_root(parents: np.ndarray, i: int) -> int:
    """Return the root of ``i`` in a union-find forest, halving the path to it."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@numba.njit(nogil=True, cache=True)
def _connect(
    row_starts: np.ndarray, start: np.ndarray, stop: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join runs of neighbouring rows in a union-find forest; return labels of the runs, sizes and boxes."""
    count, rows = len(start), len(row_starts) - 1
    parents = np.arange(count)
    for y in range(1, rows):
        above, end = row_starts[y - 1], row_starts[y]
        for run in range(row_starts[y], row_starts[y + 1]):
            # A corner is enough to touch, so a run reaches one column further than its pixels on both sides.
            while above < end and stop[above] < start[run]:
                above += 1
            other = above
            while other < end and start[other] <= stop[run]:
                if value[other] == value[run]:
                    a, b = find_root(parents, other), find_root(parents, run)
                    parents[max(a, b)] = min(a, b)
                other += 1
    labels = np.empty(count, np.int32)
    objects = 0
    for run in range(count):
        root = find_root(parents, run)
        if root == run:
            objects += 1
            labels[run] = objects
        else:
            labels[run] = labels[root]
    sizes = np.zeros(objects, np.int64)
    boxes = np.zeros((objects, 4), np.int64)
    boxes[:, 0], boxes[:, 1] = 2**31, 2**31
    for y in range(rows):
        for run in range(row_starts[y], row_starts[y + 1]):
            i = labels[run] - 1
            sizes[i] += stop[run] - start[run]
            boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], y), min(boxes[i, 1], start[run])
            boxes[i, 2], boxes[i, 3] = max(boxes[i, 2], y + 1), max(boxes[i, 3], stop[run])
    return labels, sizes, boxes


@numba.njit(nogil=True, cache=True)
def _count_shared(
    row_starts_a: np.ndarray,
    start_a: np.ndarray,
    stop_a: np.ndarray,
    label_a: np.ndarray,
    row_starts_b: np.ndarray,
    start_b: np.ndarray,
    stop_b: np.ndarray,
    label_b: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    keys, counts = new_table(256)
    used = 0
    for y in range(len(row_starts_a) - 1):
        a, b = slice(row_starts_a[y], row_starts_a[y + 1]), slice(row_starts_b[y], row_starts_b[y + 1])
        if a.start == a.stop or b.start == b.stop:
            continue
        keys, counts = with_room(keys, counts, used, a.stop - a.start + b.stop - b.start)
        used += _count_shared_row(start_a[a], stop_a[a], label_a[a], start_b[b], stop_b[b], label_b[b], keys, counts)
    return filled_rows(keys, counts)


@numba.njit(nogil=True, cache=True)
def _count_shared_row(
    start_a: np.ndarray,
    stop_a: np.ndarray,
    label_a: np.ndarray,
    start_b: np.ndarray,
    stop_b: np.ndarray,
    label_b: np.ndarray,
    keys: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Add a row's pairs to the table; return the number of new ones."""
    added, a, b = 0, 0, 0
    while a < start_a.size and b < start_b.size:
        shared = min(stop_a[a], stop_b[b]) - max(start_a[a], start_b[b])
        if shared > 0:
            added += add_count(keys, counts, (np.int64(label_a[a]) << 32) | label_b[b], shared)
        if stop_a[a] < stop_b[b]:
            a += 1
        else:
            b += 1
    return added
