"""ild: fine-tune SAM2 on chest CT, segment lesion classes in 3D by carrying boxes from slice to slice, evaluate."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from planewise.apps.ild_options import IldDemo, IldEvaluate, IldPredict, IldPrepare, IldRun, IldTrain
from planewise.dataset import Case, Problem, case_name, images_beside, open_dataset, read_label_names, volumes_in
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError
from planewise.evaluation.classes import ClassOptions, class_names, evaluate_classes
from planewise.evaluation.comparison import TOLERANCES, Contest, Tolerance, compare
from planewise.evaluation.pairs import MISSING, OK, pair_files
from planewise.evaluation.provenance import read_prompts_note, write_prompts
from planewise.inference.processes import DevicePool, WorkerDied, result_of
from planewise.inference.prompts import Prompt, prompts_from_truth, read_prompts
from planewise.inference.propagation import PropagationOptions, propagate
from planewise.intensity import saturated_share
from planewise.labels import read_labels, write_labels
from planewise.models.sam2 import (
    BoxSegmenter,
    Sam2Weights,
    build_sam2,
    is_hub_id,
    load_sam2,
    save_hub_folder,
    save_published,
)
from planewise.patients import (
    Patient,
    choose_slices,
    load_patient,
    read_patient,
    save_patient,
    save_slices,
)
from planewise.phantom import write_chest_dataset
from planewise.progress import progress, say
from planewise.report.class_tables import print_class_means, write_class_results
from planewise.report.figures import overlay_picture, training_curve
from planewise.report.page import write_report
from planewise.report.tables import conclude, print_problems
from planewise.training.boxes import BoxTask
from planewise.training.checkpoint import load_checkpoint
from planewise.training.loop import BEST, CURVE, LAST, METRICS, LoopOptions, train
from planewise.volume import atomic_path, ending_of, open_volume, to_canonical, write_volume

WINDOWS = {  # level and width, in Hounsfield units
    "lung": (-600.0, 1500.0),
    "soft-tissue": (40.0, 400.0),
    "mediastinum": (50.0, 350.0),
}
PARTS = ("train", "valid", "test")
SAME_WHEN_RESUMED = {"base", "from_scratch", "image_size", "bbox_shift", "train_parts", "classes_per_slice"}
ANATOMY = "CT_ILD"  # the published name of the folders of prepared patients
SATURATION_WARNING = 0.25
SCRATCH_IMAGE_SIZE = 256
SCRATCH_SCALE_RANGE = (0.6, 1.8)  # without what pretraining brings, slices must be shown in more ways than they come
Job = TypeVar("Job")
Saturation = dict[int, tuple[int, float]]  # voxels of a class, and the share of them that the window saturates


# ---- prepare


def prepare_ild(options: IldPrepare) -> int:
    """Prepare a dataset's patients. Returns the exit code.

    Raises PlanewiseError, before any work, for options or a dataset that cannot be used.
    """
    level, width = _window(options.window, options.window_level, options.window_width)
    dataset = open_dataset(options.dataset_path, need_test=(options.dataset_path / "imagesTs").is_dir())
    problems = list(dataset.problems)
    if problems:
        print_problems(problems)
    classes = class_names(dataset.labels, [case.truth for case in dataset.train if case.truth])
    split = _split(options, dataset.train, dataset.test)
    with atomic_path(options.work_dir / "split.json") as temporary:
        temporary.write_text(json.dumps({part: sorted(split[part]) for part in PARTS}, indent=2), "utf-8")

    with atomic_path(options.work_dir / "dataset.json") as temporary:  # so that the classes keep their names
        shutil.copyfile(options.dataset_path / "dataset.json", temporary)

    cases = {case.name: case for case in [*dataset.train, *dataset.test]}
    jobs = [(cases[name], part) for part in PARTS for name in split[part]]
    voxels_of: dict[int, list[float]] = {value: [] for value in classes}
    with progress("preparing", len(jobs), unit="patients") as advance:
        for case, outcome in _in_processes(options, jobs, level, width):
            if isinstance(outcome, Problem):
                problems.append(outcome)
            else:
                for value, (count, saturated) in outcome.items():
                    voxels_of.setdefault(value, []).extend([count, count * saturated])
            advance(1, case)
    for value, counts in voxels_of.items():
        total, saturated = sum(counts[0::2]), sum(counts[1::2])
        if total:
            share = saturated / total
            name = classes.get(value, f"class {value}")
            say(f"{name}: the window {level:g}/{width:g} makes {share:.1%} of its voxels black or white")
            if share > SATURATION_WARNING:
                say(f"WARNING: {name} can hardly be seen in this window; choose another (--window lung is -600/1500)")
    say(f"The patients are in {options.work_dir}")
    return conclude(problems)


def _window(preset: str, level: float | None, width: float | None) -> tuple[float, float]:
    if (level is None) != (width is None):
        raise PlanewiseError("--window_level and --window_width belong together: give both, or a preset with --window")
    return WINDOWS[preset] if level is None or width is None else (level, width)


def _split(options: IldPrepare, train: list[Case], tests: list[Case]) -> dict[str, list[str]]:
    """Return the case names of every part; no patient is in two."""
    names = [case.name for case in train]
    patients: dict[str, list[str]] = {}
    for name in names + [case.name for case in tests]:
        found = re.search(options.patient_pattern, name)
        patient = name if found is None else (found.group(1) if found.groups() else found.group(0))
        patients.setdefault(patient, []).append(name)
    if options.split is not None:
        split = _read_split(options.split, [*names, *(case.name for case in tests)])
    else:
        split = {"train": [], "valid": [], "test": [case.name for case in tests]}
        tested = {patient for patient, own in patients.items() if set(own) & set(split["test"])}
        free = sorted(patient for patient in patients if patient not in tested)
        held = _stratified(free, patients, {c.name: c for c in train}, options) if len(free) > 1 else []
        if not held:
            say("There is one training patient: none is held out, and validation is on training slices.")
        for patient in free:
            split["valid" if patient in held else "train"] += patients[patient]
    for patient, own in patients.items():
        sides = [part for part in PARTS if set(own) & set(split[part])]
        if len(sides) > 1:
            raise PlanewiseError(f"--split: patient {patient} is in {' and '.join(sides)}; a patient has one side")
    return split


def _read_split(path: Path, known: list[str]) -> dict[str, list[str]]:
    try:
        content = json.loads(path.read_text("utf-8"))
        split = {part: [str(name) for name in content.get(part, [])] for part in PARTS}
    except (OSError, ValueError, AttributeError) as error:
        raise PlanewiseError(f"{path}: is not a JSON object of train, valid and test ({error})") from error
    strange = sorted({name for part in PARTS for name in split[part]} - set(known))
    if strange:
        raise PlanewiseError(f"{path}: names cases that are not there: {', '.join(strange[:5])}")
    return split


def _stratified(
    patients: list[str], cases_of: dict[str, list[str]], cases: dict[str, Case], options: IldPrepare
) -> set[str]:
    """Return the patients to validate on: as many of each set of classes as their share, at least one in all."""
    groups: dict[frozenset[int], list[str]] = {}
    for patient in patients:
        present: set[int] = set()
        for name in cases_of[patient]:
            truth = cases[name].truth
            if truth is not None:
                present |= set(np.unique(read_labels(truth).read()).tolist()) - {0}
        groups.setdefault(frozenset(present), []).append(patient)
    rng = np.random.default_rng(options.seed)
    order = [str(p) for group in groups.values() for p in rng.permutation(group)]
    wanted = max(1, round(len(order) * options.valid_share)) if options.valid_share else 0
    if not wanted:
        return set()
    # Evenly spaced in an order that keeps patients of one set of classes together.
    return {order[int((i + 0.5) * len(order) / wanted)] for i in range(wanted)}


def _in_processes(
    options: IldPrepare, jobs: list[tuple[Case, str]], level: float, width: float
) -> Iterator[tuple[str, Saturation | Problem]]:
    """Yield (case name, voxels and saturated share by class, or a Problem) as patients are done."""
    if options.num_workers == 0 or len(jobs) == 1:
        for case, part in jobs:
            yield case.name, _prepare_case(case, part, options, level, width)
        return
    with ProcessPoolExecutor(options.num_workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_prepare_case, case, part, options, level, width): case for case, part in jobs}
        for future in as_completed(futures):
            yield futures[future].name, future.result()


def _prepare_case(case: Case, part: str, options: IldPrepare, level: float, width: float) -> Saturation | Problem:
    """Prepare one patient; return voxels and saturated share of every class, or what went wrong."""
    try:
        patient, hu = read_patient(
            case.name, case.image, case.truth, level, width, options.min_voxels, options.min_pixels
        )
        rng = np.random.default_rng([options.seed, sum(case.name.encode())])
        if part != "test":
            patient_kept = choose_slices(patient, options.slices, options.background_share, rng)
            save_slices(options.work_dir / "npy" / part, patient_kept)
        else:
            patient_kept = patient
        folder = options.work_dir / f"npz_{part}" / ANATOMY
        save_patient(folder / f"{case.name}.npz", patient_kept)
        if options.save_nii:
            write_volume(folder / f"{case.name}_img.nii.gz", patient_kept.restore(patient_kept.images))
            if patient_kept.labels is not None:
                write_labels(folder / f"{case.name}_gt.nii.gz", patient_kept.restore(patient_kept.labels))
        if patient.labels is None:
            return {}
        values = np.unique(patient.labels[patient.labels > 0]).tolist()
        masks = {value: patient.labels == value for value in values}
        return {value: (int(m.sum()), saturated_share(hu[m], level, width)) for value, m in masks.items()}
    except PlanewiseError as error:
        return Problem.of(case.image, error)


def slices_from_npz(train_folder: Path, valid_folder: Path, npy_folder: Path) -> int:
    """Write the slices of prepared patients as npy, as ``prepare_ild`` does itself. Returns the exit code."""
    problems = []
    for part, folder in (("train", train_folder), ("valid", valid_folder)):
        for path in sorted(folder.glob("*.npz")):
            try:
                save_slices(npy_folder / part, load_patient(path))
            except PlanewiseError as error:
                problems.append(Problem.of(path, error))
    if not (npy_folder / "train").exists():
        raise PlanewiseError(f"{train_folder}: holds no prepared patient (npz)")
    return conclude(problems)


# ---- train


def train_ild(options: IldTrain) -> int:
    """Fine-tune SAM2 on prepared slices. Returns the exit code; see ``prepare_ild`` for errors."""
    device = choose_device(options.device)
    folder = options.work_dir / options.task_name
    logs = folder / "training"
    if options.resume:
        if not (logs / LAST).exists():
            raise PlanewiseError(f"{logs / LAST}: no checkpoint to resume from; train without --resume")
    elif (logs / LAST).exists() and not options.overwrite:
        raise PlanewiseError(f"{folder}: holds a model; go on with --resume, replace it with --overwrite")
    weights = _start(options)
    segmenter = BoxSegmenter(weights.network, options.gradient_checkpointing)
    npy = options.npy_path or options.work_dir / "npy"
    one_class = options.classes_per_slice == "one"
    task = BoxTask(
        segmenter,
        npy / "train",
        npy / "valid",
        options.train_parts,
        options.bbox_shift,
        one_class,
        SCRATCH_SCALE_RANGE if options.from_scratch else None,
        options.seed,
    )
    iterations = options.epochs * task.steps_per_epoch(options.batch_size)
    say(f"Training {options.task_name} on {device}: {len(task.slices)} slices, {iterations} steps")
    loop = LoopOptions(
        iterations=iterations, batch_size=options.batch_size, learning_rate=options.learning_rate, seed=options.seed,
        checkpoint_interval=options.checkpoint_interval, accelerator=device, devices=options.devices,
        precision=choose_precision(options.precision, device), num_workers=options.num_workers,
        weight_decay=options.weight_decay, warm_up=0.05, clip_norm=1.0,
        identity=options.model_dump(mode="json", include=SAME_WHEN_RESUMED),
    )  # fmt: skip
    if not options.resume:
        shutil.rmtree(logs, ignore_errors=True)
    train(task, loop, logs, options.resume)
    training_curve(logs / METRICS, logs / CURVE, "Dice")
    for name, checkpoint in (("latest", LAST), ("best", BEST)):
        state = load_checkpoint(logs / checkpoint)
        segmenter.load_state_dict(state["network"])
        epoch = state["step"] // task.steps_per_epoch(options.batch_size)
        save_published(folder / f"medsam_model_{name}.pth", weights, epoch)
    save_hub_folder(folder / "hub", weights)
    say(f"The model is {folder / 'medsam_model_best.pth'}")
    return 0


def _start(options: IldTrain) -> Sam2Weights:
    """Return the network to start from."""
    if options.from_scratch:
        import torch

        torch.manual_seed(options.seed)
        return Sam2Weights(build_sam2("mini", options.image_size or SCRATCH_IMAGE_SIZE))
    if options.base is None:
        raise PlanewiseError("--base: give the weights to start from (sam2_hiera_tiny.pt), or --from_scratch")
    return load_sam2(options.base, options.image_size)


# ---- predict


def predict_ild(options: IldPredict) -> int:
    """Segment patients. Returns the exit code; see ``prepare_ild`` for errors."""
    device = choose_device(options.device)
    source = options.base if options.trained_model == "none" else Path(options.trained_model)
    if source is None:
        raise PlanewiseError("--trained_model none predicts with --base, which is missing")
    patients = _patients(options)
    problems: list[Problem] = []
    given: dict[str, list[Prompt]] = {}
    if options.prompts != "truth":
        given = _file_prompts(Path(options.prompts), patients, options, problems)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    write_prompts(options.output, _prompts_note(options), options.components, str(source))
    waiting = {}
    for case, path in patients.items():
        target = options.output / f"{case}.nii.gz"
        newer = not source.exists() or (target.exists() and target.stat().st_mtime >= source.stat().st_mtime)
        if target.exists() and newer and not options.overwrite:
            say(f"{case}: done already ({target}); --overwrite predicts it again")
        else:
            waiting[case] = path
    if not waiting:
        return conclude(problems)
    worker = (source, options.image_size, half)
    if options.devices == 1 or len(waiting) == 1:
        _load_segmenter(device, *worker)
        outcomes = (_predict_patient(case, path, given.get(case, []), options) for case, path in waiting.items())
        return conclude(problems + [problem for problem in outcomes if problem])
    load_sam2(source, options.image_size)  # here too, so that bad weights are refused
    with DevicePool(options.devices, device, _load_segmenter, *worker) as pool:
        futures = [
            (path, pool.submit(_predict_patient, case, path, given.get(case, []), options))
            for case, path in waiting.items()
        ]
        for path, future in futures:
            try:
                problem = result_of(future)
            except WorkerDied as error:
                problem = Problem.of(path, error)
            problems += [problem] if problem else []
    return conclude(problems)


def _prompts_note(options: IldPredict) -> str:
    return "truth (an oracle)" if options.prompts == "truth" else str(options.prompts)


@dataclass(frozen=True)
class _Segmenting:
    """What predicts in this process."""

    segmenter: BoxSegmenter
    device: str
    half: bool


_segmenting: _Segmenting


def _load_segmenter(device: str, source: Path, image_size: int | None, half: bool) -> None:
    """Make this process ready for ``_predict_patient``."""
    global _segmenting
    segmenter = BoxSegmenter(load_sam2(source, image_size).network).to(device).frozen()
    _segmenting = _Segmenting(segmenter, device, half)


def _predict_patient(case: str, path: Path, given: list[Prompt], options: IldPredict) -> Problem | None:
    """Segment one patient and write the result; return what went wrong, if anything did."""
    import torch

    target, note = options.output / f"{case}.nii.gz", _prompts_note(options)
    tracking = PropagationOptions(
        margin=options.bbox_shift, split=options.components == "all", cache_slices=options.cache_slices
    )
    try:
        patient = _open_patient(case, path, options)
        if options.prompts == "truth" and patient.labels is None:
            raise PlanewiseError(f"{path}: has no truth to take boxes from; give --truth or --prompts FILE")
        if options.prompts == "truth" and patient.labels is not None:
            prompts = prompts_from_truth(patient.labels, options.components)
        else:
            prompts = _in_kept(given, patient)
        started = time.perf_counter()
        device = _segmenting.device.partition(":")[0]
        with (
            progress(case, len(patient.images), unit="slices") as advance,
            torch.autocast(device, torch.bfloat16, enabled=_segmenting.half),
        ):
            consecutive = np.diff(patient.kept) == 1
            labels = propagate(_segmenting.segmenter, patient.images, consecutive, prompts, tracking, advance)
        write_labels(target, patient.restore(labels))
        if options.visualize:
            names = {int(value): f"class {value}" for value in np.unique(labels[labels > 0])}
            picture = options.output / f"{case}.png"
            overlay_picture(patient.images, patient.labels, labels, names, picture, f"{case}, boxes from {note}")
        found = ", ".join(map(str, np.unique(labels[labels > 0]).tolist())) or "nothing"
        seconds = time.perf_counter() - started
        say(f"{case}: {len(prompts)} boxes from {note}; classes {found}; {seconds:.1f} s; {target}")
    except Exception as error:  # whatever one patient does to us, the others are still wanted
        return Problem.of(path, error)
    return None


def _patients(options: IldPredict) -> dict[str, Path]:
    """Return the files to predict, by case."""
    if not options.input.exists():
        raise PlanewiseError(f"{options.input}: no such file or folder")
    if options.input.suffix == ".npz" or ending_of(options.input):
        paths = [options.input]
    else:
        paths = sorted(options.input.glob("*.npz")) or volumes_in(options.input) or [options.input]
    return {path.stem if path.suffix == ".npz" else case_name(path): path for path in paths}


def _open_patient(case: str, path: Path, options: IldPredict) -> Patient:
    if path.suffix == ".npz":
        return load_patient(path)
    level, width = _window(options.window, options.window_level, options.window_width)
    truth = None
    if options.truth is not None and options.prompts == "truth":
        found = [file for file in volumes_in(options.truth) if case_name(file) == case]
        if len(found) != 1:
            raise PlanewiseError(f"{options.truth}: holds {len(found)} truths of case {case}; one is needed")
        truth = found[0]
    return read_patient(case, path, truth, level, width, 0, 0)[0]


def _file_prompts(
    path: Path, patients: dict[str, Path], options: IldPredict, problems: list[Problem]
) -> dict[str, list[Prompt]]:
    shapes, spacings = {}, {}
    for case, file in patients.items():
        geometry = load_patient(file).geometry if file.suffix == ".npz" else open_volume(file)
        canonical = to_canonical(geometry)
        shapes[case], spacings[case] = canonical.shape, canonical.spacing
    classes = {value: str(value) for value in range(1, 256)}
    above = [folder / "dataset.json" for folder in options.input.resolve().parents[:3]]  # prepare leaves one there too
    meta = next((file for file in above if file.is_file()), None)
    if meta is not None:
        classes |= class_names(read_label_names(meta), [])
    prompts, strange = read_prompts(path, shapes, spacings, classes)
    problems += [Problem(str(path), what) for what in strange]
    if not prompts:
        raise PlanewiseError(f"{path}: no row fits: {'; '.join(strange[:3]) or 'it is empty'}")
    return prompts


def _in_kept(prompts: list[Prompt], patient: Patient) -> list[Prompt]:
    """Return prompts with the slice counted among the patient's kept slices."""
    place = {int(z): i for i, z in enumerate(patient.kept)}
    return [Prompt(p.label, place[p.z], p.box) for p in prompts if p.z in place]


