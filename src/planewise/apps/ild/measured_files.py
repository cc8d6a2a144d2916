"""The measures of all cases as files: a CSV with a row for each case, the agreement of two readers, JSON, a page."""

import csv
import math
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from planewise.apps.ild.label_options import IldMeasure
from planewise.apps.ild.measured_cohort import write_cohort_page
from planewise.errors import Problem
from planewise.measurement.classes import MeasuredClasses
from planewise.measurement.lung_columns import RESEARCH, lung_columns
from planewise.measurement.lung_measures import MeasuredCase
from planewise.measurement.readers import AGREEMENT_COLUMNS, Agreement, agreement
from planewise.report.tables import cell
from planewise.volumes.atomic import atomic_path
from planewise.volumes.json_files import finite, write_json

CSV, JSON, PAGE, AGREEMENT = "measures.csv", "measures.json", "measures.html", "agreement.csv"


def write_cohort(
    folder: Path,
    measured: list[MeasuredCase],
    patients: dict[str, str],
    classes: MeasuredClasses,
    options: IldMeasure,
    problems: list[Problem],
) -> None:
    """Write measures.csv, measures.json, measures.html, and agreement.csv if there is a second reader.

    ``patients``: the patient of each case. Raises PlanewiseError if they cannot be written.
    """
    groups = classes.groups()
    columns = lung_columns(groups)
    compared = [case for case in measured if case.against is not None]
    agreements = []
    for name in columns if compared else ():
        if compared[0].against is not None and name in compared[0].against and not name.startswith("lungs_"):
            agreements.append(_agreement(name, compared, patients, options))
    with atomic_path(folder / CSV) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("case", "patient", "reader", "labels", *columns))
        for case in measured:
            readers = ((case.labels, case.measures), (case.against_labels, case.against))
            for reader, (labels, measures) in enumerate(readers, 1):
                if measures is not None:
                    values = (cell(measures.get(name)) for name in columns)
                    writer.writerow((case.case, patients[case.case], reader, labels, *values))
    if options.against is not None:
        _write_agreement(folder / AGREEMENT, agreements)
    content = {
        "note": RESEARCH,
        "version": version("planewise"),
        "classes": {str(value): name for value, name in classes.names.items()},
        "groups": {name: list(values) for name, values in groups.items()},
        "options": options.model_dump(mode="json"),
        "columns": [asdict(column) for column in columns.values()],
        "cases": [{"patient": patients[case.case], **case.stored()} for case in measured],
        "agreement_columns": [asdict(column) for column in AGREEMENT_COLUMNS] if agreements else [],
        "agreement": [finite(one.row()) for one in agreements],
        "problems": [asdict(problem) for problem in problems],
    }
    write_json(folder / JSON, content)
    write_cohort_page(folder / PAGE, measured, patients, classes, columns, agreements, options, problems)


def _agreement(name: str, compared: list[MeasuredCase], patients: dict[str, str], options: IldMeasure) -> Agreement:
    first = [_number(case.measures[name]) for case in compared]
    second = [_number((case.against or {}).get(name)) for case in compared]
    of_cases = [patients[case.case] for case in compared]
    return agreement(name, first, second, of_cases, options.categories, options.kappa_weights)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _write_agreement(path: Path, agreements: list[Agreement]) -> None:
    rows = [one.row() for one in agreements]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        header = [name for column in AGREEMENT_COLUMNS for name in column.name.split(", ")]
        writer.writerow(header)
        writer.writerows([cell(row[name]) for name in header] for row in rows)
