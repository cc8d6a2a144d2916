"""The smallest change that two scans can show: a change beyond it exceeds the variation of repeated measurements."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

LEAST_RETAKES = 3
CONFIDENCE = 0.95
LEAST_ML = 1.0  # of a class: smaller changes never count, however steady the measurement; our choice

Category = Literal["more", "less", "not detectable", "none seen"]


def smallest_detectable_change(first: Sequence[float], second: Sequence[float], least: float = 0.0) -> float:
    """Return the smallest detectable change of a measure, in its unit, from its values in retakes of two scans.

    t * sqrt(SD1^2 + SD2^2), at least ``least``. With equal deviations and many retakes it is 1.96 * sqrt(2) * SD, the
    repeatability coefficient (Bland and Altman 1999, doi:10.1177/096228029900800204; as smallest detectable change: de
    Vet et al. 2006, doi:10.1016/j.jclinepi.2005.10.015). With few retakes the deviations themselves are uncertain, and
    1.96 is replaced by Student's t with Welch's degrees of freedom, 2.45 for 4 of each scan, 2.14 for 8. NaN if a
    measure is undefined in a retake.
    """
    from scipy import stats

    values = [np.asarray(each, float) for each in (first, second)]
    if any(len(each) < LEAST_RETAKES for each in values):
        raise ValueError(f"{LEAST_RETAKES} retakes of each scan are needed")
    shares = [float(each.var(ddof=1)) for each in values]
    total = sum(shares)
    if math.isnan(total):
        return math.nan
    if total == 0:
        return least
    freedom = total**2 / sum(share**2 / (len(each) - 1) for share, each in zip(shares, values))
    return max(least, float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(total))


def category_of(change: float, detectable: float) -> Category:
    """Return the category of a change: more or less only beyond the smallest detectable change."""
    if not abs(change) > detectable:  # also if one of them is NaN
        return "not detectable"
    return "more" if change > 0 else "less"
