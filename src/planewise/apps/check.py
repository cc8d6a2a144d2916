"""check: show on one screen what datasets, volumes and DICOM folders hold, before anything is run."""

import math
import re
from collections import defaultdict
from pathlib import Path

from planewise.apps.check_model import BATCH, ModelToCheck
from planewise.apps.check_options import Check
from planewise.apps.check_result import Checked, as_json, print_checked, written_by_check
from planewise.data.case import channel_within, predictions_beside, refuse_missing
from planewise.data.check import (
    CheckedCase,
    CheckedImage,
    check_cases,
    check_image,
    impossible_size,
    too_large_for_em,
)
from planewise.data.classes import IGNORE
from planewise.data.input_images import images_to_segment
from planewise.data.leaks import shared_voxels
from planewise.data.nnunet import Dataset, holds_anything, open_dataset, read_meta
from planewise.data.nnunet_check import missing_sidecars, nnunet_problems
from planewise.data.own_results import notes_on_predicted
from planewise.data.patients import patients_of
from planewise.data.split import PARTS, VALID_SHARE, draw_split
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.prediction_checks import doubts_of_predictions
from planewise.inference.memory import need_in_memory
from planewise.measurement.density import AIR_AT_MOST_HU
from planewise.progress import WARNING, first_few, progress, say
from planewise.report.tables import print_table, report_problems
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import ending_of, itk
from planewise.volumes.formats.dicom import Contents, read_folder
from planewise.volumes.formats.dicom.stack import stack
from planewise.volumes.json_files import finite, write_json
from planewise.volumes.machine import machine_memory

EM = ("EM", "ELECTRON MICROSCOPY")  # endings of the names of channels of EM, in capitals: FIB-SEM, ssTEM
UNTOLD = re.compile(r"(IMAGE|CHANNEL)?[\d _-]*")  # names of channels that say nothing of what the images are


def check(options: Check) -> int:
    """Check every path and print what it holds. Returns the exit code: 1 if something is wrong.

    Raises PlanewiseError, before any work, for a model or a table of patients that cannot be used.
    """
    if options.json_file is not None and options.json_file.exists() and not written_by_check(options.json_file):
        raise PlanewiseError(f"--json_file {options.json_file}: already exists, and planewise check did not write it")
    refuse_missing(options.patients, "--patients")
    model = None if options.model is None else ModelToCheck.load(options.model)
    checked_cases = []
    for path in options.paths:
        try:
            checked = _check_path(path, options)
        except PlanewiseError as error:
            checked = Checked(path, "unusable", problems=[Problem.of(path, error)])
        if model is not None:
            model.hold_against(checked, options)
        else:
            _note_memory(checked)
        print_checked(checked)
        checked_cases.append(checked)
    if options.json_file is not None:
        write_json(options.json_file, finite([as_json(checked) for checked in checked_cases]))
        say(f"All findings are in {options.json_file}")
    return report_problems([problem for checked in checked_cases for problem in checked.problems])


def _note_memory(checked: Checked) -> None:
    """Note how much memory predicting the largest image takes, in the planes that its spacing allows."""
    images = [case.image for case in checked.cases if case.image is not None]
    if images:
        largest = max(images, key=lambda image: math.prod(image.volume.shape))
        need = need_in_memory(largest.volume, largest.planes, BATCH, 1, "cpu")
        streamed = "; it would be streamed" if need.beside_network > machine_memory() // 2 else ""
        checked.notes.append(f"mito predict of {largest.path.name} needs {need}{streamed}; --model estimates the time")


def _check_path(path: Path, options: Check) -> Checked:
    if not path.exists():
        raise PlanewiseError(f"{path}: no such file or folder")
    if any((path / name).exists() for name in ("dataset.json", "imagesTr", "imagesTs")):
        return _check_dataset(path, options)
    contents = read_folder(path) if path.is_dir() and not ending_of(path) and not volumes_in(path) else None
    if contents is not None and (contents.series or contents.problems):
        return _check_series(path, contents)
    images, problems = images_to_segment(path, options.channel, options.sequence)
    checked = Checked(path, "volumes", problems=problems)
    if not images and not problems:
        problems.append(Problem(str(path), "holds no dataset, volume, image or DICOM series"))
    with progress("reading", len(images), unit="volumes") as advance:
        for name, image in images.items():
            case = CheckedCase(name, "")
            checked.cases.append(case)
            try:
                case.image = check_image(image, channel_within(image, options.channel))
                if why := impossible_size(case.image):
                    checked.problems.append(Problem(str(image), why))
                checked.notes += [f"{image.name}: {doubt}" for doubt in _doubts_of_kind(case.image)]
            except PlanewiseError as error:
                checked.problems.append(Problem.of(image, error))
            advance(1, name)
    return checked


