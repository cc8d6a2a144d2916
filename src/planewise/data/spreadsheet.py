"""Tables that people write: CSV as spreadsheet programs save it."""

import csv


def spreadsheet_rows(text: str) -> "csv.DictReader[str]":
    """Return the rows of a CSV by column; ``fieldnames`` are the columns of its first line, in small letters.

    Commas, semicolons or tabs separate the cells, whichever of them the first line has, in this order.
    """
    lines = text.splitlines()
    separator = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
    rows = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    return rows
