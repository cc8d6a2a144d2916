"""The extent of each class and its place in the lungs: all numbers come from one table of voxel counts."""

import math
from dataclasses import dataclass

import numpy as np

from planewise.measurement.lungs import LungRegions
from planewise.measurement.regions import DEPTHS, REGIONS, SIDES, ZONES


@dataclass(frozen=True)
class Extents:
    """Voxels by label value, side (0 outside the lungs, left, right), zone (0, upper, middle, lower) and depth.

    ``counts`` (256, 3, 4, 2) int64; ``voxel_ml``: the volume of a voxel.
    """

    counts: np.ndarray
    voxel_ml: float

    def lung_ml(self, region: str = "") -> float:
        """Return the volume of the lungs, or of one of ``REGIONS``."""
        return float(self.counts[:, 1:][_within(region)].sum()) * self.voxel_ml

    def ml(self, values: tuple[int, ...], region: str = "") -> float:
        """Return the volume of the labels ``values`` within the lungs, or within one of ``REGIONS``."""
        return float(self.counts[list(values), 1:][_within(region)].sum()) * self.voxel_ml

    def outside_ml(self, values: tuple[int, ...]) -> float:
        """Return the volume of the labels ``values`` that lies outside the lungs."""
        return float(self.counts[list(values), 0].sum()) * self.voxel_ml

    def percent(self, values: tuple[int, ...], region: str = "") -> float:
        """Return the share of the lungs, or of one of ``REGIONS``, that ``values`` take; NaN if it has no voxels."""
        lung = self.lung_ml(region)
        return 100 * self.ml(values, region) / lung if lung else math.nan


def _within(region: str) -> tuple[slice, ...]:
    """Return the part of a table (values, left and right, zones, depths) that belongs to a region."""
    side, zone, depth = slice(None), slice(None), slice(None)
    for word in region.split("_") if region else ():
        if word in SIDES:
            side = slice(SIDES[word] - 1, SIDES[word])
        elif word in ZONES:
            zone = slice(ZONES[word], ZONES[word] + 1)
        else:
            depth = slice(DEPTHS[word], DEPTHS[word] + 1)
    return slice(None), side, zone, depth


def count_voxels(labels: np.ndarray, regions: LungRegions) -> Extents:
    """Count the voxels of ``labels`` (z, y, x) uint8, canonical, by where they lie in the lungs."""
    counts = np.zeros((256, 3, 4, 2), np.int64)
    for slice_, sides, zone, rim in zip(labels, regions.sides, regions.zone_of_slice, regions.rim):
        code = (slice_.astype(np.int64) * 3 + sides) * 2 + rim
        counts[:, :, zone] += np.bincount(code.ravel(), minlength=256 * 3 * 2).reshape(256, 3, 2)
    return Extents(counts, regions.voxel_ml)


def extent_measures(extents: Extents, groups: dict[str, tuple[int, ...]]) -> dict[str, float]:
    """Return the extents by column, see ``lung_columns``: of the lungs, and of each group of label values, by name."""
    measures = {"lungs_ml": extents.lung_ml()}
    measures |= {f"lungs_{region}_ml": extents.lung_ml(region) for region in REGIONS}
    for name, values in groups.items():
        measures[f"{name}_ml"] = extents.ml(values)
        measures[f"{name}_percent"] = extents.percent(values)
        measures[f"{name}_outside_lungs_ml"] = extents.outside_ml(values)
        for region in REGIONS:
            measures[f"{name}_{region}_ml"] = extents.ml(values, region)
            measures[f"{name}_{region}_percent"] = extents.percent(values, region)
    return measures
