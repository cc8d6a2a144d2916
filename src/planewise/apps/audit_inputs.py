"""The inputs of an audit plan: each case's files, animal or patient, and classes, and what determines the draw."""

import hashlib
import math
from pathlib import Path

import numpy as np

from planewise.apps.audit_options import AuditPlan, read_classes
from planewise.audit.findings import OF_OBJECTS, OF_SLICES
from planewise.audit.plan import CaseRecord
from planewise.audit.population import Classes, Kind, Source, open_source
from planewise.data.case import (
    case_name,
    channel_within,
    group_by_case,
    images_beside,
    is_volume,
    label_volumes_at,
    one_file_each,
    plane_of,
)
from planewise.data.classes import ignore_label_within
from planewise.data.object_tables import read_confidences, table_of_objects
from planewise.data.patients import patients_of
from planewise.data.spreadsheet import read_table
from planewise.errors import PlanewiseError
from planewise.progress import say, warn
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats import ending_of
from planewise.volumes.labels import open_labels, slab_starts
from planewise.volumes.units import PIXEL, convert
from planewise.volumes.volume import Volume

MOST_CLASSES = 20  # distinct values that labels may hold without --classes
EVERYTHING = "foreground"  # name of the one class that all values above 0 form


def files_of(options: AuditPlan) -> dict[str, dict[str, Path]]:
    """Return the files of each case: labels, and image and within where they exist. Raises PlanewiseError."""
    results = _by_case(options.result, "", labels=True)
    of_planes = [name for name in results if plane_of(name) in results]
    of_cases = {name: {"labels": path} for name, path in results.items() if name not in of_planes}
    if not of_cases:
        raise PlanewiseError(f"{options.result}: holds no label volumes")
    for of_case in of_cases.values():
        if (ignore := ignore_label_within(of_case["labels"])) is not None:
            raise PlanewiseError(
                f"{of_case['labels']}: the value {ignore} is the ignore label in dataset.json, and would be counted; "
                "give label volumes without it"
            )
    images = {}
    if options.image is not None:
        images = _by_case(options.image, "--image", labels=False)
    elif options.result.is_dir() and not ending_of(options.result) and (images := images_beside(options.result)):
        say(f"Images are taken from {next(iter(images.values())).parent}; --image names others")
    masks = {} if options.within is None else _by_case(options.within, "--within", labels=True)
    for what, option, files in (("image", "--image", images), ("within", "--within", masks)):
        if len(of_cases) == len(files) == 1:
            files = dict(zip(of_cases, files.values()))
        for name, of_case in of_cases.items():
            if name in files:
                of_case[what] = files[name]
        missing = [name for name in of_cases if name not in files]
        if missing and (given := getattr(options, what)) is not None:
            raise PlanewiseError(f"{option} {given}: contains no file for case {missing[0]}")
        if missing and files:
            say(f"No image exists for {', '.join(missing[:6])}: their items are written without an image")
    if options.within is not None and set(options.quantity) & set(OF_OBJECTS):
        raise PlanewiseError(
            f"--within {options.within}: is for {', '.join(OF_SLICES)}; objects are counted in the whole volume"
        )
    return of_cases


def _by_case(path: Path, option: str, labels: bool) -> dict[str, Path]:
    if labels:
        groups = group_by_case(label_volumes_at(path, option), labels=True)
        several = [name for name, files in groups.items() if len(files) > 1]
        if several:
            listed = ", ".join(file.name for file in groups[several[0]])
            raise PlanewiseError(f"{path}: has several files for case {several[0]}: {listed}; keep one")
        return {name: files[0] for name, files in sorted(groups.items())}
    if is_volume(path, option):
        return {case_name(path): path}
    chosen, refused = one_file_each(volumes_in(path), channel=0)
    if refused:
        raise PlanewiseError(f"{path}: {next(iter(refused.values())).what}")
    return chosen


