"""Scores labels against the truth from the number of voxels with each pair of labels."""

import numpy as np

from planewise.evaluation.instances import ACCURACY_THRESHOLDS, instance_scores
from planewise.evaluation.overlap import Overlap, overlap_table
from planewise.evaluation.voxels import voxel_scores

Scores = dict[str, float]  # by metric, see ``metrics``; metrics that were not computed are absent


def score_labels(truth: np.ndarray, predicted: np.ndarray, instances: bool = True) -> Scores:
    """Return the scores of ``predicted`` labels (z, y, x) against ``truth``, by metric.

    Without ``instances`` only the voxel scores.
    """
    return score_overlap(overlap_table(truth, predicted), instances)


def score_overlap(overlap: Overlap, instances: bool = True) -> Scores:
    """Return the scores of the second volume, the prediction, against the first; see ``score_labels``."""
    voxels = voxel_scores(overlap)
    row: Scores = {
        "voxel_iou": voxels.iou,
        "voxel_dice": voxels.dice,
        "voxel_precision": voxels.precision,
        "voxel_recall": voxels.recall,
    }
    if not instances:
        return row
    by_threshold = {threshold: instance_scores(overlap, threshold) for threshold in ACCURACY_THRESHOLDS}
    half = by_threshold[0.5]
    row |= {"n_truth": half.tp + half.fn, "n_pred": half.tp + half.fp}
    row |= {"tp_50": half.tp, "fp_50": half.fp, "fn_50": half.fn}
    for name, threshold in (("50", 0.5), ("75", 0.75)):
        scores = by_threshold[threshold]
        row |= {f"precision_{name}": scores.precision, f"recall_{name}": scores.recall}
        row[f"accuracy_{name}"] = scores.accuracy
    row |= {f"f1_{round(100 * threshold)}": scores.f1 for threshold, scores in by_threshold.items()}
    row["mean_accuracy"] = float(np.mean([scores.accuracy for scores in by_threshold.values()]))
    row |= {"pq_50": half.pq, "sq_50": half.sq, "rq_50": half.rq}
    return row
