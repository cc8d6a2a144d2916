"""Changes between two scans: of each class in total and by zone, each with the smallest detectable change."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planewise.measurement.extent import Extents
from planewise.measurement.lungs import LungRegions
from planewise.measurement.regions import SIDES, ZONES
from planewise.serial.detectable import LEAST_ML, Category, category_of, smallest_detectable_change
from planewise.serial.registration import Registration

REGIONS = ("", *SIDES, *ZONES)  # regions that changes are reported for; "" is both lungs
UNITS = ("ml", "percent")
Measures = dict[tuple[str, str, str], float]  # by (group, region, unit)


@dataclass(frozen=True)
class Change:
    """The change of a class, or of several together, in both lungs or in a region of the first scan.

    ``first``, ``second`` in ``unit`` (ml, or percent of the region); ``detectable``: the smallest detectable change.
    Undefined values are None. If nothing was segmented in either scan or any retake, the category is "none seen" and
    ``detectable`` None: retakes that never differ because they are all empty say nothing about a change.
    """

    group: str
    region: str
    unit: str
    first: float | None
    second: float | None
    change: float | None
    detectable: float | None
    category: Category


def measures_of(extents: Extents, groups: Mapping[str, tuple[int, ...]]) -> Measures:
    """Return the extent of each group in each region, by (group, region, unit)."""
    measures = {}
    for name, values in groups.items():
        for region in REGIONS:
            measures[name, region, "ml"] = extents.ml(values, region)
            measures[name, region, "percent"] = extents.percent(values, region)
    return measures


def carried_extents(labels: np.ndarray, lungs: np.ndarray, registration: Registration, regions: LungRegions) -> Extents:
    """Return the extents of a second scan in the regions of the first, at the second's size.

    ``labels``, ``lungs`` (z, y, x) of the second scan, on its grid; ``regions``: of the first. Each voxel of the first
    scan counts with the size of its content in the second, so counts are not whole numbers. Where the registration does
    not fit, parts of the second scan's lungs outside the first's belong to no region.
    """
    there = np.where(registration.carry((lungs > 0).astype(np.uint8)) > 0, regions.sides, 0)
    carried = registration.carry(labels.astype(np.uint8))
    counts = np.zeros((256, 3, 4, 2))
    growth = np.maximum(registration.growth, 0)
    for slice_, sides, zone, rim, more in zip(carried, there, regions.zone_of_slice, regions.rim, growth):
        code = (slice_.astype(np.int64) * 3 + sides) * 2 + rim
        summed = np.bincount(code.ravel(), weights=more.ravel(), minlength=256 * 3 * 2)
        counts[:, :, zone] += summed.reshape(256, 3, 2)
    return Extents(counts, regions.voxel_ml)


def changes(
    first: Measures,
    second: Measures,
    carried: Measures,
    retakes_of_first: Sequence[Measures],
    retakes_of_second: Sequence[Measures],
    lung_ml: Callable[[str], float],
) -> list[Change]:
    """Return the changes of all measures; ``lung_ml``: the first scan's volume of each region.

    For both lungs together, the scans are compared as they are; for regions, by the measures ``carried`` to the first.
    Retakes are not registered. The error of the registration is the difference between a class's extents with and
    without carrying. This bias is not corrected, but added to the smallest detectable change of the regions. For thirds
    the difference in both lungs is taken, since their borders are only known in the first scan; for one lung, that in
    this lung if it is larger.
    """
    rows = []
    for key in first:
        group, region, unit = key
        size = lung_ml(region)
        least = LEAST_ML if unit == "ml" else 100 * LEAST_ML / size if size else math.nan
        later = carried[key] if region else second[key]
        change = later - first[key]
        retaken, retaken_later = ([each[key] for each in scan] for scan in (retakes_of_first, retakes_of_second))
        seen = any(value != 0 for value in (first[key], later, *retaken, *retaken_later))  # NaN counts as seen
        detectable = smallest_detectable_change(retaken, retaken_later, least) if seen else math.nan
        if region:
            known = ("", region) if region in SIDES else ("",)
            detectable += max(abs(carried[group, part, unit] - second[group, part, unit]) for part in known)
        before, after, by, beyond = (
            None if math.isnan(value) else value for value in (first[key], later, change, detectable)
        )
        category = category_of(change, detectable) if seen else "none seen"
        rows.append(Change(group, region, unit, before, after, by, beyond, category))
    return rows
