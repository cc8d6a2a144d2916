"""Prepare CT volumes: window them, find the lungs, split the patients, write npz per patient and npy per slice."""

import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from planewise.apps.ild.cleaned_labels import Cleaned, cleaned_classes, print_cleaned, print_saturated
from planewise.apps.ild.lungs import lungs_of
from planewise.apps.ild.options import IldPrepare
from planewise.apps.ild.prepared_folder import SLICES, PreparedFolder, npz_folder
from planewise.data.case import Case, refuse_missing
from planewise.data.classes import DATASET_FILE
from planewise.data.leaks import warn_of_leaks
from planewise.data.nnunet import Dataset, holds_anything, open_dataset
from planewise.data.own_results import notes_on_predicted
from planewise.data.patients import patients_of
from planewise.data.preparation import fingerprint, fingerprints
from planewise.data.prepared import (
    choose_slices,
    load_patient,
    read_patient,
    remove_small,
    save_patient,
    save_slices,
    slice_name,
)
from planewise.data.split import PARTS, Split, draw_split, read_split, split_rows, write_split
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import class_names
from planewise.processes import WorkerPool
from planewise.progress import progress, say, warn
from planewise.report.tables import count_problems, print_problems, print_table, report_problems
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import write_volume
from planewise.volumes.json_files import write_json
from planewise.volumes.labels import read_labels, write_labels

WINDOW_FILE = "window.json"  # level and width, which training writes into the model
LAYOUT = 1  # version of the written files; goes up when they change for the same data and options
DECISIVE = {  # options that change what is written
    "slices", "background_share", "min_volume_mm3", "min_area_mm2", "min_voxels", "min_pixels", "seed", "save_nii",
}  # fmt: skip


def prepare_ild(options: IldPrepare) -> int:
    """Prepare a dataset's patients. Returns the exit code; see ``prepare_patients``."""
    return count_problems(prepare_patients(options))


def prepare_patients(options: IldPrepare) -> list[Problem]:
    """Prepare a dataset's patients; print the problems of single patients as they are found, and return them.

    Raises PlanewiseError, before any work, for options or a dataset that cannot be used.
    """
    level, width = options.window_in_hu()
    refuse_missing(options.lungs, "--lungs")
    dataset = _open(options)
    print_problems(dataset.problems)
    for note in notes_on_predicted(case.truth for case in dataset.train if case.truth):
        warn(note)
    classes = class_names(dataset.labels, [case.truth for case in dataset.train if case.truth])
    if dataset.labels.ignore is not None:
        say(f"Voxels of the ignore label ({dataset.labels.ignore}) are not trained on or scored.")
    cases = {case.name: case for case in [*dataset.train, *dataset.test]}
    patients = patients_of(cases, options.patient_pattern, options.patients)
    split = _split(options, dataset, patients)
    print_table("Patients", ("patient", "part", "cases"), split_rows(split, patients))
    _refuse_no_object(options, dataset, classes, split)
    jobs = [(cases[name], part) for part in PARTS for name in split[part]]
    folder = _open_folder(options, [case for case, _ in jobs], split)
    write_split(options.work_dir, split, patients)
    write_json(options.work_dir / WINDOW_FILE, [level, width])
    with atomic_path(options.work_dir / DATASET_FILE) as temporary:  # for the names of the classes
        shutil.copyfile(options.dataset_path / DATASET_FILE, temporary)

    waiting = [(case, part) for case, part in jobs if case.name not in folder.cases]
    if folder.cases:
        how_many = f"{len(folder.cases)} of {len(jobs)} cases are" if waiting else "it is"
        say(f"{options.work_dir}: {how_many} prepared already, from the same data, options and split")
    if waiting:
        train, valid, test = ({name: cases[name].image for name in split[part]} for part in PARTS)
        warn_of_leaks(train, valid, test, options.channel)
    problems = _prepare(options, waiting, folder, dataset.labels.ignore)
    print_problems(problems)
    cleaned = {
        case: {int(value): Cleaned(**counts) for value, counts in record.decided["classes"].items()}
        for case, record in folder.cases.items()
    }
    print_cleaned(cleaned, classes)
    print_saturated(cleaned, classes, level, width)
    trained = [cleaned[name] for name in split["train"] if name in cleaned]
    if trained and not any(counts.voxels[1] for of_case in trained for counts in of_case.values()):
        raise PlanewiseError(
            f"{options.dataset_path}: the training patients' labels hold no object (classes: "
            f"{', '.join(f'{name} ({value})' for value, name in classes.items())}) after small components were "
            "removed, see the table above; lower --min_volume_mm3 and --min_area_mm2"
        )
    say(f"The patients are in {options.work_dir}")
    return [*dataset.problems, *problems]


