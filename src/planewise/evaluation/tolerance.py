"""The tolerance of surface scores: as given, or else from the size of a case's voxels."""

from dataclasses import dataclass, field

from planewise.evaluation.scale import Scale

RULE = "twice the shortest side of a voxel, or once the longest if that is more"


def tolerance_for(scale: Scale) -> float:
    """Return the tolerance of a case in the unit of its scale: see ``RULE``.

    Nobody draws a truth more exactly than to a voxel or two, and distances below a voxel cannot be resolved. CT of
    0.98 x 0.98 x 2.5 mm gets 2.5 mm, where radiographers differ by 1 to 3 mm (Nikolov et al. 2021, doi:10.2196/26151);
    EM of 8 x 8 x 30 nm gets 30 nm.
    """
    return max(2 * min(scale.spacing), max(scale.spacing))


@dataclass(frozen=True)
class Tolerance:
    """The tolerances that were given: by unit, and by (unit, class) where one needs its own; others follow ``RULE``."""

    by_unit: dict[str, float] = field(default_factory=dict)
    by_class: dict[tuple[str, str], float] = field(default_factory=dict)

    def of(self, scale: Scale, class_name: str) -> float:
        """Return the tolerance of a class in the unit of ``scale``."""
        given = self.by_class.get((scale.unit, class_name), self.by_unit.get(scale.unit))
        return tolerance_for(scale) if given is None else given
