"""Measures as tables for other programs: each column's name states its unit, and a JSON file explains the columns."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planewise.measurement.columns import OBJECT, VOLUME, definitions, measure_of, unit_of
from planewise.measurement.groups import Comparison, Member, animal_means
from planewise.measurement.volume_measures import Measured, json_number
from planewise.measurement.volume_summary import QUANTILES
from planewise.volumes.atomic import atomic_path

Row = dict[str, Any]
Cases = Mapping[str, Measured]


def name_of(key: str, physical: bool) -> str:
    """Return the name, with its unit, of a measure of objects or of volumes."""
    return (VOLUME[key] if key in VOLUME and key not in OBJECT else measure_of(key)).name(key, physical)


def object_rows(cases: Cases) -> list[Row]:
    """Return a row for each object of all cases."""
    rows = []
    for case, measured in cases.items():
        names = {key: measure_of(key).name(key, measured.physical) for key in _ordered(measured.objects)}
        for i, label in enumerate(measured.labels.tolist()):
            row: Row = {"case": case, "label": label}
            if measured.classes is not None:
                row["class"] = measured.classes.name_of(int(measured.classes.of_object[i]))
            rows.append(row | {name: float(measured.objects[key][i]) for key, name in names.items()})
    return rows


def _ordered(keys: Iterable[str]) -> list[str]:
    """Return keys in the order of ``OBJECT``, and those of references last."""
    there = list(keys)
    return [key for key in OBJECT if key in there] + [key for key in there if key not in OBJECT]


def contact_rows(cases: Cases) -> list[Row]:
    """Return a row for each pair of objects that touch."""
    rows = []
    for case, measured in cases.items():
        area = name_of("contact_area", measured.physical)
        pairs = measured.contacts
        for first, second, size in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.area.tolist()):
            rows.append({"case": case, "first_label": first, "second_label": second, area: size})
    return rows


def class_contact_rows(cases: Cases) -> list[Row]:
    """Return a row for each pair of classes that touch: the area, and the number of objects of each that touch the
    other, None for a class without objects, such as stuff."""
    rows = []
    for case, measured in cases.items():
        area = name_of("contact_area", measured.physical)
        if measured.classes is None:
            continue
        names, with_objects = measured.classes.names, set(measured.classes.of_object.tolist())
        for contact in measured.classes.contacts:
            rows.append(
                {
                    "case": case,
                    "first_class": names[contact.first],
                    "second_class": names[contact.second],
                    area: contact.area,
                    "first_objects": contact.first_objects if contact.first in with_objects else None,
                    "second_objects": contact.second_objects if contact.second in with_objects else None,
                }
            )
    return rows


def volume_rows(cases: Cases) -> list[Row]:
    """Return a row for each case."""
    rows = []
    for case, measured in cases.items():
        z, y, x = measured.spacing
        unit = unit_of("length", measured.physical).ending
        row: Row = {"case": case, f"spacing_z{unit}": z, f"spacing_y{unit}": y, f"spacing_x{unit}": x}
        for key, value in measured.volume.items():
            row[VOLUME[key].name(key, measured.physical)] = value
        rows.append(row)
    return rows


def distribution_rows(cases: Cases) -> list[Row]:
    """Return a row for each measure of each case: its distribution over the objects, corrected for the border."""
    rows = []
    for case, measured in cases.items():
        for key, over in measured.distributions.items():
            quantiles = {f"p{round(100 * q)}": value for q, value in zip(QUANTILES, over.quantiles)}
            name = measure_of(key).name(key, measured.physical)
            rows.append({"case": case, "measure": name, "n": over.n, "mean": over.mean, "sd": over.sd} | quantiles)
    return rows


def comparison_rows(comparisons: Sequence[Comparison], physical: bool) -> list[Row]:
    """Return a row for each pair of conditions in each measure."""
    return [
        {
            "measure": name_of(row.measure, physical),
            "first": row.first,
            "second": row.second,
            "mean_first": row.means[0],
            "mean_second": row.means[1],
            "difference": row.difference,
            "low_95": row.low,
            "high_95": row.high,
            "p": row.p,
            "p_holm": row.p_holm,
            "method": row.method,
            "animals_first": row.animals[0],
            "animals_second": row.animals[1],
            "cases_first": row.cases[0],
            "cases_second": row.cases[1],
            "values_first": row.objects[0],
            "values_second": row.objects[1],
        }
        for row in comparisons
    ]


def animal_rows(members: Sequence[Member], measures: dict[str, dict[str, np.ndarray]], physical: bool) -> list[Row]:
    """Return a row for each animal: its condition, its cases, and its means."""
    means = {key: animal_means(members, by_case) for key, by_case in measures.items()}
    rows = []
    for animal, condition in {member.animal: member.condition for member in members}.items():
        cases = sum(member.animal == animal for member in members)
        row: Row = {"animal": animal, "condition": condition, "cases": cases}
        rows.append(row | {name_of(key, physical): means[key].get(animal, math.nan) for key in measures})
    return rows


def write_csv(path: Path, rows: Sequence[Row], header: Sequence[str] = ()) -> None:
    """Write rows with all their columns; ``header``: for a table without rows. Values not measured are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(header)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    number = json_number(value)
    return "" if number is None else f"{number:.6g}" if isinstance(number, float) else number


def document(cases: Cases, comparisons: list[Row], animals: list[Row]) -> dict[str, Any]:
    """Return all tables for JSON, with the meaning of each column."""
    columns: dict[str, dict[str, dict[str, str]]] = {"objects": {}, "volumes": {}}
    for measured in cases.values():
        objects = {key: measure_of(key) for key in _ordered(measured.objects)}
        columns["objects"] |= definitions(objects, measured.physical)
        columns["volumes"] |= definitions(VOLUME, measured.physical)
    tables = {
        "volumes": volume_rows(cases),
        "distributions": distribution_rows(cases),
        "objects": object_rows(cases),
        "contacts": contact_rows(cases),
        "comparisons": comparisons,
        "animals": animals,
    }
    if any(measured.classes is not None for measured in cases.values()):
        tables["class_contacts"] = class_contact_rows(cases)
    return {"columns": columns} | {
        name: [{key: _json(value) for key, value in row.items()} for row in rows] for name, rows in tables.items()
    }


def _json(value: Any) -> Any:
    return json_number(value) if isinstance(value, float) else value
