"""What remains of each class after small components are removed from labels, and how well the window shows it."""

from dataclasses import dataclass

import numpy as np

from planewise.data.prepared import Patient, is_object
from planewise.data.window import saturated_share
from planewise.progress import say, warn
from planewise.report.tables import print_table
from planewise.volumes.parts import connected_parts

SATURATION_WARNING = 0.25


@dataclass(frozen=True)
class Cleaned:
    """A class in one patient's labels, before and after small components were removed.

    ``voxels`` and ``parts`` (26-connected components): (before, after); ``ml``: volume of a voxel; ``saturated``: how
    many of the remaining voxels the window makes black or white.
    """

    voxels: tuple[int, int]
    parts: tuple[int, int]
    ml: float
    saturated: float


def cleaned_classes(
    drawn: np.ndarray, patient: Patient, hu: np.ndarray, level: float, width: float
) -> dict[int, Cleaned]:
    """Return each class of the labels ``drawn``, before and after the removal that made the labels of ``patient``."""
    ml = float(np.prod(patient.spacing_mm)) / 1000
    cleaned = {}
    for value in np.unique(drawn[is_object(drawn)]).tolist():
        before, after = drawn == value, patient.labels == value
        voxels, parts = [], []
        for mask in (before, after):
            voxels.append(int(mask.sum()))
            parts.append(int(connected_parts(mask, 26).max()))
        saturated = voxels[1] * saturated_share(hu[after], level, width) if voxels[1] else 0.0
        cleaned[value] = Cleaned((voxels[0], voxels[1]), (parts[0], parts[1]), ml, saturated)
    return cleaned


def print_cleaned(cleaned: dict[str, dict[int, Cleaned]], classes: dict[int, str]) -> None:
    """Print what remains of each class after small components are removed, and warn where nothing does."""
    rows = []
    for value in sorted({*classes, *(value for of_case in cleaned.values() for value in of_case)}):
        name = classes.get(value, f"class {value}")
        of_cases = {case: of_case[value] for case, of_case in cleaned.items() if value in of_case}
        row = [name]
        for i in (0, 1):
            voxels = sum(counts.voxels[i] for counts in of_cases.values())
            parts = sum(counts.parts[i] for counts in of_cases.values())
            ml = sum(counts.voxels[i] * counts.ml for counts in of_cases.values())
            row += [f"{voxels:,}", f"{ml:.1f}", f"{parts:,}"]
        rows.append((*row, str(len(of_cases))))
        lost = [case for case, counts in of_cases.items() if not counts.voxels[1]]
        for case in lost:
            counts = of_cases[case]
            warn(
                f"{case}: {name} vanishes from its labels: all {counts.voxels[0]} voxels "
                f"({counts.voxels[0] * counts.ml:.2g} ml) are in components too small for --min_volume_mm3 or "
                "--min_area_mm2 (--min_voxels, --min_pixels)"
            )
        if of_cases and len(lost) == len(of_cases):
            warn(f"{name} vanishes from all cases: it cannot be learned")
    header = ("class", "voxels", "ml", "components", "voxels left", "ml left", "components left", "cases")
    print_table("Labels before and after small components were removed", header, rows)


def print_saturated(
    cleaned: dict[str, dict[int, Cleaned]], classes: dict[int, str], level: float, width: float
) -> None:
    """Print how much of each class the window makes black or white, and warn where it is much."""
    for value in sorted({value for of_case in cleaned.values() for value in of_case}):
        counts = [of_case[value] for of_case in cleaned.values() if value in of_case]
        total = sum(f.voxels[1] for f in counts)
        if total:
            share = sum(f.saturated for f in counts) / total
            name = classes.get(value, f"class {value}")
            say(f"{name}: the window {level:g}/{width:g} makes {share:.1%} of its voxels black or white")
            if share > SATURATION_WARNING:
                warn(f"{name} can hardly be seen in this window; choose another (--window lung is -600/1500)")
