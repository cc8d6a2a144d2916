"""Semantic scores: each class of a case against the truth, in 3D and slice by slice."""

# mypy: disable-error-code="index"
# (a kernel's integers are numba's machine integers)

import math
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from planewise.data.classes import LabelDefinition
from planewise.errors import PlanewiseError
from planewise.evaluation.evaluate import Scores
from planewise.evaluation.open_pairs import OpenPair, read_slabs
from planewise.evaluation.presence import Slices
from planewise.evaluation.scale import Scale
from planewise.evaluation.surfaces import SurfaceParts, boundary_scores
from planewise.evaluation.voxels import VoxelScores, mean_of_defined
from planewise.volumes.labels import count_values, open_labels


class ClassScores(NamedTuple):
    """The scores of each class, by class and metric, and the slices that contain it."""

    scores: dict[int, Scores]
    slices: dict[int, Slices]


def score_classes(pair: OpenPair, classes: list[int], scale: Scale, tolerance: dict[int, float] | None) -> ClassScores:
    """Return the scores of each class; see ``metrics``.

    ``tolerance``: of each class, in the unit of ``scale``; with None surfaces are not measured.
    """
    code_of = np.zeros(max(classes, default=0) + 1, np.int64)
    code_of[classes] = np.arange(1, len(classes) + 1)
    truth_surface, predicted_surface = SurfaceParts(), SurfaceParts()
    tables = []
    for slab in read_slabs(pair):
        tables.append(_tables_by_slice(slab.truth, slab.predicted, code_of, len(classes) + 1))
        if tolerance is not None:
            truth_surface.add(slab.truth_with_border, slab.start)
            predicted_surface.add(slab.predicted_with_border, slab.start)
    by_slice = np.concatenate(tables) if tables else np.zeros((0, len(classes) + 1, len(classes) + 1), np.int64)
    truth_surfaces, predicted_surfaces = truth_surface.joined(), predicted_surface.joined()
    scores: dict[int, Scores] = {}
    slices: dict[int, Slices] = {}
    for code, value in enumerate(classes, 1):
        slices[value] = Slices(by_slice[:, code].sum(axis=1) > 0, by_slice[:, :, code].sum(axis=1) > 0)
        scores[value] = _overlap_scores(by_slice, code, scale)
        if tolerance is not None:
            surfaces = truth_surfaces.of(value), predicted_surfaces.of(value)
            scores[value] |= boundary_scores(*surfaces, scale, pair.truth.shape, tolerance[value])
    return ClassScores(scores, slices)


def _overlap_scores(by_slice: np.ndarray, code: int, scale: Scale) -> Scores:
    """Return the scores of a class computed from the contingency tables (N, classes, classes) of the slices."""
    counts = _counts(by_slice.sum(axis=0), code)
    dices = [_counts(table, code).dice for table in by_slice]
    truth, predicted = (count * scale.voxel_volume for count in (counts.tp + counts.fn, counts.tp + counts.fp))
    return {
        "dsc": counts.dice,
        "iou": counts.iou,
        "precision": counts.precision,
        "recall": counts.recall,
        "dsc_slices": mean_of_defined(dices),
        "n_slices": sum(not math.isnan(dice) for dice in dices),
        "missed": float(truth > 0 and counts.tp == 0),
        f"false_positive_{scale.volume_unit}": math.nan if truth else predicted,
        f"truth_{scale.volume_unit}": truth,
        f"predicted_{scale.volume_unit}": predicted,
    }


@numba.njit(nogil=True, cache=True)
def _tables_by_slice(truth: np.ndarray, predicted: np.ndarray, code_of: np.ndarray, size: int) -> np.ndarray:
    """Return the contingency table (size, size) of each plane; labels without a code count as 0."""
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
    """Return the classes by number: those of a dataset.json, or else the values that occur in ``truths``.

    A truth that cannot be read is skipped here; its next reader reports it. Raises DatasetError if it names regions.
    """
    named = labels.class_names()
    if named:
        return named
    values: set[int] = set()
    for path in truths:
        try:
            values |= count_values(open_labels(path)).keys()
        except PlanewiseError:
            continue
    return {value: f"class {value}" for value in sorted(values) if value not in (0, labels.ignore)}


def without_classes(where: Path, files: list[Path]) -> str:
    """Return why ``class_names`` is empty for ``files``, given as ``where``: the error of reading one, or that none
    holds a label.
    """
    unnamed = "and no dataset.json names the classes"
    for path in files:
        try:
            count_values(open_labels(path))
        except PlanewiseError as error:
            return f"{error}; {unnamed}"
    return f"{where}: holds no labels above 0, {unnamed}"
