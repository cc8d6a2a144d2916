"""Presence: which slices contain a class, and how well a prediction detects that. Masks are not compared."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from planewise.errors import PlanewiseError
from planewise.evaluation.voxels import ratio
from planewise.progress import counted
from planewise.volumes.atomic import atomic_path

COLUMNS = ("slice", "class", "name", "score", "probability", "expected_dice")


class Slices(NamedTuple):
    """Whether each slice (N,) of a case contains a class: bool, from the bottom up (canonical z)."""

    truth: np.ndarray
    predicted: np.ndarray

    @property
    def with_class(self) -> "Slices":
        """Those alone that have the class."""
        return Slices(self.truth[self.truth], self.predicted[self.truth])


@dataclass(frozen=True)
class PresenceScores:
    """How well presence is detected, over all slices of some cases; NaN where there is nothing to divide by.

    ``sensitivity``: the share of slices with the class in which it is predicted; ``specificity``: the share of slices
    without it in which it is not. ``auc``: how often a slice with it has a higher score than one without;
    ``curve``: the ROC, (false positive rate, sensitivity) from (0, 0) to (1, 1) as the threshold falls.
    """

    n_with: int
    n_without: int
    sensitivity: float
    specificity: float
    auc: float
    curve: np.ndarray


def presence_file(predictions: Path, case: str) -> Path:
    """Return where the scores of a case lie, beside its prediction."""
    return predictions / f"{case}_presence.csv"


def write_presence(
    path: Path, scores: np.ndarray, names: dict[int, str], probabilities: np.ndarray, dices: np.ndarray
) -> None:
    """Write the scores of every class in every slice, (N, classes); ``names``: the classes, in their order.

    ``scores``: the model's logits that a slice contains a class; ``probabilities``: the calibrated ones; ``dices``: the
    expected Dice of its mask, if it does. NaN, for classes that were not calibrated, is left empty.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for z, of_slice in enumerate(zip(scores.tolist(), probabilities.tolist(), dices.tolist())):
            for (value, name), score, *shares in zip(names.items(), *of_slice):
                writer.writerow((z, value, name, f"{score:.5g}", *map(_cell, shares)))


def _cell(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.4f}"


def read_presence(path: Path, depth: int) -> dict[int, np.ndarray]:
    """Return the scores (depth,) of each class in the file, -inf where it has none; {} if there is no file.

    Raises PlanewiseError if it cannot be read or does not belong to a volume of ``depth`` slices.
    """
    if not path.exists():
        return {}
    scores: dict[int, np.ndarray] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                of_class = scores.setdefault(int(row["class"]), np.full(depth, -np.inf))
                of_class[int(row["slice"])] = float(row["score"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise PlanewiseError(
            f"{path}: is no table of {', '.join(COLUMNS[:4])} for {counted(depth, 'slice')} ({error}); predict the "
            "case again"
        ) from error
    return scores


def presence_scores(slices: list[Slices], scores: list[np.ndarray | None]) -> PresenceScores:
    """Return how well presence is detected in the ``slices`` of some cases.

    ``scores``: of the slices of each case; None if its prediction has none: it is left out of the ROC.
    """
    truth, predicted = (
        np.concatenate([getattr(case, which) for case in slices]) if slices else np.zeros(0, bool)
        for which in Slices._fields
    )
    scored = [(case.truth, score) for case, score in zip(slices, scores) if score is not None]
    curve, auc = _roc(*map(np.concatenate, zip(*scored))) if scored else (np.zeros((0, 2)), math.nan)
    n_with = int(truth.sum())
    n_without = len(truth) - n_with
    sensitivity = ratio(int((truth & predicted).sum()), n_with)
    specificity = ratio(int((~truth & ~predicted).sum()), n_without)
    return PresenceScores(n_with, n_without, sensitivity, specificity, auc, curve)


def _roc(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the ROC (points, 2) and the area under it, by the trapezoidal rule: ties count half."""
    if truth.all() or not truth.any():
        return np.zeros((0, 2)), math.nan
    values, place = np.unique(-scores, return_inverse=True)  # falling thresholds
    sensitivity = np.bincount(place, truth, len(values)).cumsum() / truth.sum()
    false = np.bincount(place, ~truth, len(values)).cumsum() / (~truth).sum()
    curve = np.concatenate([[[0.0, 0.0]], np.stack([false, sensitivity], axis=1)])
    return curve, float(np.trapezoid(curve[:, 1], curve[:, 0]))
