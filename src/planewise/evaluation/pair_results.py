"""The results of a pair of open volumes: one for each class, or one for all objects."""

import math
from collections.abc import Mapping

from planewise.evaluation.classes import score_classes
from planewise.evaluation.evaluate import Scores, score_overlap
from planewise.evaluation.input_checks import is_copy
from planewise.evaluation.instances import best_ious, match_objects
from planewise.evaluation.located import LocatedCounter, LocatedOverlap
from planewise.evaluation.metrics import as_not_delivered
from planewise.evaluation.mistakes import find_mistakes
from planewise.evaluation.object_table import object_table
from planewise.evaluation.open_pairs import OpenPair, read_slabs
from planewise.evaluation.overlap import Overlap, OverlapCounter
from planewise.evaluation.pairs import OK
from planewise.evaluation.partitions import partition_scores
from planewise.evaluation.presence import presence_scores
from planewise.evaluation.result import OBJECTS, Result
from planewise.evaluation.scale import Scale
from planewise.evaluation.surfaces import LabelSurfaces, SurfaceParts, boundary_scores, farthest
from planewise.evaluation.tolerance import Tolerance
from planewise.evaluation.voxels import ratio

Place = tuple[str, str, str, str]  # the dataset, the method, the case and its patient


def class_results(
    names: Mapping[int, str], place: Place, pair: OpenPair, scale: Scale, tolerance: Tolerance | None
) -> list[Result]:
    """Return the result of each class, by the ``names`` of their labels; without a tolerance, no surface scores."""
    within = None if tolerance is None else {value: tolerance.of(scale, name) for value, name in names.items()}
    of_classes = score_classes(pair, list(names), scale, within)
    results = []
    for value, name in names.items():
        slices = of_classes.slices[value]
        empty = not slices.truth.any()
        if pair.status != OK:  # a missing prediction misses slices, but gets no credit for slices without the class
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
    """Return scores as they are counted: a missing prediction never has the best score."""
    scores = {metric: float(score) for metric, score in scores.items()}
    if pair.status == OK:
        return scores
    return as_not_delivered(scores, truth_empty, scale.diagonal(pair.truth.shape))


def object_result(
    place: Place, pair: OpenPair, scale: Scale, tolerance: Tolerance | None
) -> tuple[Result, set[tuple[int, int]]]:
    """Return the result of instances, and the pairs of labels (truth, predicted) that are matched.

    Without a tolerance only scores that follow from overlaps: neither surfaces nor mistakes, and no pairs.
    """
    if tolerance is None:
        overlap = _overlap(pair)
        scores = score_overlap(overlap)
        final = _final(scores, pair, scores["n_truth"] == 0, scale)
        return Result(*place, OBJECTS, pair.status, final, notes=_note_of_copy(overlap, place)), set()
    overlap, truth_surface, predicted_surface = _overlap_and_surfaces(pair)
    within = tolerance.of(scale, OBJECTS)
    scores = score_overlap(overlap)
    n_truth = int(scores["n_truth"])
    partition = partition_scores(overlap)
    scores |= {"vi_split": partition.vi_split, "vi_merge": partition.vi_merge, "rand_error": partition.rand_error}
    matches = match_objects(overlap, 0.5)
    pairs = list(zip(matches.truth.tolist(), matches.predicted.tolist()))
    shape = pair.truth.shape
    scores |= boundary_scores(truth_surface.foreground, predicted_surface.foreground, scale, shape, within)
    scores |= _object_boundaries(truth_surface, predicted_surface, pairs, scale, shape, within, n_truth)
    sizes, ious = best_ious(overlap)
    mistakes = find_mistakes(overlap, set(pairs))
    for metric, kind in (("missed", "missed"), ("merges", "merge"), ("splits", "split")):
        scores[metric] = sum(mistake.kind == kind for mistake in mistakes)
    result = Result(
        *place,
        OBJECTS,
        pair.status,
        _final(scores, pair, n_truth == 0, scale),
        mistakes,
        sizes,
        ious,
        object_table(overlap, set(pairs)) if pair.status == OK else None,
        tolerance=within,
        unit=scale.unit,
        notes=_note_of_copy(overlap, place),
    )
    return result, set(pairs)


def _overlap(pair: OpenPair) -> Overlap:
    counter = OverlapCounter()
    for slab in read_slabs(pair):
        counter.add(slab.truth, slab.predicted)
    return counter.table()


def _overlap_and_surfaces(pair: OpenPair) -> tuple[LocatedOverlap, LabelSurfaces, LabelSurfaces]:
    """Return the overlaps with their places, and the surfaces of the truth and of the prediction."""
    counter, truth, predicted = LocatedCounter(), SurfaceParts(), SurfaceParts()
    for slab in read_slabs(pair):
        counter.add(slab.truth, slab.predicted, slab.start)
        truth.add(slab.truth_with_border, slab.start)
        predicted.add(slab.predicted_with_border, slab.start)
    return counter.table(), truth.joined(), predicted.joined()


def _note_of_copy(overlap: Overlap, place: Place) -> tuple[str, ...]:
    note = f"{place[2]} equals the truth, ids included: it is a copy, whose scores say nothing about a method"
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

    For the latter, an object without a match counts with the image's diagonal, and surface Dice 0. NaN without objects.
    """
    each = [boundary_scores(truth.of(a), predicted.of(b), scale, shape, tolerance) for a, b in matches]
    scores = {}
    for metric, worst in farthest(scale, shape).items():
        values = [boundary[metric] for boundary in each]
        scores[f"matched_{metric}"] = ratio(sum(values), len(values))
        scores[f"object_{metric}"] = ratio(sum(values) + worst * (n_truth - len(each)), n_truth)
    return scores
