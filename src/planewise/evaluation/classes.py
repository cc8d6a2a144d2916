"""Semantic scores: every class of a case against the truth, in 3D and slice by slice."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError
from planewise.evaluation.evaluate import MISSING, OK, Pair, Row
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.surfaces import surface_distances
from planewise.evaluation.voxels import VoxelScores
from planewise.volume import read_labels, to_canonical

CLASS_COLUMNS = (
    "case", "class", "name", "status", "dsc", "iou", "dsc_slices", "n_slices", "nsd", "hd95_mm", "false_positive_ml",
    "truth_ml", "predicted_ml",
)  # fmt: skip


@dataclass(frozen=True)
class ClassOptions:
    """Which classes, by number and name, and within what distance surfaces agree."""

    names: dict[int, str]
    tolerance_mm: float = 2.0


def evaluate_classes(pairs: list[Pair], options: ClassOptions) -> list[Row]:
    """Return a row of ``CLASS_COLUMNS`` for every case and class; of one that cannot be scored, one with the reason.

    Scores are read from the written files. A missing prediction counts as one that found nothing, and says so.
    """
    rows: list[Row] = []
    for pair in pairs:
        try:
            rows += _evaluate(pair, options)
        except PlanewiseError as error:
            rows.append({"case": pair.case, "status": str(error)})
    return rows


def _evaluate(pair: Pair, options: ClassOptions) -> list[Row]:
    if pair.problem or pair.truth is None:
        return [{"case": pair.case, "status": pair.problem or "no truth"}]
    truth_volume = to_canonical(read_labels(pair.truth))
    truth = np.asarray(truth_volume.voxels)
    status = OK
    if pair.prediction is None:
        predicted, status = np.zeros_like(truth), MISSING
    else:
        predicted = np.asarray(to_canonical(read_labels(pair.prediction)).voxels)
    if truth.shape != predicted.shape:
        raise PlanewiseError(f"{pair.prediction}: has shape {predicted.shape}, its truth {truth.shape}")
    return [
        {"case": pair.case, "class": value, "name": name, "status": status}
        | class_scores(truth == value, predicted == value, truth_volume.spacing, options.tolerance_mm)
        for value, name in options.names.items()
    ]


def class_scores(
    truth: np.ndarray, predicted: np.ndarray, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> Row:
    """Return the scores of one class's masks (z, y, x), by column.

    ``dsc``: 2 |A and B| / (|A| + |B|); NaN if both are empty, 0 if one is. ``dsc_slices``: its mean over the
    ``n_slices`` slices in which it is defined. ``nsd``, ``hd95_mm``: see ``surfaces``; both NaN where the truth or the
    prediction is empty, for there is no surface to be near. ``false_positive_ml``: predicted volume where the truth has
    none of the class, else NaN.
    """
    scores = _scores(truth, predicted)
    by_slice = [_scores(a, b).dice for a, b in zip(truth, predicted)]
    defined = [dice for dice in by_slice if not math.isnan(dice)]
    ml = math.prod(spacing_mm) / 1000
    row: Row = {
        "dsc": scores.dice,
        "iou": scores.iou,
        "dsc_slices": sum(defined) / len(defined) if defined else math.nan,
        "n_slices": len(defined),
        "nsd": math.nan,
        "hd95_mm": math.nan,
        "false_positive_ml": math.nan if truth.any() else float(predicted.sum() * ml),
        "truth_ml": float(truth.sum() * ml),
        "predicted_ml": float(predicted.sum() * ml),
    }
    if truth.any() and predicted.any():
        distances = surface_distances(truth, predicted, spacing_mm)
        row |= {"nsd": distances.surface_dice(tolerance_mm), "hd95_mm": distances.hd95}
    return row


def _scores(truth: np.ndarray, predicted: np.ndarray) -> VoxelScores:
    tp, fp, fn = (truth & predicted).sum(), (predicted & ~truth).sum(), (truth & ~predicted).sum()
    return VoxelScores(int(tp), int(fp), int(fn))


def class_names(labels: dict[str, int], truths: list[Path]) -> dict[int, str]:
    """Return the classes by number: those of a dataset.json, or else the values found in ``truths``."""
    named = {value: name for name, value in labels.items() if value > 0}
    if named:
        return dict(sorted(named.items()))
    values: set[int] = set()
    for path in truths:
        found = read_labels(path).read()
        values |= set(overlap_table(found, found).first.tolist())
    return {value: f"class {value}" for value in sorted(values) if value > 0}
