"""Cuts objects that a consensus has merged, where two planes show the same parts.

If the planes' objects have little in common, as with a network trained on few data, the consensus (see ``consensus``)
joins everything that overlaps the object with the most neighbours. So one plane that merges two neighbours overrules
two planes that separate them. Here the two planes decide. Two of their labels in the object are connected if they share
a quarter of the smaller one; connected labels form a part if their regions in the two planes agree with an IoU of 0.5::

    plane p   | 1 1 1 1 1 2 2 2 2 |        p and q have the same two parts: labels 1 and 4, and labels 2, 5 and 6;
    plane q   | 4 4 4 4 5 5 5 6 6 |        r, for which they are one, is overruled
    plane r   | 7 7 7 7 7 7 7 7 7 |

Like the consensus, this is computed from the table of combinations of labels. The largest part of an object keeps its
label and the others get new labels above all existing ones, so that cuts can be undone: ``undo_cuts``.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TOGETHER = 0.25  # share of the smaller of two labels, both restricted to the object
SAME = 0.5  # IoU of a part's regions in the two planes

Rows = np.ndarray  # of the table of combinations


def cut_merged(
    objects: np.ndarray, labels: np.ndarray, counts: np.ndarray, stands: Callable[[Rows], bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``objects`` (n,), 1 to m or 0, of combinations after the cuts, and ``cut_from`` (m + new,) int64.

    ``cut_from`` is the object that each was cut from, or 0; objects up to m are unchanged, or their largest parts.
    ``labels`` (n, planes), ``counts`` (n,): the combinations, and the voxels of each. ``stands``: whether rows can be
    an object by themselves, which is required of each part.
    """
    result, cut = objects.copy(), []
    count = int(objects.max(initial=0))
    order = np.argsort(objects, kind="stable")
    bounds = np.searchsorted(objects[order], np.arange(1, count + 2))
    for label, rows in enumerate(np.split(order, bounds)[1:-1], start=1):
        whole: list[Rows] = []
        waiting = [rows]
        while waiting:
            rows = waiting.pop()
            parts = _parts(rows, labels[rows], counts[rows], stands)
            (waiting if len(parts) > 1 else whole).extend(parts)
        whole.sort(key=lambda rows: -int(counts[rows].sum()))
        for rows in whole[1:]:
            cut.append(label)
            result[rows] = count + len(cut)
    return result, np.array([0] * count + cut, np.int64)


def undo_cuts(labels: np.ndarray, cut_from: np.ndarray) -> np.ndarray:
    """Return ``labels`` of any shape, 0 to n, as they were before the cuts; ``cut_from`` (n,): see ``cut_merged``.

    Those of several classes too, which follow each other: the remaining objects are numbered from 1.
    """
    before = np.where(cut_from > 0, cut_from, np.arange(1, len(cut_from) + 1))
    numbered = np.unique(before, return_inverse=True)[1] + 1
    return np.concatenate([[0], numbered]).astype(labels.dtype)[labels]


def _parts(rows: Rows, labels: np.ndarray, counts: np.ndarray, stands: Callable[[Rows], bool]) -> list[Rows]:
    """Return the parts of an object from the two planes that cut off most from the largest part; itself if there are
    none.

    ``labels``, ``counts``: those of its ``rows``.
    """
    best, most = [rows], 0
    for pair in combinations(range(labels.shape[1]), 2):
        part = _parts_of_two(labels[:, pair], counts)
        sizes = np.bincount(part, counts)
        largest = int(sizes.argmax())
        for number in range(len(sizes)):
            if number != largest and not stands(rows[part == number]):
                part[part == number] = largest
        parts = [rows[part == number] for number in np.unique(part)]
        taken = int(counts[part != largest].sum())
        if taken > most and stands(rows[part == largest]):
            best, most = parts, taken
    return best


def _parts_of_two(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the part of each combination, (n,) from 0; ``labels`` (n, 2): of two planes. A combination in two parts
    belongs to the larger one, a combination in none to the largest.
    """
    (first, i), (second, j) = (np.unique(of_plane, return_inverse=True) for of_plane in labels.T)
    table = coo_array((counts, (i, j)), (len(first), len(second)))
    table.sum_duplicates()
    (row, column), shared = table.coords, table.data
    smaller = np.minimum(np.bincount(i, counts)[row], np.bincount(j, counts)[column])
    together = (first[row] > 0) & (second[column] > 0) & (shared >= TOGETHER * smaller)
    nodes = len(first) + len(second)
    edges = coo_array((together[together], (row[together], len(first) + column[together])), (nodes, nodes))
    number, group = connected_components(edges, directed=False)
    of_first, of_second = group[i], group[len(first) + j]
    agreed = np.bincount(of_first[of_first == of_second], counts[of_first == of_second], number)
    size = np.bincount(of_first, counts, number) + np.bincount(of_second, counts, number)
    rank = np.where(agreed >= np.maximum(SAME * (size - agreed), 1), size, -1)  # size - agreed: of the union
    rank[group[np.flatnonzero(first == 0)]] = -1  # background is no part
    rank[group[len(first) + np.flatnonzero(second == 0)]] = -1
    larger = np.where(rank[of_first] >= rank[of_second], of_first, of_second)
    return np.unique(np.where(rank[larger] < 0, rank.argmax(), larger), return_inverse=True)[1]
