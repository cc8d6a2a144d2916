"""Training from corrections: makes slices of what is known of corrected classes, and lists where the new model differs.

::

    {work_dir}/corrections.json       marks slices made here, and from what; complete once the slices are
    {work_dir}/npy/                   see ``data.prepared``; unknown voxels are ignored
    {work_dir}/npz_corrected/         the whole patients, for the new model to predict
    {work_dir}/{task_name}/predicted/, worklist.csv
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.ild.cohort import cts_in
from planewise.apps.ild.lungs import lungs_of
from planewise.apps.ild.options import IldPredict, IldTrain
from planewise.apps.ild.predict import predict_ild
from planewise.apps.ild.prepare import WINDOW_FILE
from planewise.apps.ild.prepared_folder import SLICES
from planewise.correction.corrected import (
    MADE_FROM,
    corrected_volumes,
    image_behind,
    manifest_behind,
    model_behind,
    refuse_other_corrections,
    refuse_several_machines,
    say_what_is_wrong,
    write_next,
)
from planewise.correction.journal import JOURNAL, corrections_folder
from planewise.correction.session import Corrections
from planewise.correction.truth import KnownLabels, known_classes
from planewise.correction.worklist import Item
from planewise.data.case import channel_within
from planewise.data.classes import DATASET_FILE
from planewise.data.manifest import MANIFEST, Manifest, named_weights, read_manifest, weights_in
from planewise.data.patients import patients_or_cases
from planewise.data.preparation import MadeFrom, Record, sha256_of
from planewise.data.prepared import IGNORED, Patient, load_patient, read_patient, save_patient, save_slices
from planewise.data.source_image import PREPARED
from planewise.data.space import laid_on
from planewise.errors import PlanewiseError
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.progress import progress, say
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import place_from_canonical, to_canonical
from planewise.volumes.json_files import read_json, write_json
from planewise.volumes.labels import read_labels

PATIENTS = "npz_corrected"
HELD_OUT = 0.2  # of a patient's slices, at one end, if there are fewer than three patients
LEAST = 16  # differing pixels that put a slice on the work list; the smallest object that predict keeps
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
    if not known:
        raise PlanewiseError(f"--corrections {options.corrections}: no class was confirmed or corrected in any case")
    held_out = _held_out({case: truth for case, (_, truth) in known.items()})
    made_from: dict[str, Any] = {"corrections of": {case: str(path.resolve()) for case, path in volumes.items()}}
    write_json(work / MADE_FROM, made_from)  # incomplete until the slices are written
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
    values = sorted({value for _, truth in known.values() for value in truth.objects})
    known_names = weights.tokens.names if weights.tokens else {}
    new = {value: f"class {value}" for value in values if value not in known_names}
    if weights.tokens and new:
        there = ", ".join(f"{value} {name}" for value, name in known_names.items())
        say(f"WARNING: {', '.join(new.values())}: the model has only {there}; it is learned from scratch")
    classes = {**known_names, **new}
    labels_of = {"background": 0, **{name: value for value, name in classes.items()}}
    about = {"channel_names": {"0": "CT"}, "labels": labels_of, "numTraining": len(known), "file_ending": ".nii.gz"}
    write_json(work / DATASET_FILE, about)
    write_json(work / MADE_FROM, made_from)


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
    placed = laid_on(volume.with_voxels(corrections.canvas.read(_whole(volume.shape))), result, patient.geometry, image)
    return replace(patient, case=case, labels=to_canonical(placed, labels=True).read().astype(np.uint8))


def _whole(shape: tuple[int, int, int]) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    z, y, x = ((0, side) for side in shape)
    return z, y, x


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


def predict_again(options: IldTrain, result: Path, model: Path) -> int:
    """Predict the corrected cases with ``model``, unless done, and write the next work list. Returns the exit code.

    Without boxes if the model can; else with boxes around the classes in the corrected result.
    """
    folder = options.work_dir / options.task_name
    made = read_manifest(folder / "predicted" / MANIFEST)  # of this training, if it was finished before
    of = "" if made is None else str(made.made_from.options.get("model", ""))
    same = weights_in(of) == weights_in(named_weights(model))
    prompts = "truth" if load_sam2(model, options.image_size).tokens is None else "auto"
    again = IldPredict(
        input=options.work_dir / PATIENTS,
        output=folder / "predicted",
        trained_model=str(model),
        prompts=prompts,
        bbox_shift=options.bbox_shift,
        device=options.device,
        devices=options.devices,
        precision=options.precision,
        overwrite=options.overwrite or not same,
    )
    code = predict_ild(again)
    _write_next_worklist(options, result, folder, model)
    return code


def _write_next_worklist(options: IldTrain, result: Path, folder: Path, model: Path) -> None:
    """Write the slices in which the ``model`` differs, largest difference first, without what is known."""
    differing: list[tuple[int, Item]] = []
    for case, path in corrected_volumes(result).items():
        predicted_as = folder / "predicted" / f"{case}.nii.gz"
        if not predicted_as.exists():  # nothing was known of it, or its prediction failed with a message
            continue
        predicted = to_canonical(read_labels(predicted_as), labels=True).read()
        with Corrections(path) as corrections:
            volume = corrections.canvas.volume
            known = known_classes(corrections, options.margin_mm).known
            labels = to_canonical(volume.with_voxels(corrections.canvas.read(_whole(volume.shape)))).read()
        differs = (predicted != labels) & ~known
        for z in np.flatnonzero(differs.sum(axis=(1, 2)) >= LEAST).tolist():
            places = np.argwhere(differs[z])
            y, x = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
            both = np.unique([labels[z][differs[z]], predicted[z][differs[z]]])
            classes = tuple(int(value) for value in both if value)
            what = f"the model outlines class {', '.join(map(str, classes))} differently: {len(places)} pixels"
            place = place_from_canonical((z, y, x), volume)
            differing.append((len(places), Item(f"{case}: slice {z}", case, what, classes, place)))
    items = [item for _, item in sorted(differing, key=lambda pair: -pair[0])]
    write_next(folder / "worklist.csv", items, result, model)
