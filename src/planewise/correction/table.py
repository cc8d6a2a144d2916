"""The table {case}_objects.csv beside corrected labels: a row for each object that is left.

What a method wrote about an object, such as its confidence, holds for the voxels that it had: of an object whose voxels
were changed, and of a new one, the row has the id and the size alone. The table from before lies with the corrections::

    kept/objects.csv            as it was before any correction; put back when all of them are undone
    kept/objects.csv.written    the sha256 of each table that was written instead, so that an edited one is kept
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from planewise.correction.journal import Entry
from planewise.correction.objects import Objects
from planewise.data.object_tables import table_of_objects
from planewise.data.preparation import sha256_of
from planewise.data.spreadsheet import separator_of, table_text
from planewise.progress import say_once
from planewise.volumes.atomic import atomic_path, write_again

TABLE, WRITTEN = "objects.csv", "objects.csv.written"
FORM = "it must be a CSV of objects"


def write_objects_left(result: Path, kept: Path, objects: Objects, actions: Iterable[Entry]) -> None:
    """Bring the table beside ``result``, if there is one, to the ``objects`` that are left after the ``actions``.

    ``kept``: the folder for the table from before. A table that was edited since is left as it is, with a message.
    Raises PlanewiseError if it cannot be read or written.
    """
    table, original, written = table_of_objects(result), kept / TABLE, kept / WRITTEN
    changed = {label for entry in actions if entry.kept for label in entry.objects}
    if not table.is_file() or not (changed or original.exists()):
        return
    text = _left(table_text(original if original.exists() else table, FORM), objects, changed)
    ours = written.read_text("utf-8").split() if written.exists() else []
    if text is None or (original.exists() and sha256_of(table) not in (*ours, sha256_of(original))):
        why = "does not name its objects by label" if text is None else "was edited after objects were corrected"
        say_once(f"{table}: {why}: it is left as it is, and may have objects that are not there any more")
        return
    if not original.exists():
        write_again(original, table, linked=False)
    if not changed:
        original.replace(table)
        return
    with atomic_path(table) as temporary:
        temporary.write_text(text, "utf-8", newline="")
        with written.open("a", encoding="utf-8") as file:
            file.write(f"{sha256_of(temporary)}\n")


def _left(text: str, objects: Objects, changed: set[int]) -> str | None:
    """Return the table ``text`` with the rows of ``objects``; None if it does not name them by label."""
    separator = separator_of(text)
    try:
        header, *rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        columns = [name.strip().lower() for name in header]
        by_label = {int(row[columns.index("label")]): row for row in rows if row}
    except (ValueError, IndexError, csv.Error):
        return None
    listed = [label for label in by_label if label in objects]
    listed += sorted(label for label in changed & objects.keys() if label not in by_label)
    left = io.StringIO()
    writer = csv.writer(left, delimiter=separator)
    writer.writerow(header)
    for label in listed:
        known = {"label": label, "voxels": objects[label].voxels}
        row = [known.get(name, "") for name in columns] if label in changed else by_label[label]
        writer.writerow(row)
    return left.getvalue()
