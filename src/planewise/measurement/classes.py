"""The classes of a label volume that are measured, and those that count as fibrosis."""

import re
from dataclasses import dataclass

from planewise.data.classes import LabelDefinition
from planewise.errors import PlanewiseError
from planewise.measurement.regions import REGIONS

FIBROSIS = ("reticulation", "honeycombing")  # by default, if classes have these names
RESERVED = ("lungs", "total_fibrosis", "total_extent")  # other names of columns


@dataclass(frozen=True)
class MeasuredClasses:
    """``names`` of the classes that are measured, by value; ``known``: all values that a label volume may hold.

    ``fibrosis``: the values that count as fibrosis; none if no class has such a name.
    """

    names: dict[int, str]
    known: tuple[int, ...]
    fibrosis: tuple[int, ...]

    def columns(self) -> dict[int, str]:
        """Return the column name of each class, by value."""
        return {value: as_column(name) for value, name in self.names.items()}

    def groups(self) -> dict[str, tuple[int, ...]]:
        """Return the values of what is measured: every class by its column's name, then fibrosis, then all."""
        each = {column: (value,) for value, column in self.columns().items()}
        fibrosis = {"total_fibrosis": self.fibrosis} if self.fibrosis else {}
        return each | fibrosis | {"total_extent": tuple(self.names)}


def as_column(name: str) -> str:
    """Return the form of a class's name in names of columns: lower case, ``_`` for all but letters and digits."""
    return re.sub(r"\W+", "_", name.casefold()).strip("_")


def named_by_options(texts: tuple[str, ...]) -> LabelDefinition:
    """Return the classes named by ``--classes NAME=VALUE ...``. Raises PlanewiseError for text in another form."""
    classes: dict[int, str] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name or not value.isdecimal() or not int(value):
            raise PlanewiseError(f"--classes {text}: must be NAME=VALUE, with a whole number above 0 for VALUE")
        if int(value) in classes:
            raise PlanewiseError(f"--classes {text}: {classes[int(value)]} has this value too; give each another one")
        classes[int(value)] = name
    return LabelDefinition(dict(sorted(classes.items())))


def choose_classes(known: dict[int, str], wanted: tuple[str, ...], fibrosis: tuple[str, ...]) -> MeasuredClasses:
    """Return the classes to measure: the ``wanted`` ones of the ``known`` names by value, or all if none is given.

    ``fibrosis``: the names that count as fibrosis; if none is given, those of ``FIBROSIS`` that are measured. Upper or
    lower case and spaces in names do not matter. Raises PlanewiseError for a name that is not known, and for names
    that give two columns the same name.
    """
    value_of: dict[str, int] = {}
    names = [*RESERVED, *map(as_column, known.values())]
    of_regions = {f"{name}_{region}" for name in names for region in REGIONS}
    for value, name in known.items():
        column = as_column(name)
        if not column or column in of_regions or column in RESERVED or column in value_of:
            raise PlanewiseError(
                f"class {value}, {name!r}: its columns would be called {column!r}_..., which is empty or the name of "
                "other columns; rename it"
            )
        value_of[column] = value
    chosen = [_value("--classes", name, known, value_of) for name in wanted] or list(known)
    measured = {value: known[value] for value in sorted(set(chosen))}
    if fibrosis:
        of_fibrosis = [_value("--fibrosis", name, measured, value_of) for name in fibrosis]
    else:
        of_fibrosis = [value_of[name] for name in FIBROSIS if value_of.get(name) in measured]
    return MeasuredClasses(measured, tuple(known), tuple(sorted(set(of_fibrosis))))


def _value(option: str, name: str, names: dict[int, str], value_of: dict[str, int]) -> int:
    value = value_of.get(as_column(name))
    if value not in names:
        raise PlanewiseError(f"{option} {name}: no such class is measured; there are {', '.join(names.values())}")
    return value
