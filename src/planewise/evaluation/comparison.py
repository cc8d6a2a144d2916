"""Every method's prediction of every case of several datasets, each scored once, with the same code.

A case's volumes are opened once for all methods, held in memory where they fit, and passed to the page's pictures
before the next case's are opened.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from planewise.correction.journal import correction_note
from planewise.data.space import laid_on, with_spacing_of
from planewise.errors import PlanewiseError
from planewise.evaluation.classes import score_classes
from planewise.evaluation.evaluate import Scores, score_overlap
from planewise.evaluation.input_checks import is_copy, refuse_image, truth_itself, unnumbered
from planewise.evaluation.instances import best_ious, match_objects
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.metrics import as_not_delivered
from planewise.evaluation.mistakes import find_mistakes
from planewise.evaluation.object_table import object_table
from planewise.evaluation.open_pairs import (
    Counts,
    Kept,
    OpenPair,
    Truth,
    as_one_class,
    nothing_predicted,
    open_prediction,
    open_truth,
    read_slabs,
)
from planewise.evaluation.overlap import Overlap, OverlapCounter
from planewise.evaluation.pairs import OK, Pair
from planewise.evaluation.partitions import partition_scores
from planewise.evaluation.presence import presence_scores
from planewise.evaluation.result import OBJECTS, Benchmark, CaseErrors, Comparison, Result
from planewise.evaluation.scale import Scale, scale_in, scale_of
from planewise.evaluation.surfaces import LabelSurfaces, SurfaceParts, boundary_scores, farthest
from planewise.evaluation.tolerance import Tolerance
from planewise.evaluation.voxels import ratio
from planewise.evaluation.wrong_slices import wrong_voxels
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels
from planewise.volumes.volume import Volume


@dataclass
class ScoredCase:
    """A case that was just scored by all methods, its volumes still open, in the canonical orientation.

    ``truth``: as it is scored, None if it cannot be read. ``predictions``: by method, those that were delivered.
    ``stored``: the truth as its file has it, to lay images on.
    """

    benchmark: Benchmark
    case: str
    truth: Volume | None
    predictions: dict[str, Volume] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    errors: list[CaseErrors] = field(default_factory=list)
    stored: Volume | None = None

    def lay_on_truth(self, image: Volume, path: Path) -> Volume:
        """Return the case's ``image``, opened from ``path``, voxel by voxel beside the truth; see ``laid_on``."""
        pair = next(pair for pairs in self.benchmark.methods.values() for pair in pairs if pair.case == self.case)
        if pair.truth is None:
            raise PlanewiseError(f"{path}: there is no truth to lay it on")
        stored = open_labels(pair.truth) if self.stored is None else self.stored
        return to_canonical(laid_on(image, path, stored, pair.truth, pair.ignore_geometry))


def compare(
    benchmarks: list[Benchmark],
    tolerance: Tolerance,
    show: Callable[[ScoredCase], None] = lambda scored: None,
    advance: Callable[[], None] = lambda: None,
    overlap_alone: bool = False,
) -> Comparison:
    """Score every method on every case, from the files, slab by slab.

    A case that a method lacks, or that cannot be read or compared, is scored as not delivered, as its status shows.
    ``show`` is called with every case once it is scored. ``overlap_alone``: only what follows from the table of
    overlaps: no surfaces, mistakes and wrong slices.
    """
    results: list[Result] = []
    errors: list[CaseErrors] = []
    counted: Counts = {}  # several benchmarks may have one truth, a class of it each
    for benchmark in benchmarks:
        of_comparison: list[Result] = []
        for case in benchmark.cases():
            scored = _score_case(benchmark, case, None if overlap_alone else tolerance, counted)
            show(scored)
            of_comparison += scored.results
            errors += scored.errors
            advance()
        order = list(benchmark.methods)
        results += sorted(of_comparison, key=lambda result: order.index(result.method))
    return Comparison(benchmarks, tolerance, results, errors)


def score_volumes(benchmark: Benchmark, case: str, pairs: Mapping[str, OpenPair], tolerance: Tolerance) -> list[Result]:
    """Score a case's open volumes, by method, as ``compare`` does its files.

    Raises PlanewiseError if one is no label volume.
    """
    scored = ScoredCase(benchmark, case, None)
    for method, pair in pairs.items():
        named = Pair(case, Path(method), Path("truth"))
        notes = [refuse_image(pair.truth, Path("truth")), refuse_image(pair.predicted, Path(method))]
        _score_opened(scored, method, pair, tolerance, named, [note for note in notes if note])
    return scored.results