def _check_dataset(path: Path, options: Check) -> Checked:
    meta = read_meta(path)
    train = "dataset" in meta or any(holds_anything(path / f"{what}Tr") for what in ("images", "labels", "instances"))
    dataset = open_dataset(path, train, holds_anything(path / "imagesTs"), options.channel, options.ignore_geometry)
    checked = Checked(path, "nnU-Net raw dataset", problems=list(dataset.problems))
    cases = [(case, "Tr") for case in dataset.train] + [(case, "Ts") for case in dataset.test]
    with progress("reading", len(cases), unit="cases") as advance:
        checked.cases, problems = check_cases(cases, dataset.labels, lambda name: advance(1, name))
    checked.problems += problems
    channels = {str(name).upper() for name in dict(meta.get("channel_names", {})).values()}
    images = [case.image for case in checked.cases if case.image is not None]
    is_ct, is_em = "CT" in channels, any(name.endswith(EM) for name in channels)
    if is_ct:
        checked.problems += [Problem(str(image.path), why) for image in images if (why := _not_in_hu(image))]
    if is_em:
        checked.problems += [Problem(str(image.path), why) for image in images if (why := too_large_for_em(image))]
    if all(map(UNTOLD.fullmatch, channels)):
        checked.notes += _sizes_if_em(images)
    checked.notes += [f"{WARNING}{note}" for case in checked.cases for note in case.notes]
    truths = [case.truth for case in dataset.train if case.truth]
    checked.notes += [f"{WARNING}{note}" for note in notes_on_predicted(truths)]
    with progress("reading predictions", len(predictions_beside(path)), unit="methods") as advance:
        doubts = doubts_of_predictions(path, dataset.labels, options.ignore_geometry, lambda name: advance(1, name))
    checked.notes += [f"{WARNING}{doubt}" for doubt in doubts]
    if train:
        of_nnunet = [p for p in nnunet_problems(path, meta, dataset.labels) if p not in checked.problems]
        checked.notes += [  # planewise accepts it all the same
            f"nnU-Net would refuse it: {problem.where}: {problem.what}" for problem in of_nnunet
        ]
        checked.notes += missing_sidecars(path, meta)
    names = [case.name for case, _ in cases]
    try:
        checked.patients = patients_of(names, options.patient_pattern, options.patients)
    except PlanewiseError as error:
        checked.notes.append(str(error))
    checked.leaks = shared_voxels(
        {case.name: case.image for case in dataset.train},
        {case.name: case.image for case in dataset.test},
        options.channel,
    )
    checked.problems += [Problem(leak.test, f"{leak}: a leak") for leak in checked.leaks]
    checked.problems += _vanishing(dataset, checked)
    if dataset.train and checked.patients and not dataset.train[0].instances:
        _note_split(dataset, checked)
    return checked


def _doubts_of_kind(image: CheckedImage) -> list[str]:
    """Return what is wrong with an image if it is a CT, and if it is EM: no file says which of them it is."""
    if not (not_in_hu := _not_in_hu(image)):
        return []
    doubts = [f"if it is a CT, {not_in_hu}"] if ending_of(image.path) in itk.FORMAT.endings else []
    return doubts + [f"if it is EM, {why}" for why in [too_large_for_em(image)] if why]


def _sizes_if_em(images: list[CheckedImage]) -> list[str]:
    """Return a note on the images of a dataset whose voxels are too large if they are EM, for each size."""
    names = defaultdict(list)
    for image in images:
        if why := too_large_for_em(image):
            names[why].append(image.path.name)
    return [f"{first_few(of_size)}: if it is EM, {why}" for why, of_size in names.items()]


def _not_in_hu(image: CheckedImage) -> str:
    """Return the warning that an image's values are not HU, in case it is a CT; "" if they may be.

    See ``refuse_unless_hu``.
    """
    seen = image.intensities
    if seen.least <= AIR_AT_MOST_HU:
        return ""
    return (
        f"its values, {seen.least:g} to {seen.most:g}, are not HU, in which air is -1000: planewise ild refuses such a "
        "CT; apply its rescale slope and intercept"
    )


def _vanishing(dataset: Dataset, checked: Checked) -> list[Problem]:
    """Return a problem for each class that no training case has, and one if no training case has any object."""
    trained = [case for case in checked.cases if case.part == "Tr" and case.classes]
    if not trained:
        return []
    totals: dict[str, int] = {}
    for case in trained:
        for name, of_class in case.classes.items():
            totals[name] = totals.get(name, 0) + of_class.voxels
    return [
        Problem(str(dataset.folder), f"no training case has {name}: it cannot be learned")
        for name, voxels in totals.items()
        if not voxels and name != IGNORE
    ]


def _note_split(dataset: Dataset, checked: Checked) -> None:
    """Note how ``ild prepare`` would split the patients with its default shares and seed."""
    present = {
        case.name: frozenset(
            number for number, (name, of_class) in enumerate(case.classes.items()) if of_class.voxels and name != IGNORE
        )
        for case in checked.cases
    }
    train, test = ([case.name for case in cases] for cases in (dataset.train, dataset.test))
    try:
        split = draw_split(checked.patients, train, test, present.__getitem__, VALID_SHARE, 0)
    except PlanewiseError as error:
        checked.notes.append(str(error))
        return
    patients = {part: sorted({checked.patients[name] for name in split[part]}) for part in PARTS}
    parts = [f"{part} {', '.join(patients[part]) or 'none'}" for part in PARTS]
    checked.notes.append(f"patients, as planewise ild prepare splits them: {'; '.join(parts)}")


def _check_series(path: Path, contents: Contents) -> Checked:
    """List the DICOM series of a folder, and say why those that cannot be read cannot."""
    checked = Checked(path, "DICOM folder", problems=list(contents.problems))
    if contents.left_out:
        checked.notes.append(f"{path}: {contents.left_out_text}")
    rows = []
    for entry in contents.series:
        trouble = "ok"
        try:
            stack(entry)
        except PlanewiseError as error:
            trouble = "cannot be read"
            checked.problems.append(Problem.of(entry.folder, error))
        spacing = "" if entry.spacing_mm is None else f"{entry.spacing_mm:g}"
        rows.append(
            (
                entry.patient,
                entry.study_date,
                entry.title,
                entry.kernel,
                str(len(entry.slices)),
                spacing,
                entry.orientation,
                trouble,
            )
        )
    header = ("patient", "date", "series", "kernel", "slices", "mm apart", "orientation", "status")
    print_table(f"{path}: {len(rows)} DICOM series", header, rows)
    return checked
