"""Segment patients: objects that boxes start from, or every class that is found in the lungs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from planewise.apps.ild.codes import segments_of
from planewise.apps.ild.cohort import cts_in
from planewise.apps.ild.dicom_results import of_manifest
from planewise.apps.ild.lungs import NEAR_MM, lungs_of, mask_of, near_lungs
from planewise.apps.ild.options import IldPredict
from planewise.apps.ild.summary import certainties_of, write_summary
from planewise.data.case import channel_within, file_of_case
from planewise.data.classes import DATASET_FILE, LabelDefinition, labels_above, read_labels_of
from planewise.data.prepared import IGNORED, Patient, is_object, load_patient, read_patient
from planewise.data.run import MANIFEST, Run, read_manifest, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.presence import presence_file, write_presence
from planewise.inference.automatic import Place, SliceFindings, find_in_slices, segment_within
from planewise.inference.executor import Executor, SchedulerGone, executor
from planewise.inference.novelty import Novelty, novelty_of
from planewise.inference.object_memory import propagate_memory
from planewise.inference.prompts import Prompt, prompts_from_truth, read_prompts
from planewise.inference.propagation import Encoder, Propagation, PropagationOptions, propagate
from planewise.inference.worker import Source
from planewise.models.reliability import ClassReliability
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.sam2_memory import MemorySegmenter, require_memory
from planewise.models.seen_data import SeenData
from planewise.models.zoo import is_hub_id, located
from planewise.progress import progress, say
from planewise.report.figures import overlay_picture
from planewise.report.tables import report_problems
from planewise.volumes import itk_snap
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.dicom.segmentation import write_segmentation
from planewise.volumes.formats.dicom.sources import require_highdicom, source_headers
from planewise.volumes.geometry import to_canonical
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

DICOM_SEG = "dicom-seg"
Decided = dict[str, Any]  # what a manifest says of a case
AUTOMATIC = ("auto", "lungs")  # prompts that nobody drew
MUCH_OUTSIDE = 0.1  # of what was shown: where more lay away from the lungs, a warning says so
KINDS = {"truth": "truth (an oracle)", "auto": "auto", "lungs": "lungs (each slice by itself)"}  # and in outputs


def predict_ild(options: IldPredict) -> int:
    """Segment patients. Returns the exit code; see ``prepare_ild`` for errors."""
    device = choose_device(options.device)
    if options.trained_model == "none" and options.base is None:
        raise PlanewiseError("--trained_model none predicts with --base, which is missing")
    if options.lungs is not None and options.prompts not in AUTOMATIC:
        raise PlanewiseError(f"--lungs {options.lungs}: is for --prompts auto or lungs; boxes need no lungs")
    patients, problems = _patients(options)
    if options.lungs is not None and patients and all(map(_is_prepared, patients.values())):
        raise PlanewiseError(
            f"--lungs {options.lungs}: is for CT volumes; prepared patients hold their lungs (ild prepare --lungs)"
        )
    given: dict[str, list[Prompt]] = {}
    source = located(Path(_model_name(options)))
    weights = load_sam2(source, options.image_size)  # by this process too, so that bad weights are refused
    if options.prompts in AUTOMATIC and weights.tokens is None:
        raise PlanewiseError(
            f"--prompts {options.prompts}: {source} was trained with drawn boxes alone; train it with --train_prompts "
            "mixed"
        )
    memory_of = source if options.propagation == "memory" else None
    if memory_of is not None:
        require_memory(weights, memory_of)
    volumes = [path for path in patients.values() if not _is_prepared(path)]
    if volumes and weights.window not in (None, options.window_in_hu()):
        trained, now = (f"{level:g}/{width:g}" for level, width in (weights.window, options.window_in_hu()))
        say(f"WARNING: {source} was trained in the window {trained}, and is used in {now}: see --window_level")
    if options.format == DICOM_SEG:
        _refuse_what_is_no_dicom(patients, weights.tokens.names if weights.tokens else {}, options)
    if options.prompts not in KINDS:
        given = _file_prompts(Path(options.prompts), patients, options, problems)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    run = Run.begin(
        options.output / MANIFEST, "ild predict", _decisive(options, source, half), source if source.exists() else None,
        patients, options.overwrite,
    )  # fmt: skip
    refuse_folder_of_inputs((path for path in patients.values() if isinstance(path, Path)), options.output, "output")
    waiting: dict[str, Path | Series] = {}
    for case, path in patients.items():
        try:
            inputs = _inputs(case, path, options)
            if run.is_done(case, inputs):
                say(f"{case}: done already, by the same model from the same data ({_target(case, options)})")
            else:
                if options.format == DICOM_SEG and isinstance(path, Series):  # before hours of work, not after
                    source_headers(replace(path, slices=path.slices[:1]))
                run.start(case, inputs, _outputs(case, options))
                waiting[case] = path
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
    if not waiting:
        return report_problems(problems)
    devices = min(options.devices, len(waiting))
    fallback = options.stability_fallback
    segmenters: Source = partial(  # which are loaded
        Segmenting.of, weights, half=half, fallback=fallback, memory_of=memory_of
    )
    if options.scheduler or devices > 1:
        where = source if is_hub_id(source) else source.resolve()
        segmenters = _SegmenterSource(where, options.image_size, half, fallback, options.propagation == "memory")
    with executor(segmenters, device, devices, scheduler=options.scheduler) as workers:
        for case, outcome, is_over in _shared(workers, options, waiting, given):
            if isinstance(outcome, Problem):
                problems.append(outcome)
                if is_over:
                    run.fail(case)
            else:
                try:
                    run.finish(case, {"prompts": _prompts_note(options), **outcome})
                except PlanewiseError as error:
                    problems.append(Problem.of(case, error))
    _describe_labels(options, weights.tokens.names if weights.tokens else {})
    return report_problems(problems)


DECISIVE = {
    "prompts",
    "stability_fallback",
    "components",
    "image_size",
    "bbox_shift",
    "channel",
    "ignore_geometry",
    "series",
}


def _decisive(options: IldPredict, source: Path, half: bool) -> dict[str, object]:
    """Return the options that decide what the results are; files among them are inputs."""
    trained = "none" if options.trained_model == "none" else "the model's"
    return options.model_dump(mode="json", include=DECISIVE) | {
        "prompts": _prompts_note(options), "window": options.window_in_hu(), "fine-tuning": trained,
        "precision": "bf16" if half else "32", "model named": "" if source.exists() else str(source),
        **({} if options.propagation == "boxes" else {"propagation": options.propagation}),
        **({} if options.format == "nii.gz" else {"format": options.format}),  # as both were before there were others
    }  # fmt: skip


def _inputs(case: str, path: Path | Series, options: IldPredict) -> list[Path]:
    """Return the files that a case's results are made from, but for the model."""
    inputs = [path] if isinstance(path, Path) else list(path.files)
    if options.truth is not None and options.prompts == "truth" and not _is_prepared(path):
        inputs.append(file_of_case(case, options.truth, "truth"))
    if options.prompts not in KINDS:
        inputs.append(Path(options.prompts))
    if options.format == DICOM_SEG and options.codes is not None:
        inputs.append(options.codes)
    if options.lungs is not None and options.prompts in AUTOMATIC and not _is_prepared(path):
        inputs.append(mask_of(case, options.lungs))
    return inputs