# ---- evaluate


def evaluate_ild(options: IldEvaluate) -> int:
    """Score predictions, class by class. Returns the exit code; see ``prepare_ild`` for errors."""
    pairs = pair_files(options.predictions, options.truth)
    home = options.predictions if options.predictions.is_dir() else options.predictions.parent
    meta = options.dataset or options.truth.resolve().parent / "dataset.json"
    labels = read_label_names(meta) if meta.is_file() else {}
    names = class_names(labels, [pair.truth for pair in pairs if pair.truth])
    note = read_prompts_note(home)
    rows = evaluate_classes(pairs, ClassOptions(names, options.tolerance_mm))
    folder = options.output or home / "evaluation"
    write_class_results(rows, names, folder, note, options.tolerance_mm)
    print_class_means(rows, names, note)
    contest = Contest(
        options.truth.resolve().parent.name, {home.name: [pair for pair in pairs if pair.truth]},
        images_beside(options.truth), names, {home.name: f"boxes from {note}"},
    )  # fmt: skip
    tolerance = Tolerance(TOLERANCES | {"mm": options.tolerance_mm})
    say(f"The results are in {folder}, to look at: {write_report(compare([contest], tolerance), folder).page}")
    problems = [
        Problem(
            row["case"], "has no prediction: counted as found nothing" if row["status"] == MISSING else row["status"]
        )
        for row in rows
        if row["status"] != OK and row.get("class") in (None, next(iter(names), None))
    ]
    return conclude(problems)


