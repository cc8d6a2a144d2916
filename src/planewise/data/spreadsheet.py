"""Reads tables that people write: CSV as spreadsheet programs save it."""

import csv
from collections.abc import Iterable
from pathlib import Path

from planewise.errors import PlanewiseError


def table_text(path: Path, form: str, option: str = "") -> str:
    """Return the text of a table; ``form``, ``option``: see ``read_table``. Raises PlanewiseError."""
    where = f"{option} {path}".lstrip()
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise PlanewiseError(f"{where}: no such file; {form}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PlanewiseError(f"{where}: cannot be read ({reason}); {form}") from error


def separator_of(text: str) -> str:
    """Return the separator of a CSV: the one of comma, semicolon and tab that is most frequent in its first line."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)  # in a tie, the first


def spreadsheet_rows(text: str) -> "csv.DictReader[str]":
    """Return the rows of a CSV by column; ``fieldnames`` are the columns of its first line, in small letters.

    See ``separator_of`` for the separator of the cells.
    """
    rows = csv.DictReader(text.splitlines(), delimiter=separator_of(text), skipinitialspace=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    return rows


def read_table(path: Path, columns: Iterable[str], form: str, option: str = "") -> list[dict[str, str]]:
    """Return the rows of a CSV, each by column, without space around the cells; missing cells are empty.

    ``columns``: the required columns; ``form``: the expected form, for messages; ``option``: the option that gave the
    path. Raises PlanewiseError if it is missing, cannot be read, or lacks a column.
    """
    where = f"{option} {path}".lstrip()
    text = table_text(path, form, option)
    try:
        rows = spreadsheet_rows(text)
        table = [{str(name): str(cell or "").strip() for name, cell in row.items()} for row in rows]
    except (ValueError, csv.Error) as error:
        raise PlanewiseError(f"{where}: cannot be read ({error}); {form}") from error
    if not set(columns) <= set(rows.fieldnames or ()):
        raise PlanewiseError(f"{where}: its first line is {','.join(rows.fieldnames or ()) or 'empty'}; {form}")
    return table