def _outputs(case: str, options: IldPredict) -> list[Path]:
    """Return the files of a case's results; its labels are the last to be written."""
    outputs = [presence_file(options.output, case)] if options.prompts in AUTOMATIC else []
    outputs += [options.output / f"{case}.html"] if options.prompts == "auto" else []
    outputs += [options.output / f"{case}.png"] if options.visualize else []
    return [*outputs, _target(case, options)]


def _target(case: str, options: IldPredict) -> Path:
    """Return where a case's labels go."""
    return options.output / f"{case}.{'seg.dcm' if options.format == DICOM_SEG else options.format}"


def _refuse_what_is_no_dicom(patients: dict[str, Path | Series], names: dict[int, str], options: IldPredict) -> None:
    """Raise PlanewiseError if DICOM segmentations are wanted and cannot be written of these patients and classes."""
    require_highdicom()
    others = [str(path) for path in patients.values() if isinstance(path, Path)]
    if others:
        raise PlanewiseError(
            f"--format {DICOM_SEG}: is a segmentation of a DICOM series, and {others[0]} is none; give the folder of "
            "the series, or another format"
        )
    named = names or _labels_above(options).classes
    if not named:
        raise PlanewiseError(f"--format {DICOM_SEG}: nothing names the classes, neither the model nor a dataset.json")
    segments_of(named, options.codes)


