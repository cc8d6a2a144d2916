"""What the cases together say: means with their uncertainty, and differences between methods case by case."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

ENOUGH_CASES = 6  # fewer pairs cannot reach p < 0.05 in a two-sided signed-rank test, whatever they are
RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """Of the ``n`` cases in which a score is defined. ``low``, ``high``: the 95 % interval of the mean.

    The interval is the percentile bootstrap's over cases (Efron 1979, doi:10.1214/aos/1176344552); NaN with fewer than
    ``ENOUGH_CASES``.
    """

    n: int
    mean: float
    median: float
    low: float
    high: float


def summarise(values: list[float]) -> Summary:
    """Summarise a score over cases; NaN, not defined, is left out."""
    known = np.array([value for value in values if not math.isnan(value)])
    if len(known) == 0:
        return Summary(0, math.nan, math.nan, math.nan, math.nan)
    low, high = _interval(known)
    return Summary(len(known), float(known.mean()), float(np.median(known)), low, high)


def _interval(values: np.ndarray) -> tuple[float, float]:
    if len(values) < ENOUGH_CASES:
        return math.nan, math.nan
    rng = np.random.default_rng(0)  # the same interval every time
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """Of two methods over the ``n`` cases in which both scores are defined: the mean of first - second, its 95 %
    interval, and ``p`` of a two-sided Wilcoxon signed-rank test (1945, doi:10.2307/3001968); NaN with too few cases."""

    n: int
    mean: float
    low: float
    high: float
    p: float


def paired_difference(first: list[float], second: list[float]) -> Difference:
    """Compare two methods by their scores in the same cases, in the same order. Cases without a score are left out."""
    differences = np.array([a - b for a, b in zip(first, second, strict=True) if not math.isnan(a - b)])
    if len(differences) == 0:
        return Difference(0, math.nan, math.nan, math.nan, math.nan)
    low, high = _interval(differences)
    p = math.nan
    if len(differences) >= ENOUGH_CASES:
        p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return Difference(len(differences), float(differences.mean()), low, high, p)
