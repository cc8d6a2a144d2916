"""The measures of a case: all columns of its lungs, kept until those of all cases are written together."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from planewise.measurement.density import densitometry
from planewise.measurement.regions import SIDES


@dataclass(frozen=True)
class MeasuredCase:
    """The measures of a case: values by column, see ``lung_columns``; None if one is not defined.

    ``labels``, ``lungs``: the files that were measured; ``against``: extents in a second reader's ``against_labels``.
    ``notes``: remarks for the user of the numbers.
    """

    case: str
    labels: str
    lungs: str
    measures: dict[str, float | None]
    against_labels: str = ""
    against: dict[str, float | None] | None = None
    notes: list[str] = field(default_factory=list)

    def stored(self) -> dict[str, Any]:
        """Return the case for JSON; ``MeasuredCase(**stored)`` gives it back."""
        return asdict(self)


def defined(measures: dict[str, float]) -> dict[str, float | None]:
    """Return measures with None in place of NaN, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in measures.items()}


def lung_densities(hu: np.ndarray, sides: np.ndarray) -> dict[str, float]:
    """Return the densitometry of both lungs, and of each, by column; ``hu``, ``sides`` (z, y, x), see ``LungRegions``.

    Raises PlanewiseError; see ``densitometry``.
    """
    lungs = {"lungs": hu[sides > 0]} | {f"lungs_{side}": hu[sides == number] for side, number in SIDES.items()}
    return {f"{name}_{key}": value for name, voxels in lungs.items() for key, value in densitometry(voxels).items()}
