"""Score predictions on disk against the truth on disk, case by case. It reads the files that were written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.dataset import case_name, volumes_in
from planewise.errors import PlanewiseError
from planewise.evaluation.instances import ACCURACY_THRESHOLDS, instance_scores
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.voxels import voxel_scores
from planewise.slices import PLANES
from planewise.volume import ending_of, read_labels, to_canonical

COLUMNS = (
    "case", "status", "voxel_iou", "voxel_dice", "voxel_precision", "voxel_recall", "n_truth", "n_pred",
    "tp_50", "fp_50", "fn_50", "precision_50", "recall_50", "f1_50", "accuracy_50",
    "precision_75", "recall_75", "f1_75", "accuracy_75", "mean_accuracy", "pq_50", "sq_50", "rq_50",
)  # fmt: skip
COUNT_COLUMNS = ("n_truth", "n_pred", "tp_50", "fp_50", "fn_50")
OK = "ok"
MISSING = "prediction missing: counted as found nothing"

Row = dict[str, Any]  # by COLUMNS; a score that was not computed is absent


@dataclass(frozen=True)
class Pair:
    """A case's files; either may be missing. ``problem``: why the case cannot be scored, if so."""

    case: str
    prediction: Path | None
    truth: Path | None
    problem: str = ""


def evaluate_pairs(
    pairs: list[Pair], semantic_class: int | None = None, advance: Callable[[], None] = lambda: None
) -> list[Row]:
    """Return a row of ``COLUMNS`` for every pair.

    ``status`` is ``ok``, or the reason why the case could not be scored, or that its prediction is missing: it then
    counts as one that found nothing. With ``semantic_class`` the truth is a semantic map of which that value is
    scored voxel by voxel, and the instance columns stay empty.
    """
    rows = []
    for pair in pairs:
        try:
            rows.append(_evaluate(pair, semantic_class))
        except PlanewiseError as error:
            rows.append({"case": pair.case, "status": str(error)})
        except (ValueError, MemoryError) as error:
            rows.append({"case": pair.case, "status": f"cannot be compared: {error}"})
        advance()
    return rows


def _evaluate(pair: Pair, semantic_class: int | None) -> Row:
    if pair.problem:
        return {"case": pair.case, "status": pair.problem}
    assert pair.truth is not None  # a pair without truth has a problem
    truth = to_canonical(read_labels(pair.truth)).read()
    if semantic_class is not None:
        truth = (truth == semantic_class).astype(np.uint8)
    if pair.prediction is None:
        predicted, status = np.zeros_like(truth), MISSING
    else:
        predicted, status = to_canonical(read_labels(pair.prediction)).read(), OK
    if truth.shape != predicted.shape:
        return {
            "case": pair.case,
            "status": f"{pair.prediction} has shape {predicted.shape}, its truth {truth.shape}; they must agree",
        }
    return {"case": pair.case, "status": status, **score_labels(truth, predicted, semantic_class is None)}


def score_labels(truth: np.ndarray, predicted: np.ndarray, instances: bool = True) -> Row:
    """Return the scores of ``predicted`` labels (z, y, x) against ``truth``, by column name.

    Without ``instances`` only the voxel scores.
    """
    overlap = overlap_table(truth, predicted)
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
        row |= {f"f1_{name}": scores.f1, f"accuracy_{name}": scores.accuracy}
    row["mean_accuracy"] = float(np.mean([scores.accuracy for scores in by_threshold.values()]))
    row |= {"pq_50": half.pq, "sq_50": half.sq, "rq_50": half.rq}
    return row


def pair_files(predictions: Path, truths: Path) -> list[Pair]:
    """Return the cases of two folders, or of two files, paired by name.

    ``{case}`` and ``{case}_0000`` are one case, in any volume format. The planes' own files beside a prediction
    (``{case}_xy`` ...) are passed over. Raises PlanewiseError if either path is missing, if one is a folder and the
    other a file, or if there is no truth at all.
    """
    for path in (predictions, truths):
        if not path.exists():
            raise PlanewiseError(f"{path}: no such file or folder")
    volumes = [path for path in (predictions, truths) if ending_of(path)]  # an OME-Zarr volume is a folder too
    if len(volumes) == 1:
        raise PlanewiseError(f"{predictions} and {truths}: give two volumes or two folders")
    if volumes:
        return [Pair(case_name(truths), predictions, truths)]
    found = [_group_by_case(folder) for folder in (predictions, truths)]
    if not found[1]:
        raise PlanewiseError(f"{truths}: holds no volumes; truth is {{case}}.tiff, .nii.gz, ...")
    pairs = []
    for case in sorted(found[0].keys() | found[1].keys()):
        prediction, truth = (group.get(case, []) for group in found)
        of_a_plane = re.sub(rf"_({'|'.join(PLANES)})$", "", case)
        if not truth and of_a_plane != case and of_a_plane in found[0]:
            continue
        several = next((paths for paths in (prediction, truth) if len(paths) > 1), None)
        problem = ""
        if several:
            problem = f"several files for one case: {', '.join(path.name for path in several)}"
        elif not truth:
            problem = f"no truth {truths / case}.*"
        pairs.append(Pair(case, next(iter(prediction), None), next(iter(truth), None), problem))
    return pairs


def _group_by_case(folder: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in volumes_in(folder):
        groups.setdefault(case_name(path), []).append(path)
    return groups
