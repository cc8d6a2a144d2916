"""Whether two scans of lungs can be compared: what differs between them, and why they cannot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Emphysema by threshold changes with kernel and thickness alone: Boedeker et al. 2004, doi:10.1148/radiol.2321030383;
# Gierada et al. 2010, doi:10.1016/j.acra.2009.08.007
THICKNESS_RATIO = (
    1.5  # 1.25 and 2.5 mm are not to be used with 5 mm: Zhao et al. 2014, PMC4000020; stricter, our choice
)
VOLUME_RATIO = 1.25  # of the lungs: our choice, several times what repeated breath-holds differ by


@dataclass(frozen=True)
class Scan:
    """What a comparison must know of a scan.

    ``patient``, ``kernel``, ``contrast``: as its headers say, empty if they do not; ``lung_kernel``: whether the kernel
    is known as one for lung; ``says_contrast``: whether its headers could name a contrast agent; ``thickness_mm``: of
    a slice, None if nobody says it; ``spacing_mm`` (z, y, x), canonical; ``lungs_ml``: their volume; ``cut_off``: at
    which ends of the scan ("top", "bottom") the lungs are; ``noise_hu``: its SD in soft tissue, None
    if nobody measured it; ``warnings``: what was said when it was segmented; ``voxels``: a hash of its HU, empty if
    nobody took it.
    """

    name: str
    patient: str
    kernel: str
    lung_kernel: bool
    contrast: str
    says_contrast: bool
    thickness_mm: float | None
    spacing_mm: tuple[float, float, float]
    lungs_ml: float
    cut_off: tuple[str, ...]
    noise_hu: float | None = None
    warnings: tuple[str, ...] = ()
    voxels: str = ""


def volume_ratio(first: Scan, second: Scan) -> float:
    """Return the larger volume of the lungs over the smaller; infinite if one has none."""
    smaller, larger = sorted((first.lungs_ml, second.lungs_ml))
    return larger / smaller if smaller else math.inf


def reasons_against(first: Scan, second: Scan) -> list[str]:
    """Return why the two scans cannot be compared, each with what to do; none if they can."""
    reasons = []
    if first.patient and second.patient and first.patient != second.patient:
        reasons.append(
            f"they are of two patients by their PatientID, {first.patient} and {second.patient}; give the scans of one"
        )
    for scan in (first, second):
        if scan.cut_off:
            reasons.append(
                f"the lungs reach the {' and the '.join(scan.cut_off)} of the scan {scan.name}, so that part of them "
                "is missing; choose a series that shows all of them"
            )
    if first.kernel and second.kernel and first.lung_kernel != second.lung_kernel:
        reasons.append(
            f"the kernels {first.kernel} and {second.kernel} are far apart: one of them is for lung, the other is not "
            "known as one; choose series of like kernels"
        )
    if first.says_contrast and second.says_contrast and bool(first.contrast) != bool(second.contrast):
        with_agent, without = (first, second) if first.contrast else (second, first)
        reasons.append(
            f"{with_agent.name} has a contrast agent ({with_agent.contrast}), {without.name} has none, which changes "
            "the density of the lung by itself; choose series without, or both with it"
        )
    thin, thick = sorted(scan.thickness_mm or scan.spacing_mm[0] for scan in (first, second))
    if thick > THICKNESS_RATIO * thin:
        reasons.append(
            f"slices of {thin:g} and {thick:g} mm are more than a factor of {THICKNESS_RATIO:g} apart; choose series "
            "of like thickness"
        )
    if (ratio := volume_ratio(first, second)) > VOLUME_RATIO:
        reasons.append(
            f"the lungs hold {first.lungs_ml:.0f} and {second.lungs_ml:.0f} ml, a factor of {ratio:.2f}, more than "
            f"{VOLUME_RATIO:g}: the patient breathed in too differently, or the lungs were found wrongly; look at them"
        )
    return reasons


def doubts(earlier: Sequence[Scan], scan: Scan) -> list[str]:
    """Return what makes comparing ``scan`` with the first of the ``earlier`` doubtful, though nothing is against it."""
    first = earlier[0]
    reasons = []
    if unsaid := [each.name for each in (first, scan) if not each.patient]:
        which = "s these are" if len(unsaid) == 2 else f" {unsaid[0]} is"
        reasons.append(f"no header says whose scan{which} (PatientID): it is not checked that both are of one patient")
    for other in earlier:
        if scan.voxels and scan.voxels == other.voxels:
            which = "both" if other is first else f"{other.name} and {scan.name}"
            reasons.append(
                f"{which} hold the same voxels: this is one scan under two dates, between which nothing can have "
                "changed; look at what lies there"
            )
    return reasons


def differences(first: Scan, second: Scan) -> list[tuple[str, str, str]]:
    """Return what may make two scans differ without any change of disease: its name, and what it is in each."""

    def thickness(scan: Scan) -> str:
        known = scan.thickness_mm is not None
        return f"{scan.thickness_mm:g} mm" if known else f"not said; slices lie {scan.spacing_mm[0]:g} mm apart"

    def noise(scan: Scan) -> str:
        return "not measured" if scan.noise_hu is None else f"{scan.noise_hu:.0f} HU"

    def contrast(scan: Scan) -> str:
        return scan.contrast or ("none named" if scan.says_contrast else "not said")

    return [
        ("lung volume", f"{first.lungs_ml:.0f} ml", f"{second.lungs_ml:.0f} ml"),
        ("slice thickness", thickness(first), thickness(second)),
        ("kernel", first.kernel or "not said", second.kernel or "not said"),
        ("noise in soft tissue", noise(first), noise(second)),
        ("contrast agent", contrast(first), contrast(second)),
        ("patient (PatientID)", first.patient or "not said", second.patient or "not said"),
    ]
