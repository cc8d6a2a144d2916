"""What a user does between ``planewise audit plan`` and ``planewise audit report``: corrects items, by the truth."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from planewise.audit.drawing import Wanted, draw_case
from planewise.audit.plan import CaseRecord, Plan
from planewise.audit.population import Source
from planewise.volumes.labels import open_labels, write_labels
from planewise.volumes.volume import Volume


def make_plan(folder: Path, labels: np.ndarray, kinds: dict | None = None, **wanted: Any) -> Plan:
    """Draw a plan of one case, write its items into ``folder``, and return it."""
    case = CaseRecord("cell", {}, {}, "cell", "", labels.shape, 1.0, "um", 0.0, ".tiff")
    asked = Wanted(kinds or {"slice": 8, "box": 6}, {"all": None}, 5, "stratified", **wanted)
    case, populations, items = draw_case(folder, case, Source(Volume(labels), None, None), asked, 1, lambda *_: None)
    quantities = ["volume_fraction", "count"] if kinds is None else ["count", "mean_volume"]
    return Plan("2026-01-01", "0", 5, "stratified", quantities, [], {"all": None}, [case], populations, items)


def correct(plan: Path, truth: dict[str, np.ndarray], skip: tuple[str, ...] = (), done: bool = True) -> None:
    """Write the true labels (z, y, x) of each case into the items' files, and say in the table that they are done."""
    content = json.loads((plan / "plan.json").read_text())
    endings = {case["name"]: case["ending"] for case in content["cases"]}
    for item in content["items"]:
        if item["name"] not in skip:
            path = plan / "labels" / f"{item['name']}{endings[item['case']]}"
            crop = tuple(slice(low, high) for low, high in item["crop"])
            write_labels(path, open_labels(path).with_voxels(truth[item["case"]][crop]))
    if done:
        fill_in(plan, {item["name"]: {"done": "yes"} for item in content["items"] if item["name"] not in skip})


def fill_in(plan: Path, cells: dict[str, dict[str, object]]) -> None:
    """Write cells of answers.csv, by item and column."""
    path = plan / "answers.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {column: str(value) for column, value in cells.get(row["item"], {}).items()}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def findings_of(plan: Path) -> dict[tuple[str, str, str], dict]:
    """Return the findings of a report by quantity, scope and unit."""
    content = json.loads((plan / "report" / "audit.json").read_text())
    return {(finding["quantity"], finding["what"], finding["unit"]): finding for finding in content["findings"]}
