"""The units of results: millimetres and millilitres, nanometres and cubic micrometres, or voxels.

Where a file states no unit, distances are in multiples of the shortest side of a voxel, and volumes in voxels.
"""

import math
from dataclasses import dataclass

import numpy as np

from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

VOLUME_UNITS = {"mm": ("ml", 1e-3), "nm": ("um3", 1e-9), "voxel": ("voxels", 1.0)}  # and how many in a cubic unit


@dataclass(frozen=True)
class Scale:
    """The spacing (z, y, x) of a volume in ``unit``: "mm", "nm", or "voxel", a voxel's shortest side."""

    unit: str
    spacing: tuple[float, float, float]

    @property
    def volume_unit(self) -> str:
        """What volumes are given in."""
        return VOLUME_UNITS[self.unit][0]

    @property
    def voxel_volume(self) -> float:
        """The volume of a voxel in ``volume_unit``."""
        return 1.0 if self.unit == "voxel" else math.prod(self.spacing) * VOLUME_UNITS[self.unit][1]

    def diagonal(self, shape: tuple[int, int, int]) -> float:
        """Return the diagonal of a volume of ``shape`` in ``unit``: no two of its voxels are farther apart."""
        return float(np.linalg.norm(np.multiply(shape, self.spacing)))


def scale_of(volume: Volume) -> Scale:
    """Return the scale in the unit of the volume's field: micrometres become nanometres.

    In voxels if the file states no unit, also where one is assumed elsewhere: a wrong one would be off by a million.
    """
    if volume.unit == PIXEL or volume.unit_assumed_in:
        z, y, x = (side / min(volume.spacing) for side in volume.spacing)
        return Scale("voxel", (z, y, x))
    return scale_in(volume, "mm" if volume.unit == "mm" else "nm")


def scale_in(volume: Volume, unit: str) -> Scale:
    """Return the scale in ``unit``; a spacing without a unit is taken to be in that unit."""
    return Scale(unit, volume.spacing_in(unit))
