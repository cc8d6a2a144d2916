"""Score each method's prediction of each case of several datasets once, with the same code.

A case's volumes are opened once for all methods, held in memory if they fit, and passed on to draw the page's pictures
before the next case's are opened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from planewise.correction.journal import correction_note, review_note
from planewise.data.space import laid_on, with_spacing_of
from planewise.errors import PlanewiseError
from planewise.evaluation.input_checks import refuse_image, truth_itself, unnumbered
from planewise.evaluation.open_pairs import (
    Counts,
    Kept,
    OpenPair,
    Truth,
    as_one_class,
    nothing_predicted,
    open_prediction,
    open_truth,
)
from planewise.evaluation.pair_results import Place, class_results, object_result
from planewise.evaluation.pairs import Pair
from planewise.evaluation.result import OBJECTS, Benchmark, CaseErrors, Comparison, Result
from planewise.evaluation.scale import Scale, scale_in, scale_of
from planewise.evaluation.tolerance import Tolerance
from planewise.evaluation.wrong_slices import wrong_voxels
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import count_values, open_labels
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume


@dataclass
class ScoredCase:
    """A case that all methods were just scored on, its volumes still open, in canonical orientation.

    ``truth``: as it is scored, None if it cannot be read. ``predictions``: the delivered ones, by method. ``stored``:
    the truth as in its file, whose geometry images are compared with.
    """

    benchmark: Benchmark
    case: str
    truth: Volume | None
    predictions: dict[str, Volume] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    errors: list[CaseErrors] = field(default_factory=list)
    stored: Volume | None = None

    def lay_on_truth(self, image: Volume, path: Path) -> Volume:
        """Return the case's ``image``, opened from ``path``, matched voxel by voxel to the truth; see ``laid_on``."""
        pair = next(pair for pairs in self.benchmark.methods.values() for pair in pairs if pair.case == self.case)
        if pair.truth is None:
            raise PlanewiseError(f"{path}: there is no truth to match it to")
        stored = open_labels(pair.truth) if self.stored is None else self.stored
        return to_canonical(laid_on(image, path, stored, pair.truth, pair.ignore_geometry))


def compare(
    benchmarks: list[Benchmark],
    tolerance: Tolerance,
    show: Callable[[ScoredCase], None] = lambda scored: None,
    advance: Callable[[], None] = lambda: None,
    overlap_alone: bool = False,
) -> Comparison:
    """Score all methods on all cases, from the files, slab by slab.

    A case that a method lacks, or that cannot be read or compared, is scored as not delivered, as its status shows.
    ``show`` is called with each case after it is scored. ``overlap_alone``: only scores that follow from the table of
    overlaps: no surfaces, mistakes and wrong slices.
    """
    results: list[Result] = []
    errors: list[CaseErrors] = []
    counted: Counts = {}  # several benchmarks may share a truth, for a class each
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
    """Score a case's open volumes, by method, as ``compare`` scores files.

    Raises PlanewiseError if one is not a label volume.
    """
    scored = ScoredCase(benchmark, case, None)
    for method, pair in pairs.items():
        named = Pair(case, Path(method), Path("truth"))
        notes = [refuse_image(pair.truth, Path("truth")), refuse_image(pair.predicted, Path(method))]
        _score_opened(scored, method, pair, tolerance, named, [note for note in (*notes, *pair.notes) if note])
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
            scored.results += _unscored(benchmark, method, pair, pair.truth_problem or pair.problem or reason)
        else:
            _score_method(scored, method, pair, truth, tolerance, kept, counted)
    if note:
        scored.results = [replace(result, notes=(note, *result.notes)) for result in scored.results]
    return scored


def _reason(error: Exception) -> str:
    return f"does not fit in memory ({error})" if isinstance(error, MemoryError) else str(error)


def _unscored(benchmark: Benchmark, method: str, pair: Pair, reason: str) -> list[Result]:
    place = _place(benchmark, method, pair.case)
    names, things = list(benchmark.classes.values()) or [benchmark.things or OBJECTS], bool(benchmark.things)
    return [Result(*place, name, reason, {}, has_truth=pair.truth is not None, of_things=things) for name in names]


def _place(benchmark: Benchmark, method: str, case: str) -> Place:
    return benchmark.dataset, method, case, benchmark.patients.get(case, case)


def _score_method(
    scored: ScoredCase,
    method: str,
    pair: Pair,
    truth: Truth,
    tolerance: Tolerance | None,
    kept: Kept,
    counted: Counts,
) -> None:
    """Add the results of a method; if it has no readable prediction, they are scored as not delivered."""
    try:
        opened = open_prediction(pair, truth, kept)
        notes = _unnamed_values(pair, opened, scored.benchmark, counted)
        notes += _notes(pair, opened, scored.benchmark.images.get(pair.case))
        _score_opened(scored, method, opened, tolerance, pair, notes)
        if pair.prediction is not None:
            scored.predictions[method] = opened.predicted
        return
    except (PlanewiseError, MemoryError) as error:
        reason = _reason(error)
    try:
        nothing = nothing_predicted(truth, f"{reason}: counted as an empty prediction")
        _score_opened(scored, method, nothing, tolerance, pair)
    except (PlanewiseError, MemoryError):  # the truth cannot be read either: there is nothing to score against
        scored.truth = None
        scored.results += _unscored(scored.benchmark, method, pair, reason)


