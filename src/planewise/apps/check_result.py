"""What check reports about a path: printed as tables, and written as JSON."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.check import CheckedCase
from planewise.data.leaks import Leak
from planewise.errors import PlanewiseError, Problem
from planewise.progress import counted, say
from planewise.report.tables import print_table
from planewise.volumes.json_files import read_json


@dataclass
class Checked:
    """What one path holds. ``notes``: lines of information that are not problems."""

    path: Path
    kind: str
    cases: list[CheckedCase] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def print_checked(checked: Checked) -> None:
    """Print what a path holds: its cases, its classes and the notes."""
    if checked.cases:
        rows = [_row(case, checked) for case in checked.cases]
        header = ("case", "part", "patient", "shape z, y, x", "spacing", "type", "uses", "fine structures", "planes")
        print_table(f"{checked.path}: {checked.kind}, {counted(len(rows), 'case')}", header, rows)
    classes = list(dict.fromkeys(name for case in checked.cases for name in case.classes))
    if classes:
        rows = [_class_row(name, checked.cases) for name in classes]
        print_table("Truth", ("class", "cases with it", "voxels", "share", "objects"), rows)
    for note in checked.notes:
        say(note)


def _row(case: CheckedCase, checked: Checked) -> tuple[str, ...]:
    place = (case.name, case.part, checked.patients.get(case.name, ""))
    if case.image is None:
        return (*place, "cannot be used", "", "", "", "", "")
    volume, seen = case.image.volume, case.image.intensities
    spacing = (
        "not stated" if volume.unit == "pixel" else " x ".join(f"{s:.4g}" for s in volume.spacing) + f" {volume.unit}"
    )
    shape = " x ".join(map(str, volume.shape))
    used = f"{seen.low:.5g} to {seen.high:.5g}"
    return (*place, shape, spacing, str(seen.dtype), used, seen.contrast.polarity, " ".join(case.image.planes))


def _class_row(name: str, cases: list[CheckedCase]) -> tuple[str, ...]:
    of_cases = [case.classes[name] for case in cases if name in case.classes]
    there = [of_class for of_class in of_cases if of_class.voxels]
    counted = [of_class.objects for of_class in of_cases if of_class.objects is not None]
    share = float(np.mean([of_class.share for of_class in of_cases]))
    objects = f"{sum(counted):,}" if len(counted) == len(of_cases) else "not counted"
    return name, f"{len(there)} of {len(of_cases)}", f"{sum(c.voxels for c in of_cases):,}", f"{share:.2%}", objects


def as_json(checked: Checked) -> dict[str, Any]:
    return {
        "path": str(checked.path),
        "kind": checked.kind,
        "cases": [_case_as_json(case, checked) for case in checked.cases],
        "leaks": [
            {"train": leak.train, "test": leak.test, "share": leak.share, "offset": leak.offset}
            for leak in checked.leaks
        ],
        "notes": checked.notes,
        "problems": [{"where": problem.where, "what": problem.what} for problem in checked.problems],
    }


def _case_as_json(case: CheckedCase, checked: Checked) -> dict[str, Any]:
    content: dict[str, Any] = {"case": case.name, "part": case.part, "patient": checked.patients.get(case.name)}
    if case.image is not None:
        volume, seen = case.image.volume, case.image.intensities
        content |= {
            "image": str(case.image.path),
            "shape": volume.shape,
            "spacing": volume.spacing,
            "unit": volume.unit,
            "dtype": str(seen.dtype),
            "least": seen.least,
            "most": seen.most,
            "used": [seen.low, seen.high],
            "fine_structures": seen.contrast.polarity,
            "planes": case.image.planes,
        }
    content["classes"] = {
        name: {"voxels": c.voxels, "share": c.share, "objects": c.objects} for name, c in case.classes.items()
    }
    return content


def written_by_check(path: Path) -> bool:
    """Whether a JSON file is one that check wrote."""
    try:
        content = read_json(path)
    except PlanewiseError:
        return False
    return isinstance(content, list) and all(isinstance(item, dict) and "kind" in item for item in content)
