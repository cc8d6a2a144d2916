"""Each object's part of a label volume, cut out so that memory is bounded by the largest object, not by the volume.

Objects that begin in one block of the volume are read together, so that a store's chunks are not read again for each.
"""

import math
from collections.abc import Iterator

import numpy as np

from planewise.measurement.objects import Objects
from planewise.volumes.labels import SLAB_VOXELS
from planewise.volumes.volume import LazyArray

BLOCK = 128  # voxels a side

Box = tuple[slice, slice, slice]


def box_of(objects: Objects, row: int) -> Box:
    """Return the box of an object as slices."""
    z, y, x = (slice(int(low), int(high) + 1) for low, high in objects.boxes[row].T)
    return z, y, x


def masks(voxels: LazyArray, objects: Objects, most: int) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield the row of every object with its mask, of the size of its box; None where that is over ``most`` voxels."""
    blocks: dict[tuple[int, ...], list[int]] = {}
    for row in range(len(objects)):
        blocks.setdefault(tuple((objects.boxes[row, 0] // BLOCK).tolist()), []).append(row)
    for _, rows in sorted(blocks.items()):
        low, last = objects.boxes[rows, 0].min(axis=0), objects.boxes[rows, 1]
        inside = (last < low + 2 * BLOCK).all(axis=1)
        region = np.zeros(0)
        if inside.any():
            high = last[inside].max(axis=0) + 1
            region = np.asarray(voxels[tuple(slice(int(a), int(b)) for a, b in zip(low, high))])
        for row, is_inside in zip(rows, inside):
            box = box_of(objects, row)
            size = math.prod(part.stop - part.start for part in box)
            if size > most:
                yield row, None
                continue
            if is_inside:
                box = tuple(slice(part.start - int(a), part.stop - int(a)) for part, a in zip(box, low))  # type: ignore[assignment]
                yield row, region[box] == objects.labels[row]
            else:
                yield row, _mask(voxels, box, int(objects.labels[row]))


def _mask(voxels: LazyArray, box: Box, label: int) -> np.ndarray:
    """Return where ``label`` is in a box of any size, read in slabs."""
    z, y, x = box
    mask = np.empty(tuple(part.stop - part.start for part in box), bool)
    thickness = max(1, SLAB_VOXELS // (mask.shape[1] * mask.shape[2]))
    for start in range(0, len(mask), thickness):
        stop = min(start + thickness, len(mask))
        mask[start:stop] = np.asarray(voxels[z.start + start : z.start + stop, y, x]) == label
    return mask