def _shared(
    workers: Executor, options: IldPredict, waiting: dict[str, Path | Series], given: dict[str, list[Prompt]]
) -> Iterator[tuple[str, Problem | Decided, bool]]:
    """Have the patients segmented, each one by itself; yield each with what came of it, and whether it is over.

    Where it is not, nobody can be asked any more, and a worker may yet write its results.
    """
    submitted: dict[str, Any] = {}
    there = _resolved_options(options) if options.scheduler else options

    def outcome(case: str) -> tuple[str, Problem | Decided, bool]:
        try:
            return case, workers.result(submitted[case]), True
        except SchedulerGone as error:
            return case, Problem.of(waiting[case], error), False
        except Exception as error:  # a worker that cannot load the model, or is lost; the others are still wanted
            return case, Problem.of(waiting[case], error), True

    for case, path in waiting.items():
        seen = _resolved(path) if options.scheduler else path
        try:
            submitted[case] = workers.submit_loaded(_predict_patient, case, seen, given.get(case, []), there)
        except PlanewiseError as error:  # the scheduler is gone
            yield case, Problem.of(path, error), True
            continue
        if not workers.size:  # this process did it by now
            yield outcome(case)
    if workers.size:
        yield from map(outcome, submitted)


def _model_name(options: IldPredict) -> str:
    return str(options.base) if options.trained_model == "none" else options.trained_model


def _prompts_note(options: IldPredict) -> str:
    return KINDS.get(options.prompts, options.prompts)


@dataclass(frozen=True)
class Segmenting:
    """What segments in a process; ``names``: of the classes that it can find by itself.

    ``reliability`` and ``seen``: see ``Sam2Weights``.
    """

    segmenter: BoxSegmenter
    names: dict[int, str]
    device: str
    half: bool
    reliability: dict[int, ClassReliability]
    seen: SeenData | None
    propagation: Propagation = propagate

    @classmethod
    def of(
        cls, weights: Sam2Weights, device: str, half: bool, fallback: bool, memory_of: Path | None = None
    ) -> "Segmenting":
        """``memory_of``: the file of the weights, if objects are to go on by SAM2's memory; else they do by boxes."""
        names, propagation = weights.tokens.names if weights.tokens else {}, propagate
        if memory_of is not None:
            memory = MemorySegmenter(weights, memory_of, fallback).to(device).frozen()
            propagation = partial(propagate_memory, segmenter=memory)
        segmenter = BoxSegmenter(weights.network, weights.tokens, fallback=fallback).to(device).frozen()
        return cls(segmenter, names, device, half, weights.reliability, weights.seen, propagation)


@dataclass(frozen=True)
class _SegmenterSource:
    """Where a worker loads what segments from."""

    weights: Path
    image_size: int | None
    half: bool
    fallback: bool
    memory: bool

    def __call__(self, device: str) -> Segmenting:
        weights, memory_of = load_sam2(self.weights, self.image_size), self.weights if self.memory else None
        return Segmenting.of(weights, device, self.half, self.fallback, memory_of)


def _predict_patient(
    segmenting: Segmenting, case: str, path: Path | Series, given: list[Prompt], options: IldPredict
) -> Problem | Decided:
    """Segment one patient and write the result; return what was decided about it, or what went wrong."""
    target, note = _target(case, options), _prompts_note(options)
    try:
        started = time.perf_counter()
        patient = _open_patient(case, path, options)
        labels, started_from, findings, novelty = segment_patient(segmenting, patient, given, options)
        names = segmenting.names
        about = about_case(patient, findings, novelty)
        for warning in about.warnings:
            say(f"WARNING: {case}: {warning}")
        if findings is not None:
            certainties = certainties_of(findings, segmenting.reliability, list(names))
            both = certainties.probabilities, certainties.dices
            columns = (patient.on_every_slice(of_slices, np.nan) for of_slices in both)
            scores = patient.on_every_slice(findings.scores, -np.inf)
            write_presence(presence_file(options.output, case), scores, names, *columns)
            if options.prompts == "auto" and patient.organ is not None:
                page, model = options.output / f"{case}.html", _model_name(options)
                write_summary(page, patient, patient.organ, labels, certainties, names, model, about.warnings)
        values = np.unique(labels[labels > 0]).tolist()
        if options.visualize:
            named = {value: names.get(value, f"class {value}") for value in values}
            picture = options.output / f"{case}.png"
            overlay_picture(patient.images, patient.labels, labels, named, picture, f"{case}, boxes from {note}")
        class_names = _names_of_labels(options, names)
        # Last: a case with it is done.
        _write(target, path, patient.restore(labels).as_labels(class_names), class_names, options)
        seconds = time.perf_counter() - started
        classes = ", ".join(names.get(value, str(value)) for value in values) or "nothing"
        say(f"{case}: {started_from}; found {classes}; {seconds:.1f} s; {target}")
    except Exception as error:  # whatever one patient does to us, the others are still wanted
        return Problem.of(path, error)
    return about.decided