def _open(options: IldPrepare) -> Dataset:
    """Open the dataset; refuse a dataset of instances."""
    if (options.dataset_path / "instancesTr").is_dir():
        raise PlanewiseError(
            f"{options.dataset_path}: holds objects with ids (instancesTr), but classes are learned here, with values "
            "that dataset.json names: give a dataset with labelsTr only"
        )
    return open_dataset(
        options.dataset_path,
        need_test=holds_anything(options.dataset_path / "imagesTs"),
        channel=options.channel,
        ignore_geometry=options.ignore_geometry,
    )


def _open_folder(options: IldPrepare, cases: list[Case], split: Split) -> PreparedFolder:
    """Return the work folder, with the cases that are prepared there already from the same data and options."""
    inputs = _inputs(options, cases)
    decisive = options.model_dump(mode="json", include=DECISIVE)
    decisive |= {"layout": LAYOUT, "window": list(options.window_in_hu()), "split": split}
    return PreparedFolder.open(options.work_dir, decisive, inputs, split)


def _prepare(
    options: IldPrepare, waiting: list[tuple[Case, str]], folder: PreparedFolder, ignore: int | None
) -> list[Problem]:
    """Prepare the waiting cases; return their problems."""
    problems = []
    with progress("preparing", len(waiting), unit="patients") as advance:
        for case, outcome in _in_processes(options, waiting, *options.window_in_hu(), ignore):
            if isinstance(outcome, Problem):
                problems.append(outcome)
                folder.failed(case)
            else:
                folder.done(case, {value: asdict(counts) for value, counts in outcome.items()})
            advance(1, case)
    return problems


def _split(options: IldPrepare, dataset: Dataset, patients: dict[str, str]) -> Split:
    """Return the requested split."""
    truths = {case.name: case.truth for case in dataset.train}
    if options.split is not None:
        twice = sorted(truths.keys() & {case.name for case in dataset.test})
        if twice:
            raise PlanewiseError(
                f"--split: imagesTr and imagesTs both have {', '.join(twice[:5])}; rename one of the two"
            )
        return read_split(options.split, patients)

    no_class = {0, dataset.labels.ignore}

    def classes(case: str) -> frozenset[int]:
        return (_values_in(truths[case]) or frozenset()) - no_class

    tests = [case.name for case in dataset.test]
    return draw_split(patients, list(truths), tests, classes, options.valid_share, options.seed, options.test_share)


def _values_in(truth: Path | None) -> frozenset[int] | None:
    """Return the values of labels; None if they cannot be read, which is said when the case is prepared."""
    try:
        return frozenset(np.unique(read_labels(truth).read()).tolist()) if truth else None
    except PlanewiseError:
        return None


def _refuse_no_object(options: IldPrepare, dataset: Dataset, classes: dict[int, str], split: Split) -> None:
    """Raise PlanewiseError if no training patient has a labelled object."""
    truths = {case.name: case.truth for case in [*dataset.train, *dataset.test]}
    ignore = dataset.labels.ignore
    seen: set[int] = set()
    for name in split["train"]:
        values = _values_in(truths[name])
        if values is None or values - {0, ignore}:
            return
        seen |= values
    kinds = {0: "background", ignore: f"the ignore label ({ignore})"}
    raise PlanewiseError(
        f"{options.dataset_path}: the training patients' labels hold no object, all their voxels are "
        f"{' or '.join(kinds[value] for value in sorted(seen))}; give patients that have some (classes: "
        f"{', '.join(f'{name} ({value})' for value, name in classes.items())})"
    )


def _inputs(options: IldPrepare, cases: list[Case]) -> dict[str, dict[str, str]]:
    """Return the fingerprints of each case's input files, by case."""
    with progress("checking the inputs", len(cases), unit="cases") as advance:
        data = fingerprints(cases, lambda name: advance(1, name))
    of_all = {DATASET_FILE: fingerprint(options.dataset_path / DATASET_FILE)}
    if options.lungs is not None:
        of_all["lungs"] = fingerprint(options.lungs)
    names = {case.name: (case.name, f"{case.name} (truth)") for case in cases}
    return {case: {name: data[name] for name in both if name in data} | of_all for case, both in names.items()}


