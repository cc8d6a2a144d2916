"""Links the objects of consecutive slices of one plane into 3D objects.

In a forward pass over the slices, each object takes the label of an object in the slice before: first by the assignment
that maximises the sum of IoU (Hungarian method), if the IoU is at least 0.25; if it has none then, from the object that
covers most of it, if that is at least 0.25 of its area. Objects with the same label are one object from then on. A
backward pass over the result does the same, and closes splits that the forward pass opened.

Only sizes and overlap counts are read, never voxels.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np

from planewise.inference.assignment import assign_pairs
from planewise.inference.dropped import Dropped
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.runs import SliceObjects, shared_pixels
from planewise.volumes.slices import AXIS, Plane

MERGE_IOU = 0.25
MERGE_COVER = 0.25  # intersection over the area of the object itself


@dataclass(frozen=True)
class Chain:
    """The objects of consecutive slices ("components") and their overlaps, all that linking needs.

    Components are numbered through the slices from 0. ``starts`` (slices + 1,): the first component of each slice;
    ``sizes`` (components,) in pixels; ``boxes`` (components, 6): slice, row and column from, then to (half open);
    ``first``, ``second``, ``count`` (pairs,): a component, one of the next slice, and the pixels they share;
    ``pair_starts`` (slices,): the first pair of each slice with the next.
    """

    starts: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    pair_starts: np.ndarray
    first: np.ndarray
    second: np.ndarray
    count: np.ndarray


def make_chain(slices: list[SliceObjects]) -> Chain:
    """Return the chain of consecutive slices, in order."""
    starts = np.cumsum([0, *(len(objects.sizes) for objects in slices)], dtype=np.int64)
    pairs = [shared_pixels(before.runs, after.runs) for before, after in pairwise(slices)]
    boxes = np.empty((starts[-1], 6), np.int64)
    for index, objects in enumerate(slices):
        of_slice = boxes[starts[index] : starts[index + 1]]
        of_slice[:, 0], of_slice[:, 3] = index, index + 1
        of_slice[:, 1:3], of_slice[:, 4:] = objects.boxes[:, :2], objects.boxes[:, 2:]
    none = np.zeros(0, np.int64)
    return Chain(
        starts=starts,
        sizes=np.concatenate([none, *(objects.sizes for objects in slices)]),
        boxes=boxes,
        pair_starts=np.cumsum([0, *(len(pair[0]) for pair in pairs)], dtype=np.int64),
        first=np.concatenate([none, *(pair[0] - 1 + starts[index] for index, pair in enumerate(pairs))]),
        second=np.concatenate([none, *(pair[1] - 1 + starts[index + 1] for index, pair in enumerate(pairs))]),
        count=np.concatenate([none, *(pair[2] for pair in pairs)]),
    )


def link(chain: Chain) -> np.ndarray:
    """Return the 3D object, 1 to n, of each component: (components,) int64."""
    labels = np.arange(1, len(chain.sizes) + 1)
    for forward in (True, False):
        _sweep(labels, chain.sizes, chain.starts, chain.pair_starts, chain.first, chain.second, chain.count, forward)
    return np.unique(labels, return_inverse=True)[1] + 1


@numba.njit(nogil=True, cache=True)
def _sweep(
    labels: np.ndarray,
    sizes: np.ndarray,
    starts: np.ndarray,
    pair_starts: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    count: np.ndarray,
    forward: bool,
) -> None:
    """Give the components of every slice, in ``labels``, the labels of the slice before (after, backward).

    An object that matches nothing keeps its own label.
    """
    slices = len(starts) - 1
    for i in range(1, slices):
        current_slice = i if forward else slices - 1 - i
        target_slice = current_slice - 1 if forward else current_slice + 1
        pairs = slice(pair_starts[min(current_slice, target_slice)], pair_starts[min(current_slice, target_slice) + 1])
        if pairs.start == pairs.stop:
            continue
        current, target = (second, first) if forward else (first, second)
        current_ids, current_index = _by_appearance(labels[starts[current_slice] : starts[current_slice + 1]])
        target_ids, target_index = _by_appearance(labels[starts[target_slice] : starts[target_slice + 1]])
        current_sizes, target_sizes = np.zeros(len(current_ids), np.int64), np.zeros(len(target_ids), np.int64)
        for k in range(len(current_index)):
            current_sizes[current_index[k]] += sizes[starts[current_slice] + k]
        for k in range(len(target_index)):
            target_sizes[target_index[k]] += sizes[starts[target_slice] + k]

        # Components that share a label are one object: add up their overlaps.
        keys = np.empty(pairs.stop - pairs.start, np.int64)
        for k in range(len(keys)):
            a = target_index[target[pairs.start + k] - starts[target_slice]]
            b = current_index[current[pairs.start + k] - starts[current_slice]]
            keys[k] = a * len(current_ids) + b
        unique = np.unique(keys)
        shared = np.zeros(len(unique), np.int64)
        for k in range(len(keys)):
            shared[np.searchsorted(unique, keys[k])] += count[pairs.start + k]

        match = _match(unique // len(current_ids), unique % len(current_ids), shared, target_sizes, current_sizes)
        for k in range(len(current_index)):
            if match[current_index[k]] >= 0:
                labels[starts[current_slice] + k] = target_ids[match[current_index[k]]]


@numba.njit(nogil=True, cache=True)
def _by_appearance(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct ``labels`` in the order of first appearance, and the index of each label in that order.

    If two objects match equally well, the first in this order is taken, as in the published program.
    """
    ids = np.unique(labels)
    rank = np.full(len(ids), -1, np.int64)
    ordered = np.empty(len(ids), np.int64)
    index = np.empty(len(labels), np.int64)
    seen = 0
    for k, place in enumerate(np.searchsorted(ids, labels)):
        if rank[place] < 0:
            rank[place] = seen
            ordered[seen] = labels[k]
            seen += 1
        index[k] = rank[place]
    return ordered, index