def _score_case(benchmark: Benchmark, case: str, tolerance: Tolerance | None, counted: Counts) -> ScoredCase:
    pairs = {method: pair for method, pairs in benchmark.methods.items() for pair in pairs if pair.case == case}
    kept = Kept()
    truth, reason, note = None, "", ""
    try:
        first = next(iter(pairs.values()))
        predictions = [pair.prediction for pair in pairs.values() if pair.prediction is not None]
        truth = open_truth(first, kept, predictions, counted)
        if first.truth is not None:
            note = refuse_image(truth.labels, first.truth)
    except (PlanewiseError, MemoryError) as error:
        truth, reason = None, _reason(error)
    scored = ScoredCase(benchmark, case, None if truth is None else truth.scored)
    scored.stored = None if truth is None else truth.stored
    for method, pair in pairs.items():
        if truth is None:
            scored.results += _unscored(benchmark, method, pair, pair.problem or reason)
        else:
            _score_method(scored, method, pair, truth, tolerance, kept)
    if note:
        scored.results = [replace(result, notes=(note, *result.notes)) for result in scored.results]
    return scored


def _reason(error: Exception) -> str:
    return f"does not fit in memory ({error})" if isinstance(error, MemoryError) else str(error)


def _unscored(benchmark: Benchmark, method: str, pair: Pair, reason: str) -> list[Result]:
    place = _place(benchmark, method, pair.case)
    names, things = list(benchmark.classes.values()) or [benchmark.things or OBJECTS], bool(benchmark.things)
    return [Result(*place, name, reason, {}, has_truth=pair.truth is not None, of_things=things) for name in names]


def _place(benchmark: Benchmark, method: str, case: str) -> tuple[str, str, str, str]:
    """Return the dataset, the method, the case and its patient."""
    return benchmark.dataset, method, case, benchmark.patients.get(case, case)


def _score_method(
    scored: ScoredCase, method: str, pair: Pair, truth: Truth, tolerance: Tolerance | None, kept: Kept
) -> None:
    """Add the results of a method; one without a prediction that can be read is scored as not delivered."""
    try:
        opened = open_prediction(pair, truth, kept)
        notes = _notes(pair, opened, scored.benchmark.images.get(pair.case))
        _score_opened(scored, method, opened, tolerance, pair, notes)
        if pair.prediction is not None:
            scored.predictions[method] = opened.predicted
        return
    except (PlanewiseError, MemoryError) as error:
        reason = _reason(error)
    try:
        nothing = nothing_predicted(truth, f"{reason}: counted as an empty prediction")
        _score_opened(scored, method, nothing, tolerance, pair)
    except (PlanewiseError, MemoryError):  # then it is the truth that cannot be read: there is nothing to score against
        scored.truth = None
        scored.results += _unscored(scored.benchmark, method, pair, reason)


def _notes(pair: Pair, opened: OpenPair, image: Path | None) -> list[str]:
    """Return what is to be noted of a prediction's file. Raises PlanewiseError if it is an image."""
    if pair.prediction is None or pair.truth is None:
        return []
    notes = [
        refuse_image(opened.predicted, pair.prediction, image),
        truth_itself(pair.prediction, pair.truth),
        correction_note(pair.prediction),
        *opened.notes,
    ]
    return [note for note in notes if note]


def _score_opened(
    scored: ScoredCase, method: str, pair: OpenPair, tolerance: Tolerance | None, files: Pair, notes: Sequence[str] = ()
) -> None:
    benchmark = scored.benchmark
    with_spacing = with_spacing_of(pair.truth, benchmark.images.get(scored.case))
    scale = scale_of(with_spacing) if benchmark.unit is None else scale_in(with_spacing, benchmark.unit)
    place = _place(benchmark, method, scored.case)
    if len(benchmark.classes) == 1 and benchmark.any_label:  # then instance ids are that class too
        (value,) = benchmark.classes
        truth = as_one_class(pair.truth, value, benchmark.values or (value,))
        pair = pair._replace(truth=truth, predicted=as_one_class(pair.predicted, value))
    if benchmark.classes:
        results = _score_classes(benchmark, place, pair, scale, tolerance)
        right = {(value, value) for value in benchmark.classes}
    else:
        result, right = _score_objects(place, pair, scale, tolerance)
        if benchmark.things:
            result = replace(result, class_name=benchmark.things, of_things=True)
        results = [result]
        notes = [*(notes or result.notes), *_notes_of_ids(result, pair, files)]
    errors = (
        [] if tolerance is None else [CaseErrors(benchmark.dataset, method, scored.case, wrong_voxels(pair, right))]
    )
    scored.results += [replace(result, notes=tuple(notes)) for result in results]
    scored.errors += errors


def _notes_of_ids(result: Result, pair: OpenPair, files: Pair) -> list[str]:
    """Return what is to be noted of the ids of instances."""
    if files.truth is None or files.prediction is None or not result.delivered:
        return []
    notes = [
        unnumbered(pair.truth, files.truth, int(result.scores["n_truth"])),
        unnumbered(pair.predicted, files.prediction, int(result.scores["n_pred"])),
    ]
    if result.scores["n_pred"] == 1 < result.scores["n_truth"]:
        notes.append(
            f"{result.case} is predicted as one object; of a semantic map only the voxel scores mean something"
        )
    return [note for note in notes if note]


