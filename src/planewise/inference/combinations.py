"""The combinations of several planes' labels: how many voxels have each, and in which bounding box.

The planes' runs are painted one layer of z at a time, so that no plane is ever held as a volume. For a volume too large
for memory, the planes may be those of a block: the tables of all blocks together are the volume's table.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.evaluation.overlap import EMPTY, find_place, new_table, with_room
from planewise.inference.ahead import even_parts, in_threads
from planewise.inference.plane_objects import PlaneObjects, paint_layer

LABEL_BITS = 21  # three labels are packed into one 63-bit key
STRETCH = 16  # voxels
PADDING = 8  # of the rows of a layer: a column of rows of a power of two falls into one place of a processor's cache


@dataclass(frozen=True)
class CombinationTable:
    """The combinations of labels that occur in a volume, or a part of one, and where.

    ``keys`` (n,) int64, packed and sorted; ``counts`` (n,) voxels; ``boxes`` (n, 6): z, y, x from, then to (half open).
    """

    keys: np.ndarray
    counts: np.ndarray
    boxes: np.ndarray


def count_combinations(planes: list[PlaneObjects], threads: int = 1) -> CombinationTable:
    """Return the combinations of the planes' labels; ``threads``: parts of the volume that are counted at a time."""
    shape = planes[0].shape
    parts = even_parts(shape[0], threads)

    def count(part: tuple[int, int]) -> CombinationTable:
        return CombinationTable(*_count_combinations(for_kernels(planes), shape, *part))

    return join_tables(list(in_threads(count, parts, len(parts))))


def for_kernels(planes: list[PlaneObjects]) -> tuple[tuple, ...]:
    """Return the planes' runs as kernels take them; see ``PlaneObjects.for_kernels``."""
    return tuple(plane.for_kernels() for plane in planes)


def join_tables(parts: list[CombinationTable]) -> CombinationTable:
    """Return the combinations of several parts of a volume together; those of a part may be in any order."""
    keys, row = np.unique(np.concatenate([part.keys for part in parts]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    boxes = np.zeros((len(keys), 6), np.int64)
    boxes[:, :3] = np.iinfo(np.int64).max
    np.add.at(counts, row, np.concatenate([part.counts for part in parts]))
    part_boxes = np.concatenate([part.boxes for part in parts])
    np.minimum.at(boxes[:, :3], row, part_boxes[:, :3])
    np.maximum.at(boxes[:, 3:], row, part_boxes[:, 3:])
    return CombinationTable(keys, counts, boxes)


def check_number(sizes: list[np.ndarray]) -> None:
    """Raise ValueError if a plane has more objects than a key has room for; ``sizes``: of each plane's, by label."""
    if max(map(len, sizes)) > 1 << LABEL_BITS:
        raise ValueError(f"more than {(1 << LABEL_BITS) - 1} objects in a plane")


def unpack(keys: np.ndarray, planes: int) -> np.ndarray:
    """Return the labels (n, planes) of packed combinations (n,)."""
    mask = (1 << LABEL_BITS) - 1
    return np.stack([keys >> (LABEL_BITS * i) & mask for i in range(planes)], axis=1)


# ---- kernels


@numba.njit(nogil=True, cache=True)
def paint_keys(layer: np.ndarray, z: int, top: int, left: int, planes: tuple[tuple, ...]) -> None:
    """Fill ``layer`` (y, x) int64 with the combinations of the labels of up to three planes at ``z``, packed."""
    layer[:] = 0
    for i in range(len(planes)):
        paint_layer(layer, z, top, left, planes[i], i * LABEL_BITS)


@numba.njit(nogil=True, cache=True)
def end_of_run(row: np.ndarray, x: int) -> int:
    """Return where the values equal to the one at ``x`` end; stretches are compared at once where nothing changes."""
    value = row[x]
    while x + STRETCH <= row.size:
        differing = np.int64(0)
        for i in range(STRETCH):
            differing |= row[x + i] ^ value
        if differing != 0:
            break
        x += STRETCH
    while x < row.size and row[x] == value:
        x += 1
    return x


@numba.njit(nogil=True, cache=True)
def _count_combinations(
    planes: tuple[tuple, ...], shape: tuple[int, int, int], first: int, stop: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the combinations of labels in the layers ``first`` to ``stop``: keys, counts and boxes, in any order.

    All-background is left out.
    """
    _, height, width = shape
    layer = np.empty((height, width + PADDING), np.int64)
    keys, counts, boxes = _new_rows(1024)
    used = 0
    for z in range(first, stop):
        paint_keys(layer[:, :width], z, 0, 0, planes)
        for y in range(height):
            keys, counts, boxes = _with_room(keys, counts, boxes, used, width)
            used += _count_row(layer[y][:width], z, y, keys, counts, boxes)
    filled = keys != EMPTY
    return keys[filled], counts[filled], boxes[filled]


@numba.njit(nogil=True, cache=True)
def _new_rows(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an empty table of combinations, a power of two in ``size``: keys, counts and boxes."""
    keys, counts = new_table(size)
    boxes = np.zeros((size, 6), np.int64)
    boxes[:, :3] = 2**62
    return keys, counts, boxes


@numba.njit(nogil=True, cache=True)
def _with_room(
    keys: np.ndarray, counts: np.ndarray, boxes: np.ndarray, used: int, more: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the table, enlarged if it must be; see ``overlap.with_room``."""
    new_keys, new_counts = with_room(keys, counts, used, more)
    if new_keys.size == keys.size:
        return keys, counts, boxes
    _, _, new_boxes = _new_rows(new_keys.size)
    for i in range(keys.size):
        if keys[i] != EMPTY:
            new_boxes[find_place(new_keys, keys[i])] = boxes[i]
    return new_keys, new_counts, new_boxes


@numba.njit(nogil=True, cache=True)
def _count_row(row: np.ndarray, z: int, y: int, keys: np.ndarray, counts: np.ndarray, boxes: np.ndarray) -> int:
    """Add the combinations of the row at ``z``, ``y`` to the table, which has room; return how many are new."""
    added, x = 0, 0
    while x < row.size:
        key, end = row[x], end_of_run(row, x)
        if key != 0:
            place = find_place(keys, key)
            if keys[place] == EMPTY:
                keys[place] = key
                added += 1
            counts[place] += end - x
            box = boxes[place]
            box[0], box[1], box[2] = min(box[0], z), min(box[1], y), min(box[2], x)
            box[3], box[4], box[5] = max(box[3], z + 1), max(box[4], y + 1), max(box[5], end)
        x = end
    return added
