"""Work lists: which places of which cases are to be looked at, in which order. A CSV that can be written anywhere.

::

    item,case,what,labels,z,y,x
    a: merge 7,a,"merge of 3 4, 812 voxels",7,12,40,33
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from planewise.data.spreadsheet import read_table
from planewise.errors import PlanewiseError
from planewise.volumes.atomic import atomic_path

COLUMNS = ("item", "case", "what", "labels", "z", "y", "x")
NEEDED = ("case", "z", "y", "x")


@dataclass(frozen=True)
class Item:
    """A place (z, y, x) of a case's array to look at: ``name``: unique in the case; ``what``: a description.

    ``labels``: the objects that the item is about.
    """

    name: str
    case: str
    what: str
    labels: tuple[int, ...]
    place: tuple[int, int, int]


def write_worklist(path: Path, items: Iterable[Item]) -> None:
    """Write a work list."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for item in items:
            writer.writerow((item.name, item.case, item.what, " ".join(map(str, item.labels)), *item.place))


def read_worklist(path: Path) -> list[Item]:
    """Read a work list; without a column ``item`` they are numbered. Raises PlanewiseError naming the row."""
    table = read_table(path, NEEDED, f"a work list has at least {', '.join(NEEDED)}")
    items = []
    for number, row in enumerate(table, 1):
        try:
            z, y, x = (round(float(row[axis])) for axis in "zyx")
            labels = tuple(int(word) for word in row.get("labels", "").split())
        except (ValueError, OverflowError) as error:
            raise PlanewiseError(f"{path}: line {number + 1}: {error}; z, y, x and labels are numbers") from error
        items.append(Item(row.get("item") or str(number), row["case"], row.get("what", ""), labels, (z, y, x)))
    names = [(item.case, item.name) for item in items]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise PlanewiseError(
            f"{path}: item {twice[1]!r} of case {twice[0]} is listed twice; each item needs a different name"
        )
    return items
