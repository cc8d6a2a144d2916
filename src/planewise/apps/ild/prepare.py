"""Prepare CT volumes: window them, find the lungs, split the patients, write npz per patient and npy per slice."""

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np

from planewise.apps.ild.lungs import lungs_of
from planewise.apps.ild.options import IldPrepare
from planewise.data.case import Case
from planewise.data.intensity import saturated_share
from planewise.data.nnunet import open_dataset
from planewise.data.prepared import choose_slices, load_patient, read_patient, save_patient, save_slices
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import class_names
from planewise.processes import WorkerPool
from planewise.progress import progress, say
from planewise.report.tables import conclude, print_problems
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import write_volume
from planewise.volumes.labels import read_labels, write_labels

PARTS = ("train", "valid", "test")
ANATOMY = "CT_ILD"  # the published name of the folders of prepared patients
WINDOW_FILE = "window.json"  # level and width, for the model to say what it was trained on
SATURATION_WARNING = 0.25
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
    split = _split(options, dataset.train, dataset.test)
    with atomic_path(options.work_dir / "split.json") as temporary:
        temporary.write_text(json.dumps({part: sorted(split[part]) for part in PARTS}, indent=2), "utf-8")

    with atomic_path(options.work_dir / WINDOW_FILE) as temporary:
        temporary.write_text(json.dumps([level, width]), "utf-8")
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
    with WorkerPool(options.num_workers) as pool:
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
