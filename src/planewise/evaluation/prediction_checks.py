"""Notes on the predictions beside a dataset's truth, as compare would print them, before anything is scored."""

from collections.abc import Callable
from pathlib import Path

from planewise.data.case import predictions_beside, truth_of_tests
from planewise.data.classes import LabelDefinition, holds_instances
from planewise.data.space import laid_on
from planewise.errors import PlanewiseError
from planewise.evaluation.input_checks import refuse_image
from planewise.evaluation.open_pairs import Kept
from planewise.evaluation.pairs import Pair, pair_files
from planewise.progress import counted
from planewise.volumes.labels import count_values, open_labels

LISTED = 5  # cases in a note


def doubts_of_predictions(
    dataset: Path,
    labels: LabelDefinition,
    ignore_geometry: bool,
    advance: Callable[[str], None] = lambda method: None,
) -> list[str]:
    """Return notes on the predictions in a dataset, ``imagesTs_{method}``; none if it has no truth for test cases.

    They name methods without a prediction of any case, missing cases, several files for one case, cases without truth,
    other shapes or geometries, files that cannot be read or are images, and, if the truth is semantic, values that
    dataset.json does not name. ``advance`` is called with each method that was checked.
    """
    truth, methods = truth_of_tests(dataset), predictions_beside(dataset)
    if truth is None:
        return []
    notes = []
    for name, folder in methods.items():
        try:
            pairs = pair_files(folder, truth, methods.values(), ignore_geometry)
        except PlanewiseError as error:
            notes.append(str(error))
            advance(name)
            continue
        missing = [pair.case for pair in pairs if pair.truth is not None and pair.prediction is None]
        if missing:
            listed = ", ".join(missing[:LISTED]) + " ..." * (len(missing) > LISTED)
            of = sum(pair.truth is not None for pair in pairs)
            notes.append(
                f"{folder}: lacks {len(missing)} of {counted(of, 'case')}, {listed}: counted as empty predictions"
            )
        for pair in pairs:
            if pair.prediction is not None and (doubt := _doubt(pair, labels)):
                notes.append(doubt)
        advance(name)
    return notes


def _doubt(pair: Pair, labels: LabelDefinition) -> str:
    """Return what is wrong or notable about a prediction; "" if nothing is."""
    assert pair.prediction is not None
    if pair.problem or pair.truth_problem or pair.truth is None:
        return f"{pair.prediction}: {pair.problem or pair.truth_problem}"
    try:
        truth = open_labels(pair.truth)
    except PlanewiseError:  # reported for the truth
        return ""
    try:
        predicted = open_labels(pair.prediction)
        laid_on(predicted, pair.prediction, truth, pair.truth, pair.ignore_geometry)
        predicted = Kept().read(predicted)
        note = refuse_image(predicted, pair.prediction)
        counts = count_values(predicted)
    except PlanewiseError as error:
        return str(error)
    unnamed = "" if holds_instances(pair.truth) else labels.unnamed_in_prediction(counts)
    return f"{pair.prediction}: {unnamed}" if unnamed else note
