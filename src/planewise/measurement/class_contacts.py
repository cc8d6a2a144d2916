"""The classes of measured objects, and the contacts between classes."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from planewise.measurement.contacts import Contacts


class ClassContact(NamedTuple):
    """Two classes that touch: the ``area`` of contact, in the square of the spacing's unit, the number of objects of
    the first that touch the second, and the reverse; 0 for stuff, which has no objects. If both are the same class, its
    objects touch each other.
    """

    first: int
    second: int
    area: float
    first_objects: int
    second_objects: int


@dataclass(frozen=True)
class Classes:
    """``names`` by value; ``of_object`` (n,) int64: the class of each object, 0 for none; ``contacts`` between classes;
    ``doubts``: messages about objects that do not lie in one class."""

    names: dict[int, str]
    of_object: np.ndarray
    contacts: list[ClassContact]
    doubts: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {
            "names": list(self.names.items()),
            "of_object": self.of_object.tolist(),
            "contacts": [list(contact) for contact in self.contacts],
            "doubts": self.doubts,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Classes":
        """Return it from the value of ``as_json``."""
        contacts = [ClassContact(*contact) for contact in stored["contacts"]]
        of_object = np.array(stored["of_object"], np.int64)
        return cls(dict(map(tuple, stored["names"])), of_object, contacts, stored.get("doubts", []))

    def name_of(self, value: int) -> str:
        """Return the name of a class; "" for 0."""
        return self.names.get(value, "")


def key_of(name: str) -> str:
    """Return the form of a class's name that names of columns begin with: letters, digits and '_'."""
    return re.sub(r"\W", "_", name)


def class_contacts(
    names: dict[int, str],
    of_object: np.ndarray,
    labels: np.ndarray,
    contacts: Contacts,
    between: Contacts,
    touched: dict[int, np.ndarray],
) -> list[ClassContact]:
    """Return the contacts between classes, sorted by their values.

    ``contacts``: between the objects ``labels`` (n,), each pair in both orders; ``between``: between classes, each pair
    once; ``touched`` (n,), by class: 1 for each object that touches it, else 0.
    """

    def objects(value: int, other: int) -> int:
        return int(((of_object == value) & (touched[other] > 0)).sum())

    rows = [
        ClassContact(a, b, area, objects(a, b), objects(b, a))
        for a, b, area in zip(between.first.tolist(), between.second.tolist(), between.area.tolist())
    ]
    first, second = (of_object[np.searchsorted(labels, side)] for side in (contacts.first, contacts.second))
    for value in names:
        within = (first == value) & (second == value)
        if within.any():
            touching = len(np.unique(contacts.first[within]))
            rows.append(ClassContact(value, value, float(contacts.area[within].sum() / 2), touching, touching))
    return sorted(rows)
