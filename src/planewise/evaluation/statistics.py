"""Statistics over patients: means with their uncertainty, and paired differences between methods.

Scans of one patient are alike, and do not count as several: their scores are averaged first.
"""

import math
from dataclasses import dataclass

import numpy as np

ENOUGH_PATIENTS = 6  # fewer pairs cannot reach p < 0.05 in a two-sided signed-rank test
RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """Of the ``n`` patients, with ``n_cases`` cases, in which a score is defined. ``low``, ``high``: the 95 % interval
    of the mean.

    The interval is the percentile bootstrap's over patients (Efron 1979, doi:10.1214/aos/1176344552); NaN with fewer
    than ``ENOUGH_PATIENTS``.
    """

    n: int
    n_cases: int
    mean: float
    median: float
    low: float
    high: float


def mean_by_patient(values: list[float], patients: list[str]) -> list[float]:
    """Return the mean of each patient's ``values`` (one for each case), in the order of the patients' first cases.

    NaN (not defined) is left out, and so are patients without other values.
    """
    of_patient: dict[str, list[float]] = {}
    for value, patient in zip(values, patients, strict=True):
        if not math.isnan(value):
            of_patient.setdefault(patient, []).append(value)
    return [sum(known) / len(known) for known in of_patient.values()]


def summarise(values: list[float], patients: list[str]) -> Summary:
    """Summarise a score over the ``patients`` of its cases; NaN, not defined, is left out."""
    n_cases = sum(not math.isnan(value) for value in values)
    known = np.array(mean_by_patient(values, patients))
    if len(known) == 0:
        return Summary(0, 0, math.nan, math.nan, math.nan, math.nan)
    low, high = _interval(known)
    return Summary(len(known), n_cases, float(known.mean()), float(np.median(known)), low, high)


def _interval(values: np.ndarray) -> tuple[float, float]:
    if len(values) < ENOUGH_PATIENTS:
        return math.nan, math.nan
    rng = np.random.default_rng(0)  # the same interval every time
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """Of two methods over the ``n`` patients, with ``n_cases`` cases, in which both scores are defined: the mean of
    first - second, its 95 % interval, and ``p`` of a two-sided Wilcoxon signed-rank test (1945, doi:10.2307/3001968);
    NaN with too few patients."""

    n: int
    n_cases: int
    mean: float
    low: float
    high: float
    p: float


def paired_difference(first: list[float], second: list[float], patients: list[str]) -> Difference:
    """Compare two methods by their scores in the same cases of ``patients``, all in one order.

    Cases without a score are left out.
    """
    by_case = [a - b for a, b in zip(first, second, strict=True)]
    n_cases = sum(not math.isnan(difference) for difference in by_case)
    differences = np.array(mean_by_patient(by_case, patients))
    if len(differences) == 0:
        return Difference(0, 0, math.nan, math.nan, math.nan, math.nan)
    low, high = _interval(differences)
    p = math.nan
    if len(differences) >= ENOUGH_PATIENTS:
        from scipy.stats import wilcoxon

        p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return Difference(len(differences), n_cases, float(differences.mean()), low, high, p)
