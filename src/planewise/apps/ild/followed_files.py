"""The files that compare a patient's scans: a page with both side by side, and the changes as CSV and JSON."""

import csv
from dataclasses import asdict
from datetime import date
from importlib.metadata import version

from planewise.apps.ild.followed_pairs import Pair
from planewise.apps.ild.followed_slides import CHANGES
from planewise.apps.ild.options import IldFollow
from planewise.errors import Problem
from planewise.measurement.classes import MeasuredClasses
from planewise.measurement.lung_columns import RESEARCH
from planewise.measurement.regions import region_words
from planewise.report.html import write_html
from planewise.report.tables import cell
from planewise.serial.change import Change
from planewise.serial.comparability import differences
from planewise.volumes.atomic import atomic_path
from planewise.volumes.json_files import write_json
from planewise.volumes.label_names import class_colours

PAGE, CSV, JSON = "follow.html", "changes.csv", "changes.json"


def write_followed(
    options: IldFollow, pairs: list[Pair], classes: MeasuredClasses, model: str, problems: list[Problem]
) -> None:
    """Write follow.html, changes.csv and changes.json. Raises PlanewiseError if they cannot be written."""
    columns = ("group", "region", "unit", "first", "second", "change", "detectable", "category")
    with atomic_path(options.output / CSV) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("first_date", "second_date", *columns))
        for pair in pairs:
            for row in pair.rows:
                values = [cell(getattr(row, name)) for name in columns]
                writer.writerow((pair.first.name, pair.second.name, *values))
    write_json(
        options.output / JSON,
        {
            "note": RESEARCH,
            "version": version("planewise"),
            "model": model,
            "options": options.model_dump(mode="json"),
            "pairs": [pair.about() for pair in pairs],
            "problems": [asdict(problem) for problem in problems],
        },
    )
    titles = {classes.columns()[value]: name for value, name in classes.names.items()} | {
        "total_fibrosis": "fibrosis: " + " + ".join(classes.names[value] for value in classes.fibrosis),
        "total_extent": "all together",
    }
    write_html(
        options.output / PAGE,
        "followed.html",
        {"number": shown, "signed": signed},
        patient=options.patient.resolve().name,
        pairs=[_shown(pair) for pair in pairs],
        titles=titles,
        colours={classes.columns()[value]: colour for value, colour in class_colours(classes.names).items()},
        change_colours=CHANGES,
        region_words=region_words,
        retakes=options.retakes,
        model=model,
        problems=problems,
        research=RESEARCH,
        today=date.today().isoformat(),
        version=version("planewise"),
    )


def _shown(pair: Pair) -> dict[str, object]:
    """Return the values of a pair that the page shows."""
    units: dict[str, dict[tuple[str, str], Change]] = {"percent": {}, "ml": {}}
    for row in pair.rows:
        units[row.unit][row.group, row.region] = row
    return {
        "pair": pair,
        "slides": pair.slides,
        "slide_data": [slide._asdict() for slide in pair.slides],
        "differences": differences(pair.first, pair.second),
        "percent": units["percent"],
        "ml": units["ml"],
        "main": pair.main(),
    }


def shown(value: float | None) -> str:
    """Return a measure as text; - where it is not defined."""
    return "-" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def signed(value: float | None) -> str:
    """Return a change as text, with its sign."""
    return "-" if value is None else f"{value:+.1f}"
