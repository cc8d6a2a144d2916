"""Tables that people write: CSV as spreadsheet programs save it."""

import csv
from collections.abc import Iterable
from pathlib import Path

from planewise.errors import PlanewiseError


def separator_of(text: str) -> str:
    """Return what separates the cells of a CSV: comma, semicolon or tab, of which its first line has most."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)  # of equally many the first


def spreadsheet_rows(text: str) -> "csv.DictReader[str]":
    """Return the rows of a CSV by column; ``fieldnames`` are the columns of its first line, in small letters.

    See ``separator_of`` for what stands between the cells.
    """
    rows = csv.DictReader(text.splitlines(), delimiter=separator_of(text), skipinitialspace=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    return rows


def read_table(path: Path, columns: Iterable[str], form: str, option: str = "") -> list[dict[str, str]]:
    """Return the rows of a CSV, each by column, without space around its cells; what a row lacks is empty.

    ``columns``: that it must have; ``form``: what it looks like, for messages; ``option``: that it was given by. Raises
    PlanewiseError if it cannot be read or lacks a column.
    """
    where = f"{option} {path}".lstrip()
    try:
        rows = spreadsheet_rows(path.read_text("utf-8-sig"))
        table = [{str(name): str(cell or "").strip() for name, cell in row.items()} for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise PlanewiseError(f"{where}: cannot be read ({error}); {form}") from error
    if not set(columns) <= set(rows.fieldnames or ()):
        raise PlanewiseError(f"{where}: its first line is {','.join(rows.fieldnames or ()) or 'empty'}; {form}")
    return table
