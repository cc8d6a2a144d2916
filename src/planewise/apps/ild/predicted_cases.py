"""The inputs of ``ild predict``: patients, their prompts, and the names of classes."""

from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from planewise.apps.ild.cohort import cts_in
from planewise.apps.ild.lungs import lungs_of, mask_of
from planewise.apps.ild.options import IldPredict
from planewise.data.case import channel_within, file_of_case
from planewise.data.classes import DATASET_FILE, LabelDefinition, labels_above, read_labels_of
from planewise.data.prepared import IGNORED, Patient, load_patient, read_patient
from planewise.data.source_image import PREPARED
from planewise.errors import PlanewiseError, Problem
from planewise.inference.prompts import Prompt, read_prompts
from planewise.progress import say
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import to_canonical

DICOM_SEG = "dicom-seg"  # of --format
AUTOMATIC = ("auto", "lungs")  # prompts without drawn boxes
KINDS = {"truth": "truth (an oracle)", "auto": "auto", "lungs": "lungs (each slice by itself)"}  # as outputs name them


def prompts_note(options: IldPredict) -> str:
    """Return where boxes come from, as outputs state it."""
    return KINDS.get(options.prompts, options.prompts)


def patients_of(options: IldPredict) -> tuple[dict[str, Path | Series], list[Problem]]:
    """Return the files or DICOM series to predict, by case, and the problems of others."""
    prepared = [options.input] if options.input.suffix == PREPARED else sorted(options.input.glob(f"*{PREPARED}"))
    if prepared and options.series is None:
        return {path.stem: path for path in prepared}, []
    return cts_in(options.input, options.channel, options.series)


def is_prepared(path: Path | Series) -> TypeGuard[Path]:
    """Whether a file is a patient of ``planewise ild prepare``."""
    return isinstance(path, Path) and path.suffix == PREPARED


def inputs_of(case: str, path: Path | Series, options: IldPredict) -> list[Path]:
    """Return the files that a case's results are made from, without the model."""
    inputs = [path] if isinstance(path, Path) else list(path.files)
    if options.truth is not None and options.prompts == "truth" and not is_prepared(path):
        inputs.append(file_of_case(case, options.truth, "truth"))
    if options.prompts not in KINDS:
        inputs.append(Path(options.prompts))
    if options.format == DICOM_SEG and options.codes is not None:
        inputs.append(options.codes)
    if options.lungs is not None and options.prompts in AUTOMATIC and not is_prepared(path):
        inputs.append(mask_of(case, options.lungs))
    return inputs


def open_patient(case: str, path: Path | Series, options: IldPredict) -> Patient:
    """Return a patient, with lungs if they are needed."""
    if is_prepared(path):
        return load_patient(path)
    level, width = options.window_in_hu()
    truth = None
    if options.truth is not None and options.prompts == "truth":
        truth = file_of_case(case, options.truth, "truth")
    ignore = None if truth is None else labels_above(truth).ignore
    patient, hu = read_patient(
        case, path, truth, level, width, ignore, channel_within(path, options.channel), options.ignore_geometry
    )
    if options.prompts in AUTOMATIC:
        return replace(patient, organ=lungs_of(patient, hu, path, options.lungs, options.ignore_geometry))
    return patient


def prompts_of_file(
    path: Path, patients: dict[str, Path | Series], names: dict[int, str], options: IldPredict, problems: list[Problem]
) -> dict[str, list[Prompt]]:
    """Return the boxes of a table by case, in slices of the canonical volumes; rows that do not fit go to ``problems``.

    ``names``: the model's class names by value; if it has none, they come from the dataset.json above the input.
    Raises PlanewiseError if no row fits.
    """
    shapes, spacings = {}, {}
    for case, file in patients.items():
        try:
            if is_prepared(file):
                geometry = load_patient(file).geometry
            else:
                geometry = open_volume(file, channel_within(file, options.channel))
        except PlanewiseError:
            continue  # reported when it is predicted
        if any(geometry.tilt):
            say(f"{case}: the gantry was tilted; boxes are taken to lie on its slices as they were moved upright")
        canonical = to_canonical(geometry)
        shapes[case], spacings[case] = canonical.shape, canonical.spacing_in("mm")
    classes = {value: str(value) for value in range(1, IGNORED)}
    classes |= names or labels_above_input(options).class_names()
    prompts, unusable = read_prompts(path, shapes, spacings, classes)
    problems += [Problem(str(path), what) for what in unusable]
    if not prompts:
        raise PlanewiseError(f"{path}: no row fits: {'; '.join(unusable[:3]) or 'it is empty'}")
    return prompts


def labels_above_input(options: IldPredict) -> LabelDefinition:
    """Return the labels in the dataset.json above the input, if there is one."""
    above = [folder / DATASET_FILE for folder in options.input.resolve().parents[:3]]  # prepare leaves one there too
    meta = next((file for file in above if file.is_file()), None)
    return LabelDefinition() if meta is None else read_labels_of(meta)
