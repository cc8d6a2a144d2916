"""Consensus block by block: the table of how labels combine is gathered from blocks, and its result applied to them.

The same table, vote and numbers as ``consensus.consensus``; the size and bounding box of every combination are gathered
with its count, so that what is dropped is known before any voxel of the result is written.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.evaluation.overlap import EMPTY, find_place, new_table, with_room
from planewise.inference.consensus import (
    Combinations,
    check_number,
    count_row,
    fill_table,
    pack,
    table_size,
    unpack,
    vote_labels,
)
from planewise.inference.linking import keep_large


@dataclass(frozen=True)
class Found:
    """The combinations of labels that occur somewhere.

    ``keys`` (n,) int64, packed and sorted; ``counts`` (n,) voxels; ``boxes`` (n, 6): z, y, x from, then to (half open).
    """

    keys: np.ndarray
    counts: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """The final label, 1 to n or 0, of every combination: ``keys`` and ``labels`` (n,) int64; ``objects``: n."""

    keys: np.ndarray
    labels: np.ndarray
    objects: int


def count_block(planes: np.ndarray, corner: tuple[int, int, int]) -> Found:
    """Return the combinations in a block of the planes' labels (3, d, h, w) int32; ``corner``: its place (z, y, x)."""
    keys, counts, boxes = _count_block(planes, *corner)
    order = np.argsort(keys)
    return Found(keys[order], counts[order], boxes[order])


def join_found(parts: list[Found]) -> Found:
    """Return the combinations of several parts of a volume together."""
    keys, row = np.unique(np.concatenate([part.keys for part in parts]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    boxes = np.zeros((len(keys), 6), np.int64)
    boxes[:, :3] = np.iinfo(np.int64).max
    np.add.at(counts, row, np.concatenate([part.counts for part in parts]))
    every = np.concatenate([part.boxes for part in parts])
    np.minimum.at(boxes[:, :3], row, every[:, :3])
    np.maximum.at(boxes[:, 3:], row, every[:, 3:])
    return Found(keys, counts, boxes)


def decide(
    found: Found, sizes: list[np.ndarray], shape: tuple[int, int, int], vote: int, min_size: int, min_extent: int
) -> Verdict:
    """Return the final labels of a volume's combinations; see ``consensus.consensus`` for the arguments.

    ``sizes``: of each plane's objects by label. Raises ValueError for more objects in a plane than 2**21 - 1.
    """
    check_number(sizes)
    labels = unpack(found.keys, len(sizes))
    if len(sizes) == 1:  # one plane's objects are the result as they are
        return Verdict(found.keys, labels[:, 0], len(sizes[0]) - 1)
    voted = vote_labels(Combinations(labels, found.counts), sizes, vote)
    result, kept = keep_large(voted, found.counts, found.boxes, shape, min_size, min_extent)
    return Verdict(found.keys, result.astype(np.int64), len(kept) - 1)


def apply_verdict(planes: np.ndarray, keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the final labels (d, h, w) int32 of a block of the planes' labels (3, d, h, w) int32.

    ``keys``, ``labels`` (n,): the combinations that occur in the block, and their final labels.
    """
    table, values = new_table(table_size(len(keys)))
    fill_table(table, values, keys, labels)
    return _apply_block(planes, table, values)


@numba.njit(nogil=True, cache=True)
def _count_block(planes: np.ndarray, z0: int, y0: int, x0: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, depth, height, width = planes.shape
    keys, counts = new_table(1024)
    used = 0
    for z in range(depth):
        for y in range(height):
            keys, counts = with_room(keys, counts, used, width)
            used += count_row(planes[0, z, y], planes[1, z, y], planes[2, z, y], keys, counts)
    boxes = np.zeros((keys.size, 6), np.int64)
    boxes[:, :3] = 2**62
    for z in range(depth):
        for y in range(height):
            _measure_row(planes[0, z, y], planes[1, z, y], planes[2, z, y], keys, boxes, z0 + z, y0 + y, x0)
    filled = keys != EMPTY
    return keys[filled], counts[filled], boxes[filled]


@numba.njit(nogil=True, cache=True)
def _measure_row(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, keys: np.ndarray, boxes: np.ndarray, z: int, y: int, x0: int
) -> None:
    run_key, start = np.int64(0), 0
    for x in range(a.size + 1):
        key = pack(a[x], b[x], c[x]) if x < a.size else np.int64(0)
        if key == run_key:
            continue
        if run_key != 0:
            box = boxes[find_place(keys, run_key)]
            box[0], box[1], box[2] = min(box[0], z), min(box[1], y), min(box[2], x0 + start)
            box[3], box[4], box[5] = max(box[3], z + 1), max(box[4], y + 1), max(box[5], x0 + x)
        run_key, start = key, x


@numba.njit(nogil=True, cache=True)
def _apply_block(planes: np.ndarray, table: np.ndarray, values: np.ndarray) -> np.ndarray:
    _, depth, height, width = planes.shape
    result = np.zeros((depth, height, width), np.int32)
    for z in range(depth):
        for y in range(height):
            run_key, label = np.int64(0), np.int64(0)
            for x in range(width):
                key = pack(planes[0, z, y, x], planes[1, z, y, x], planes[2, z, y, x])
                if key != run_key:
                    run_key = key
                    label = values[find_place(table, key)] if key != 0 else np.int64(0)
                if label != 0:
                    result[z, y, x] = label
    return result
