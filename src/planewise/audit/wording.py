"""Findings as text: a sentence for a paper, and the description of the method."""

import math
from collections import Counter

from planewise.audit.findings import QUANTITIES, Finding
from planewise.audit.items import Answer
from planewise.audit.plan import Plan
from planewise.audit.population import Kind
from planewise.progress import counted

KINDS: dict[Kind, str] = {"slice": "slice", "box": "box", "object": "object", "missed": "box for what was missed"}
PLURALS: dict[Kind, str] = {
    "slice": "slices",
    "box": "boxes",
    "object": "objects",
    "missed": "boxes for what was missed",
}
REFERENCES = {
    "difference": "Horvitz DG, Thompson DJ (1952). A generalization of sampling without replacement from a finite "
    "universe. J Am Stat Assoc 47:663-685. doi:10.1080/01621459.1952.10483446",
    "powered": "Angelopoulos AN, Bates S, Fannjiang C, Jordan MI, Zrnic T (2023). Prediction-powered inference. "
    "Science 382:669-674. doi:10.1126/science.adi6000",
    "stratified": "Cochran WG (1977). Sampling techniques, third edition, chapter 5. Wiley",
    "satterthwaite": "Satterthwaite FE (1946). An approximate distribution of estimates of variance components. "
    "Biometrics Bull 2:110-114. doi:10.2307/3002019",
    "cavalieri": "Gundersen HJG, Jensen EB, Kieu K, Nielsen J (1999). The efficiency of systematic sampling in "
    "stereology, reconsidered. J Microsc 193:199-211. doi:10.1046/j.1365-2818.1999.00457.x",
    "disector": "Sterio DC (1984). The unbiased estimation of number and sizes of arbitrary particles using the "
    "disector. J Microsc 134:127-136. doi:10.1111/j.1365-2818.1984.tb02501.x",
    "fieller": "Fieller EC (1954). Some problems in interval estimation. J R Stat Soc B 16:175-185. "
    "doi:10.1111/j.2517-6161.1954.tb00159.x",
    "welch": "Welch BL (1947). The generalization of Student's problem when several different population variances are "
    "involved. Biometrika 34:28-35. doi:10.1093/biomet/34.1-2.28",
    "agresti": "Agresti A, Coull BA (1998). Approximate is better than exact for interval estimation of binomial "
    "proportions. Am Stat 52:119-126. doi:10.1080/00031305.1998.10480550",
}


def number(value: float, half_width: float) -> str:
    """Return a value rounded to the digits that its interval supports."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "infinity"
    size = half_width if half_width > 0 and math.isfinite(half_width) else abs(value)
    if half_width == 0:  # nothing is left uncertain
        size /= 100
    if value:  # a value far smaller than its interval is not rounded to 0
        size = min(size, max(abs(value), size / 1000))
    digits = max(0, 1 - math.floor(math.log10(size))) if size > 0 else 1
    return f"{value:.{min(digits, 12)}f}"


def interval(finding: Finding) -> str:
    """Return the finding's interval, or why there is none."""
    estimated = finding.estimate
    if math.isnan(estimated.low):
        few = "units" if finding.scope in ("population", "difference") else "items"
        return f"no interval: too few {few}"
    if finding.scope == "difference":
        return f"95 % interval {_signed(estimated.low, finding)} to {_signed(estimated.high, finding)}"
    low, high = (number(end, estimated.half_width) for end in (estimated.low, estimated.high))
    if math.isinf(estimated.high):
        return f"95 % interval from {low} {finding.measure} on, without an upper end".replace("  ", " ")
    return f"95 % interval {low} to {high} {finding.measure}".rstrip()


def _measured(value: float, finding: Finding) -> str:
    shown = number(value, finding.estimate.half_width)
    return shown if math.isnan(value) else f"{shown} {finding.measure}".strip()


def _signed(value: float, finding: Finding) -> str:
    """Return a difference as "... more" or "... less"; for shares in percentage points."""
    measure = "percentage points" if finding.measure == "%" else finding.measure
    size = f"{number(abs(value), finding.estimate.half_width)} {measure}".strip()
    return f"{size} {'more' if value >= 0 else 'less'}"