def units_of(options: AuditPlan, names: list[str]) -> dict[str, str]:
    """Return the animal or patient of each case."""
    try:
        units = patients_of(names, options.patient_pattern, options.patients)
    except PlanewiseError as error:
        if options.patients is not None or options.patient_pattern is not None:
            raise
        if len(names) > 1:
            warn(f"{error}. Until then each case counts as a separate unit.")
        units = {name: name for name in names}
    if len(set(units.values())) < len(names):
        say(f"The {len(names)} cases are of {len(set(units.values()))} animals or patients, which are the units")
    return units


def conditions_of(options: AuditPlan, units: dict[str, str]) -> dict[str, str]:
    """Return the condition of each case, in the order of the file; none if no file is given."""
    if options.conditions is None:
        return {}
    rows = read_table(options.conditions, ("case", "condition"), "it must be case,condition", "--conditions")
    by_name = {row["case"]: row["condition"] for row in rows}
    conditions = {name: by_name.get(name, by_name.get(unit, "")) for name, unit in units.items()}
    path = f"--conditions {options.conditions}"
    if missing := [name for name, condition in conditions.items() if not condition]:
        raise PlanewiseError(f"{path}: has no condition for {', '.join(missing[:6])}")
    ordered = [c for c in dict.fromkeys(by_name.values()) if c in conditions.values()]
    if len(ordered) != 2:
        raise PlanewiseError(f"{path}: has the conditions {', '.join(ordered)}; a difference needs exactly two")
    for unit in units.values():
        if len({conditions[name] for name in units if units[name] == unit}) > 1:
            raise PlanewiseError(f"{path}: the cases of {unit} have both conditions; each unit must have one")
    return {name: conditions[name] for name in sorted(units, key=lambda name: ordered.index(conditions[name]))}


def kinds_of(options: AuditPlan) -> dict[Kind, int]:
    """Return how many items of each kind are drawn: half of the budget each if both slices and boxes are needed."""
    asked = set(options.quantity)
    slices, objects = bool(asked & set(OF_SLICES)), bool(asked & set(OF_OBJECTS))
    if options.count_by == "objects" and not objects:
        raise PlanewiseError(f"--count_by objects: is for {', '.join(OF_OBJECTS)}; name one with --quantity")
    if options.design == "systematic" and not slices:
        raise PlanewiseError(
            f"--design systematic: is for slices, of {', '.join(OF_SLICES)}; boxes are drawn at random"
        )
    if options.box is not None and not objects:
        raise PlanewiseError(f"--box: is for {', '.join(OF_OBJECTS)}; name one with --quantity")
    kinds: dict[Kind, int] = {}
    if slices:
        kinds["slice"] = (options.budget + 1) // 2 if objects else options.budget
    left = options.budget - kinds.get("slice", 0)
    if objects and options.count_by == "boxes":
        kinds["box"] = left
    elif objects:
        kinds["missed"] = left // 3
        kinds["object"] = left - left // 3
    return kinds


def classes_of(options: AuditPlan, files: dict[str, dict[str, Path]]) -> Classes:
    if options.classes:
        return dict(read_classes(options.classes))
    if "class_ml" not in options.quantity:
        if "volume_fraction" in options.quantity:
            say(f"All labels above 0 count as one class, {EVERYTHING}; --classes NAME=VALUE separates them")
        return {EVERYTHING: None}
    values: set[int] = set()
    for of_case in files.values():
        labels = open_labels(of_case["labels"])
        for planes in slab_starts(labels.shape):
            values |= set(np.unique(labels.voxels[planes]).tolist()) - {0}
        if len(values) > MOST_CLASSES:
            raise PlanewiseError(
                f"{of_case['labels']}: holds more than {MOST_CLASSES} values; name the classes with --classes "
                "NAME=VALUE"
            )
    if not values:
        raise PlanewiseError(f"{options.result}: holds nothing above 0; name the classes with --classes NAME=VALUE")
    say(f"Classes are the values {', '.join(map(str, sorted(values)))}; --classes NAME=VALUE names them")
    return {f"class {value}": (value,) for value in sorted(values)}


