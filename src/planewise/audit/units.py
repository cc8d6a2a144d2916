"""Statistics between units, animals or patients: their estimates are the sample, never their items."""

import math
from dataclasses import dataclass

import numpy as np

from planewise.audit.estimators import Estimate, quantile


@dataclass(frozen=True)
class Units:
    """Estimates of units (n,), as a lower and an upper bound, which are equal if no item was skipped."""

    low: np.ndarray
    values: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Units":
        """Return units in whose estimates nothing was skipped."""
        return cls(values, values, values)


def mean_of(units: Units) -> Estimate:
    """Return the mean over the population that units are a sample of, by Student's t between the units.

    The errors of single estimates are contained in the spread between them, if they are unbiased and independent.
    """
    low, high = units.low, units.high
    centre, (spread, doubt) = float(units.values.mean()), _spread(units)
    if len(low) < 2:
        return Estimate(centre, math.nan, math.nan, math.nan, math.nan)
    reach = quantile(len(low) - 1) * (spread + doubt)
    return Estimate(centre, float(low.mean()) - reach, float(high.mean()) + reach, spread + doubt, len(low) - 1)


def difference_of(first: Units, second: Units) -> Estimate:
    """Return the mean of ``second`` minus that of ``first``, by Welch's t (1947, doi:10.1093/biomet/34.1-2.28).

    The units, not their items, are the sample.
    """
    (se_a, doubt_a), (se_b, doubt_b) = _spread(first), _spread(second)
    n_a, n_b = len(first.values), len(second.values)
    value = float(second.values.mean() - first.values.mean())
    if min(n_a, n_b) < 2 or se_a + se_b == 0:
        return Estimate(value, math.nan, math.nan, math.nan, math.nan)
    variance = se_a**2 + se_b**2
    df = variance**2 / (se_a**4 / (n_a - 1) + se_b**4 / (n_b - 1))
    if doubt_a + doubt_b > 0:  # it may be fewer at other values within the bounds
        df = min(n_a, n_b) - 1
    se = math.sqrt(variance) + doubt_a + doubt_b
    reach = quantile(df) * se
    low = float(second.low.mean() - first.high.mean()) - reach
    high = float(second.high.mean() - first.low.mean()) + reach
    return Estimate(value, low, high, se, df)


def _spread(units: Units) -> tuple[float, float]:
    """Return the standard error of the mean at the middle of the bounds, and what the bounds may add to that."""
    middle, n = (units.low + units.high) / 2, len(units.values)
    se = float(np.std(middle, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return se, float(((units.high - units.low) / 2).sum()) / n
