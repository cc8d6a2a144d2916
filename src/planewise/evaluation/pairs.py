"""The cases of a comparison: the files of a truth and of a prediction, paired by name."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from planewise.data.case import (
    case_name,
    group_by_case,
    images_beside,
    label_volumes_in,
    lies_in,
    numbered_cases,
    plane_of,
    several_files,
    without_labels,
)
from planewise.data.classes import LabelDefinition, semantic_beside
from planewise.data.manifest import MANIFEST
from planewise.data.own_results import is_of_another_case, unreviewed_prediction
from planewise.data.panoptic import PanopticClasses
from planewise.errors import PlanewiseError
from planewise.progress import first_few, say_once
from planewise.volumes.formats import ending_of
from planewise.volumes.slices import PLANES

OK = "ok"
MISSING = "prediction missing: counted as an empty prediction"


@dataclass(frozen=True)
class Pair:
    """A case's files; either may be missing, and of several for one case it is the first. ``problem``: why the case
    cannot be scored, if so; ``truth_problem``: why its truth cannot be used, so that there is nothing to score any
    prediction against.

    ``ignore_geometry``: match the arrays voxel by voxel, and ignore the geometry in the files. ``semantic``: the truth,
    or the labels beside true instances, whose values must have names, see ``with_labels``; ``ignored``: a label volume,
    and its value for voxels that are not scored. ``of_class``: the only class whose objects are scored, if there are
    several.
    """

    case: str
    prediction: Path | None
    truth: Path | None
    problem: str = ""
    ignore_geometry: bool = False
    ignored: tuple[Path, int] | None = None
    of_class: "OfClass | None" = None
    semantic: tuple[Path, LabelDefinition] | None = None
    truth_problem: str = ""


class OfClass(NamedTuple):
    """The class ``value`` of ``classes``, and the volumes that say which class each voxel of the truth and of the
    prediction is of."""

    value: int
    classes: PanopticClasses
    truth: Path
    prediction: Path | None


def with_labels(pairs: list[Pair], labels: LabelDefinition, instances: bool) -> list[Pair]:
    """Return pairs in which voxels of nnU-Net's ignore label are not scored, and in which a truth with a value that
    ``labels`` do not name is refused: its meaning is unknown, and it would count as background.

    Both are given by the semantic truth; for ``instances`` it lies beside them, in labelsTs, and is read only for the
    ignore label. Without that folder all voxels are scored, which is printed; a case that the folder lacks is not
    scored.
    """
    if instances and labels.ignore is None:
        return pairs
    marked = []
    for pair in pairs:
        try:
            path = semantic_beside(pair.truth, pair.case) if instances and pair.truth else pair.truth
            ignored = None if path is None or labels.ignore is None else (path, labels.ignore)
            semantic = None if path is None or not (labels.classes or labels.regions) else (path, labels)
            marked.append(replace(pair, ignored=ignored, semantic=semantic))
        except PlanewiseError as error:
            marked.append(replace(pair, truth_problem=str(error)))
    whole = [pair.truth for pair in marked if pair.truth and not pair.ignored and not pair.truth_problem]
    if instances and whole:
        say_once(
            f"Instances are scored whole, and nothing is ignored: no folder of labels (labelsTs) beside "
            f"{whole[0].parent} says where the ignore label {labels.ignore} is"
        )
    return marked


def _named(paths: Iterable[Path | None]) -> str:
    """Return the names of a few of the files, and the number of the others."""
    names = sorted({path.name for path in paths if path is not None})
    return first_few(names) or "no label volumes"


def pair_files(
    predictions: Path, truths: Path, beside: Iterable[Path] = (), ignore_geometry: bool = False
) -> list[Pair]:
    """Return the cases of two folders, or of two files, paired by name; see ``data.case`` for the names.

    ``beside``: other folders of predictions for the same truths, so that all of them get the same cases. Predictions
    of single planes (``{case}_xy`` ..., or a folder ``xy`` of slices) are no cases, unless there is a truth of that
    name. A truth that its manifest says was predicted, and that nobody corrected since, cannot be used.

    Raises PlanewiseError if either path is missing, if one is a folder and the other a file, if there is no truth at
    all, or only such as was predicted, if all predictions are the truth itself, or if no prediction is of a true case.
    """
    for path in (predictions, truths):
        if not path.exists():
            raise PlanewiseError(f"{path}: no such file or folder")
    volumes = [path for path in (predictions, truths) if ending_of(path)]  # an OME-Zarr volume is a folder too
    if len(volumes) == 1:
        raise PlanewiseError(f"{predictions} and {truths}: give two volumes or two folders")
    if volumes:
        refuse_predicted(truths)
        pair = Pair(case_name(truths, labels=True), predictions, truths, ignore_geometry=ignore_geometry)
        refuse_truth_itself([pair], predictions, truths)
        if case_name(predictions, {pair.case}, labels=True) != pair.case:
            say_once(f"{predictions.name} is scored against {truths.name}, as each is the only file given")
        return [pair]
    truth_files = label_volumes_in(truths)
    if not truth_files:
        raise PlanewiseError(without_labels(truths, "truth is {case}.tiff, .nii.gz, ..."))
    if lies_in(predictions, ".dcm") and not label_volumes_in(predictions):
        raise PlanewiseError(without_labels(predictions, "predictions are {case}.tiff, .nii.gz, ..."))
    made_by = _predicted(truth_files)
    _refuse_predicted(truth_files, made_by, truths)
    files = [file for folder in {predictions, *beside} if folder.is_dir() for file in label_volumes_in(folder)]
    known = numbered_cases(files, truth_files) | images_beside(truths).keys()
    predicted = group_by_case(label_volumes_in(predictions), known, labels=True)
    true = group_by_case(truth_files, known, labels=True)
    pairs = []
    of_planes: list[Path] = []
    for case in sorted(predicted.keys() | true.keys()):
        prediction, truth = predicted.get(case, []), true.get(case, [])
        if truth and plane_of(case) in true and is_of_another_case(truth[0], case):  # of a corrected result
            of_planes += [*truth, *prediction]
            continue
        if not truth and (case in PLANES or plane_of(case) in predicted):
            of_planes += prediction if case in PLANES else []  # those of a case are expected beside it
            continue
        problem = truth_problem = ""
        if not truth:
            problem = f"no truth {truths / case}.*"
        elif len(truth) > 1:
            truth_problem = several_files(case, truth)
        elif truth[0] in made_by:
            truth_problem = (
                f"its truth {truth[0].name} is a prediction: planewise {made_by[truth[0]]} wrote it, according to the "
                f"{MANIFEST} beside it, and nobody corrected or confirmed it. Do so with planewise correct, or take it "
                "out of the folder"
            )
        if len(prediction) > 1:
            problem = several_files(case, prediction)
        pairs.append(
            Pair(
                case,
                next(iter(prediction), None),
                next(iter(truth), None),
                problem,
                ignore_geometry,
                truth_problem=truth_problem,
            )
        )
    refuse_truth_itself(pairs, predictions, truths)
    if of_planes:
        where = f"{of_planes[0].parent}: {_named(of_planes)}"
        say_once(f"{where}: results of single planes, by name or manifest; they are not scored")
    _refuse_nothing_paired(pairs, predictions, truths)
    return pairs


def _predicted(truths: list[Path]) -> dict[Path, str]:
    """Return those of ``truths`` that a manifest says were predicted, and nobody worked on since, with the command."""
    manifests = {path: unreviewed_prediction(path) for path in truths}
    return {path: manifest.command for path, manifest in manifests.items() if manifest is not None}


def refuse_predicted(truth: Path) -> None:
    """Raise PlanewiseError if a manifest says that the volume ``truth`` was predicted, and nobody corrected it."""
    _refuse_predicted([truth], _predicted([truth]), truth)


def _refuse_predicted(files: list[Path], made_by: dict[Path, str], truths: Path) -> None:
    """Raise PlanewiseError if all ``files`` of a truth were predicted; ``made_by``: by which command, see
    ``_predicted``."""
    if len(made_by) < len(files):
        return
    raise PlanewiseError(
        f"{truths}: is given as the truth, and planewise {made_by[files[0]]} wrote {_named(files)} in it, according to "
        f"the {MANIFEST} there: a prediction is not a truth. Give the predictions first and the truth second; to score "
        "against a prediction all the same, copy its volumes to a folder without that file"
    )


def refuse_truth_itself(pairs: list[Pair], predictions: Path, truths: Path) -> None:
    """Raise PlanewiseError if each prediction is the file of its truth, by whatever path: one folder given twice."""
    files = [(pair.prediction, pair.truth) for pair in pairs if pair.prediction and pair.truth]
    if files and all(first.exists() and second.exists() and first.samefile(second) for first, second in files):
        raise PlanewiseError(
            f"{predictions}: is the truth itself, {truths}, whose scores against itself say nothing about a method: "
            "give the predictions first and the truth second"
        )


def _refuse_nothing_paired(pairs: list[Pair], predictions: Path, truths: Path) -> None:
    """Raise PlanewiseError if no case of ``pairs`` has both a truth and a prediction.

    That is a mistake of names: every case would be scored as an empty prediction, and such scores would replace those
    of the right folder.
    """
    if any(pair.prediction is not None and pair.truth is not None for pair in pairs):
        return
    raise PlanewiseError(
        f"{predictions}: no prediction has the name of a truth: it holds {_named(pair.prediction for pair in pairs)}; "
        f"{truths} holds {_named(pair.truth for pair in pairs)}. Nothing of it is scored: give the folder with the "
        "predictions of these cases, or name each prediction like its truth, {case}.* or {case}_pred.*"
    )
