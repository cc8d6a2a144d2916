"""The agreement of two readers or methods on the same patients: Bland-Altman, ICC(2,1), weighted kappa.

A value that is not defined, because there are too few patients or all are equal, is NaN.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

CONFIDENCE = 0.95
KappaWeights = Literal["linear", "quadratic"]


class Interval(NamedTuple):
    """A value and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


class BlandAltman(NamedTuple):
    """Differences, first - second, of ``n`` patients: their mean and SD, and the limits of agreement."""

    n: int
    mean: Interval
    sd: float
    lower: Interval
    upper: Interval


def bland_altman(first: np.ndarray, second: np.ndarray, deviations: float = 1.96) -> BlandAltman:
    """Return mean difference and limits of agreement, mean ± ``deviations`` SD, of values (n,) of the same n patients.

    Intervals are by Student's t with n - 1 degrees of freedom: the standard error of the mean is SD / sqrt(n), that of
    a limit about sqrt(3 / n) SD (Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8).
    """
    from scipy import stats

    differences = np.asarray(first, float) - np.asarray(second, float)
    n = len(differences)
    if n < 2:
        nothing = Interval(math.nan, math.nan, math.nan)
        mean = float(differences.mean()) if n else math.nan
        return BlandAltman(n, Interval(mean, math.nan, math.nan), math.nan, nothing, nothing)
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    t = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))

    def around(value: float, error: float) -> Interval:
        return Interval(value, value - t * error, value + t * error)

    of_limits = math.sqrt(3 / n) * sd
    lower, upper = (around(mean + sign * deviations * sd, of_limits) for sign in (-1, 1))
    return BlandAltman(n, around(mean, sd / math.sqrt(n)), sd, lower, upper)


def icc_2_1(ratings: np.ndarray) -> Interval:
    """Return ICC(2,1) of ``ratings`` (patients, readers): absolute agreement of single readers drawn at random.

    (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n), with its interval by F (Shrout and Fleiss 1979,
    doi:10.1037/0033-2909.86.2.420). NaN with fewer than two patients, or if all values are equal.
    """
    from scipy import stats

    x = np.asarray(ratings, float)
    n, k = x.shape
    if n < 2 or k < 2 or np.ptp(x) == 0:
        return Interval(math.nan, math.nan, math.nan)
    rows, columns = x.mean(axis=1, keepdims=True), x.mean(axis=0, keepdims=True)
    between = k * float(((rows - x.mean()) ** 2).sum()) / (n - 1)  # BMS
    judges = n * float(((columns - x.mean()) ** 2).sum()) / (k - 1)  # JMS
    error = float(((x - rows - columns + x.mean()) ** 2).sum()) / ((n - 1) * (k - 1))  # EMS
    icc = (between - error) / (between + (k - 1) * error + k * (judges - error) / n)
    if judges == error == 0:  # the readers agree on all patients
        return Interval(1.0, 1.0, 1.0)
    # Satterthwaite's degrees of freedom, numerator and denominator multiplied by EMS squared
    a, b = k * icc * judges, (n * (1 + (k - 1) * icc) - k * icc) * error
    spread = (n - 1) * a**2 + b**2
    if spread == 0:  # each reader gives all patients the same value
        return Interval(icc, math.nan, math.nan)
    freedom = (k - 1) * (n - 1) * (a + b) ** 2 / spread
    upper_f = float(stats.f.ppf((1 + CONFIDENCE) / 2, n - 1, freedom))
    lower_f = float(stats.f.ppf((1 + CONFIDENCE) / 2, freedom, n - 1))
    rest = k * judges + (k * n - k - n) * error
    low = n * (between - upper_f * error) / (upper_f * rest + n * between)
    high = n * (lower_f * between - error) / (rest + n * lower_f * between)
    return Interval(icc, low, high)


def categories(values: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """Return the category of each value: how many of the ascending ``bounds`` it exceeds."""
    return np.searchsorted(np.asarray(bounds, float), values, side="left")


def category_table(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Return the cross table (count, count): the number of patients by first and by second category."""
    return np.bincount(first * count + second, minlength=count * count).reshape(count, count)


def kappa_weights(count: int, kind: KappaWeights) -> np.ndarray:
    """Return the weights of agreement (count, count): 1 for the same category, 0 for the first with the last.

    1 - (d / (count - 1)) ** p of categories d apart: p is 1 for ``linear`` (Cicchetti and Allison 1971), 2 for
    ``quadratic`` (Fleiss and Cohen 1973, doi:10.1177/001316447303300309).
    """
    places = np.arange(count)
    apart = np.abs(places[:, None] - places) / max(count - 1, 1)
    return 1 - apart ** (2 if kind == "quadratic" else 1)


def weighted_kappa(table: np.ndarray, weights: np.ndarray) -> Interval:
    """Return weighted kappa of a square ``table`` of counts (Cohen 1968, doi:10.1037/h0026256), with its interval.

    ``weights``: of agreement, 1 on the diagonal. The interval is kappa ± 1.96 standard errors for large samples
    (Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106), cut at -1 and 1. Kappa is NaN if there are no cases, or if
    both readers put all of them into the same category; the interval is NaN if one reader uses a single category.
    """
    from scipy import stats

    counts = np.asarray(table, float)
    n = counts.sum()
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float((weights * p).sum()), float((weights * np.outer(rows, columns)).sum())
    if expected == 1:
        return Interval(math.nan, math.nan, math.nan)
    kappa = (observed - expected) / (1 - expected)
    if np.count_nonzero(rows) == 1 or np.count_nonzero(columns) == 1:  # one reader uses a single category
        return Interval(kappa, math.nan, math.nan)
    by_row, by_column = weights @ columns, rows @ weights
    spread = (p * (weights - (by_row[:, None] + by_column) * (1 - kappa)) ** 2).sum()
    variance = (spread - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
    error = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(max(float(variance), 0.0))
    return Interval(kappa, max(-1.0, kappa - error), min(1.0, kappa + error))
