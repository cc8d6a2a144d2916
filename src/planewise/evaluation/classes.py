"""Semantic scores: every class of a case against the truth, in 3D and slice by slice."""

# mypy: disable-error-code="index"
# (a kernel's integers are numba's machine integers)

import math
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from planewise.data.classes import LabelDefinition
from planewise.errors import PlanewiseError
from planewise.evaluation.evaluate import Row
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.pairs import OpenPair, Pair, open_pair, read_slabs
from planewise.evaluation.presence import PresenceScores, Slices, presence_file, presence_scores, read_presence
from planewise.evaluation.scale import Scale, scale_in
from planewise.evaluation.surfaces import SurfaceParts, distances_between
from planewise.evaluation.voxels import VoxelScores, mean_of_defined
from planewise.volumes.labels import open_labels, slab_starts

CLASS_COLUMNS = (
    "case", "class", "name", "status", "dsc", "iou", "dsc_slices", "n_slices", "nsd", "hd95_mm", "assd_mm",
    "false_positive_ml", "truth_ml", "predicted_ml", "slice_sensitivity", "slice_specificity",
)  # fmt: skip


class ClassScores(NamedTuple):
    """The scores of every class, by class and name, and the slices that it is in."""

    scores: dict[int, Row]
    slices: dict[int, Slices]


@dataclass(frozen=True)
class ClassOptions:
    """Which classes, by number and name, within what distance surfaces agree, and whose scan a case is, if not its own
    patient's."""

    names: dict[int, str]
    tolerance_mm: float = 2.0
    patients: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassEvaluation:
    """A folder of predictions that was scored: what its boxes came from, its rows, and how well presence is told.

    ``rows``: see ``evaluate_classes``; ``presence``: by class, over all cases that could be scored.
    """

    prompts: str
    rows: list[Row]
    presence: dict[int, PresenceScores]


def evaluate_folder(folder: Path, pairs: list[Pair], prompts: str, options: ClassOptions) -> ClassEvaluation:
    """Score the predictions in ``folder``, with the scores of presence beside them where there are any."""
    rows = evaluate_classes(pairs, options)
    for case, group in groupby((row for row in rows if "slices" in row), key=lambda row: row["case"]):
        of_case, told, damage = list(group), {}, {}
        try:
            told = read_presence(presence_file(folder, case), len(of_case[0]["slices"].truth))
        except PlanewiseError as error:
            damage = {"status": str(error)}
        for row in of_case:
            row |= {"presence": told.get(row["class"])} | damage
    presence = {}
    for value in options.names:
        own = [row for row in rows if row.get("class") == value]
        presence[value] = presence_scores([row["slices"] for row in own], [row["presence"] for row in own])
    return ClassEvaluation(prompts, rows, presence)


def evaluate_classes(pairs: list[Pair], options: ClassOptions) -> list[Row]:
    """Return a row of ``CLASS_COLUMNS`` for every case and class; of one that cannot be scored, one with the reason.

    Scores are read from the written files. A missing prediction counts as one that found nothing, and says so. The
    rows hold ``patient`` and ``slices`` besides, to put those of several cases together.
    """
    rows: list[Row] = []
    for pair in pairs:
        whose = {"case": pair.case, "patient": options.patients.get(pair.case, pair.case)}
        try:
            opened = open_pair(pair)
            found = score_classes(opened, list(options.names), scale_in(opened.truth, "mm"), options.tolerance_mm)
        except PlanewiseError as error:
            rows.append(whose | {"status": str(error)})
            continue
        for value, name in options.names.items():
            about = whose | {"class": value, "name": name, "status": opened.status}
            told = presence_scores([found.slices[value]], [None])
            about |= {"slice_sensitivity": told.sensitivity, "slice_specificity": told.specificity}
            rows.append(about | found.scores[value] | {"slices": found.slices[value]})
    return rows


