"""What is scored for the folders of several methods, whose predictions have one truth."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from planewise.data.case import images_beside
from planewise.data.classes import LabelDefinition, semantic_folder
from planewise.data.panoptic import CLASSES
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.pairs import Pair, pair_files, with_labels
from planewise.evaluation.provenance import UNKNOWN, read_prompts_note
from planewise.evaluation.result import Benchmark
from planewise.progress import say


def benchmark_of_folders(
    dataset: str,
    folders: Mapping[str, Path],
    truth: Path,
    labels: LabelDefinition,
    classes: dict[int, str],
    ignore_geometry: bool,
    ignore: int | None = None,
) -> tuple[Benchmark, list[Problem]]:
    """Return the predictions in ``folders``, by method, beside those of ``truth``, and what cannot be scored of them.

    ``labels``: of the truth; ``classes``: names of those that are scored, empty if the truth holds instances.
    ``ignore``: the ignore label in place of that of ``labels``; where no semantic labels lie beside instances, it is a
    value of the instances themselves. A method whose folder cannot be compared, such as one without a prediction of any
    case, is left out and named. Raises PlanewiseError if no method is left.
    """
    methods: dict[str, list[Pair]] = {}
    refused: dict[Path, PlanewiseError] = {}
    problems: list[Problem] = []
    beside = not classes  # where the ignored are: in the semantic labels beside instances, or in the truth itself
    if ignore is not None:
        labels = replace(labels, ignore=ignore)
        if beside and semantic_folder(truth.absolute()) is None:
            beside, labels = False, LabelDefinition(ignore=ignore)
    for name, path in folders.items():
        try:
            pairs = pair_files(path, truth, folders.values(), ignore_geometry)
        except PlanewiseError as error:
            refused[path] = error
            continue
        methods[name] = with_labels([pair for pair in pairs if pair.truth is not None], labels, instances=beside)
        if (path / CLASSES).is_dir():
            say(
                f"{path} holds objects of several classes ({CLASSES}/ beside it), which are scored here as one class; "
                "planewise mito evaluate --things NAMES... scores class by class"
            )
        if path.is_relative_to(truth.parent):  # a folder shared by several datasets also holds the cases of the others
            problems += [Problem(str(pair.prediction or truth), pair.problem) for pair in pairs if pair.truth is None]
    if not methods:
        raise PlanewiseError("; ".join(dict.fromkeys(map(str, refused.values()))))
    problems += [Problem.of(path, error) for path, error in refused.items()]
    if any(pair.ignored for pairs in methods.values() for pair in pairs):
        say(f"{truth.parent}: voxels of the ignore label ({labels.ignore}) are not scored.")
    notes = {name: read_prompts_note(folders[name]) for name in methods}
    notes = {name: f"boxes from {note}" for name, note in notes.items() if note != UNKNOWN}
    return Benchmark(dataset, methods, images_beside(truth), classes, notes), problems
