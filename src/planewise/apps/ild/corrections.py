"""Training from corrections: makes slices of what is known of corrected classes.

::

    {work_dir}/corrections.json       marks slices made here, and from what; complete once the slices are
    {work_dir}/npy/                   see ``data.prepared``; unknown voxels are ignored
    {work_dir}/npz_corrected/         the whole patients, for the new model to predict
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.ild.cohort import cts_in
from planewise.apps.ild.lungs import lungs_of
from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.prepare import WINDOW_FILE
from planewise.apps.ild.prepared_folder import SLICES
from planewise.correction.canvas import whole
from planewise.correction.corrected import (
    MADE_FROM,
    corrected_volumes,
    image_behind,
    manifest_behind,
    model_behind,
    refuse_other_corrections,
    refuse_several_machines,
    say_what_is_wrong,
)
from planewise.correction.journal import JOURNAL, corrections_folder
from planewise.correction.session import Corrections
from planewise.correction.truth import KnownLabels, known_classes
from planewise.data.case import channel_within
from planewise.data.classes import DATASET_FILE
from planewise.data.manifest import Manifest
from planewise.data.patients import patients_or_cases
from planewise.data.preparation import MadeFrom, Record, sha256_of
from planewise.data.prepared import IGNORED, Patient, load_patient, read_patient, save_patient, save_slices
from planewise.data.source_image import PREPARED
from planewise.data.space import laid_on
from planewise.errors import PlanewiseError
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.progress import progress, say, warn
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import to_canonical
from planewise.volumes.json_files import read_json, write_json

PATIENTS = "npz_corrected"
HELD_OUT = 0.2  # of a patient's slices, at one end, if there are fewer than three patients
SCORE = "Dice or, with class tokens, its mean with the share of correctly absent classes"


def with_corrections(options: IldTrain, result: Path) -> IldTrain:
    """Make slices of the known voxels of ``result``, and return the options with the model that made it.

    Raises PlanewiseError if nothing is known, if no manifest says what made the result, or if other slices are there.
    """
    if options.npy_path is not None:
        raise PlanewiseError("--npy_path: with --corrections the slices are made, in work_dir")
    refuse_several_machines(options.num_nodes)
    work = options.work_dir
    if (work / SLICES).exists() and not (work / MADE_FROM).is_file():
        raise PlanewiseError(f"{work}: holds slices that were not made from corrections; give another work_dir")
    if options.resume and (work / MADE_FROM).is_file():
        refuse_other_corrections(work / MADE_FROM, result, "margin_mm", options.margin_mm)
    volumes = corrected_volumes(result)
    manifests = {case: manifest_behind(path, "ild predict") for case, path in volumes.items()}
    if options.base is None and not options.from_scratch:
        first = model_behind(manifests, "--base")
        model = Path(first.model or str(first.made_from.options.get("model named", "")))
        say(f"The training starts from {model}, which made {result}")
        options = options.model_copy(update={"base": model})
    if options.base is None:
        raise PlanewiseError("--from_scratch: with --corrections the training starts from a model; leave it out")
    if options.base.resolve().parent == (work / options.task_name).resolve():
        raise PlanewiseError(
            f"--task_name {options.task_name}: the training would replace {options.base}, which it starts from and is "
            "compared with; give another name, or another work_dir"
        )
    weights = load_sam2(options.base, options.image_size)
    if weights.tokens is not None and options.train_prompts == "truth":
        say("The model segments classes without boxes too: it is trained for both (--train_prompts mixed)")
        options = options.model_copy(update={"train_prompts": "mixed"})
    if not options.resume:
        _write_slices(options, volumes, manifests, weights)
    return options


def _write_slices(
    options: IldTrain, volumes: dict[str, Path], manifests: dict[str, Manifest], weights: Sam2Weights
) -> None:
    work = options.work_dir
    window = _window(manifests, weights)
    known = _known(options, volumes, manifests, window)
    if not known:
        raise PlanewiseError(f"--corrections {options.corrections}: in no case a class was confirmed or corrected")
    held_out = _held_out({case: truth for case, (_, truth) in known.items()})
    made_from: dict[str, Any] = {"corrections of": {case: str(path.resolve()) for case, path in volumes.items()}}
    write_json(work / MADE_FROM, made_from)  # without what makes it whole, as long as the slices are not
    shutil.rmtree(work / SLICES, ignore_errors=True)
    shutil.rmtree(work / PATIENTS, ignore_errors=True)
    (work / PATIENTS).mkdir(parents=True)
    made_from["journals"] = {case: sha256_of(corrections_folder(path) / JOURNAL) for case, path in volumes.items()}
    made_from["margin_mm"] = options.margin_mm
    for case, (patient, truth) in known.items():
        labels = np.where(truth.known, truth.labels, IGNORED).astype(np.uint8)
        for part, chosen in (("train", ~held_out[case]), ("valid", held_out[case])):
            keep = np.flatnonzero(truth.known.any(axis=(1, 2)) & chosen)
            organ = None if patient.organ is None else patient.organ[keep]
            save_slices(
                work / SLICES / part,
                replace(patient, images=patient.images[keep], labels=labels[keep], kept=keep, organ=organ),
            )
        save_patient(work / PATIENTS / f"{case}.npz", patient)
    write_json(work / WINDOW_FILE, list(window))
    classes = _classes(weights, {value for _, truth in known.values() for value in truth.objects})
    labels_of = {"background": 0, **{name: value for value, name in classes.items()}}
    about = {"channel_names": {"0": "CT"}, "labels": labels_of, "numTraining": len(known), "file_ending": ".nii.gz"}
    write_json(work / DATASET_FILE, about)
    write_json(work / MADE_FROM, made_from)


def _known(
    options: IldTrain, volumes: dict[str, Path], manifests: dict[str, Manifest], window: tuple[float, float]
) -> dict[str, tuple[Patient, KnownLabels]]:
    """Return the patients in whom some class is known, by case, each with what is; the others are printed.

    Raises PlanewiseError if nothing is known of an only case, or if an image cannot be used.
    """
    given = None
    if options.image is not None:
        given, wrong = cts_in(options.image, None, None)
        say_what_is_wrong(wrong)
    known: dict[str, tuple[Patient, KnownLabels]] = {}
    with progress("reading corrections", len(volumes), unit="cases") as advance:
        for case, path in volumes.items():
            with Corrections(path) as corrections:
                try:
                    truth = known_classes(corrections, options.margin_mm)
                except PlanewiseError as error:
                    if len(volumes) == 1:
                        raise
                    say(f"{error}; it is left out")
                    continue
                channel = manifests[case].made_from.options.get("channel")
                patient = _patient(case, corrections, image_behind(case, volumes, given), channel, window, options)
            known[case] = patient, truth
            names = ", ".join(map(str, truth.objects))
            several = len(truth.objects) > 1
            known_classes_are = f"classes {names} are" if several else f"class {names} is"
            say(f"{case}: {known_classes_are} known, and {truth.known.mean():.1%} of the voxels")
            advance(1, case)
    return known


def _classes(weights: Sam2Weights, values: set[int]) -> dict[int, str]:
    """Return the names of the model's classes, and of those among ``values`` that it does not have, with a warning."""
    names = weights.tokens.names if weights.tokens else {}
    new = {value: f"class {value}" for value in sorted(values) if value not in names}
    if weights.tokens and new:
        there = ", ".join(f"{value} {name}" for value, name in names.items())
        warn(f"{', '.join(new.values())}: the model has only {there}; it is learned from scratch")
    return {**names, **new}


