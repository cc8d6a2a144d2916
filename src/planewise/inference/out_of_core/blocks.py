"""Consensus block by block: the table of how labels combine is gathered from blocks, and its result applied to them.

The same table, vote and numbers as ``consensus.consensus``.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np

from planewise.evaluation.overlap import EMPTY, new_table
from planewise.inference.consensus import (
    Found,
    apply_row,
    count_row,
    fill_table,
    new_found,
    table_size,
    with_room_for,
)


def count_block(planes: np.ndarray, corner: tuple[int, int, int]) -> Found:
    """Return the combinations in a block of the planes' labels (3, d, h, w) int32; ``corner``: its place (z, y, x)."""
    keys, counts, boxes = _count_block(planes, *corner)
    order = np.argsort(keys)
    return Found(keys[order], counts[order], boxes[order])


def apply_verdict(planes: np.ndarray, keys: np.ndarray, labels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the final labels (d, h, w) of a block of the planes' labels (3, d, h, w) int32.

    ``keys``, ``labels`` (n,): the combinations that occur in the block, and their final labels.
    """
    table, values = new_table(table_size(len(keys)))
    fill_table(table, values, keys, labels)
    result = np.zeros(planes.shape[1:], dtype)
    _apply_block(result, planes, table, values)
    return result


@numba.njit(nogil=True, cache=True)
def _count_block(planes: np.ndarray, z0: int, y0: int, x0: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, depth, height, width = planes.shape
    keys, counts, boxes = new_found(1024)
    used = 0
    for z in range(depth):
        for y in range(height):
            keys, counts, boxes = with_room_for(keys, counts, boxes, used, width)
            a, b, c = planes[0, z, y], planes[1, z, y], planes[2, z, y]
            used += count_row(a, b, c, z0 + z, y0 + y, x0, keys, counts, boxes)
    filled = keys != EMPTY
    return keys[filled], counts[filled], boxes[filled]


@numba.njit(nogil=True, cache=True)
def _apply_block(result: np.ndarray, planes: np.ndarray, table: np.ndarray, values: np.ndarray) -> None:
    depth, height, _ = result.shape
    for z in range(depth):
        for y in range(height):
            apply_row(planes[0, z, y], planes[1, z, y], planes[2, z, y], result[z, y], table, values)
