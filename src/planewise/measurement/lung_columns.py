"""Defines each column of the lung measures once: its name, unit, meaning and source.

CSV, JSON, pages and docs read this table; a test computes every column and compares their names.
"""

from dataclasses import dataclass, replace

from planewise.measurement.density import PERCENTILES
from planewise.measurement.regions import REGIONS, SIDES, region_words

RESEARCH = "Research software, not a diagnosis."

HAA = "Lederer et al. 2009, doi:10.1164/rccm.200812-1966OC; Podolanczuk et al. 2016, doi:10.1183/13993003.00129-2016"
LAA = "Gevenois et al. 1996, doi:10.1164/ajrccm.154.1.8680679"


@dataclass(frozen=True)
class Column:
    """A column. ``{class}``, ``{region}`` and ``{lungs}`` in its name and meaning are replaced by each of these."""

    name: str
    unit: str
    meaning: str
    source: str = ""


VOLUMES = (
    Column("lungs_ml", "ml", "volume of both lungs: voxels of the lung mask times the volume of one voxel"),
    Column("lungs_{region}_ml", "ml", "volume of {region}"),
)
EXTENTS = (
    Column("{class}_ml", "ml", "volume of {class} within the lung mask"),
    Column("{class}_percent", "percent", "share of both lungs' volume that {class} takes"),
    Column("{class}_outside_lungs_ml", "ml", "volume of {class} outside the lung mask; no other column includes it"),
    Column("{class}_{region}_ml", "ml", "volume of {class} within {region}"),
    Column(
        "{class}_{region}_percent",
        "percent",
        "share of the volume of {region} that {class} takes; empty if the scan has no such region",
    ),
)
DENSITIES = (
    Column("{lungs}_mean_hu", "HU", "mean of the voxels of {lungs}"),
    Column("{lungs}_sd_hu", "HU", "standard deviation of the voxels of {lungs}"),
    *(Column(f"{{lungs}}_p{q:02d}_hu", "HU", f"{q}th percentile of the voxels of {{lungs}}") for q in PERCENTILES),
    Column("{lungs}_haa_percent", "percent", "high attenuation areas: share of {lungs} from -600 to -250 HU", HAA),
    Column("{lungs}_laa_percent", "percent", "low attenuation areas: share of {lungs} below -950 HU", LAA),
)
PATTERNS = (*VOLUMES, *EXTENTS, *DENSITIES)

GROUPS = {
    "total_fibrosis": "the classes of --fibrosis together; by default reticulation and honeycombing",
    "total_extent": "all measured classes together",
}
REGION_MEANINGS = {
    "left, right": "the patient's left and right lung, by the directions in the file",
    "upper, middle, lower": "thirds of both lungs together, from apex to base, of equal height; with --zones volume, "
    "of equal volume. A slice belongs to the third in which its middle lies. These are not the zones that the "
    "Fleischner Society uses for interstitial lung abnormalities, which follow anatomical landmarks "
    "(doi:10.1016/S2213-2600(20)30168-5)",
    "left_upper ... right_lower": "the same thirds within one lung",
    "peripheral, central": "up to --periphery_mm (20) from the lung's surface, and the rest. The distance in mm is "
    "from a voxel's centre to the nearest face of a voxel outside this lung. The surface towards the mediastinum "
    "counts; the end of the scan and holes within the lung do not",
}


def lung_columns(groups: dict[str, tuple[int, ...]]) -> dict[str, Column]:
    """Return the columns by name, in order: volumes, extents of every group by its name, densitometry."""
    columns = [_filled(pattern, region=region) for pattern in VOLUMES for region in _regions(pattern)]
    columns += [
        _filled(pattern, group=name, region=region)
        for name in groups
        for pattern in EXTENTS
        for region in _regions(pattern)
    ]
    columns += [_filled(pattern, side=side) for side in ("", *SIDES) for pattern in DENSITIES]
    return {column.name: column for column in columns}


def _regions(pattern: Column) -> tuple[str, ...]:
    return REGIONS if "{region}" in pattern.name else ("",)


def _filled(pattern: Column, group: str = "", region: str = "", side: str = "") -> Column:
    names = {"class": group, "region": region, "lungs": f"lungs_{side}" if side else "lungs"}
    of_lungs = f"the {side} lung" if side else "both lungs"
    words = {"class": group, "region": region_words(region) if region else "", "lungs": of_lungs}
    return replace(pattern, name=pattern.name.format(**names), meaning=pattern.meaning.format(**words))
