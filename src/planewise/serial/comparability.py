"""Whether two scans of lungs can be compared: their differences, and reasons against comparing them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Emphysema by threshold changes with kernel and thickness only: Boedeker et al. 2004, doi:10.1148/radiol.2321030383;
# Gierada et al. 2010, doi:10.1016/j.acra.2009.08.007
THICKNESS_RATIO = 1.5  # 1.25 and 2.5 mm must not be mixed with 5 mm: Zhao et al. 2014, PMC4000020; stricter, our choice
VOLUME_RATIO = 1.25  # of the lungs: our choice, several times the variation of repeated breath-holds


@dataclass(frozen=True)
class Scan:
    """The properties of a scan that a comparison needs.

    ``patient``, ``kernel``, ``contrast``: from its headers, empty if they do not state them; ``lung_kernel``: whether
    the kernel is a known lung kernel; ``says_contrast``: whether its headers could name a contrast agent;
    ``thickness_mm``: of a slice, None if unknown; ``spacing_mm`` (z, y, x), canonical; ``lungs_ml``: their volume;
    ``cut_off``: the ends of the scan ("top", "bottom") that the lungs reach; ``noise_hu``: its SD in soft tissue, None
    if not measured; ``warnings``: those printed when it was segmented; ``voxels``: a hash of its HU, empty if not
    computed.
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
    """Return the reasons why the two scans cannot be compared, each with a remedy; none if they can."""
    reasons = []
    if first.patient and second.patient and first.patient != second.patient:
        reasons.append(
            f"they are of two patients by their PatientID, {first.patient} and {second.patient}; give the scans of one"
        )
    for scan in (first, second):
        if scan.cut_off:
            reasons.append(
                f"the lungs reach the {' and the '.join(scan.cut_off)} of the scan {scan.name}, so part of them is "
                "missing; choose a series that shows all of them"
            )
    if first.kernel and second.kernel and first.lung_kernel != second.lung_kernel:
        reasons.append(
            f"the kernels {first.kernel} and {second.kernel} are too different: one is a lung kernel, the other is not "
            "known as one; choose series of similar kernels"
        )
    if first.says_contrast and second.says_contrast and bool(first.contrast) != bool(second.contrast):
        with_agent, without = (first, second) if first.contrast else (second, first)
        reasons.append(
            f"{with_agent.name} has a contrast agent ({with_agent.contrast}), {without.name} has none; the agent "
            "itself changes the density of the lung; choose two series without it, or two with it"
        )
    thin, thick = sorted(scan.thickness_mm or scan.spacing_mm[0] for scan in (first, second))
    if thick > THICKNESS_RATIO * thin:
        reasons.append(
            f"slices of {thin:g} and {thick:g} mm differ by more than a factor of {THICKNESS_RATIO:g}; choose series "
            "of similar thickness"
        )
    if (ratio := volume_ratio(first, second)) > VOLUME_RATIO:
        reasons.append(
            f"the lungs hold {first.lungs_ml:.0f} and {second.lungs_ml:.0f} ml, a factor of {ratio:.2f}, more than "
            f"{VOLUME_RATIO:g}: the patient breathed in too differently, or the lungs are segmented wrongly; check them"
        )
    return reasons


def doubts(earlier: Sequence[Scan], scan: Scan) -> list[str]:
    """Return doubts about comparing ``scan`` with the first of the ``earlier``, which do not exclude it."""
    first = earlier[0]
    reasons = []
    if unsaid := [each.name for each in (first, scan) if not each.patient]:
        which = "s these are" if len(unsaid) == 2 else f" {unsaid[0]} is"
        reasons.append(
            f"no header states whose scan{which} (PatientID): whether both are of one patient is not checked"
        )
    for other in earlier:
        if scan.voxels and scan.voxels == other.voxels:
            which = "both" if other is first else f"{other.name} and {scan.name}"
            reasons.append(
                f"{which} hold the same voxels: this is one scan under two dates, between which nothing can have "
                "changed; check the files"
            )
    return reasons


def differences(first: Scan, second: Scan) -> list[tuple[str, str, str]]:
    """Return properties by which two scans may differ without a change of disease: the name, and the value of each."""

    def thickness(scan: Scan) -> str:
        known = scan.thickness_mm is not None
        return f"{scan.thickness_mm:g} mm" if known else f"not stated; slices lie {scan.spacing_mm[0]:g} mm apart"

    def noise(scan: Scan) -> str:
        return "not measured" if scan.noise_hu is None else f"{scan.noise_hu:.0f} HU"

    def contrast(scan: Scan) -> str:
        return scan.contrast or ("none named" if scan.says_contrast else "not stated")

    return [
        ("lung volume", f"{first.lungs_ml:.0f} ml", f"{second.lungs_ml:.0f} ml"),
        ("slice thickness", thickness(first), thickness(second)),
        ("kernel", first.kernel or "not stated", second.kernel or "not stated"),
        ("noise in soft tissue", noise(first), noise(second)),
        ("contrast agent", contrast(first), contrast(second)),
        ("patient (PatientID)", first.patient or "not stated", second.patient or "not stated"),
    ]
