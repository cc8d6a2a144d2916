"""Every method's prediction of every case of several datasets, scored with the same code."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError
from planewise.evaluation.classes import score_classes
from planewise.evaluation.evaluate import score_overlap
from planewise.evaluation.instances import best_ious, match_objects
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.mistakes import Mistake, find_mistakes
from planewise.evaluation.pairs import OK, OpenPair, Pair, as_one_class, open_pair, read_slabs, with_spacing_of
from planewise.evaluation.partitions import partition_scores
from planewise.evaluation.scale import Scale, scale_of
from planewise.evaluation.surfaces import LabelSurfaces, SurfaceDistances, SurfaceParts, distances_between
from planewise.evaluation.voxels import ratio
from planewise.evaluation.wrong_slices import wrong_voxels

OBJECTS = "objects"  # stands in a class's place where the labels are instances
TOLERANCES = {"mm": 2.0, "nm": 30.0, "voxel": 2.0}  # within which surfaces agree, by unit


@dataclass(frozen=True)
class Contest:
    """A dataset, and what each method made of it.

    ``methods``: the cases' pairs by method, all methods' in the same order. ``images``: by case, for pictures; may lack
    any. ``classes``: names of the labels of a semantic truth; empty if labels are instances. Of a truth with one class
    all that is predicted counts as it, so that instances can be compared with it; ``values``: what is that class in the
    truth, where it is not just its number. ``notes``: by method, what a reader must know. ``patients``: whose scan a
    case is; a case that is not named is a patient of its own.
    """

    dataset: str
    methods: dict[str, list[Pair]]
    images: dict[str, Path]
    classes: dict[int, str]
    notes: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tolerance:
    """Within what distance surfaces agree: by unit, and by class where one needs its own."""

    by_unit: dict[str, float] = field(default_factory=lambda: dict(TOLERANCES))
    by_class: dict[tuple[str, str], float] = field(default_factory=dict)  # (unit, class)

    def of(self, unit: str, class_name: str) -> float:
        """Return the tolerance of a class in ``unit``."""
        return self.by_class.get((unit, class_name), self.by_unit[unit])


@dataclass(frozen=True)
class Result:
    """What a method achieved in one class of one case.

    ``patient``: whose scan the case is. ``status``: "ok", or why there is no prediction to score: the scores are then
    those of one that found nothing. ``scores`` by metric; NaN where one is not defined; none at all if there is no
    truth to score against.
    ``object_sizes``, ``object_ious``: of every true object its voxels and its IoU with its best prediction.
    """

    dataset: str
    method: str
    case: str
    patient: str
    class_name: str
    status: str
    scores: dict[str, float]
    mistakes: list[Mistake] = field(default_factory=list)
    object_sizes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    object_ious: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def delivered(self) -> bool:
        """Whether there was a prediction that could be scored."""
        return self.status == OK


@dataclass(frozen=True)
class CaseErrors:
    """Where a method is wrong: the number of wrong voxels in every slice along z, y and x."""

    dataset: str
    method: str
    case: str
    along: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """All results, and where the cases are wrong."""

    contests: list[Contest]
    tolerance: Tolerance
    results: list[Result]
    errors: list[CaseErrors]

    def not_delivered(self) -> list[Result]:
        """Return a result of every method and case without a prediction that could be scored, whatever its classes."""
        missing = {(r.dataset, r.method, r.case): r for r in self.results if not r.delivered}
        return list(missing.values())


def compare(contests: list[Contest], tolerance: Tolerance, advance: Callable[[], None] = lambda: None) -> Comparison:
    """Score every method on every case, from the files, slab by slab.

    A case that a method lacks, or that cannot be read or compared, is scored as one in which it found nothing, and its
    status says so.
    """
    results: list[Result] = []
    errors: list[CaseErrors] = []
    for contest in contests:
        for method, pairs in contest.methods.items():
            for pair in pairs:
                found, wrong = _score(contest, method, pair, tolerance)
                results += found
                errors += wrong
                advance()
    return Comparison(contests, tolerance, results, errors)


def _score(contest: Contest, method: str, pair: Pair, tolerance: Tolerance) -> tuple[list[Result], list[CaseErrors]]:
    names = list(contest.classes.values()) or [OBJECTS]
    try:
        opened = open_pair(pair)
        return _score_opened(contest, method, pair.case, opened, tolerance)
    except PlanewiseError as error:
        reason = str(error)
    except MemoryError as error:
        reason = f"does not fit in memory ({error})"
    if pair.truth is not None and pair.prediction is not None:
        nothing = replace(pair, prediction=None, problem="")
        try:
            opened = open_pair(nothing)._replace(status=f"{reason}: counted as found nothing")
            return _score_opened(contest, method, pair.case, opened, tolerance)
        except (PlanewiseError, MemoryError):
            pass  # then it is the truth that cannot be read, and there is nothing to score against
    place = _place(contest, method, pair.case)
    return [Result(*place, name, reason, {}) for name in names], []


def _place(contest: Contest, method: str, case: str) -> tuple[str, str, str, str]:
    """Return the dataset, the method, the case and its patient."""
    return contest.dataset, method, case, contest.patients.get(case, case)


def _score_opened(
    contest: Contest, method: str, case: str, pair: OpenPair, tolerance: Tolerance
) -> tuple[list[Result], list[CaseErrors]]:
    scale = scale_of(with_spacing_of(pair.truth, contest.images.get(case)))
    place = _place(contest, method, case)
    if len(contest.classes) == 1:  # then instance ids are that class too
        (value,) = contest.classes
        truth = as_one_class(pair.truth, value, contest.values or (value,))
        pair = pair._replace(truth=truth, predicted=as_one_class(pair.predicted, value))
    if contest.classes:
        results = _score_classes(contest, place, pair, scale, tolerance)
        right = {(value, value) for value in contest.classes}
    else:
        result, right = _score_objects(place, pair, scale, tolerance.of(scale.unit, OBJECTS))
        results = [result]
    return results, [CaseErrors(contest.dataset, method, case, wrong_voxels(pair, right))]


def _score_classes(
    contest: Contest, place: tuple[str, str, str, str], pair: OpenPair, scale: Scale, tolerance: Tolerance
) -> list[Result]:
    tolerances = {value: tolerance.of(scale.unit, name) for value, name in contest.classes.items()}
    rows = score_classes(pair, list(contest.classes), scale, tolerances).scores
    results = []
    for value, name in contest.classes.items():
        scores = {metric: float(score) for metric, score in rows[value].items()}
        truth, predicted = scores[f"truth_{scale.volume_unit}"], scores[f"predicted_{scale.volume_unit}"]
        if bool(truth) != bool(predicted):  # no surface to be near: as far as can be
            scores |= _farthest(scale, pair.truth.shape)
        scores["missed"] = float(truth > 0 and predicted == 0)
        results.append(Result(*place, name, pair.status, scores))
    return results


def _score_objects(
    place: tuple[str, str, str, str], pair: OpenPair, scale: Scale, tolerance: float
) -> tuple[Result, set[tuple[int, int]]]:
    counter, truth_surface, predicted_surface = LocatedCounter(), SurfaceParts(), SurfaceParts()
    for slab in read_slabs(pair):
        counter.add(slab.truth, slab.predicted, slab.start)
        truth_surface.add(slab.truth_with_border, slab.start)
        predicted_surface.add(slab.predicted_with_border, slab.start)
    overlap = counter.table()
    scores = score_overlap(overlap)
    partition = partition_scores(overlap)
    scores |= {"vi_split": partition.vi_split, "vi_merge": partition.vi_merge, "rand_error": partition.rand_error}
    matches = match_objects(overlap, 0.5)
    surfaces = truth_surface.joined(), predicted_surface.joined()
    scores |= _foreground_boundary(*surfaces, scale, pair.truth.shape, tolerance)
    pairs = list(zip(matches.truth.tolist(), matches.predicted.tolist()))
    scores |= _object_boundaries(*surfaces, pairs, scale, pair.truth.shape, tolerance, scores["n_truth"])
    sizes, ious = best_ious(overlap)
    mistakes = find_mistakes(overlap, set(pairs))
    for kind in ("merge", "split"):
        scores[f"{kind}s"] = sum(mistake.kind == kind for mistake in mistakes)
    scores = {metric: float(score) for metric, score in scores.items()}
    return Result(*place, OBJECTS, pair.status, scores, mistakes, sizes, ious), set(pairs)


def _farthest(scale: Scale, shape: tuple[int, int, int], prefix: str = "") -> dict[str, float]:
    """Return the boundary scores of what is missed: as far off as two voxels of the image can be."""
    diagonal = scale.diagonal(shape)
    return {f"{prefix}nsd": 0.0, f"{prefix}hd95_{scale.unit}": diagonal, f"{prefix}assd_{scale.unit}": diagonal}


def _boundary(distances: SurfaceDistances, unit: str, tolerance: float, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}nsd": distances.surface_dice(tolerance),
        f"{prefix}hd95_{unit}": distances.hd95,
        f"{prefix}assd_{unit}": distances.mean,
    }


def _foreground_boundary(
    truth: LabelSurfaces, predicted: LabelSurfaces, scale: Scale, shape: tuple[int, int, int], tolerance: float
) -> dict[str, float]:
    """Return the scores of the foreground's boundary; NaN if both are empty, the image's diagonal if one is."""
    ours, theirs = truth.foreground, predicted.foreground
    if bool(len(ours)) != bool(len(theirs)):
        return _farthest(scale, shape)
    return _boundary(distances_between(ours, theirs, scale.spacing), scale.unit, tolerance)


def _object_boundaries(
    truth: LabelSurfaces, predicted: LabelSurfaces, matches: list[tuple[int, int]], scale: Scale,
    shape: tuple[int, int, int], tolerance: float, n_truth: int,
) -> dict[str, float]:  # fmt: skip
    """Return means over objects: ``matched_...`` over the matched ones, ``object_...`` over all true ones.

    For the latter an object that was missed counts as the image's diagonal away, and surface Dice 0. NaN without any.
    """
    found = [
        _boundary(distances_between(truth.of(a), predicted.of(b), scale.spacing), scale.unit, tolerance)
        for a, b in matches
    ]
    farthest = _farthest(scale, shape)
    scores = {}
    for metric in farthest:
        values = [boundary[metric] for boundary in found]
        total = sum(values) + farthest[metric] * (n_truth - len(found))
        scores[f"matched_{metric}"] = ratio(sum(values), len(values))
        scores[f"object_{metric}"] = ratio(total, n_truth)
    return scores