@dataclass(frozen=True)
class About:
    """What is to be known of a case beside its labels: what the manifest says, and ``warnings`` to whoever reads it."""

    decided: Decided
    warnings: list[str]


def about_case(patient: Patient, findings: SliceFindings | None, novelty: Novelty | None) -> About:
    """Return what is to be known of a case by what its slices showed, and how far it is from the training."""
    decided: Decided = {}
    warnings = []
    if findings is not None:
        voxel_ml = float(np.prod(patient.spacing_mm)) / 1000
        shown, outside = findings.shown * voxel_ml, findings.outside * voxel_ml
        decided["outside_the_lungs_ml"] = round(outside, 3)
        if outside > MUCH_OUTSIDE * shown:
            warnings.append(
                f"{outside:.1f} of the {shown:.1f} ml that the model showed lay more than {NEAR_MM:g} mm outside the "
                "lungs, and were cut; look at the lungs that were taken (planewise ild lungs, --lungs)"
            )
    if novelty is not None:
        decided["novelty"] = {
            "intensities": round(novelty.intensities, 3), "embedding": round(novelty.embedding, 3),
            "thickness_mm": round(novelty.thickness_mm, 4),
        }  # fmt: skip
        if far := novelty.warnings():
            warnings.append(f"is far from what the model was trained on, so its results may be wrong: {'; '.join(far)}")
    return About(decided | ({"warnings": warnings} if warnings else {}), warnings)


def segment_patient(
    segmenting: Segmenting, patient: Patient, given: list[Prompt], options: IldPredict
) -> tuple[np.ndarray, str, SliceFindings | None, Novelty | None]:
    """Return the labels of a patient's slices, what they started from, what slices showed by themselves, if they were
    asked, and how far the patient is from the training, if that is known and where the lungs are.
    """
    import torch

    tracking = PropagationOptions(margin=options.bbox_shift, split=options.components == "all")
    passes = 2 if options.prompts == "auto" else 1  # each slice by itself, and then along z
    with (
        progress(patient.case, passes * len(patient.images), unit="slices") as advance,
        torch.autocast(segmenting.device.partition(":")[0], torch.bfloat16, enabled=segmenting.half),
    ):
        encoder = Encoder(segmenting.segmenter, patient.images, options.cache_slices)
        novelty = None
        if segmenting.seen is not None and patient.organ is not None:
            novelty = novelty_of(encoder, patient.organ, patient.spacing_mm[0], segmenting.seen)
        return *_segment(segmenting, encoder, patient, given, options, tracking, advance), novelty


def _write(target: Path, path: Path | Series, labels: Volume, named: dict[int, str], options: IldPredict) -> None:
    """Write labels on the grid of their file, or on the slices of their series."""
    if options.format != DICOM_SEG:
        write_labels(target, labels)
        return
    manifest = read_manifest(options.output / MANIFEST)
    assert isinstance(path, Series)
    assert manifest is not None  # which says that the case was begun
    write_segmentation(target, path, labels.read(), segments_of(named, options.codes), of_manifest(manifest))


def _segment(
    segmenting: Segmenting, encoder: Encoder, patient: Patient, given: list[Prompt], options: IldPredict,
    tracking: PropagationOptions, advance: Callable[[int], None],
) -> tuple[np.ndarray, str, SliceFindings | None]:  # fmt: skip
    """See ``segment_patient``."""
    consecutive = np.diff(patient.kept) == 1
    if options.prompts in AUTOMATIC:
        if patient.organ is None:
            raise PlanewiseError(
                "has no lungs to look in: prepare it again, with --lungs if need be, or give the CT volume"
            )
        place = Place(patient.organ, near_lungs(patient.organ, patient.spacing_mm))
        if options.prompts == "lungs":
            findings = find_in_slices(encoder, place, tracking, False, advance, segmenting.reliability)
            return findings.labels, "each slice by itself", findings
        labels, findings = segment_within(
            encoder, place, consecutive, tracking, advance, segmenting.reliability, segmenting.propagation
        )
        return labels, "no drawn boxes", findings
    if options.prompts != "truth":
        prompts = _in_kept(given, patient)
    elif patient.labels is None:
        raise PlanewiseError("has no truth to take boxes from; give --truth or --prompts FILE")
    else:
        prompts = prompts_from_truth(patient.labels * is_object(patient.labels), options.components)
    started_from = f"{len(prompts)} boxes from {_prompts_note(options)}"
    return segmenting.propagation(encoder, consecutive, prompts, tracking, advance), started_from, None