def sentence(finding: Finding, plan: Plan, answers: list[Answer]) -> str:
    """Return a finding as a sentence that can go into a paper."""
    estimated = finding.estimate
    what = QUANTITIES[finding.quantity] + (f" of {finding.what}")
    value, alone = (_measured(one, finding) for one in (estimated.value, finding.masks.value))
    averaged = what if what.startswith("mean ") else f"mean {what}"
    if finding.scope == "difference":
        first, second = plan.conditions
        head = (
            f"The {averaged} was {_signed(estimated.value, finding)} in {second} than in {first} "
            f"({interval(finding)}, Welch's t with the animal or patient as unit, n = {finding.n})"
        )
        alone = _signed(finding.masks.value, finding)
    elif finding.scope == "population":
        head = f"The {averaged} was {value} ({interval(finding)}, n = {finding.unit}" + (
            ")" if finding.unit.endswith("units") else f", {finding.n} units)"
        )
    else:
        where = f"{finding.unit} cases together" if finding.scope == "all" else finding.unit
        head = f"The {what} in {where} was {value} ({interval(finding)})"
    items = f"{finding.items} {_kinds(finding, plan)} drawn at random"
    how = f"estimated without bias from the segmentation and {items} and corrected (difference estimator)"
    if finding.skipped:
        corrected = f"of which {finding.items - finding.skipped} were corrected"
        covered = f"the interval allows for anything in the {finding.skipped} skipped"
        how = f"estimated from the segmentation and {items}, {corrected} (difference estimator; {covered})"
    return f"{head}, {how}; the segmentation alone gives {alone}."


def _kinds(finding: Finding, plan: Plan) -> str:
    of_slices = finding.quantity in ("volume_fraction", "class_ml")
    kinds = list(dict.fromkeys(item.kind for item in plan.items if (item.kind == "slice") == of_slices))
    return " and ".join(KINDS[kind] if finding.items == 1 else PLURALS[kind] for kind in kinds)


def halving(finding: Finding) -> str:
    """Return how many more items would halve a finding's interval."""
    if finding.more is not None:
        return counted(finding.more, "more item")
    if math.isnan(finding.estimate.low):
        return "-"
    if finding.skipped:
        return f"correct the {finding.skipped} skipped first"
    if finding.scope in ("population", "difference"):
        return "no number of items, because the units differ; four times as many units would"
    return "not determined by these items"


def method(plan: Plan, answers: list[Answer]) -> tuple[list[str], list[str]]:
    """Return the method behind the findings, in paragraphs, and its references."""
    kinds = Counter(item.kind for item in plan.items)
    references = ["difference", "powered"]
    drawn = " and ".join(f"{count} {PLURALS[kind] if count > 1 else KINDS[kind]}" for kind, count in kinds.items())
    sentences = [
        f"{drawn} were drawn at random, each with a known probability, before anything was corrected. The value "
        "from the masks is corrected by the errors seen in the items, each weighted by the inverse of its probability. "
        "The estimate is unbiased whatever the errors of the masks are; the more these vary, the wider the interval."
    ]
    if plan.design == "systematic" and "slice" in kinds:
        references.append("cavalieri")
        sentences.append(
            "Slices were drawn at equal distances from a random start (Cavalieri), with the variance of Gundersen "
            "et al. for smoothness 0. It assumes that errors change smoothly along the axis: an error that comes and "
            "goes from slice to slice makes the interval too narrow. The stratified design does not assume this."
        )
    else:
        references += ["stratified", "satterthwaite"]
        sentences.append(
            "Units were grouped into strata of neighbours (slices along z; boxes through the volume; objects by "
            "confidence and size), and items drawn in each without replacement. Intervals are Student's t with "
            "Satterthwaite's degrees of freedom."
        )
    if kinds.keys() - {"slice"}:
        references += ["disector", "agresti"]
        sentences.append(
            "An object counts where its first voxel lies, so that each is counted once (disector). The interval of "
            "a count assumes two further items, one half an object too high and one half an object too low, because "
            "rare errors may be missed by the sample."
        )
    if "mean_volume" in plan.quantities:
        references.append("fieller")
        sentences.append(
            "A mean volume is the ratio of total volume and number, both estimated; its interval is Fieller's."
        )
    if any(case.condition for case in plan.cases):
        references.append("welch")
        sentences.append("Conditions are compared by Welch's t; the unit is the animal or patient, never the item.")
    if skipped := sum(answer.skipped for answer in answers):
        sentences.append(
            f"Skipped items: {skipped}. Each may hold anything from nothing to all that is possible there; the "
            "interval allows for all of these, and is wider for that reason."
        )
    n = len(answers)
    sentences.append(
        f"Errors that no drawn item shows cannot be estimated: an error confined to fewer than {300 / max(n, 1):.0f} % "
        "of the units may be missed by all items (rule of three). The intervals are approximate for small samples; "
        "their coverage in simulations is in the documentation."
    )
    return sentences, [REFERENCES[key] for key in references]