# ---- run and demo


def run_ild(options: IldRun) -> int:
    """Prepare, fine-tune, predict and evaluate. Returns the exit code; see ``prepare_ild`` for errors."""
    base = options.base
    if not options.from_scratch and (base is None or not (base.exists() or is_hub_id(base))):
        raise PlanewiseError(f"--base {options.base}: no such file; give SAM2's weights, or --from_scratch")
    seconds: dict[str, float] = {}
    codes = []

    def stage(name: str, work: Callable[[Job], int], job: Job) -> None:
        started = time.perf_counter()
        codes.append(work(job))
        seconds[name] = time.perf_counter() - started

    stage("prepare", prepare_ild, options.part(IldPrepare))
    trained = options.work_dir / options.task_name / "medsam_model_best.pth"
    if not (trained.exists() and options.resume):
        stage("train", train_ild, options.part(IldTrain))
    segs = options.work_dir / "segs" / options.task_name
    tests = options.work_dir / "npz_test" / ANATOMY
    stage("predict", predict_ild, options.part(IldPredict, input=tests, output=segs, trained_model=str(trained)))
    truth = options.dataset_path / "labelsTs"
    if truth.is_dir():
        stage("evaluate", evaluate_ild, IldEvaluate(predictions=segs, truth=truth, tolerance_mm=options.tolerance_mm))
        names = class_names(open_dataset(options.dataset_path).labels, [])
        for path in sorted(tests.glob("*.npz")):
            if (segs / f"{path.stem}.nii.gz").exists():
                patient = load_patient(path)
                predicted = to_canonical(read_labels(segs / f"{path.stem}.nii.gz")).read()
                picture = segs / "evaluation" / f"{path.stem}.png"
                overlay_picture(patient.images, patient.labels, predicted, names, picture, path.stem)
                say(f"A picture of {path.stem} is {picture}")
    say("Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    return max(codes)


def demo_ild(options: IldDemo) -> int:
    """Make a chest phantom and do the whole job on it. Returns the exit code."""
    dataset, work = options.folder / "Dataset000_Chest", options.folder / "work"
    if options.folder.exists():
        strange = sorted(item.name for item in options.folder.iterdir() if item not in (dataset, work))
        if strange or (work.exists() and not (dataset / "dataset.json").exists()):
            raise PlanewiseError(f"{options.folder}: is not empty; give an empty or a new folder")
    for folder in (dataset, work):
        shutil.rmtree(folder, ignore_errors=True)
    say(f"Making a synthetic chest CT dataset in {dataset}")
    write_chest_dataset(dataset, options.seed)
    job = IldRun(
        dataset_path=dataset, work_dir=work, from_scratch=True, epochs=40, batch_size=4, learning_rate=1e-3,
        min_voxels=100, min_pixels=10, seed=options.seed, num_workers=1,
    )  # fmt: skip
    return run_ild(job)
