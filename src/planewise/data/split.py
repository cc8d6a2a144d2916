"""The split of patients into training, validation and test parts: drawn or read; no patient is in two parts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError
from planewise.progress import counted, say
from planewise.volumes.atomic import atomic_path
from planewise.volumes.json_files import read_json

PARTS = ("train", "valid", "test")
VALID_SHARE = 0.2  # of the patients who are not in the test part, by default
SPLIT_FILE, PATIENTS_FILE = "split.json", "patients.json"
Split = dict[str, list[str]]  # case names by part


def draw_split(
    patients: dict[str, str],
    train: list[str],
    tests: list[str],
    classes: Callable[[str], frozenset[int]],
    valid_share: float,
    seed: int,
    test_share: float = 0.0,
) -> Split:
    """Return a split in which the cases of ``tests`` are the test part, and a share of the others is for validation.

    ``patients``: the patient of each case; ``classes``: the classes in a training case's truth, which are balanced
    between the parts. Cases of ``train`` whose patient is in the test part are in no part. Without ``tests``, the test
    part is ``test_share`` of the patients in ``train``.
    """
    tested = {patients[name] for name in tests}
    kept_out = [name for name in train if patients[name] in tested]
    if kept_out:
        say(f"{len(kept_out)} training cases are of patients in the test part, and left out: {', '.join(kept_out)}")
    cases_of: dict[str, list[str]] = {}
    for name in train:
        if patients[name] not in tested:
            cases_of.setdefault(patients[name], []).append(name)
    if test_share and not tests:
        if len(cases_of) == 1:
            say("There is one patient: none is kept for the test.")
        drawn = _stratified(cases_of, classes, test_share, seed) if len(cases_of) > 1 else set()
        tests = [name for patient in sorted(drawn) for name in cases_of.pop(patient)]
    held = _stratified(cases_of, classes, valid_share, seed) if len(cases_of) > 1 else set()
    if len(cases_of) == 1:
        say("There is one training patient: none is held out, and validation is on training slices.")
    split: Split = {"train": [], "valid": [], "test": list(tests)}
    for patient in sorted(cases_of):
        split["valid" if patient in held else "train"] += cases_of[patient]
    if not split["train"]:
        why = (
            "every patient of imagesTr is tested" if not cases_of else "all are held out: give a smaller --valid_share"
        )
        raise PlanewiseError(f"No patient is left to train on: {why}")
    return split


def _stratified(
    cases_of: dict[str, list[str]], classes: Callable[[str], frozenset[int]], share: float, seed: int
) -> set[str]:
    """Return the patients to validate on: the same share of patients with each set of classes, at least one in all."""
    groups: dict[frozenset[int], list[str]] = {}
    for patient in sorted(cases_of):
        groups.setdefault(frozenset().union(*map(classes, cases_of[patient])), []).append(patient)
    rng = np.random.default_rng(seed)
    order = [str(patient) for group in groups.values() for patient in rng.permutation(group)]
    wanted = max(1, round(len(order) * share)) if share else 0
    # Evenly spaced in an order that keeps patients of one set of classes together.
    return {order[int((i + 0.5) * len(order) / wanted)] for i in range(wanted)}


def read_split(path: Path, patients: dict[str, str]) -> Split:
    """Read a split, {"train": [case, ...], "valid": [...], "test": [...]}; a part that is missing is empty.

    ``patients``: the patient of each existing case. Raises PlanewiseError if the file is not a split, names an unknown
    case or a case twice, has no training case, or has a patient in two parts.
    """
    try:
        content = read_json(path)
    except PlanewiseError as error:
        raise PlanewiseError(f"--split {error}; it is a JSON object of train, valid and test") from error
    if not isinstance(content, dict) or not set(content) <= set(PARTS):
        what = f"has {', '.join(sorted(map(str, content)))}" if isinstance(content, dict) else "is no object"
        raise PlanewiseError(f'--split {path}: {what}; it must be {{"train": [...], "valid": [...], "test": [...]}}')
    for part, names in content.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise PlanewiseError(f"--split {path}: {part} must be a list of case names")
    split: Split = {part: content.get(part, []) for part in PARTS}
    named = [name for part in PARTS for name in split[part]]
    unknown = sorted(set(named) - set(patients))
    if unknown:
        raise PlanewiseError(f"--split {path}: names cases that are not there: {', '.join(unknown[:5])}")
    sides: dict[str, str] = {}
    for part in PARTS:
        for name in split[part]:
            if sides.setdefault(patients[name], part) != part:
                raise PlanewiseError(
                    f"--split {path}: patient {patients[name]} is in {sides[patients[name]]} and {part}; each must "
                    "be in one part"
                )
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise PlanewiseError(f"--split {path}: names twice: {', '.join(twice[:5])}")
    if not split["train"]:
        raise PlanewiseError(f"--split {path}: train is empty; there must be a case to train on")
    left_out = len(patients) - len(named)
    if left_out:
        say(f"{path}: {counted(left_out, 'case')} in no part of it, and left out")
    return split


def write_split(folder: Path, split: Split, patients: dict[str, str]) -> None:
    """Write ``split.json`` as published, and ``patients.json``, the patient of each case, as --patients reads it."""
    for name, content in ((SPLIT_FILE, {part: sorted(split[part]) for part in PARTS}), (PATIENTS_FILE, patients)):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2), "utf-8")


def split_rows(split: Split, patients: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return a row for each patient, to print: patient, part ("left out" if in none), cases."""
    part_of = {name: part for part in PARTS for name in split[part]}
    rows: dict[tuple[str, str], list[str]] = {}
    for name, patient in patients.items():
        rows.setdefault((patient, part_of.get(name, "left out")), []).append(name)
    order = (*PARTS, "left out")
    return [
        (patient, part, ", ".join(names))
        for (patient, part), names in sorted(rows.items(), key=lambda row: (order.index(row[0][1]), row[0][0]))
    ]
