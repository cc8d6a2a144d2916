"""Several planes: fuse their objects into one volume (Conrad and Narayan 2023, doi:10.1016/j.cels.2022.12.006).

Objects of different planes that overlap form a graph. In each of its connected parts, objects that agree closely
(IoU above 0.75) are one cluster, clusters that still overlap are merged around the most connected one, and a
cluster's voxels are those that enough of its objects cover.

All of this depends on one table alone: how many voxels carry each combination of the planes' labels, and their
bounding box. The planes' runs are painted, one layer of z at a time, once to make it and again where the result is
looked at, in which a voxel's label is a function of its combination. No plane is ever held as a volume, nor the result.
The planes may be those of a block of a volume that is too large for memory: the tables of all blocks are the volume's.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TypeVar

import numba
import numpy as np

from planewise.evaluation.overlap import EMPTY, find_place, new_table, with_room
from planewise.inference.ahead import in_threads
from planewise.inference.linking import PlaneObjects, keep_large, paint_layer
from planewise.inference.painted import Corner, Painted
from planewise.inference.votes import ObjectVotes, object_votes

CLUSTER_IOU = 0.75
LEAST_IOU = 0.01  # an overlap below both of these is none
LEAST_OVERLAP = 100  # voxels
LABEL_BITS = 21  # three labels are packed into one 63-bit key
STRETCH = 16  # voxels
PADDING = 8  # of the rows of a layer: a column of rows of a power of two falls into one place of a processor's cache

Key = TypeVar("Key", bound=Hashable)
Node = tuple[int, int]  # plane, label
Edges = dict[Node, dict[Node, int]]  # voxels shared by two nodes


@dataclass(frozen=True)
class Combinations:
    """The combinations of labels that occur: ``labels`` (n, planes) and the number of voxels of each, ``count``."""

    labels: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class CombinationTable:
    """The combinations of labels that occur in a volume, or a part of one, and where.

    ``keys`` (n,) int64, packed and sorted; ``counts`` (n,) voxels; ``boxes`` (n, 6): z, y, x from, then to (half open).
    """

    keys: np.ndarray
    counts: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class FinalLabels:
    """The final label, 1 to n or 0, of every combination: ``keys`` and ``labels`` (n,) int64; ``objects``: n."""

    keys: np.ndarray
    labels: np.ndarray
    objects: int


class FusedObjects(Painted):
    """The objects of several planes' consensus; ``final``: what the combinations of the planes' labels become.

    ``votes``: on each object, if the planes are those of a whole volume.
    """

    def __init__(self, planes: list[PlaneObjects], final: FinalLabels, votes: ObjectVotes | None = None) -> None:
        self.shape = planes[0].shape
        self.votes = votes
        self._count = final.objects
        self._planes = _for_kernels(planes)
        self._table, self._values = new_table(_table_size(len(final.keys)))
        _fill_table(self._table, self._values, final.keys, final.labels)

    @property
    def count(self) -> int:
        """See ``Painted``."""
        return self._count

    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """See ``Painted``."""
        _apply(window, *corner, self._planes, self._table, self._values)


def consensus(
    planes: list[PlaneObjects], vote: int, min_size: int, min_extent: int, threads: int = 1, min_agreement: float = 0.0,
    stuff: bool = False,
) -> Painted:  # fmt: skip
    """Return the fused objects of one to three planes of one volume.

    A voxel needs ``vote`` planes. Objects under ``min_size`` voxels or ``min_extent`` (see ``linking.long_enough``) are
    dropped, and those of which all planes gave less than ``min_agreement``, a share. One plane's objects are the result
    as they are. ``threads``: slabs of the volume that are worked on at a time. ``stuff``: a class without objects, of
    which every voxel is voted on by itself, whatever its labels. Raises ValueError for more objects in a
    plane than 2**21 - 1.
    """
    if len(planes) == 1:
        return planes[0]
    sizes = [plane.sizes for plane in planes]
    check_number(sizes)
    shape = planes[0].shape
    slabs = list(pairwise(np.linspace(0, shape[0], threads + 1).astype(int).tolist()))
    parts = in_threads(lambda slab: count_combinations(planes, *slab), slabs, threads)
    table = join_tables(list(parts))
    return FusedObjects(planes, *final_labels(table, sizes, shape, vote, min_size, min_extent, min_agreement, stuff))


def count_combinations(planes: list[PlaneObjects], first: int, stop: int) -> CombinationTable:
    """Return the combinations of the planes' labels in the layers ``first`` to ``stop`` of z."""
    keys, counts, boxes = _count_combinations(_for_kernels(planes), planes[0].shape, first, stop)
    order = np.argsort(keys)
    return CombinationTable(keys[order], counts[order], boxes[order])


def _for_kernels(planes: list[PlaneObjects]) -> tuple[tuple, ...]:
    return tuple(plane.for_kernels() for plane in planes)