def record_of_known(npy: Path, made_from: Path, options: IldTrain) -> Record:
    """Return the record of slices in ``npy`` made from corrections, which the file ``made_from`` describes; print that
    later corrections are not in them.
    """
    content = read_json(made_from)
    if missing := {"corrections of", "margin_mm", "journals"} - content.keys():
        raise PlanewiseError(
            f"{made_from}: does not state {', '.join(sorted(missing))}: an older version made the slices, or it was "
            "interrupted; give --corrections without --resume, which makes them again"
        )
    if options.corrections is None:
        corrected = ", ".join(content["corrections of"].values())
        say(
            f"{npy} was made from the corrections of {corrected}: later corrections are not in it; to train on "
            "them too, give --corrections"
        )
    elif options.resume:
        say(f"{npy} holds what was known when this training began; later corrections are for the next one")
    return Record(
        MadeFrom({"command": "ild train --corrections", "margin_mm": content["margin_mm"]}, content["journals"])
    )


def _held_out(known: dict[str, KnownLabels]) -> dict[str, np.ndarray]:
    """Return and print the held-out slices of each case: all those of the patient with the fewest known voxels.

    With one or two patients, the last of their known slices.
    """
    patients = patients_or_cases(known)
    count = dict.fromkeys(patients.values(), 0)
    for case, truth in known.items():
        count[patients[case]] += int((truth.known & (truth.labels > 0)).sum())
    if len(count) > 2:
        held = min(count, key=lambda patient: count[patient])
        say(f"Held out: patient {held}")
        return {case: np.full(len(truth.known), patients[case] == held) for case, truth in known.items()}
    held_slices = {}
    for case, truth in known.items():
        slices = np.flatnonzero((truth.known & (truth.labels > 0)).any(axis=(1, 2)))
        first = slices[-max(1, round(HELD_OUT * len(slices)))] if len(slices) > 1 else len(truth.known)
        held_slices[case] = np.arange(len(truth.known)) >= first
        say(f"{case}: slices from {first} upwards (z) are held out" if len(slices) > 1 else f"{case}: one slice, kept")
    return held_slices


