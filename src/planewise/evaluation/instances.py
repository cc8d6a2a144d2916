"""Instance scores: objects matched one to one by IoU, from the contingency table."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planewise.evaluation.overlap import Overlap
from planewise.evaluation.voxels import Counts, ratio

ACCURACY_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))  # 0.50:0.05:0.95


@dataclass(frozen=True)
class InstanceScores(Counts):
    """Counts of objects at one IoU threshold, and the sum of the matches' IoU.

    Without truth and prediction all scores are NaN. Precision is NaN without a prediction, recall
    without a truth, segmentation quality without a match; the others are then 0.
    """

    iou_sum: float

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn)."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """tp / (tp + fp + fn), the average precision of the 2018 Data Science Bowl (doi:10.1038/s41592-019-0612-7)."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches (Kirillov et al. 2019, arXiv:1801.00868)."""
        return ratio(self.iou_sum, self.tp)

    @property
    def rq(self) -> float:
        """Recognition quality (ibid.), the same as F1."""
        return self.f1

    @property
    def pq(self) -> float:
        """Panoptic quality (ibid.): sum of the matches' IoU / (tp + fp / 2 + fn / 2)."""
        return ratio(self.iou_sum, self.tp + (self.fp + self.fn) / 2)


def instance_scores(overlap: Overlap, threshold: float) -> InstanceScores:
    """Score the objects of the second volume, the prediction, against those of the first, the truth."""
    n_truth, n_predicted = len(overlap.first_sizes()[0]), len(overlap.second_sizes()[0])
    matches = match_objects(overlap, threshold)
    tp = len(matches.iou)
    return InstanceScores(tp, n_predicted - tp, n_truth - tp, float(matches.iou.sum()))


class Matches(NamedTuple):
    """The ids of the objects that are matched, and their IoU; each (n,)."""

    truth: np.ndarray
    predicted: np.ndarray
    iou: np.ndarray


def match_objects(overlap: Overlap, threshold: float) -> Matches:
    """Match the objects of the first volume, the truth, to those of the second one to one; see ``match``."""
    rows, columns, iou = pair_ious(overlap)
    pairs, matched = overlap.objects, match(rows, columns, iou, threshold)
    return Matches(pairs.first[matched], pairs.second[matched], iou[matched])


def best_ious(overlap: Overlap) -> tuple[np.ndarray, np.ndarray]:
    """Return the size of each true object, in the order of ids, and its IoU with its best prediction."""
    sizes = overlap.first_sizes()[1]
    rows, _, iou = pair_ious(overlap)
    best = np.zeros(len(sizes))
    np.maximum.at(best, rows, iou)
    return sizes, best


def pair_ious(overlap: Overlap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each row of ``overlap.objects``, the index of its label in each volume, and the IoU."""
    truth, truth_sizes = overlap.first_sizes()
    predicted, predicted_sizes = overlap.second_sizes()
    pairs = overlap.objects
    rows, columns = np.searchsorted(truth, pairs.first), np.searchsorted(predicted, pairs.second)
    return rows, columns, pairs.count / (truth_sizes[rows] + predicted_sizes[columns] - pairs.count)


def match(rows: np.ndarray, columns: np.ndarray, iou: np.ndarray, threshold: float) -> np.ndarray:
    """Return the indices of the pairs (row, column) that are matched: as many as possible, then the largest IoU.

    No row and no column is matched twice, and no pair below ``threshold``. As in StarDist (Schmidt et al. 2018,
    doi:10.1007/978-3-030-00934-2_30), on the sparse pairs: each connected group of pairs is solved alone.
    """
    from scipy.optimize import linear_sum_assignment  # not above: SciPy takes a while, and most commands match nothing
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    valid = np.flatnonzero(iou >= threshold)
    if len(valid) == 0:
        return valid
    row_ids, r = np.unique(rows[valid], return_inverse=True)
    column_ids, c = np.unique(columns[valid], return_inverse=True)
    size = len(row_ids) + len(column_ids)
    graph = coo_array((np.ones(len(valid)), (r, c + len(row_ids))), shape=(size, size))
    group = connected_components(graph, directed=False)[1][r]
    order = np.argsort(group, kind="stable")
    matched = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) == 1:
            matched.append(members[0])
            continue
        _, i = np.unique(r[members], return_inverse=True)
        _, j = np.unique(c[members], return_inverse=True)
        # One more match is worth more than any sum of IoU, which is at most the number of matches.
        gain = np.zeros((i.max() + 1, j.max() + 1))
        gain[i, j] = 1 + iou[valid[members]] / (2 * min(gain.shape))
        which = np.full(gain.shape, -1)
        which[i, j] = members
        chosen = which[linear_sum_assignment(gain, maximize=True)]
        matched.extend(chosen[chosen >= 0])
    return valid[np.sort(np.array(matched, dtype=int))]
