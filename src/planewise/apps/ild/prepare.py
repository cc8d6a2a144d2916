"""Prepare CT volumes: window them, find the lungs, split the patients, write npz per patient and npy per slice."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from planewise.apps.ild.lungs import lungs_of
from planewise.apps.ild.options import IldPrepare
from planewise.apps.ild.prepared_folder import PreparedFolder, npz_folder
from planewise.data.case import Case
from planewise.data.intensity import saturated_share
from planewise.data.leaks import warn_of_leaks
from planewise.data.nnunet import Dataset, open_dataset
from planewise.data.patients import patients_of
from planewise.data.preparation import MadeFrom, fingerprint, fingerprints
from planewise.data.prepared import choose_slices, load_patient, read_patient, save_patient, save_slices
from planewise.data.split import PARTS, Split, draw_split, read_split, split_rows, write_split
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import class_names
from planewise.progress import progress, say
from planewise.report.tables import conclude, print_problems, print_table
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import write_volume
from planewise.volumes.labels import read_labels, write_labels

WINDOW_FILE = "window.json"  # level and width, for the model to say what it was trained on
SATURATION_WARNING = 0.25
LAYOUT = 1  # goes up when other files are written of the same data and options
DECISIVE = {"slices", "background_share", "min_voxels", "min_pixels", "seed", "save_nii"}  # for what is written
Saturation = dict[int, tuple[int, float]]  # voxels of a class, and the share of them that the window saturates


def prepare_ild(options: IldPrepare) -> int:
    """Prepare a dataset's patients. Returns the exit code.

    Raises PlanewiseError, before any work, for options or a dataset that cannot be used.
    """
    level, width = options.window_in_hu()
    dataset = open_dataset(options.dataset_path, need_test=(options.dataset_path / "imagesTs").is_dir())
    problems = list(dataset.problems)
    if problems:
        print_problems(problems)
    classes = class_names(dataset.labels, [case.truth for case in dataset.train if case.truth])
    cases = {case.name: case for case in [*dataset.train, *dataset.test]}
    patients = patients_of(cases, options.patient_pattern, options.patients)
    split = _split(options, dataset, patients)
    print_table("Patients", ("patient", "part", "cases"), split_rows(split, patients))
    warn_of_leaks(*({name: cases[name].image for name in split[part]} for part in PARTS))
    jobs = [(cases[name], part) for part in PARTS for name in split[part]]
    folder = PreparedFolder.open(options.work_dir, _made_from(options, [case for case, _ in jobs], split), split)
    write_split(options.work_dir, split, patients)
    with atomic_path(options.work_dir / WINDOW_FILE) as temporary:
        temporary.write_text(json.dumps([level, width]), "utf-8")
    with atomic_path(options.work_dir / "dataset.json") as temporary:  # so that the classes keep their names
        shutil.copyfile(options.dataset_path / "dataset.json", temporary)

    jobs = [(case, part) for case, part in jobs if case.name not in folder.cases]
    if not jobs:
        folder.finish()
        say(f"{options.work_dir}: prepared already, from the same data, options and split")
        return conclude(problems)
    if folder.cases:
        say(f"{len(folder.cases)} of {len(cases)} cases are prepared already, from the same data, options and split")
    voxels_of: dict[int, list[float]] = {value: [] for value in classes}
    with progress("preparing", len(jobs), unit="patients") as advance:
        for case, outcome in _in_processes(options, jobs, level, width):
            if isinstance(outcome, Problem):
                problems.append(outcome)
                folder.failed(case)
            else:
                folder.done(case, outcome)
            advance(1, case)
    folder.finish()
    for of in folder.cases.values():
        for value, (count, saturated) in of["outcome"].items():
            voxels_of.setdefault(int(value), []).extend([count, count * saturated])
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


def _split(options: IldPrepare, dataset: Dataset, patients: dict[str, str]) -> Split:
    """Return the split that is asked for."""
    if options.split is not None:
        return read_split(options.split, patients)
    truths = {case.name: case.truth for case in dataset.train}

    def classes(case: str) -> frozenset[int]:
        truth = truths[case]
        try:
            return frozenset(np.unique(read_labels(truth).read()).tolist()) - {0} if truth else frozenset()
        except PlanewiseError:  # which is said when the case is prepared
            return frozenset()

    tests = [case.name for case in dataset.test]
    return draw_split(patients, list(truths), tests, classes, options.valid_share, options.seed)


def _made_from(options: IldPrepare, cases: list[Case], split: Split) -> MadeFrom:
    """Return what decides on the files that are written."""
    with progress("checking what is there", len(cases), unit="cases") as advance:
        data = fingerprints(cases, lambda name: advance(1, name))
    data["dataset.json"] = fingerprint(options.dataset_path / "dataset.json")
    if options.lungs is not None:
        data["lungs"] = fingerprint(options.lungs)
    decisive = options.model_dump(mode="json", include=DECISIVE)
    return MadeFrom({"layout": LAYOUT, "window": options.window_in_hu(), "split": split, **decisive}, data)


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
        try:
            patient = replace(patient, organ=lungs_of(case.name, hu, patient.spacing_mm, options.lungs))
        except PlanewiseError as error:
            say(f"{case.name}: WARNING: without lungs it serves drawn boxes only: {error}")
        rng = np.random.default_rng([options.seed, sum(case.name.encode())])
        if part != "test":
            patient_kept = choose_slices(patient, options.slices, options.background_share, rng)
            save_slices(options.work_dir / "npy" / part, patient_kept)
        else:
            patient_kept = patient
        folder = npz_folder(options.work_dir, part)
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