def _patient(
    case: str,
    corrections: Corrections,
    image: Path | Series,
    channel: int | None,
    window: tuple[float, float],
    options: IldTrain,
) -> Patient:
    """Return the whole patient with the corrected labels, and with the lungs if the model searches them for classes."""
    result, volume = corrections.result, corrections.canvas.volume
    if isinstance(image, Path) and image.suffix == PREPARED:
        patient = load_patient(image)
        if len(patient.kept) < to_canonical(patient.geometry).shape[0]:
            raise PlanewiseError(f"{image}: lacks slices, so {result} cannot be trained on; predict from the CT")
    else:
        patient, hu = read_patient(case, image, None, *window, channel=channel_within(image, channel))
        if options.train_prompts != "truth":
            patient = replace(patient, organ=lungs_of(patient, hu, image, None))
    placed = laid_on(
        volume.with_voxels(corrections.canvas.read(whole(corrections.canvas))), result, patient.geometry, image
    )
    return replace(patient, case=case, labels=to_canonical(placed, labels=True).read().astype(np.uint8))


def _window(manifests: dict[str, Manifest], weights: Sam2Weights) -> tuple[float, float]:
    """Return the common window of all results' predictions, or their model's. Raises PlanewiseError."""
    recorded = [manifest.made_from.options.get("window") or weights.window for manifest in manifests.values()]
    windows = {case: (float(window[0]), float(window[1])) for case, window in zip(manifests, recorded) if window}
    if len(windows) < len(manifests):
        raise PlanewiseError("--corrections: neither the result nor its model states the window of the prediction")
    if len(set(windows.values())) > 1:
        listed = "; ".join(f"{case} in {level:g}/{width:g}" for case, (level, width) in windows.items())
        raise PlanewiseError(
            f"--corrections: the results were predicted in different windows (level/width): {listed}; a training has "
            "one window: give results of one window"
        )
    return next(iter(windows.values()))