def _score_classes(
    benchmark: Benchmark, place: tuple[str, str, str, str], pair: OpenPair, scale: Scale, tolerance: Tolerance | None
) -> list[Result]:
    names = benchmark.classes
    within = None if tolerance is None else {value: tolerance.of(scale, name) for value, name in names.items()}
    of_classes = score_classes(pair, list(names), scale, within)
    results = []
    for value, name in names.items():
        slices = of_classes.slices[value]
        empty = not slices.truth.any()
        if pair.status != OK:  # what was not delivered misses slices, but is right in none
            slices = slices.with_class
        presence = presence_scores([slices], [None])
        scores = of_classes.scores[value] | {
            "slice_sensitivity": presence.sensitivity,
            "slice_specificity": presence.specificity,
        }
        results.append(
            Result(
                *place,
                name,
                pair.status,
                _final(scores, pair, empty, scale),
                slices=slices,
                tolerance=math.nan if within is None else within[value],
                unit="" if within is None else scale.unit,
            )
        )
    return results


def _final(scores: Scores, pair: OpenPair, truth_empty: bool, scale: Scale) -> Scores:
    """Return scores as they count: those of what was not delivered never are the best."""
    scores = {metric: float(score) for metric, score in scores.items()}
    if pair.status == OK:
        return scores
    return as_not_delivered(scores, truth_empty, scale.diagonal(pair.truth.shape))


def _score_objects(
    place: tuple[str, str, str, str], pair: OpenPair, scale: Scale, tolerance: Tolerance | None
) -> tuple[Result, set[tuple[int, int]]]:
    """Return the result of instances, and the pairs of labels (truth, predicted) that are matched."""
    if tolerance is None:
        plain = OverlapCounter()
        for slab in read_slabs(pair):
            plain.add(slab.truth, slab.predicted)
        overlap = plain.table()
        scores = score_overlap(overlap)
        final = _final(scores, pair, scores["n_truth"] == 0, scale)
        return Result(*place, OBJECTS, pair.status, final, notes=_note_of_copy(overlap, place)), set()
    counter, truth_surface, predicted_surface = LocatedCounter(), SurfaceParts(), SurfaceParts()
    for slab in read_slabs(pair):
        counter.add(slab.truth, slab.predicted, slab.start)
        truth_surface.add(slab.truth_with_border, slab.start)
        predicted_surface.add(slab.predicted_with_border, slab.start)
    overlap, within = counter.table(), tolerance.of(scale, OBJECTS)
    scores = score_overlap(overlap)
    n_truth = int(scores["n_truth"])
    partition = partition_scores(overlap)
    scores |= {"vi_split": partition.vi_split, "vi_merge": partition.vi_merge, "rand_error": partition.rand_error}
    matches = match_objects(overlap, 0.5)
    surfaces = truth_surface.joined(), predicted_surface.joined()
    foregrounds = surfaces[0].foreground, surfaces[1].foreground
    scores |= boundary_scores(*foregrounds, scale, pair.truth.shape, within)
    pairs = list(zip(matches.truth.tolist(), matches.predicted.tolist()))
    scores |= _object_boundaries(*surfaces, pairs, scale, pair.truth.shape, within, n_truth)
    sizes, ious = best_ious(overlap)
    mistakes = find_mistakes(overlap, set(pairs))
    for metric, kind in (("missed", "missed"), ("merges", "merge"), ("splits", "split")):
        scores[metric] = sum(mistake.kind == kind for mistake in mistakes)
    final = _final(scores, pair, n_truth == 0, scale)
    result = Result(
        *place,
        OBJECTS,
        pair.status,
        final,
        mistakes,
        sizes,
        ious,
        object_table(overlap, set(pairs)) if pair.status == OK else None,
        tolerance=within,
        unit=scale.unit,
        notes=_note_of_copy(overlap, place),
    )
    return result, set(pairs)


def _note_of_copy(overlap: Overlap, place: tuple[str, str, str, str]) -> tuple[str, ...]:
    note = f"{place[2]} has the truth's voxels with the truth's ids: it is a copy, whose scores say nothing of a method"
    return (note,) if is_copy(overlap) else ()


def _object_boundaries(
    truth: LabelSurfaces,
    predicted: LabelSurfaces,
    matches: list[tuple[int, int]],
    scale: Scale,
    shape: tuple[int, int, int],
    tolerance: float,
    n_truth: int,
) -> Scores:
    """Return means over objects: ``matched_...`` over the matched ones, ``object_...`` over all true ones.

    For the latter an object without a match counts as the image's diagonal away, and surface Dice 0. NaN without any.
    """
    each = [boundary_scores(truth.of(a), predicted.of(b), scale, shape, tolerance) for a, b in matches]
    scores = {}
    for metric, worst in farthest(scale, shape).items():
        values = [boundary[metric] for boundary in each]
        scores[f"matched_{metric}"] = ratio(sum(values), len(values))
        scores[f"object_{metric}"] = ratio(sum(values) + worst * (n_truth - len(each)), n_truth)
    return scores
