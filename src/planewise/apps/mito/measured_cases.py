"""The inputs of ``mito measure``: label volumes, and the image, references, confidence and condition of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from planewise.apps.mito.label_options import MitoMeasure
from planewise.data.case import (
    case_name,
    file_of_case,
    images_beside,
    is_volume,
    label_volumes_at,
    one_file_each,
    plane_of,
)
from planewise.data.classes import DATASET_FILE, holds_instances, ignore_label_within, labels_above
from planewise.data.input_images import images_to_segment, refuse_result
from planewise.data.object_tables import table_of_objects
from planewise.errors import PlanewiseError, Problem
from planewise.measurement.class_contacts import key_of
from planewise.measurement.groups import Member
from planewise.progress import say
from planewise.volumes.json_files import read_json
from planewise.volumes.labels import open_labels


@dataclass(frozen=True)
class Sources:
    """The files of the case ``name``; a missing one is None or, by its name, absent from ``references``."""

    name: str
    labels: Path
    image: Path | None
    references: dict[str, Path]
    confidence: Path | None
    classes: Path | None = None

    @property
    def inputs(self) -> list[Path]:
        """All files that are read."""
        more = [path for path in (self.image, self.confidence, self.classes) if path is not None]
        return [self.labels, *more, *self.references.values()]


def label_volumes(paths: Iterable[Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Return the label volumes by case, and a problem for each case with several; results of single planes are left
    out.

    Raises PlanewiseError if one of ``paths`` is not there.
    """
    files: list[Path] = []
    known: set[str] = set()
    for path in paths:
        inside = label_volumes_at(path)
        if len(inside) > 1:
            names = {case_name(file, labels=True) for file in inside}
            planes = [file for file in inside if plane_of(case_name(file, labels=True)) in names]
            if planes:
                say(f"{path}: {', '.join(file.name for file in planes)} are results of single planes: not measured")
            inside = [file for file in inside if file not in planes]
        known |= images_beside(path).keys()
        files += inside
    volumes, several = one_file_each(dict.fromkeys(files), known, labels=True)
    return volumes, list(several.values())


def cases_of(volumes: dict[str, Path], options: MitoMeasure, problems: list[Problem]) -> list[Sources]:
    """Return the cases with their files; a case without its image or a reference becomes a problem.

    Raises PlanewiseError for an image that planewise predicted.
    """
    images: dict[str, Path] = {}
    if options.image is not None and is_volume(options.image, "--image"):
        refuse_result(options.image)
        name = next(iter(volumes)) if len(volumes) == 1 else case_name(options.image)  # of one case, whatever its name
        images = {name: options.image}
    elif options.image is not None:
        images, wrong = images_to_segment(options.image, options.channel)
        problems += wrong
    references = dict(_reference(text) for text in options.reference)
    cases = []
    for name, path in volumes.items():
        try:
            _refuse_ignore_label(path)
            if options.image is not None and name not in images:
                there = ", ".join(sorted(images)[:5]) or "none that can be used"
                raise PlanewiseError(f"{options.image}: holds no image of case {name}; there are {there}")
            alone = len(volumes) == 1
            beside = {
                key: _file_for(name, where, f"--reference {key}", f"reference {key}", alone)
                for key, where in references.items()
            }
            table = table_of_objects(path)
            classes = options.classes and _file_for(name, options.classes, "--classes", "volume of classes", alone)
            confidence = table if table.is_file() else None
            cases.append(Sources(name, path, images.get(name), beside, confidence, classes))
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
    return cases


def _refuse_ignore_label(path: Path) -> None:
    """Refuse semantic labels with an ignore label, which is no object; for instances, only print a message."""
    if labels_above(path).ignore is not None and holds_instances(path):
        say(f"{path}: voxels of the ignore label, in labels beside it, count as background in volumes and densities")
    if (ignore := ignore_label_within(path)) is not None:
        raise PlanewiseError(
            f"{path}: the value {ignore} is the ignore label in dataset.json, and would be measured as an object; give "
            "label volumes in which each value above 0 is an object"
        )


def _reference(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    return name, Path(path)


def _file_for(case: str, where: Path, option: str, what: str, alone: bool) -> Path:
    """Return the volume of a case at ``where``, from ``option``: a folder or, if it is the only case (``alone``), a
    file."""
    if not is_volume(where, option):
        return file_of_case(case, where, what)
    if not alone:
        raise PlanewiseError(f"{option} {where}: is one file for several cases; give a folder with one for each")
    return where


def class_names_of(classes: Path, references: Iterable[str]) -> dict[int, str]:
    """Return the names of the classes in a volume, from the dataset.json beside or above it, and from the file itself.

    Raises PlanewiseError if there are none, or if a class has the name of one of the ``references``.
    """
    names = labels_above(classes).class_names() or getattr(open_labels(classes).labels, "names", {})
    if not names:
        raise PlanewiseError(f"{classes}: neither its file nor a {DATASET_FILE} beside or above it names its classes")
    keys = [key_of(name) for name in names.values()]
    if twice := {key for key in keys if keys.count(key) > 1 or key in references}:
        raise PlanewiseError(f"{classes}: {', '.join(sorted(twice))}: would name columns twice; rename a class")
    return dict(names)


def things_of(classes: Path) -> tuple[int, ...] | None:
    """Return the classes of things in a volume, from the dataset.json that mito predict writes beside it; None if it
    does not state them. Raises PlanewiseError if it names an unknown class."""
    labels = labels_above(classes)
    things = None if labels.source is None else read_json(labels.source).get("things")
    if things is None:
        return None
    value_of = {name: value for value, name in labels.class_names().items()}
    if not isinstance(things, list) or not all(isinstance(name, str) and name in value_of for name in things):
        raise PlanewiseError(f"{labels.source}: things: is {things!r}; it must be a list of {', '.join(value_of)}")
    return tuple(sorted(value_of[name] for name in things))


def refuse_other_cases(
    members: list[Member], volumes: dict[str, Path], problems: list[Problem], options: MitoMeasure
) -> None:
    """Raise PlanewiseError if groups and labels have no case in common; report the cases that only one of them has."""
    if not members:
        return
    in_groups = {member.case for member in members}
    if not in_groups & volumes.keys():
        raise PlanewiseError(
            f"{options.groups}: names none of the labels' cases; it has {', '.join(sorted(in_groups)[:5])}, "
            f"the labels have {', '.join(sorted(volumes)[:5])}"
        )
    problems += [
        Problem(str(options.groups), f"names case {case}, which has no labels")
        for case in sorted(in_groups - volumes.keys())
    ]
    if left_out := sorted(volumes.keys() - in_groups):
        say(f"{options.groups}: does not name {', '.join(left_out)}: measured, but in no condition")
