"""The cases of a comparison: the files of a truth and of a prediction, paired by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from planewise.correction.journal import review_note
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
from planewise.data.manifest import MANIFEST, manifest_of
from planewise.data.panoptic import PanopticClasses
from planewise.data.preparation import fingerprint
from planewise.errors import PlanewiseError
from planewise.progress import say_once
from planewise.volumes.formats import ending_of
from planewise.volumes.slices import PLANES

OK = "ok"
MISSING = "prediction missing: counted as an empty prediction"
PREDICT = "predict"  # second word of each application's command whose results are predictions
NO_TRUTH = "no truth "  # and the file that is missing
LISTED = 3  # files in a message


@dataclass(frozen=True)
class Pair:
    """A case's files; either may be missing. ``problem``: why the case cannot be scored, if so; ``truth_problem``: why
    its truth cannot be used, so that there is nothing to score any prediction against.

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


def refuse_nothing_paired(pairs: Mapping[Path, list[Pair]], truths: Path) -> None:
    """Raise PlanewiseError if no case has both a truth and a prediction in any of the folders, the keys of ``pairs``.

    Every case would be scored as an empty prediction, and such scores would replace those of the right folder.
    """
    several = [pair for of_folder in pairs.values() for pair in of_folder]
    if any(pair.prediction is not None and not pair.problem.startswith(NO_TRUTH) for pair in several):
        return
    there = _named(pair.truth for pair in several)
    given = "; ".join(
        f"{folder} holds {_named(pair.prediction for pair in of_folder)}" for folder, of_folder in pairs.items()
    )
    raise PlanewiseError(
        f"no prediction has the name of a truth: {given}; {truths} holds {there}. Nothing is scored or written: give "
        "the folder with the predictions of these cases, or name each prediction like its truth, {case}.* or "
        "{case}_pred.*"
    )


def _named(paths: Iterable[Path | None]) -> str:
    """Return the names of a few of the files, and the number of the others."""
    names = sorted({path.name for path in paths if path is not None})
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more if names else "no label volumes"


def pair_files(
    predictions: Path, truths: Path, beside: Iterable[Path] = (), ignore_geometry: bool = False
) -> list[Pair]:
    """Return the cases of two folders, or of two files, paired by name; see ``data.case`` for the names.

    ``beside``: other folders of predictions for the same truths, so that all of them get the same cases. Predictions
    of single planes (``{case}_xy`` ..., or a folder ``xy`` of slices) are no cases, unless there is a truth of that
    name. Raises PlanewiseError if either path is missing, if one is a folder and the other a file, if there is no
    truth at all, or if its manifest says that it was predicted.
    """
    for path in (predictions, truths):
        if not path.exists():
            raise PlanewiseError(f"{path}: no such file or folder")
    volumes = [path for path in (predictions, truths) if ending_of(path)]  # an OME-Zarr volume is a folder too
    if len(volumes) == 1:
        raise PlanewiseError(f"{predictions} and {truths}: give two volumes or two folders")
    if volumes:
        _refuse_predicted([truths], truths)
        return [Pair(case_name(truths, labels=True), predictions, truths, ignore_geometry=ignore_geometry)]
    truth_files = label_volumes_in(truths)
    if not truth_files:
        raise PlanewiseError(without_labels(truths, "truth is {case}.tiff, .nii.gz, ..."))
    for folder in (predictions, *beside):
        if lies_in(folder, ".dcm") and not label_volumes_in(folder):
            raise PlanewiseError(without_labels(folder, "predictions are {case}.tiff, .nii.gz, ..."))
    _refuse_predicted(truth_files, truths)
    files = [file for folder in {predictions, *beside} if folder.is_dir() for file in label_volumes_in(folder)]
    known = numbered_cases(files, truth_files) | images_beside(truths).keys()
    predicted = group_by_case(label_volumes_in(predictions), known, labels=True)
    true = group_by_case(truth_files, known, labels=True)
    pairs = []
    of_planes: list[Path] = []
    for case in sorted(predicted.keys() | true.keys()):
        prediction, truth = predicted.get(case, []), true.get(case, [])
        if truth and plane_of(case) in true and _is_of_another_case(truth[0], case):  # of a corrected result
            of_planes += [*truth, *prediction]
            continue
        if not truth and (case in PLANES or plane_of(case) in predicted):
            of_planes += prediction if case in PLANES else []  # those of a case are expected beside it
            continue
        several = next((paths for paths in (prediction, truth) if len(paths) > 1), None)
        problem = ""
        if not truth:
            problem = f"{NO_TRUTH}{truths / case}.*"
        elif several:
            problem = several_files(case, several)
        the_truth = truth[0] if len(truth) == 1 else None
        pairs.append(Pair(case, next(iter(prediction), None), the_truth, problem, ignore_geometry))
    if of_planes:
        listed = f"{of_planes[0].parent}: {_named(of_planes)}"
        say_once(f"{listed}: results of single planes, by name or manifest; they are not scored")
    return pairs


def _is_of_another_case(result: Path, case: str) -> bool:
    """Whether a manifest says that ``result`` was written for a case of another name, as those of single planes are."""
    manifest = manifest_of(result)
    made_for = [] if manifest is None else [name for name, of in manifest.cases.items() if result.name in of.outputs]
    return bool(made_for) and case not in made_for


def _refuse_predicted(files: list[Path], truths: Path) -> None:
    """Raise PlanewiseError if a manifest says that ``files`` of a truth were predicted, and nobody worked on them."""
    made: dict[Path, str] = {}
    for path in files:
        manifest = manifest_of(path)
        command = "" if manifest is None else str(manifest.made_from.options.get("command"))
        if manifest is None or command.split()[1:] != [PREDICT]:
            continue
        before = next(record.outputs[path.name] for record in manifest.cases.values() if path.name in record.outputs)
        if review_note(path) or fingerprint(path) != before:
            return
        made[path] = command
    if made:
        raise PlanewiseError(
            f"{truths}: is given as the truth, and planewise {next(iter(made.values()))} wrote {_named(made)} in it, "
            f"according to the {MANIFEST} there: a prediction is not a truth. Give the predictions first and the truth "
            "second; to score against a prediction all the same, copy its volumes to a folder without that file"
        )