@numba.njit(nogil=True, cache=True)
def _match(
    target: np.ndarray, current: np.ndarray, shared: np.ndarray, target_sizes: np.ndarray, current_sizes: np.ndarray
) -> np.ndarray:
    """Return, for each current object, the index of its target or -1. Pairs are sorted by (target, current)."""
    match = np.full(len(current_sizes), -1, np.int64)
    iou = shared / (target_sizes[target] + current_sizes[current] - shared)
    chosen = assign_pairs(target, current, iou, len(target_sizes), len(current_sizes))
    for k in range(len(current)):
        if chosen[k] and iou[k] >= MERGE_IOU:
            match[current[k]] = target[k]
    cover = np.zeros(len(current_sizes))
    covering = np.full(len(current_sizes), -1, np.int64)
    for k in range(len(current)):
        share = shared[k] / current_sizes[current[k]]
        if share >= MERGE_COVER and share > cover[current[k]]:
            cover[current[k]], covering[current[k]] = share, target[k]
    return np.where(match >= 0, match, covering)


def linked_components(
    chain: Chain, shape: tuple[int, int, int], min_size: int, min_extent: int
) -> tuple[np.ndarray, np.ndarray, Dropped]:
    """Link the components of a plane; return the object of each, (components,) int32, and the objects' sizes.

    Objects under ``min_size`` voxels or ``min_extent`` (see ``long_enough``; ``shape``: the volume's) are dropped: 0.
    Sizes (objects + 1,) in voxels, the background's 0. Last comes how many were dropped.
    """
    return keep_large(link(chain), chain.sizes, chain.boxes, shape, min_size, min_extent)


def long_enough(sides: np.ndarray, shape: tuple[int, int, int], min_extent: int) -> np.ndarray:
    """Return whether bounding boxes with ``sides`` (n, 3) measure ``min_extent`` along every axis of a volume.

    An axis along which the volume of ``shape`` is one voxel long does not count: nothing is longer there.
    """
    return np.all(sides[:, np.array(shape) > 1] >= min_extent, axis=1)


def keep_large(
    objects: np.ndarray,
    part_sizes: np.ndarray,
    part_boxes: np.ndarray,
    shape: tuple[int, int, int],
    min_size: int,
    min_extent: int,
) -> tuple[np.ndarray, np.ndarray, Dropped]:
    """Return ``objects`` renumbered without those that are too small, the sizes and how many were dropped.

    See ``linked_components``.

    ``objects`` (parts,): the object of every part, 0 for none; ``part_sizes`` (parts,) in voxels; ``part_boxes``
    (parts, 6): from, then to (half open).
    """
    count = int(objects.max(initial=0))
    sizes = np.bincount(objects, part_sizes, count + 1).astype(np.int64)
    low, high = np.full((count + 1, 3), np.iinfo(np.int64).max), np.zeros((count + 1, 3), np.int64)
    np.minimum.at(low, objects, part_boxes[:, :3])
    np.maximum.at(high, objects, part_boxes[:, 3:])
    large = sizes >= max(min_size, 1)
    keep = large & long_enough(high - low, shape, min_extent)
    keep[0] = False
    renumbered = np.where(keep, np.cumsum(keep), 0).astype(np.int32)[objects]
    small = int(np.count_nonzero((sizes > 0)[1:] & ~large[1:]))
    kept = int(keep.sum())
    dropped = Dropped(size=small, extent=int(large[1:].sum()) - kept, kept=kept)
    return renumbered, np.concatenate([[0], sizes[keep]]), dropped


def plane_objects(
    slices: list[SliceObjects], shape: tuple[int, int, int], plane: Plane, min_size: int, min_extent: int
) -> PlaneObjects:
    """Link the objects of all slices of a plane of a volume of ``shape`` (z, y, x), given in order.

    For what is dropped see ``linked_components``. Raises ValueError if the number of slices is not the volume's.
    """
    if len(slices) != shape[AXIS[plane]]:
        raise ValueError(f"{len(slices)} slices were given for plane {plane} of a volume of shape {shape}")
    chain = make_chain(slices)
    renumbered, sizes, dropped = linked_components(chain, shape, min_size, min_extent)
    rows = shape[0] if AXIS[plane] else shape[1]
    labels = [renumbered[objects.runs.label - 1 + first] for objects, first in zip(slices, chain.starts)]
    first_run = np.cumsum([0, *(np.count_nonzero(label) for label in labels)], dtype=np.int64)
    row_starts = np.empty((len(slices), rows + 1), np.int64)
    column = np.uint16 if max(shape) < 2**16 else np.int32  # of all planes alike: kernels are compiled for each type
    start, stop = np.empty(first_run[-1], column), np.empty(first_run[-1], column)
    kept_label = np.empty(first_run[-1], np.int32)
    for index, (objects, label) in enumerate(zip(slices, labels)):
        kept, place = label > 0, slice(first_run[index], first_run[index + 1])
        before = np.concatenate([[0], np.cumsum(kept)])
        row_starts[index] = before[objects.runs.row_starts] + place.start
        start[place], stop[place] = objects.runs.start[kept], objects.runs.stop[kept]
        kept_label[place] = label[kept]
    return PlaneObjects(plane, shape, row_starts, start, stop, kept_label, sizes, dropped)
