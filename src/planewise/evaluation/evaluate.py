"""Score predictions on disk against the truth on disk, case by case, slab by slab: they may be larger than memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from planewise.data.classes import Target
from planewise.errors import PlanewiseError
from planewise.evaluation.instances import ACCURACY_THRESHOLDS, instance_scores
from planewise.evaluation.overlap import Overlap, OverlapCounter, overlap_table
from planewise.evaluation.pairs import Pair, open_pair, read_slabs
from planewise.evaluation.voxels import voxel_scores

COLUMNS = (
    "case", "status", "voxel_iou", "voxel_dice", "voxel_precision", "voxel_recall", "n_truth", "n_pred",
    "tp_50", "fp_50", "fn_50", "precision_50", "recall_50", "f1_50", "accuracy_50",
    "precision_75", "recall_75", "f1_75", "accuracy_75", "mean_accuracy", "pq_50", "sq_50", "rq_50",
)  # fmt: skip
COUNT_COLUMNS = ("n_truth", "n_pred", "tp_50", "fp_50", "fn_50")
Row = dict[str, Any]  # by COLUMNS; a score that was not computed is absent


def evaluate_pairs(
    pairs: list[Pair], target: Target | None = None, advance: Callable[[], None] = lambda: None
) -> list[Row]:
    """Return a row of ``COLUMNS`` for every pair.

    ``status`` is ``ok``, or the reason why the case could not be scored, or that its prediction is missing: it then
    counts as one that found nothing. With ``target`` the truth is a semantic map of which that class is scored voxel by
    voxel, and the instance columns stay empty.
    """
    rows = []
    for pair in pairs:
        try:
            rows.append(_evaluate(pair, target))
        except PlanewiseError as error:
            rows.append({"case": pair.case, "status": str(error)})
        except (ValueError, MemoryError) as error:
            rows.append({"case": pair.case, "status": f"cannot be compared: {error}"})
        advance()
    return rows


def _evaluate(pair: Pair, target: Target | None) -> Row:
    opened = open_pair(pair)
    counter = OverlapCounter()
    for slab in read_slabs(opened):
        known = slab.truth if target is None else np.isin(slab.truth, target.values).astype(np.uint32)
        counter.add(known, slab.predicted)
    return {"case": pair.case, "status": opened.status, **score_overlap(counter.table(), target is None)}


def score_labels(truth: np.ndarray, predicted: np.ndarray, instances: bool = True) -> Row:
    """Return the scores of ``predicted`` labels (z, y, x) against ``truth``, by column name.

    Without ``instances`` only the voxel scores.
    """
    return score_overlap(overlap_table(truth, predicted), instances)


def score_overlap(overlap: Overlap, instances: bool = True) -> Row:
    """Return the scores of the second volume, the prediction, against the first; see ``score_labels``."""
    voxels = voxel_scores(overlap)
    row: Row = {
        "voxel_iou": voxels.iou, "voxel_dice": voxels.dice,
        "voxel_precision": voxels.precision, "voxel_recall": voxels.recall,
    }  # fmt: skip
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