def seed_of(files: dict[str, dict[str, Path]]) -> int:
    """Return a seed computed from the masks' voxels: saving the masks again does not change the draw."""
    digest = hashlib.blake2b(digest_size=4)
    for of_case in files.values():
        labels = open_labels(of_case["labels"])
        digest.update(str(labels.shape).encode())
        for planes in slab_starts(labels.shape):
            digest.update(np.asarray(labels.voxels[planes]).astype("<u8").tobytes())
    return int.from_bytes(digest.digest(), "big")


def confidence_of(options: AuditPlan, files: dict[str, dict[str, Path]]) -> dict[str, dict[int, float]]:
    """Return the confidence of objects by case and id, from ``--confidence`` or from the tables beside the labels.

    ``files``: see ``files_of``. Raises PlanewiseError if a table cannot be used or names an unknown case.
    """
    if options.confidence is None:
        return _confidence_beside(files) if options.count_by == "objects" else {}
    option = f"--confidence {options.confidence}"
    if options.count_by != "objects":
        raise PlanewiseError(f"{option}: is for --count_by objects")
    columns = ("case", "object", "confidence")
    confidences: dict[str, dict[int, float]] = {}
    for row in read_table(options.confidence, columns, f"it must be {','.join(columns)}", "--confidence"):
        try:
            label, certain = int(row["object"]), float(row["confidence"])
        except ValueError:
            label, certain = 0, math.nan
        if not math.isfinite(certain):
            raise PlanewiseError(
                f"{option}: object {row['object']!r} of {row['case']} has confidence {row['confidence']!r}; both must "
                "be numbers"
            )
        confidences.setdefault(row["case"], {})[label] = certain
    if unknown := sorted(confidences.keys() - files.keys()):
        raise PlanewiseError(f"{option}: has rows of {unknown[0]}; the cases are {', '.join(sorted(files)[:6])}")
    return confidences


def _confidence_beside(files: dict[str, dict[str, Path]]) -> dict[str, dict[int, float]]:
    confidences = {}
    for name, of_case in files.items():
        table = table_of_objects(of_case["labels"])
        if table.is_file() and (known := read_confidences(table)):
            say(f"{name}: objects are drawn by their confidence in {table.name}; --confidence takes another table")
            confidences[name] = known
    return confidences


def open_case(files: dict[str, Path], options: AuditPlan) -> Source:
    image = files.get("image")
    channel = None if image is None else channel_within(image, options.channel)
    return open_source(files["labels"], image, files.get("within"), channel, options.ignore_geometry)


def length_of(options: AuditPlan, files: dict[str, dict[str, Path]]) -> str:
    """Return the length unit of the findings: um, mm or pixel. Raises PlanewiseError if cases have different units."""
    lengths = {}
    for of_case in files.values():
        labels = open_labels(of_case["labels"])
        unit = labels.unit if labels.unit != PIXEL or "image" not in of_case else _image(of_case, options).unit
        lengths[of_case["labels"]] = "um" if unit == "nm" else unit
    first = next(iter(lengths.values()))
    for path, length in lengths.items():
        if "class_ml" in options.quantity and length != "mm":
            raise PlanewiseError(
                f"{path}: class_ml needs voxels in mm, and these are in {length}; ask for volume_fraction"
            )
        if length != first:
            raise PlanewiseError(f"{path}: is in {length}, and {next(iter(lengths))} in {first}: audit them separately")
    if first == PIXEL:
        say("The files state no voxel size: volumes are in voxels")
    return first


def _image(files: dict[str, Path], options: AuditPlan) -> Volume:
    return open_volume(files["image"], channel_within(files["image"], options.channel))


def case_record(
    name: str,
    files: dict[str, Path],
    fingerprints: dict[str, str],
    unit: str,
    condition: str,
    source: Source,
    length: str,
) -> CaseRecord:
    labels = source.labels
    ending = ".nii.gz" if ending_of(files["labels"]) in (".nii", ".nii.gz") else ".tiff"
    voxel = math.prod(convert(size, labels.unit, length) for size in labels.spacing)
    return CaseRecord(
        name,
        {what: str(path.resolve()) for what, path in files.items()},
        fingerprints,
        unit,
        condition,
        labels.shape,
        voxel,
        length,
        0.0,
        ending,
    )
