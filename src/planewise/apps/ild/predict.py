"""Segment patients: from boxes, or all classes that the model finds in the lungs."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.ild.options import IldPredict
from planewise.apps.ild.predicted_cases import (
    AUTOMATIC,
    DICOM_SEG,
    KINDS,
    inputs_of,
    is_prepared,
    open_patient,
    patients_of,
    prompts_note,
    prompts_of_file,
)
from planewise.apps.ild.predicted_files import (
    describe_labels,
    names_of_labels,
    outputs_of,
    refuse_what_is_no_dicom,
    target_of,
    write_predicted,
)
from planewise.apps.ild.segmenting import Decided, SegmenterSource, Segmenting, about_case, segment_patient
from planewise.apps.ild.summary import certainties_of, write_summary
from planewise.data.case import refuse_missing
from planewise.data.manifest import MANIFEST
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.presence import presence_file, write_presence
from planewise.inference.executor import Executor, SchedulerGone, executor
from planewise.inference.prompts import Prompt
from planewise.inference.worker import Source
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.sam2_memory import require_memory
from planewise.models.zoo import is_hub_id, located
from planewise.progress import say, warn
from planewise.report.figures import overlay_picture
from planewise.report.tables import report_problems
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.dicom.sources import source_headers

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
UNSAID = {"propagation": "boxes", "format": "nii.gz"}  # values that older manifests imply, so they are left out


def predict_ild(options: IldPredict) -> int:
    """Segment patients. Returns the exit code; see ``prepare_ild`` for the errors raised."""
    device = choose_device(options.device)
    _refuse_what_does_not_go_together(options)
    patients, problems = patients_of(options)
    if options.lungs is not None and patients and all(map(is_prepared, patients.values())):
        raise PlanewiseError(
            f"--lungs {options.lungs}: is for CT volumes; prepared patients hold their lungs (ild prepare --lungs)"
        )
    source = located(Path(_model_name(options)))
    weights = _load(options, source, patients)  # in this process too, to refuse unusable weights
    names = weights.tokens.names if weights.tokens else {}
    if options.format == DICOM_SEG:
        refuse_what_is_no_dicom(patients, names, options)
    given: dict[str, list[Prompt]] = {}
    if options.prompts not in KINDS:
        given = prompts_of_file(Path(options.prompts), patients, names, options, problems)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    run = Run.begin(
        options.output / MANIFEST,
        "ild predict",
        _decisive(options, source, half),
        source if source.exists() else None,
        patients,
        options.overwrite,
        unsaid=UNSAID,
        kind=IldPredict,
    )
    refuse_folder_of_inputs((path for path in patients.values() if isinstance(path, Path)), options.output, "output")
    waiting = _waiting(options, run, patients, problems)
    if not waiting:
        return report_problems(problems)
    devices = min(options.devices, len(waiting))
    segmenters = _segmenters(options, weights, source, half, devices)
    with executor(segmenters, device, devices, scheduler=options.scheduler) as workers:
        for case, outcome, is_over in _shared(workers, options, waiting, given):
            if isinstance(outcome, Problem):
                problems.append(outcome)
                if is_over:
                    run.fail(case)
            else:
                try:
                    run.finish(case, {"prompts": prompts_note(options), **outcome})
                except PlanewiseError as error:
                    problems.append(Problem.of(case, error))
    describe_labels(options, names)
    return report_problems(problems)


def _refuse_what_does_not_go_together(options: IldPredict) -> None:
    """Raise PlanewiseError for missing files, and for options that need others."""
    for option in ("lungs", "truth", "codes"):
        refuse_missing(getattr(options, option), f"--{option}")
    if options.trained_model == "none" and options.base is None:
        raise PlanewiseError("give --trained_model MODEL, or --base NAME to predict without fine-tuning")
    if options.lungs is not None and options.prompts not in AUTOMATIC:
        raise PlanewiseError(f"--lungs {options.lungs}: is for --prompts auto or lungs; boxes need no lungs")


def _load(options: IldPredict, source: Path, patients: dict[str, Path | Series]) -> Sam2Weights:
    """Return the weights; warn of another window. Raises PlanewiseError if they do not suit the options."""
    weights = load_sam2(source, options.image_size)
    if options.prompts in AUTOMATIC and weights.tokens is None:
        raise PlanewiseError(
            f"--prompts {options.prompts}: {source} was trained with drawn boxes only; train it with --train_prompts "
            "mixed"
        )
    if options.propagation == "memory":
        require_memory(weights, source)
    volumes = [path for path in patients.values() if not is_prepared(path)]
    if volumes and weights.window not in (None, options.window_in_hu()):
        trained, now = (f"{level:g}/{width:g}" for level, width in (weights.window, options.window_in_hu()))
        warn(f"{source} was trained with the window {trained}, but is used with {now}: see --window_level")
    return weights


def _waiting(
    options: IldPredict, run: Run, patients: dict[str, Path | Series], problems: list[Problem]
) -> dict[str, Path | Series]:
    """Return the patients that are not done yet, and note in the manifest that they have begun."""
    waiting: dict[str, Path | Series] = {}
    for case, path in patients.items():
        try:
            inputs = inputs_of(case, path, options)
            if run.is_done(case, inputs):
                say(f"{case}: done already, by the same model from the same data ({target_of(case, options)})")
            else:
                if options.format == DICOM_SEG and isinstance(path, Series):  # refused before hours of work
                    source_headers(replace(path, slices=path.slices[:1]))
                run.start(case, inputs, outputs_of(case, options))
                waiting[case] = path
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
    return waiting


def _segmenters(options: IldPredict, weights: Sam2Weights, source: Path, half: bool, devices: int) -> Source:
    """Return what gives each worker its network: the loaded ``weights``, or their file in other processes."""
    by_memory, fallback = options.propagation == "memory", options.stability_fallback
    if options.scheduler or devices > 1:
        where = source if is_hub_id(source) else source.resolve()
        return SegmenterSource(where, options.image_size, half, fallback, by_memory)
    return partial(Segmenting.of, weights, half=half, fallback=fallback, memory_of=source if by_memory else None)


def _decisive(options: IldPredict, source: Path, half: bool) -> dict[str, object]:
    """Return the options that determine the results; files among them are listed as inputs."""
    trained = "none" if options.trained_model == "none" else "the model's"
    return options.model_dump(mode="json", include=DECISIVE) | {
        "prompts": prompts_note(options),
        "window": options.window_in_hu(),
        "fine-tuning": trained,
        "precision": "bf16" if half else "32",
        "model named": "" if source.exists() else str(source),
        **{name: getattr(options, name) for name, usual in UNSAID.items() if getattr(options, name) != usual},
    }


def _shared(
    workers: Executor, options: IldPredict, waiting: dict[str, Path | Series], given: dict[str, list[Prompt]]
) -> Iterator[tuple[str, Problem | Decided, bool]]:
    """Segment each patient in a worker; yield each with its outcome, and whether its task has ended.

    A task has not ended if the scheduler is lost: then a worker may still write its results.
    """
    submitted: dict[str, Any] = {}
    there = _resolved_options(options) if options.scheduler else options

    def outcome(case: str) -> tuple[str, Problem | Decided, bool]:
        try:
            return case, workers.result(submitted[case]), True
        except SchedulerGone as error:
            return case, Problem.of(waiting[case], error), False
        except Exception as error:  # a worker is lost or cannot load the model; the others are still wanted
            return case, Problem.of(waiting[case], error), True

    for case, path in waiting.items():
        seen = _resolved(path) if options.scheduler else path
        try:
            submitted[case] = workers.submit_loaded(_predict_patient, case, seen, given.get(case, []), there)
        except PlanewiseError as error:  # the scheduler is lost
            yield case, Problem.of(path, error), True
            continue
        if workers.in_this_process:  # which has done the work by now
            yield outcome(case)
    if not workers.in_this_process:
        yield from map(outcome, submitted)


def _model_name(options: IldPredict) -> str:
    return str(options.base) if options.trained_model == "none" else options.trained_model


def _predict_patient(
    segmenting: Segmenting, case: str, path: Path | Series, given: list[Prompt], options: IldPredict
) -> Problem | Decided:
    """Segment one patient and write the result; return what was decided about it, or its problem."""
    target, note = target_of(case, options), prompts_note(options)
    try:
        started = time.perf_counter()
        patient = open_patient(case, path, options)
        labels, started_from, findings, novelty = segment_patient(segmenting, patient, given, options)
        names = segmenting.names
        about = about_case(patient, findings, novelty)
        for warning in about.warnings:
            warn(f"{case}: {warning}")
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
        class_names = names_of_labels(options, names)
        # Written last: it marks the case as done.
        write_predicted(target, path, patient.restore(labels).as_labels(class_names), class_names, options)
        seconds = time.perf_counter() - started
        classes = ", ".join(names.get(value, str(value)) for value in values) or "nothing"
        say(f"{case}: {started_from}; predicted {classes}; {seconds:.1f} s; {target}")
    except Exception as error:  # whatever goes wrong with one patient, the others are still wanted
        return Problem.of(path, error)
    return about.decided


def _resolved_options(options: IldPredict) -> IldPredict:
    """Return the options with absolute paths, since a scheduler's workers have another working folder."""
    seen = {name: path.resolve() for name in ("output", "lungs", "truth", "codes") if (path := getattr(options, name))}
    return options.model_copy(update=seen)


def _resolved(path: Path | Series) -> Path | Series:
    return path.resolve() if isinstance(path, Path) else path.resolved()
