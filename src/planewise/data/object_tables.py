"""The tables of objects beside label volumes: {case}_objects.csv, with a confidence for each object."""

import math
from pathlib import Path

from planewise.data.spreadsheet import read_table
from planewise.errors import PlanewiseError
from planewise.progress import say
from planewise.volumes.formats import stem_of


def table_of_objects(labels: Path) -> Path:
    """Return the path of the table of a label volume's objects, which may not exist."""
    return labels.with_name(f"{stem_of(labels)}_objects.csv")


def read_confidences(table: Path) -> dict[int, float] | None:
    """Return the confidence of the objects that have one, by id; None, with a message, if the table has no such
    columns.

    Raises PlanewiseError if it cannot be read, or if an id or a confidence is not a number.
    """
    rows = read_table(table, (), "it must be a CSV of objects")
    if not all({"label", "confidence"} <= row.keys() for row in rows):
        say(f"{table}: has no columns label and confidence: these objects have no confidence")
        return None
    try:
        known = {int(row["label"]): float(row["confidence"]) for row in rows if row["confidence"]}
    except ValueError as error:
        raise PlanewiseError(f"{table}: label and confidence are not numbers in every row ({error})") from error
    return {label: confidence for label, confidence in known.items() if not math.isnan(confidence)}
