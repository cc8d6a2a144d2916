"""The functions score and compare: score labels against their truth."""

import os
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

from planewise.data.case import label_volumes_in
from planewise.data.classes import LabelDefinition, holds_instances, labels_above
from planewise.data.space import filled_around, laid_on
from planewise.errors import PlanewiseError
from planewise.evaluation import comparison
from planewise.evaluation.classes import class_names
from planewise.evaluation.folders import benchmark_of_folders
from planewise.evaluation.input_checks import truth_itself
from planewise.evaluation.open_pairs import Ignored, Kept, OpenPair, refuse_unnamed
from planewise.evaluation.pairs import OK, Pair, refuse_predicted, refuse_truth_itself
from planewise.evaluation.result import Benchmark, Comparison
from planewise.evaluation.tolerance import Tolerance
from planewise.interface.calls import call, name_of
from planewise.interface.result import Result
from planewise.progress import ProgressFunction, say, warn
from planewise.progress import progress as shown
from planewise.report.tables import print_problems, say_notes
from planewise.volumes.arrays import as_volume
from planewise.volumes.formats import ending_of
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import as_labels, open_labels
from planewise.volumes.volume import Volume

Classes = Mapping[int, str]


def score(
    labels: Any,
    truth: Any,
    *,
    classes: Classes | None = None,
    ignore: int | None = None,
    tolerance: float | None = None,
    ignore_geometry: bool = False,
    progress: ProgressFunction | bool | None = None,
) -> Result:
    """Return the scores of one method's labels against the truth; see ``compare`` for the arguments."""
    name = name_of(labels, "labels")
    name = "labels" if name == "truth" else name
    return compare(
        {name: labels},
        truth,
        classes=classes,
        ignore=ignore,
        tolerance=tolerance,
        ignore_geometry=ignore_geometry,
        progress=progress,
    )


def compare(
    methods: Mapping[str, Any],
    truth: Any,
    *,
    classes: Classes | None = None,
    ignore: int | None = None,
    tolerance: float | None = None,
    ignore_geometry: bool = False,
    progress: ProgressFunction | bool | None = None,
) -> Result:
    """Score the labels of each method against one ground truth, with the code of ``planewise compare``.

    ``methods``: labels by the method's name, anything that ``open`` takes, or folders of label volumes; ``truth``: the
    same. Cases in folders are paired by name; a case that a method lacks counts as an empty prediction. ``classes``:
    names of the label values, which are then scored class by class. Without ``classes`` each label above 0 is an
    object, except for a path below a dataset.json that is not in a folder of instances: then the classes are those of
    the dataset.json. ``ignore``: value of voxels in the truth that are not scored, by default that of the dataset.json.
    A truth with values that the dataset.json does not name is refused; values that ``classes`` leaves out are
    background. ``tolerance``: of surface Dice, in nm for nm and um, in mm for mm, in voxels if no unit is known; for
    the default see docs/evaluation.md.

    Raises PlanewiseError for anything that is not a label volume or lies elsewhere than the truth, for the file of the
    truth itself, and for a truth that a manifest says was predicted; with ``ignore_geometry`` arrays are compared voxel
    by voxel. In folders, such a case is a row with that status instead; a method is left out, which is logged, if none
    of its files has the name of a case, or if all of them are the truth itself; PlanewiseError if no method is left.
    """
    with call(progress):
        if not isinstance(methods, Mapping):
            raise PlanewiseError(
                f"methods: is {type(methods).__name__}; give {{name: labels}}, or of one method "
                "planewise.score(labels, truth)"
            )
        if not methods:
            raise PlanewiseError("methods: there is none; give {name: labels}")
        _refuse_values(classes, ignore)
        within = Tolerance({} if tolerance is None else dict.fromkeys(("nm", "mm", "voxel"), float(tolerance)))
        given = [*methods.values(), truth]
        folders = [_is_folder(item) for item in given]
        if any(folders) and not all(folders):
            raise PlanewiseError("labels and truth must both be folders, or both be volumes")
        compared = (_of_folders if any(folders) else _of_volumes)(
            methods, truth, classes, ignore, within, ignore_geometry
        )
        say_notes(compared)
        return Result(tuple(compared.results))


def _refuse_values(classes: Classes | None, ignore: int | None) -> None:
    """Raise PlanewiseError for classes or an ignore label that no label volume can hold, or that contradict."""
    for argument, value in [*(("classes", value) for value in classes or ()), ("ignore", ignore)]:
        if value is not None and (not isinstance(value, Integral) or int(value) < 1):
            raise PlanewiseError(f"{argument}: is {value!r}; labels are whole numbers from 1, and 0 is background")
    if ignore is not None and ignore in (classes or ()):
        raise PlanewiseError(f"ignore: is {ignore}, which classes names too: a value is either scored or ignored")