def _in_processes(
    options: IldPrepare, jobs: list[tuple[Case, str]], level: float, width: float, ignore: int | None
) -> Iterator[tuple[str, dict[int, Cleaned] | Problem]]:
    """Yield each case's name, with its cleaned classes or a Problem, as patients are done."""
    if options.num_workers == 0 or len(jobs) == 1:
        for case, part in jobs:
            yield case.name, _prepare_case(case, part, options, level, width, ignore)
        return
    with WorkerPool(options.num_workers) as pool:
        futures = {pool.submit(_prepare_case, case, part, options, level, width, ignore): case for case, part in jobs}
        for future in as_completed(futures):
            case = futures[future]
            try:
                yield case.name, future.result()
            except BrokenProcessPool as error:
                died = "a process that prepared patients died (killed, or out of memory); fewer --num_workers need less"
                raise PlanewiseError(f"{died}. Finished cases are kept: the same command continues") from error


def _prepare_case(
    case: Case, part: str, options: IldPrepare, level: float, width: float, ignore: int | None
) -> dict[int, Cleaned] | Problem:
    """Prepare one patient; return its cleaned classes, or its problem."""
    try:
        patient, hu = read_patient(
            case.name, case.image, case.truth, level, width, ignore, case.channel, case.ignore_geometry
        )
        drawn = patient.labels
        if drawn is not None:
            patient = replace(patient, labels=remove_small(drawn, *options.smallest(patient.spacing_mm)))
        try:
            patient = replace(patient, organ=lungs_of(patient, hu, case.image, options.lungs, case.ignore_geometry))
        except PlanewiseError as error:
            warn(f"{case.name}: without lungs it can be used with drawn boxes only: {error}")
        rng = np.random.default_rng([options.seed, sum(case.name.encode())])
        if part != "test":
            patient_kept = choose_slices(patient, options.slices, options.background_share, rng)
            save_slices(options.work_dir / SLICES / part, patient_kept)
        else:
            patient_kept = patient
        folder = npz_folder(options.work_dir, part)
        save_patient(folder / f"{case.name}.npz", patient_kept)
        if options.save_nii:
            write_volume(folder / f"{case.name}_img.nii.gz", patient_kept.restore(patient_kept.images))
            if patient_kept.labels is not None:
                write_labels(folder / f"{case.name}_gt.nii.gz", patient_kept.restore(patient_kept.labels))
        return {} if drawn is None else cleaned_classes(drawn, patient, hu, level, width)
    except PlanewiseError as error:
        return Problem.of(case.image, error)


def slices_from_npz(train_folder: Path, valid_folder: Path, npy_folder: Path) -> int:
    """Write the slices of prepared patients as npy, as ``prepare_ild`` itself does. Returns the exit code.

    Nothing is removed: slices in ``npy_folder`` of other patients are reported as problems.
    """
    problems = []
    sides: dict[str, Path] = {}
    for part, folder in (("train", train_folder), ("valid", valid_folder)):
        written: set[str] = set()
        for path in sorted(folder.glob("*.npz")):
            if path.stem in sides:
                problems.append(Problem(str(path), f"is also in {sides[path.stem]}; a patient belongs in one part"))
                continue
            sides[path.stem] = folder
            try:
                count = save_slices(npy_folder / part, load_patient(path))
                written |= {slice_name(path.stem, number) for number in range(count)}
            except PlanewiseError as error:
                problems.append(Problem.of(path, error))
        stale = sorted({path.name for path in (npy_folder / part / "imgs").glob("*.npy")} - written)
        if stale:
            what = f"{len(stale)} slices are of no patient in {folder} ({', '.join(stale[:3])}); remove them"
            problems.append(Problem(str(npy_folder / part), what))
    if not (npy_folder / "train").exists():
        raise PlanewiseError(f"{train_folder}: holds no prepared patient (npz)")
    work = train_folder.resolve().parents[1]
    for name in (WINDOW_FILE, DATASET_FILE):  # training looks for them beside the slices
        if (work / name).is_file() and npy_folder.resolve().parent != work:
            with atomic_path(npy_folder / name) as temporary:
                shutil.copyfile(work / name, temporary)
    return report_problems(problems)
