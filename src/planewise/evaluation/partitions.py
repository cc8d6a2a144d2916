"""How two partitions of the foreground differ: variation of information and adapted Rand error, from the table.

Both are computed over the voxels of the true objects; voxels that the prediction leaves empty there count as one
segment, so missing objects is not rewarded. Foreground predicted elsewhere does not affect them (see voxel precision).
"""

from dataclasses import dataclass

import numpy as np

from planewise.evaluation.overlap import Overlap
from planewise.evaluation.voxels import ratio


@dataclass(frozen=True)
class PartitionScores:
    """``vi_split``, ``vi_merge``: entropies in bits, 0 is best; ``rand_error``: 0 to 1. NaN without true objects."""

    vi_split: float
    vi_merge: float
    rand_error: float


def partition_scores(overlap: Overlap) -> PartitionScores:
    """Score the second volume, the prediction, against the first, the truth.

    Variation of information (Meila 2007, doi:10.1016/j.jmva.2006.11.013): ``vi_split`` = H(prediction | truth), what
    false splits cost; ``vi_merge`` = H(truth | prediction), what false merges cost. Adapted Rand error
    (Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142): 1 - F score of the pairs of voxels that are together.
    """
    inside = overlap.first > 0
    count = overlap.count[inside].astype(float)
    total = count.sum()
    if total == 0:
        return PartitionScores(*[float("nan")] * 3)
    of_truth, of_predicted = (_group_sums(labels[inside], count) for labels in (overlap.first, overlap.second))
    pairs, truth_pairs, predicted_pairs = (
        float((sums * (sums - 1)).sum()) for sums in (count, of_truth[1], of_predicted[1])
    )
    return PartitionScores(
        vi_split=float((count * np.log2(of_truth[1][of_truth[0]] / count)).sum() / total),
        vi_merge=float((count * np.log2(of_predicted[1][of_predicted[0]] / count)).sum() / total),
        rand_error=1 - ratio(2 * pairs, truth_pairs + predicted_pairs),
    )


def _group_sums(labels: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's group and the sum of counts of each group."""
    _, group = np.unique(labels, return_inverse=True)
    return group, np.bincount(group, count)
