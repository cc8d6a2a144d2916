"""A table of all objects, each with its best counterpart and its place."""

from dataclasses import dataclass

import numpy as np

from planewise.evaluation.instances import pair_ious
from planewise.evaluation.located import LocatedOverlap


@dataclass(frozen=True)
class ObjectTable:
    """A row for each true object, ascending by id, then one for each predicted object that is no true object's best.

    ``truth``, ``predicted`` (n,): ids, 0 where there is none; ``voxels``, ``predicted_voxels`` (n,): their sizes;
    ``iou`` (n,): of the two; ``matched`` (n,): whether they are matched one to one. ``centre`` (n, 3),
    ``lower`` and ``upper`` (n, 3): the centre and the half-open box, z, y, x in voxels, of the true object, of the
    predicted one where there is none; ``both_lower``, ``both_upper`` (n, 3): the box around the two.
    """

    truth: np.ndarray
    voxels: np.ndarray
    predicted: np.ndarray
    predicted_voxels: np.ndarray
    iou: np.ndarray
    matched: np.ndarray
    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    both_lower: np.ndarray
    both_upper: np.ndarray


def object_table(overlap: LocatedOverlap, matched: set[tuple[int, int]]) -> ObjectTable:
    """Return all objects of the first volume, the truth, and of the second, the prediction; ``matched``: their ids.

    A true object is paired with its match, or else with the object of the largest IoU; the same holds for a predicted
    object that no true object is paired with.
    """
    true = _Objects.of(overlap, overlap.first)
    seen = _Objects.of(overlap, overlap.second)
    rows, columns, iou = pair_ious(overlap)
    pairs = overlap.objects
    is_match = np.array([pair in matched for pair in zip(pairs.first.tolist(), pairs.second.tolist())], bool)
    n_true, n_seen = len(true.ids) - 1, len(seen.ids) - 1
    best = _best(rows, iou + is_match, n_true)  # a match comes before any other, of whatever IoU
    shown = np.setdiff1d(np.arange(n_seen), columns[best[best >= 0]])
    counterpart = _best(columns, iou, n_seen)[shown]

    # Index -1, of what does not exist, is the last element, which stands for none.
    pair = np.append(best, counterpart)
    t = np.append(np.arange(n_true), np.append(rows, -1)[counterpart])
    p = np.append(np.append(columns, -1)[best], shown)
    is_true = (t >= 0)[:, None]
    return ObjectTable(
        true.ids[t],
        true.sizes[t],
        seen.ids[p],
        seen.sizes[p],
        np.append(iou, 0.0)[pair],
        np.append(is_match, False)[pair],
        np.where(is_true, true.centre[t], seen.centre[p]),
        np.where(is_true, true.lower[t], seen.lower[p]),
        np.where(is_true, true.upper[t], seen.upper[p]),
        np.minimum(true.lower[t], seen.lower[p]),
        np.maximum(true.upper[t], seen.upper[p]),
    )


def _best(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return for each of ``count`` groups the index of its largest value, -1 where it has none."""
    best = np.full(count, -1)
    order = np.argsort(values, kind="stable")
    best[groups[order]] = order  # the last one that is written is the largest
    return best


@dataclass(frozen=True)
class _Objects:
    """The objects of one volume, ascending by id, and at the end one that stands for none, of id 0."""

    ids: np.ndarray
    sizes: np.ndarray
    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, overlap: LocatedOverlap, labels: np.ndarray) -> "_Objects":
        """Gather the rows of a table by ``labels``, one of its two columns."""
        kept = labels > 0
        ids, index = np.unique(labels[kept], return_inverse=True)
        n, count = len(ids), overlap.count[kept]
        sizes, centre = np.zeros(n + 1, np.int64), np.zeros((n + 1, 3))
        lower, upper = np.full((n + 1, 3), np.iinfo(np.int64).max), np.zeros((n + 1, 3), np.int64)
        np.add.at(sizes, index, count)
        np.add.at(centre, index, overlap.centre[kept] * count[:, None])
        np.minimum.at(lower, index, overlap.lower[kept])
        np.maximum.at(upper, index, overlap.upper[kept])
        return cls(np.append(ids, 0), sizes, centre / np.maximum(sizes, 1)[:, None], lower, upper)
