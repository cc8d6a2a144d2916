"""What has changed between two scans: every class in all and by zone, each beside the smallest detectable change."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planewise.measurement.extent import Extents
from planewise.measurement.lungs import LungRegions
from planewise.measurement.regions import SIDES, ZONES
from planewise.serial.detectable import LEAST_ML, Category, category_of, smallest_detectable_change
from planewise.serial.registration import Registration

REGIONS = ("", *SIDES, *ZONES)  # that changes are given for; "" is both lungs
UNITS = ("ml", "percent")
Measures = dict[tuple[str, str, str], float]  # by (group, region, unit)


@dataclass(frozen=True)
class Change:
    """The change of a class, or of several together, in both lungs or in a region of the first scan.

    ``first``, ``second`` in ``unit`` (ml, or percent of the region); ``detectable``: the smallest detectable change.
    None where a value is not defined. Where nothing was seen in either scan or any retake, the category is "none seen"
    and ``detectable`` None: retakes that never differ because nothing is segmented say nothing about a change.
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
    """Return the extent of every group in every region, by (group, region, unit)."""
    measures = {}
    for name, values in groups.items():
        for region in REGIONS:
            measures[name, region, "ml"] = extents.ml(values, region)
            measures[name, region, "percent"] = extents.percent(values, region)
    return measures


def carried_extents(labels: np.ndarray, lungs: np.ndarray, registration: Registration, regions: LungRegions) -> Extents:
    """Return the extents of a second scan in the regions of the first, at the second's size.

    ``labels``, ``lungs`` (z, y, x) of the second scan, on its grid; ``regions``: of the first. Every voxel of the first
    scan counts as much as its content holds in the second, so that counts are no whole numbers. Where the registration
    does not fit, what the second scan's lungs hold beyond the first's is in no region.
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
    """Return the change of everything that was measured; ``lung_ml``: the first scan's volume of each region.

    Both lungs are compared as each scan shows them, regions by what was ``carried`` to the first. No retake is
    registered: by how much a class in both lungs differs when they are carried is the registration's error, which is
    added to the smallest detectable change of its regions, as a bias that nobody corrects. A lung is known in the
    second scan by itself: its own error is taken, if that is larger. A third is not: its borders are carried.
    """
    rows = []
    for key in first:
        group, region, unit = key
        size = lung_ml(region)
        least = LEAST_ML if unit == "ml" else 100 * LEAST_ML / size if size else math.nan
        later = carried[key] if region else second[key]
        change = later - first[key]
        retaken, retaken_later = ([each[key] for each in scan] for scan in (retakes_of_first, retakes_of_second))
        seen = any(value != 0 for value in (first[key], later, *retaken, *retaken_later))  # NaN, too, is not 0
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