def _is_prepared(path: Path | Series) -> TypeGuard[Path]:
    return isinstance(path, Path) and path.suffix == ".npz"


def _resolved_options(options: IldPredict) -> IldPredict:
    """Return the options for a worker of a scheduler, which has a working folder of its own."""
    seen = {name: path.resolve() for name in ("output", "lungs", "truth", "codes") if (path := getattr(options, name))}
    return options.model_copy(update=seen)


def _resolved(path: Path | Series) -> Path | Series:
    return path.resolve() if isinstance(path, Path) else path.resolved()


def _patients(options: IldPredict) -> tuple[dict[str, Path | Series], list[Problem]]:
    """Return the files, or the DICOM series, to predict, by case, and what is wrong with others."""
    prepared = [options.input] if options.input.suffix == ".npz" else sorted(options.input.glob("*.npz"))
    if prepared and options.series is None:
        return {path.stem: path for path in prepared}, []
    return cts_in(options.input, options.channel, options.series)


def _open_patient(case: str, path: Path | Series, options: IldPredict) -> Patient:
    """Return a patient, with lungs if they are wanted."""
    if _is_prepared(path):
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


def _file_prompts(
    path: Path, patients: dict[str, Path | Series], options: IldPredict, problems: list[Problem]
) -> dict[str, list[Prompt]]:
    shapes, spacings = {}, {}
    for case, file in patients.items():
        try:
            if _is_prepared(file):
                geometry = load_patient(file).geometry
            else:
                geometry = open_volume(file, channel_within(file, options.channel))
        except PlanewiseError:
            continue  # predicting it says why
        if any(geometry.tilt):
            say(f"{case}: the gantry was tilted; boxes are taken to lie on its slices as they were moved upright")
        canonical = to_canonical(geometry)
        shapes[case], spacings[case] = canonical.shape, canonical.spacing_in("mm")
    classes = {value: str(value) for value in range(1, IGNORED)}
    classes |= _labels_above(options).class_names()
    prompts, unusable = read_prompts(path, shapes, spacings, classes)
    problems += [Problem(str(path), what) for what in unusable]
    if not prompts:
        raise PlanewiseError(f"{path}: no row fits: {'; '.join(unusable[:3]) or 'it is empty'}")
    return prompts


def _labels_above(options: IldPredict) -> LabelDefinition:
    """Return the labels in the dataset.json above the input, if there is one."""
    above = [folder / DATASET_FILE for folder in options.input.resolve().parents[:3]]  # prepare leaves one there too
    meta = next((file for file in above if file.is_file()), None)
    return LabelDefinition() if meta is None else read_labels_of(meta)


def _names_of_labels(options: IldPredict, names: dict[int, str]) -> dict[int, str]:
    """Return the ``names`` that the model has for its classes, else those in the dataset.json above the input, if any.

    One that cannot be read is reported, and labels are then written without names.
    """
    try:
        return names or _labels_above(options).classes
    except PlanewiseError as error:
        say(f"WARNING: labels are written without the names of their classes: {error}")
        return {}


def _describe_labels(options: IldPredict, names: dict[int, str]) -> None:
    """Write what ITK-SNAP needs to name the labels, unless there is such a file by somebody else."""
    path = options.output / itk_snap.FILE
    names = _names_of_labels(options, names)
    if options.format == "nii.gz" and names and options.output.is_dir():
        if path.exists() and not itk_snap.is_label_description_of_ours(path):
            say(f"{path}: is there already, and is not of planewise; it is kept")
        else:
            itk_snap.write_label_description(path, LabelNames(names))


def _in_kept(prompts: list[Prompt], patient: Patient) -> list[Prompt]:
    """Return prompts with the slice counted among the patient's kept slices."""
    place = {int(z): i for i, z in enumerate(patient.kept)}
    return [Prompt(p.label, place[p.z], p.box) for p in prompts if p.z in place]
