"""The measures of one label volume: of its objects, their contacts, and the volume as a whole."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from planewise.measurement.class_contacts import Classes
from planewise.measurement.contacts import Contacts
from planewise.measurement.volume_summary import Distribution, distributions
from planewise.volumes.volume import Spacing


@dataclass(frozen=True)
class Measured:
    """The measures of a volume of ``shape``; keys are those of ``columns``.

    ``physical``: whether ``spacing`` (z, y, x) is in micrometres; else it is in units of the smallest voxel side.
    ``objects``: for each key the values of the n ``labels``. ``contacts``: each pair of labels once. ``too_large``: the
    labels whose surface and centre line were not measured. ``classes``: if there are several.
    """

    shape: tuple[int, int, int]
    spacing: Spacing
    physical: bool
    labels: np.ndarray
    objects: dict[str, np.ndarray]
    contacts: Contacts
    volume: dict[str, float]
    distributions: dict[str, Distribution]
    too_large: list[int] = field(default_factory=list)
    classes: Classes | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the measures for JSON; NaN, which means not measured, becomes null."""
        return {
            "shape": list(self.shape),
            "spacing": list(self.spacing),
            "physical": self.physical,
            "labels": self.labels.tolist(),
            "objects": {key: [json_number(value) for value in values.tolist()] for key, values in self.objects.items()},
            "contacts": {
                "first": self.contacts.first.tolist(),
                "second": self.contacts.second.tolist(),
                "area": self.contacts.area.tolist(),
            },
            "volume": {key: json_number(value) for key, value in self.volume.items()},
            "too_large": self.too_large,
        } | ({} if self.classes is None else {"classes": self.classes.as_json()})

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Measured":
        """Return the measures that ``as_json`` stored."""
        objects = {
            key: np.array([math.nan if value is None else value for value in values], float)
            for key, values in stored["objects"].items()
        }
        pairs = stored["contacts"]
        contacts = Contacts(
            np.array(pairs["first"], np.int64), np.array(pairs["second"], np.int64), np.array(pairs["area"], float)
        )
        volume = {key: math.nan if value is None else value for key, value in stored["volume"].items()}
        (depth, height, width), (z, y, x) = stored["shape"], stored["spacing"]
        return cls(
            (depth, height, width),
            (z, y, x),
            stored["physical"],
            np.array(stored["labels"], np.int64),
            objects,
            contacts,
            volume,
            distributions(objects),
            stored["too_large"],
            Classes.from_json(stored["classes"]) if "classes" in stored else None,
        )


def json_number(value: float) -> float | int | None:
    """Return a number for JSON: whole ones as integers, as far as a float holds them exactly; None for NaN."""
    if math.isnan(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value
