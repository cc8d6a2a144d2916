"""Decides which objects of several planes are the same (Conrad and Narayan 2023, doi:10.1016/j.cels.2022.12.006).

Objects of different planes that overlap form a graph. In each of its connected parts, objects that agree closely
(IoU above 0.75) are one cluster, clusters that still overlap are merged around the most connected one, and a
cluster's voxels are those that enough of its objects cover.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from itertools import combinations
from typing import TypeVar

import numpy as np

CLUSTER_IOU = 0.75
LEAST_IOU = 0.01  # overlaps below both of these are ignored
LEAST_OVERLAP = 100  # voxels

Key = TypeVar("Key", bound=Hashable)
Node = tuple[int, int]  # plane, label
Edges = dict[Node, dict[Node, int]]  # voxels shared by two nodes


def vote_labels(labels: np.ndarray, counts: np.ndarray, sizes: list[np.ndarray], vote: int) -> np.ndarray:
    """Return the final label (n,) int64, 1 to m or 0, of each combination of labels that occurs.

    ``labels`` (n, planes), ``counts`` (n,): the planes' labels, and the voxels that have them; ``sizes``: of
    each plane's objects, in voxels, by label. A combination belongs to an object if at least ``vote``
    of its labels are in the object's cluster; if that holds for several, to the last.
    """
    planes = len(sizes)
    least_nodes = planes // 2 + 1
    cluster_iou = CLUSTER_IOU if vote >= least_nodes else 0.0  # without a majority of voxels: merge all that touches
    edges = _edges(labels, counts, sizes)
    rows_of: dict[Node, list[int]] = defaultdict(list)
    for row, of_planes in enumerate(labels.tolist()):
        for plane, label in enumerate(of_planes):
            if label:
                rows_of[plane, label].append(row)

    result = np.zeros(len(counts), np.int64)
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
        for rows in _unite_overlapping(voted, counts):
            final += 1
            result[rows] = final
    return result


def _edges(labels: np.ndarray, counts: np.ndarray, sizes: list[np.ndarray]) -> Edges:
    """Return the overlaps between objects of different planes, as a graph with every object as a node."""
    edges: Edges = {(plane, label): {} for plane, ids in enumerate(sizes) for label in range(1, len(ids))}
    for i, j in combinations(range(len(sizes)), 2):
        both = (labels[:, i] > 0) & (labels[:, j] > 0)
        pairs, index = np.unique(labels[both][:, [i, j]], axis=0, return_inverse=True)
        shared = np.bincount(index.ravel(), counts[both], len(pairs)).astype(np.int64)
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

    The cluster with the most neighbours (the first, in a tie) either absorbs all of them or, if one of them is larger,
    is divided among them. Further overlaps of an absorbed neighbour are not followed.
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


def _unite_overlapping(voted: list[list[int]], counts: np.ndarray) -> list[list[int]]:
    """Unite instances, given by their rows of the combination table, that share more than a trivial overlap."""
    if len(voted) < 2:
        return voted
    rows = [set(instance) for instance in voted]
    size = [int(counts[instance].sum()) for instance in voted]
    touching: dict[int, list[int]] = {i: [] for i in range(len(voted))}
    for i, j in combinations(range(len(voted)), 2):
        shared = sum(int(counts[row]) for row in rows[i] & rows[j])
        if shared > LEAST_OVERLAP or _iou(shared, size[i], size[j]) > LEAST_IOU:
            touching[i].append(j)
            touching[j].append(i)
    return [sorted(set().union(*(rows[i] for i in group))) for group in _connected(touching)]