def score_classes(pair: OpenPair, classes: list[int], scale: Scale, tolerance: float | dict[int, float]) -> ClassScores:
    """Return the scores of every class.

    ``dsc``: 2 |A and B| / (|A| + |B|); NaN if both are empty, 0 if one is. ``dsc_slices``: its mean over the
    ``n_slices`` slices in which it is defined. ``nsd``, ``hd95_{unit}``, ``assd_{unit}``: see ``surfaces``; NaN where
    the truth or the prediction is empty, for there is no surface to be near. ``false_positive_{volume unit}``:
    predicted volume where the truth has none of the class, else NaN. ``tolerance`` is in the unit of ``scale``, one for
    all classes or one for each.
    """
    code_of = np.zeros(max(classes, default=0) + 1, np.int64)
    code_of[classes] = np.arange(1, len(classes) + 1)
    truth_surface, predicted_surface = SurfaceParts(), SurfaceParts()
    tables = []
    for slab in read_slabs(pair):
        tables.append(_tables_by_slice(slab.truth, slab.predicted, code_of, len(classes) + 1))
        truth_surface.add(slab.truth_with_border, slab.start)
        predicted_surface.add(slab.predicted_with_border, slab.start)
    by_slice = np.concatenate(tables) if tables else np.zeros((0, len(classes) + 1, len(classes) + 1), np.int64)
    surfaces = truth_surface.joined(), predicted_surface.joined()
    found: dict[int, Row] = {}
    slices: dict[int, Slices] = {}
    for code, value in enumerate(classes, 1):
        scores = _counts(by_slice.sum(axis=0), code)
        dices = [_counts(table, code).dice for table in by_slice]
        truth, predicted = (count * scale.voxel_volume for count in (scores.tp + scores.fn, scores.tp + scores.fp))
        row: Row = {
            "dsc": scores.dice,
            "iou": scores.iou,
            "dsc_slices": mean_of_defined(dices),
            "n_slices": sum(not math.isnan(dice) for dice in dices),
            "nsd": math.nan,
            f"hd95_{scale.unit}": math.nan,
            f"assd_{scale.unit}": math.nan,
            f"false_positive_{scale.volume_unit}": math.nan if truth else predicted,
            f"truth_{scale.volume_unit}": truth,
            f"predicted_{scale.volume_unit}": predicted,
        }
        if truth and predicted:
            distances = distances_between(surfaces[0].of(value), surfaces[1].of(value), scale.spacing)
            row["nsd"] = distances.surface_dice(tolerance if isinstance(tolerance, int | float) else tolerance[value])
            row |= {f"hd95_{scale.unit}": distances.hd95, f"assd_{scale.unit}": distances.mean}
        found[value] = row
        slices[value] = Slices(by_slice[:, code].sum(axis=1) > 0, by_slice[:, :, code].sum(axis=1) > 0)
    return ClassScores(found, slices)


@numba.njit(nogil=True, cache=True)
def _tables_by_slice(truth: np.ndarray, predicted: np.ndarray, code_of: np.ndarray, size: int) -> np.ndarray:
    """Return the contingency table (size, size) of every plane; labels without a code count as 0."""
    tables = np.zeros((len(truth), size, size), np.int64)
    for z in range(len(truth)):
        for y in range(truth.shape[1]):
            for x in range(truth.shape[2]):
                a, b = truth[z, y, x], predicted[z, y, x]
                tables[z, code_of[a] if a < len(code_of) else 0, code_of[b] if b < len(code_of) else 0] += 1
    return tables


def _counts(table: np.ndarray, code: int) -> VoxelScores:
    tp = int(table[code, code])
    return VoxelScores(tp, int(table[:, code].sum()) - tp, int(table[code].sum()) - tp)


def class_names(labels: LabelDefinition, truths: list[Path]) -> dict[int, str]:
    """Return the classes by number: those of a dataset.json, or else the values found in ``truths``.

    Raises DatasetError if it names regions.
    """
    named = labels.class_names()
    if named:
        return named
    values: set[int] = set()
    for path in truths:
        volume = open_labels(path)
        for planes in slab_starts(volume.shape):
            found = volume.voxels[planes]
            values |= set(overlap_table(found, found).first.tolist())
    return {value: f"class {value}" for value in sorted(values) if value not in (0, labels.ignore)}