def join_tables(parts: list[CombinationTable]) -> CombinationTable:
    """Return the combinations of several parts of a volume together."""
    keys, row = np.unique(np.concatenate([part.keys for part in parts]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    boxes = np.zeros((len(keys), 6), np.int64)
    boxes[:, :3] = np.iinfo(np.int64).max
    np.add.at(counts, row, np.concatenate([part.counts for part in parts]))
    part_boxes = np.concatenate([part.boxes for part in parts])
    np.minimum.at(boxes[:, :3], row, part_boxes[:, :3])
    np.maximum.at(boxes[:, 3:], row, part_boxes[:, 3:])
    return CombinationTable(keys, counts, boxes)


def final_labels(
    table: CombinationTable, sizes: list[np.ndarray], shape: tuple[int, int, int], vote: int, min_size: int,
    min_extent: int, min_agreement: float = 0.0, stuff: bool = False,
) -> tuple[FinalLabels, ObjectVotes]:  # fmt: skip
    """Return the final labels of a volume's combinations, and the votes; see ``consensus`` for the arguments.

    ``sizes``: of each plane's objects by label. Raises ValueError for more objects in a plane than 2**21 - 1.
    """
    check_number(sizes)
    labels = unpack(table.keys, len(sizes))
    if stuff:
        voted = ((labels > 0).sum(axis=1) >= vote).astype(np.int64)
    else:
        voted = vote_labels(Combinations(labels, table.counts), sizes, vote)
    votes = object_votes(voted, labels, table.counts)
    voted[np.concatenate([[1.0], votes.by_all])[voted] < min_agreement] = 0
    result, kept = keep_large(voted, table.counts, table.boxes, shape, min_size, min_extent)
    final = FinalLabels(table.keys, result.astype(np.int64), len(kept) - 1)
    return final, votes.of(np.unique(voted[result > 0]) - 1)


def check_number(sizes: list[np.ndarray]) -> None:
    """Raise ValueError if a plane has more objects than a key has room for; ``sizes``: of each plane's, by label."""
    if max(len(own) for own in sizes) > 1 << LABEL_BITS:
        raise ValueError(f"more than {(1 << LABEL_BITS) - 1} objects in a plane")


def unpack(keys: np.ndarray, planes: int) -> np.ndarray:
    """Return the labels (n, planes) of packed combinations (n,)."""
    mask = (1 << LABEL_BITS) - 1
    return np.stack([keys >> (LABEL_BITS * i) & mask for i in range(planes)], axis=1)


def vote_labels(observed: Combinations, sizes: list[np.ndarray], vote: int) -> np.ndarray:
    """Return the final label, 1 to n or 0, of every combination of labels that occurs.

    ``sizes``: of every plane's objects, in voxels, by label. A combination belongs to an object if at least ``vote``
    of its labels are in the object's cluster; if that holds for several, to the last.
    """
    planes = len(sizes)
    least_nodes = planes // 2 + 1
    cluster_iou = CLUSTER_IOU if vote >= least_nodes else 0.0  # without a majority of voxels: merge all that touches
    edges = _edges(observed, sizes)
    rows_of: dict[Node, list[int]] = defaultdict(list)
    for row, labels in enumerate(observed.labels.tolist()):
        for plane, label in enumerate(labels):
            if label:
                rows_of[plane, label].append(row)

    result = np.zeros(len(observed.count), np.int64)
    final = 0
    for part in _connected(edges):
        if len(part) < least_nodes:
            continue
        voted: list[list[int]] = []
        for cluster in _merge_clusters(_clusters(sorted(part), edges, sizes, cluster_iou), edges, sizes):
            if len(cluster) < least_nodes:
                continue
            votes: dict[int, int] = defaultdict(int)
            for node in cluster:
                for row in rows_of[node]:
                    votes[row] += 1
            rows = [row for row, count in votes.items() if count >= vote]
            if rows:
                voted.append(rows)
        for rows in _unite_overlapping(voted, observed.count):
            final += 1
            result[rows] = final
    return result


def _edges(observed: Combinations, sizes: list[np.ndarray]) -> Edges:
    """Return the overlaps between objects of different planes, as a graph with every object as a node."""
    edges: Edges = {(plane, label): {} for plane, ids in enumerate(sizes) for label in range(1, len(ids))}
    for i, j in combinations(range(len(sizes)), 2):
        both = (observed.labels[:, i] > 0) & (observed.labels[:, j] > 0)
        pairs, index = np.unique(observed.labels[both][:, [i, j]], axis=0, return_inverse=True)
        shared = np.bincount(index.ravel(), observed.count[both], len(pairs)).astype(np.int64)
        for (a, b), overlap in zip(pairs.tolist(), shared.tolist()):
            edges[i, a][j, b] = edges[j, b][i, a] = overlap
    return edges


def _iou(overlap: int, first: int, second: int) -> float:
    return overlap / (int(first) + int(second) - overlap)


def _connected(edges: Mapping[Key, Iterable[Key]]) -> list[list[Key]]:
    """Return the connected parts of a graph, each in the order in which it was reached."""
    seen: set[Key] = set()
    parts = []
    for start in edges:
        if start in seen:
            continue
        seen.add(start)
        part = [start]
        for node in part:  # grows while it is walked
            for other in edges[node]:
                if other not in seen:
                    seen.add(other)
                    part.append(other)
        parts.append(part)
    return parts


def _clusters(part: list[Node], edges: Edges, sizes: list[np.ndarray], least_iou: float) -> list[set[Node]]:
    """Return the groups of ``part`` that are left after dropping edges whose IoU is at most ``least_iou``."""

    def close(node: Node) -> list[Node]:
        size = sizes[node[0]][node[1]]
        return [o for o, overlap in edges[node].items() if _iou(overlap, size, sizes[o[0]][o[1]]) > least_iou]

    return [set(group) for group in _connected({node: close(node) for node in part})]


def _merge_clusters(clusters: list[set[Node]], edges: Edges, sizes: list[np.ndarray]) -> list[set[Node]]:
    """Merge clusters that overlap until none do.

    The cluster with the most neighbours, of several the first, either takes them all in or, if one of them is larger
    than it, is divided among them all. What a neighbour that was taken in overlapped besides is not followed further.
    """
    neighbours: dict[int, list[int]] = {i: [] for i in range(len(clusters))}
    for i, j in combinations(range(len(clusters)), 2):
        pairs = [(a, b) for a in clusters[i] for b in clusters[j]]
        overlaps = [edges[a].get(b, 0) for a, b in pairs]
        ious = [_iou(o, sizes[a[0]][a[1]], sizes[b[0]][b[1]]) for o, (a, b) in zip(overlaps, pairs) if o]
        if sum(ious) / len(pairs) > LEAST_IOU or sum(overlaps) / len(pairs) > LEAST_OVERLAP:
            neighbours[i].append(j)
            neighbours[j].append(i)
    members = {i: set(cluster) for i, cluster in enumerate(clusters)}
    while any(neighbours.values()):
        hub = max(neighbours, key=lambda i: len(neighbours[i]))
        around = neighbours[hub]
        if max(len(members[i]) for i in around) > len(members[hub]):
            for i in around:
                members[i] |= members[hub]
            gone = [hub]
        else:
            for i in around:
                members[hub] |= members[i]
            gone = list(around)
        for i in gone:
            for j in neighbours.pop(i):
                if j in neighbours:
                    neighbours[j].remove(i)
            del members[i]
    return list(members.values())


def _unite_overlapping(voted: list[list[int]], count: np.ndarray) -> list[list[int]]:
    """Unite instances, given by their rows of the combination table, that share more than a trivial overlap."""
    if len(voted) < 2:
        return voted
    rows = [set(instance) for instance in voted]
    size = [int(count[instance].sum()) for instance in voted]
    touching: dict[int, list[int]] = {i: [] for i in range(len(voted))}
    for i, j in combinations(range(len(voted)), 2):
        shared = sum(int(count[row]) for row in rows[i] & rows[j])
        if shared > LEAST_OVERLAP or _iou(shared, size[i], size[j]) > LEAST_IOU:
            touching[i].append(j)
            touching[j].append(i)
    return [sorted(set().union(*(rows[i] for i in group))) for group in _connected(touching)]


# ---- the two passes over the voxels


def _table_size(rows: int) -> int:
    return 1 << max(4, (2 * rows).bit_length())


@numba.njit(nogil=True, cache=True)
def _fill_table(table: np.ndarray, values: np.ndarray, keys: np.ndarray, result: np.ndarray) -> None:
    for i in range(len(keys)):
        place = find_place(table, keys[i])
        table[place], values[place] = keys[i], result[i]


@numba.njit(nogil=True, cache=True)
def _paint_keys(layer: np.ndarray, z: int, top: int, left: int, planes: tuple[tuple, ...]) -> None:
    """Fill ``layer`` (y, x) int64 with the combinations of the labels of up to three planes at ``z``, packed."""
    layer[:] = 0
    for i in range(len(planes)):
        paint_layer(layer, z, top, left, planes[i], i * LABEL_BITS)


@numba.njit(nogil=True, cache=True)
def _end_of_run(row: np.ndarray, x: int) -> int:
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
        _paint_keys(layer[:, :width], z, 0, 0, planes)
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
        key, end = row[x], _end_of_run(row, x)
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


@numba.njit(nogil=True, cache=True)
def _apply(
    window: np.ndarray, first: int, top: int, left: int, planes: tuple[tuple, ...], table: np.ndarray,
    values: np.ndarray,
) -> None:  # fmt: skip
    """Write final labels into ``window``, which is all background and begins at (``first``, ``top``, ``left``)."""
    depth, height, width = window.shape
    layer = np.empty((height, width + PADDING), np.int64)
    for z in range(depth):
        _paint_keys(layer[:, :width], first + z, top, left, planes)
        for y in range(height):
            _apply_row(layer[y][:width], window[z, y], table, values)


@numba.njit(nogil=True, cache=True)
def _apply_row(row: np.ndarray, result: np.ndarray, table: np.ndarray, values: np.ndarray) -> None:
    """Write the final labels of a row of combinations, all of which are in the table, into ``result``."""
    x = 0
    while x < row.size:
        key, end = row[x], _end_of_run(row, x)
        label = values[find_place(table, key)] if key != 0 else np.int64(0)
        if label != 0:
            result[x:end] = label
        x = end