def _is_folder(given: Any) -> bool:
    """Whether a folder of label volumes is given, and not a volume, which may be a folder too."""
    return isinstance(given, str | os.PathLike) and Path(given).is_dir() and not ending_of(Path(given))


def _of_folders(
    methods: Mapping[str, Any],
    truth: Any,
    classes: Classes | None,
    ignore: int | None,
    tolerance: Tolerance,
    ignore_geometry: bool,
) -> Comparison:
    """Return the scores of folders, case by case; what of them cannot be scored is logged."""
    folders, where = {name: Path(path) for name, path in methods.items()}, Path(truth)
    named, labels = _classes(where, classes, label_volumes_in(where))
    dataset = where.resolve().parent.name
    benchmark, problems = benchmark_of_folders(dataset, folders, where, labels, named, ignore_geometry, ignore)
    print_problems(problems)
    with shown("scoring", len(benchmark.cases()), unit="cases") as advance:
        return comparison.compare([benchmark], tolerance, advance=advance)


def _classes(truth: Path, classes: Classes | None, files: list[Path]) -> tuple[dict[int, str], LabelDefinition]:
    """Return the names of the classes that are scored, none if labels are objects, and all labels of dataset.json."""
    labels = labels_above(truth)
    if classes is not None:
        return dict(classes), labels
    if labels.source is None or holds_instances(truth.resolve()):
        return {}, labels
    named = class_names(labels, files)
    said = f"The classes of {labels.source} are scored: {', '.join(named.values())}"
    if (truth if _is_folder(truth) else truth.parent).name.startswith("labels"):
        say(said)
    else:
        warn(f"{said}; {truth} lies below it, but in no labelsTr or labelsTs. Other labels: classes={{value: name}}")
    return named, labels


def _of_volumes(
    methods: Mapping[str, Any],
    truth: Any,
    classes: Classes | None,
    ignore: int | None,
    tolerance: Tolerance,
    ignore_geometry: bool,
) -> Comparison:
    """Return the scores of volumes of one case."""
    case = name_of(truth, "truth")
    path, stored = _labels(truth, "truth")
    named, stated = dict(classes or {}), LabelDefinition()
    if isinstance(truth, str | os.PathLike):
        refuse_predicted(path)
        named, stated = _classes(path, classes, [path])
        if stated.ignore is not None and not named and ignore in (None, stated.ignore):
            raise PlanewiseError(f"{path}: its dataset.json has an ignore label, which lies beside it: compare folders")
        ignore = stated.ignore if ignore is None else ignore
    volumes = {name: _labels(labels, name) for name, labels in methods.items()}
    if not ignore_geometry:
        stored = filled_around(stored, path, volumes.values())
    kept = Kept()
    canonical = kept.read(to_canonical(stored, labels=True))
    if named:
        refuse_unnamed(canonical, path, replace(stated, ignore=ignore))
    ignored = None if ignore is None else Ignored(canonical, ignore)
    pairs = {}
    for name, (there, volume) in volumes.items():
        placed = laid_on(volume, there, stored, path, ignore_geometry)
        of_files = isinstance(methods[name], str | os.PathLike) and isinstance(truth, str | os.PathLike)
        notes = _notes_on_truth_itself(case, there, path) if of_files else ()
        pairs[name] = OpenPair(canonical, kept.read(to_canonical(placed, labels=True)), OK, ignored, notes)
    benchmark = Benchmark("", {name: [] for name in methods}, {}, named)
    results = comparison.score_volumes(benchmark, case, pairs, tolerance)
    return Comparison([benchmark], tolerance, results, [])


def _notes_on_truth_itself(case: str, prediction: Path, truth: Path) -> tuple[str, ...]:
    """Return a note if the prediction's file is a copy of the truth. Raises PlanewiseError if it is the truth."""
    refuse_truth_itself([Pair(case, prediction, truth)], prediction, truth)
    note = truth_itself(prediction, truth)
    return (note,) if note else ()


def _labels(given: Any, name: str) -> tuple[Path, Volume]:
    """Return a label volume, and its path, or ``name`` if it has none."""
    if isinstance(given, str | os.PathLike):
        return Path(given), open_labels(given)
    return Path(name), as_labels(as_volume(given, name=name), Path(name))