def _unnamed_values(pair: Pair, opened: OpenPair, benchmark: Benchmark, counted: Counts) -> list[str]:
    """Return a note about values in a prediction of classes that no label names.

    Raises PlanewiseError if they are the most, as the ids of objects are: no score of classes means anything then.
    """
    if pair.prediction is None or pair.semantic is None or not benchmark.classes or benchmark.takes_any_label:
        return []
    labels = pair.semantic[1]
    if pair.prediction not in counted:
        counted[pair.prediction] = count_values(opened.predicted)
    unnamed = labels.unnamed_in_prediction(counted[pair.prediction])
    if unnamed and labels.is_of_ids(counted[pair.prediction]):
        raise PlanewiseError(f"{pair.prediction}: {unnamed}")
    return [f"{pair.prediction}: {unnamed}. They are scored as background"] if unnamed else []


def _notes(pair: Pair, opened: OpenPair, image: Path | None) -> list[str]:
    """Return notes about a prediction's file. Raises PlanewiseError if it is an image."""
    if pair.prediction is None or pair.truth is None:
        return []
    notes = [
        refuse_image(opened.predicted, pair.prediction, image),
        truth_itself(pair.prediction, pair.truth),
        correction_note(pair.prediction),
        review_note(pair.truth),  # a result that a person reviewed is a truth, of which not all need be reviewed
        *opened.notes,
    ]
    return [note for note in notes if note]


def _score_opened(
    scored: ScoredCase, method: str, pair: OpenPair, tolerance: Tolerance | None, files: Pair, notes: Sequence[str] = ()
) -> None:
    benchmark = scored.benchmark
    sized = _with_size(benchmark, pair, files, scored.case)
    scale, no_distances = _scale(sized, benchmark.unit, files)
    within = None if no_distances else tolerance
    place = _place(benchmark, method, scored.case)
    if benchmark.takes_any_label:  # all instance ids count as that class
        (value,) = benchmark.classes
        truth = as_one_class(pair.truth, value, benchmark.values or (value,))
        pair = pair._replace(truth=truth, predicted=as_one_class(pair.predicted, value))
    if benchmark.classes:
        results = class_results(benchmark.classes, place, pair, scale, within)
        right = {(value, value) for value in benchmark.classes}
    else:
        result, right = object_result(place, pair, scale, tolerance)
        if benchmark.things:
            result = replace(result, class_name=benchmark.things, of_things=True)
        results = [result]
        notes = [*(notes or result.notes), *_notes_of_ids(result, pair, files)]
    errors = (
        [] if tolerance is None else [CaseErrors(benchmark.dataset, method, scored.case, wrong_voxels(pair, right))]
    )
    if no_distances:
        notes = [*notes, no_distances]
    elif scale.unit == "voxel" and sized.unit_assumed_in and (benchmark.classes or within):
        notes = [*notes, _without_unit(sized.unit_assumed_in)]
    scored.results += [replace(result, notes=tuple(notes)) for result in results]
    scored.errors += errors


def _with_size(benchmark: Benchmark, pair: OpenPair, files: Pair, case: str) -> Volume:
    """Return the truth with its voxel size, else that of the image; in a benchmark with a unit, else the prediction's.

    Where no file states one, the unit is still "pixel".
    """
    sized = with_spacing_of(pair.truth, benchmark.images.get(case))
    return sized if benchmark.unit is None else with_spacing_of(sized, files.prediction)


def _scale(sized: Volume, unit: str | None, files: Pair) -> tuple[Scale, str]:
    """Return the scale, and why there are no distances, if a ``unit`` is asked for and the voxel size is not known."""
    if unit is None:
        return scale_of(sized), ""
    if sized.unit != PIXEL:
        return scale_in(sized, unit), ""
    return scale_of(sized), (
        f"{files.truth}: states no voxel size, nor does its prediction, or an image in imagesTs or imagesTr beside it: "
        f"distances in {unit}, surface Dice and volumes stay empty; write the size into one of them"
    )


def _without_unit(sidecar: str) -> str:
    return (
        f"{sidecar}: gives a spacing without a unit: distances are in multiples of the shortest side of a voxel, and "
        'volumes in voxels; write "spacing_unit": "nm" (or "mm") into it, or into the dataset.json in the folder above'
    )


def _notes_of_ids(result: Result, pair: OpenPair, files: Pair) -> list[str]:
    """Return notes about the ids of instances."""
    if files.truth is None or files.prediction is None or not result.delivered:
        return []
    notes = [
        unnumbered(pair.truth, files.truth, int(result.scores["n_truth"])),
        unnumbered(pair.predicted, files.prediction, int(result.scores["n_pred"])),
    ]
    if result.scores["n_pred"] == 1 < result.scores["n_truth"]:
        notes.append(
            f"{result.case} is predicted as one object; for a semantic map only the voxel scores are meaningful"
        )
    return [note for note in notes if note]
