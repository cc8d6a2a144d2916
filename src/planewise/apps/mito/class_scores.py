"""Scores several classes of mito: the objects of each class of things, the voxels of each class of stuff."""

from dataclasses import replace
from pathlib import Path

from planewise.correction.journal import classes_behind_note
from planewise.data.case import file_of_case
from planewise.data.classes import LabelDefinition, holds_instances, semantic_beside
from planewise.data.panoptic import CLASSES, PanopticClasses
from planewise.errors import PlanewiseError
from planewise.evaluation.pairs import OfClass, Pair
from planewise.evaluation.result import Benchmark
from planewise.progress import say, warn


def class_benchmarks(
    dataset: str,
    method: str,
    pairs: list[Pair],
    classes: PanopticClasses,
    images: dict[str, Path],
    channel: int | None = None,
) -> list[Benchmark]:
    """Return what is scored for each class, in the order of their numbers.

    ``pairs``: volumes of instance ids. The class volume of a prediction lies beside it in a folder ``CLASSES``, that of
    the truth in labelsTs beside instancesTs. If the truth is semantic, things are also scored by voxels, with a
    message.
    """
    instances = all(pair.truth is None or holds_instances(pair.truth) for pair in pairs)
    if not instances and classes.things:
        say(f"There are no true instances: the voxels of {classes.named(True)} are scored, not their objects.")
    placed = [_with_classes(pair, bool(classes.things)) for pair in pairs]
    labels = LabelDefinition(classes.names, ignore=classes.ignore)
    for pair, _, predicted in placed:
        if pair.prediction and predicted and (note := classes_behind_note(pair.prediction, predicted)):
            warn(note)
    benchmarks = []
    for value, name in classes.names.items():
        title = f"{dataset}: {name}"
        if instances and value in classes.things:
            of_class = [
                pair
                if truth is None
                else replace(pair, of_class=OfClass(value, classes, truth, predicted), semantic=(truth, labels))
                for pair, truth, predicted in placed
            ]
            benchmarks.append(Benchmark(title, {method: of_class}, images, {}, channel=channel, things=name))
            continue
        of_class = [
            pair
            if truth is None
            else replace(
                pair,
                prediction=predicted,
                truth=truth,
                ignored=None if classes.ignore is None else (truth, classes.ignore),
                semantic=(truth, labels),
            )
            for pair, truth, predicted in placed
        ]
        named = {value: name}
        benchmarks.append(Benchmark(title, {method: of_class}, images, named, channel=channel, any_label=False))
    return benchmarks


def _with_classes(pair: Pair, things: bool) -> tuple[Pair, Path | None, Path | None]:
    """Return a pair with the class volumes of its truth and of its prediction.

    A missing one is None; the pair states why, unless the truth or the prediction is missing too.
    """
    truth = predicted = None
    try:
        if pair.truth is not None:
            truth = semantic_beside(pair.truth, pair.case) if holds_instances(pair.truth) else pair.truth
            if truth is None:
                raise PlanewiseError(f"{pair.truth}: no labelsTs beside it gives the classes of its objects")
    except PlanewiseError as error:
        return replace(pair, truth_problem=str(error)), None, None
    try:
        if pair.prediction is not None:
            beside = things or (pair.prediction.parent / CLASSES).is_dir()  # without things, the classes are the result
            predicted = _class_volume_of(pair.prediction, pair.case) if beside else pair.prediction
    except PlanewiseError as error:
        return replace(pair, problem=pair.problem or str(error)), truth, predicted
    return pair, truth, predicted


def _class_volume_of(labels: Path, case: str) -> Path:
    folder = labels.parent / CLASSES
    if not folder.is_dir():
        raise PlanewiseError(f"{labels}: there is no folder {CLASSES} beside it, with the class of each voxel")
    return file_of_case(case, folder, "volume of classes")
