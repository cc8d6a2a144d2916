"""Totals estimated from a model's numbers and a random sample of them that was corrected.

The difference estimator: the model's total, known for every unit, and an estimate of its error from the items alone,

    T = sum of m_i over all units + sum of (y_i - m_i) / p_i over the items,

where m is the value in the masks, y the value in the corrected item, and p the probability with which it was drawn
(Horvitz and Thompson 1952, doi:10.1080/01621459.1952.10483446; Särndal, Swensson and Wretman 1992, section 6.3). It is
unbiased whatever the masks are; good masks only make the interval narrower. With a model's predictions for m this is
what Angelopoulos et al. 2023 (doi:10.1126/science.adi6000) call prediction-powered inference.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
ALPHA = 1 / 12  # for values that jump, smoothness 0: Kieu 1997; Gundersen et al. 1999. For smooth values it is 1/240
HALF_AN_OBJECT = 0.25  # squared error of the two further items that a count's interval assumes


@dataclass(frozen=True)
class Sample:
    """The items of one stratum of ``size`` units.

    ``low``, ``high`` (n,): bounds of each item's true value, equal if it was corrected; ``masks`` (n,): the items'
    values in the masks.
    """

    size: int
    low: np.ndarray
    high: np.ndarray
    masks: np.ndarray

    @property
    def n(self) -> int:
        return len(self.masks)

    @property
    def likely(self) -> np.ndarray:
        """Return the likely value of each item: that of the masks if it was skipped (n,)."""
        return np.clip(self.masks, self.low, self.high)


@dataclass(frozen=True)
class Part:
    """One population: its strata, and the ``total`` of the masks' values over all its units.

    ``weight``: the weight of a unit of the variable in the sum. ``whole``: whether the variable is a count of objects,
    of which an item that seems right may hide one. ``largest``: the largest value of a unit in the masks; ``most``: the
    largest possible value. ``systematic``: whether units are drawn at equal distances from a random start. ``silent``:
    for a variable of which such a count is a part, whether the items of the count seem right.
    """

    samples: tuple[Sample, ...]
    total: float
    weight: float = 1.0
    whole: bool = False
    largest: float = math.inf
    most: float = math.inf
    systematic: bool = False
    silent: bool = False

    @property
    def n(self) -> int:
        return sum(sample.n for sample in self.samples)

    @property
    def size(self) -> int:
        return sum(sample.size for sample in self.samples)

    @property
    def seems_right(self) -> bool:
        """Whether all items agree with the masks, or may do so if they were skipped."""
        return self.silent or all(bool(((s.low <= s.masks) & (s.masks <= s.high)).all()) for s in self.samples)

    def without_masks(self) -> "Part":
        """Return the same items as if there were no masks: for the plain estimate from the corrected items."""
        bare = tuple(replace(sample, masks=np.zeros(sample.n)) for sample in self.samples)
        return replace(self, samples=bare, total=0.0, largest=0.0)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN if the items do not determine it. ``df``: degrees of freedom.

    For skipped items, ``value`` uses the values of the masks; the interval assumes nothing about them.
    """

    value: float
    low: float
    high: float
    se: float
    df: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def holds(self, truth: float) -> bool:
        """Whether ``truth`` lies in the interval."""
        slack = 1e-9 * max(abs(self.low), abs(self.high), 1e-300)
        return self.low - slack <= truth <= self.high + slack

    def scaled(self, by: float) -> "Estimate":
        """Return the same in another unit, ``by`` above 0."""
        return Estimate(self.value * by, self.low * by, self.high * by, self.se * by, self.df)


@dataclass(frozen=True)
class _Component:
    """A part of a variance: ``variance`` with ``df``; ``doubt``: what skipped items may add to the standard error."""

    low: float
    likely: float
    high: float
    variance: float
    df: float
    doubt: float


def estimate(parts: list[Part]) -> Estimate:
    """Return the weighted sum of the totals of several populations, drawn independently.

    Within a stratum of N units and n items the variance is N^2 (1 - n / N) s^2 / n, s^2 that of the differences between
    item and masks (Cochran 1977, section 5.9); the quantile is Student's t with the degrees of freedom of Satterthwaite
    (1946, doi:10.2307/3002019). A systematic sample has the variance of ``cavalieri_variance``.

    - A count has few errors, which a small sample may not show: it assumes two more items, one half an object too high
      and one half an object too low, after Agresti and Coull (1998, doi:10.1080/00031305.1998.10480550). If no item is
      wrong at all, the interval includes the K wrong units that the items would miss once in 40: (1 - p)^K = 0.025, p
      the lowest probability with which units were drawn.
    - If no item differs from the masks in another variable, up to 1 - 0.025^(1/n) of the units may (Clopper and
      Pearson 1934, doi:10.1093/biomet/26.4.404), each by the largest possible amount.
    - A skipped item may have any value between its bounds. The standard error is a norm of the differences, so it is at
      most the one at the middle of the bounds plus the sum of what each of them adds, and the degrees of freedom are at
      least the fewest of a stratum: the interval contains all intervals that values within the bounds give.
    """
    components = _components_of(parts)
    total = sum(part.weight * part.total for part in parts)
    low, value, high = (total + sum(getattr(c, end) for c in components) for end in ("low", "likely", "high"))
    variance = sum(c.variance for c in components)
    doubt = sum(c.doubt for c in components)
    if any(math.isnan(c.variance) for c in components) or not components:
        return Estimate(value, math.nan, math.nan, math.nan, math.nan)
    uncertain = sum(c.variance**2 / c.df for c in components if c.variance > 0)
    df = variance**2 / uncertain if uncertain > 0 and doubt == 0 else min(c.df for c in components)
    se = math.sqrt(variance) + doubt
    reach = quantile(df) * se
    interval = Estimate(value, low - reach, high + reach, se, df)
    if all(part.seems_right and not part.whole for part in parts):
        down, up = _hidden(parts)
        interval = replace(interval, low=min(interval.low, value - down), high=max(interval.high, value + up))
    return interval


def quantile(df: float) -> float:
    """Return the quantile of Student's t for a 95 % interval."""
    return float(stdtrit(max(df, 1.0), 0.5 + CONFIDENCE / 2))


def _components_of(parts: list[Part], factor: float = 1.0) -> list[_Component]:
    """Return the components of a variance, as estimated for ``factor`` times as many items of the same spread."""
    return [c for part in parts for s in part.samples for c in [_component(part, s, factor)]] + _supposed(parts, factor)


def _component(part: Part, sample: Sample, factor: float) -> _Component:
    """Return the component that the items of one stratum give."""
    n, scale = sample.n, part.weight * sample.size / max(sample.n, 1)
    low, high = (values - sample.masks for values in (sample.low, sample.high))
    middle, radius = (low + high) / 2, (high - low) / 2
    free = 1 - n / sample.size
    if n == sample.size:
        variance = 0.0
    elif n < 2:
        variance = math.nan
    elif part.systematic:
        variance = part.weight**2 * cavalieri_variance(middle, sample.size / n)
    else:
        variance = scale**2 * n * free * float(np.var(middle, ddof=1))
    one = abs(scale) * math.sqrt(free)  # the standard error of a difference of 1 in one item
    then = min(n * factor, sample.size)
    variance *= 1.0 if free == 0 else n / then * (1 - then / sample.size) / free
    likely = sample.likely - sample.masks
    ends = [scale * float(values.sum()) for values in (low, likely, high)]
    return _Component(ends[0], ends[1], ends[2], variance, max(then - 1, 1.0), one * float(radius.sum()))


def _supposed(parts: list[Part], factor: float) -> list[_Component]:
    """Return the components that are assumed for counts in addition to those of their items."""
    counts = [part for part in parts if part.whole and 0 < part.n < part.size]
    right = [part for part in counts if part.seems_right]
    items = sum(part.n for part in counts) * factor
    components = []
    for part in (part for part in counts if not part.seems_right):
        n, size = min(part.n * factor, part.size), part.size
        variance = part.weight**2 * size**2 * (1 - n / size) / n * 2 * HALF_AN_OBJECT / (items + 1)
        components.append(_Component(0.0, 0.0, 0.0, variance, items, 0.0))
    if right:
        lowest = min(s.n * factor / s.size for part in right for s in part.samples if s.n < s.size)
        hidden = 0.0 if lowest >= 1 else math.log((1 - CONFIDENCE) / 2) / math.log(1 - lowest)
        left = sum(part.size - part.n for part in right)
        reach = max(abs(part.weight) for part in right) * min(hidden, left)
        df = max(sum(part.n for part in right) * factor, 1.0)
        components.append(_Component(0.0, 0.0, 0.0, (reach / quantile(df)) ** 2, df, 0.0))
    return components


def _hidden(parts: list[Part]) -> tuple[float, float]:
    """Return how much too high and too low the masks may be if no item differs from them."""
    down = up = 0.0
    for part in (part for part in parts if part.n < part.size):
        share = 1 - ((1 - CONFIDENCE) / 2) ** (1 / part.n)
        left = part.weight * min(share * part.size, part.size - part.n)
        down += left * part.largest
        up += left * part.most
    return down, up


def cavalieri_variance(values: np.ndarray, step: float) -> float:
    """Return the variance of the total of a systematic sample along an axis: step^2 ``ALPHA`` (3 A - 4 B + C).

    ``values`` (n,): in order, every ``step``-th section; A, B, C: sums of products of values 0, 1 and 2 apart
    (Gundersen and Jensen 1987, doi:10.1111/j.1365-2818.1987.tb02837.x; Kieu 1997; Gundersen et al. 1999,
    doi:10.1046/j.1365-2818.1999.00457.x). Variation in phase with the sample is not detected.
    """
    a, b, c = (float((values[lag:] * values[: len(values) - lag]).sum()) for lag in (0, 1, 2))
    return max(0.0, step**2 * ALPHA * (3 * a - 4 * b + c))


def items_to_halve(parts: list[Part]) -> int | None:
    """Return how many more items, distributed like the existing ones, would halve the interval of ``estimate``.

    From the variances that the items show; None if they show none.
    """
    now = estimate(parts)
    if math.isnan(now.half_width) or now.se <= 0:
        return None
    n = sum(part.n for part in parts)
    left = sum(part.size for part in parts) - n
    fewest, most = 0, left
    while fewest < most:
        more = (fewest + most) // 2
        if _half_width_with(parts, 1 + more / n) <= now.half_width / 2:
            most = more
        else:
            fewest = more + 1
    return fewest


def _half_width_with(parts: list[Part], factor: float) -> float:
    """Return the half width for ``factor`` times as many items."""
    components = _components_of(parts, factor)
    variance = sum(c.variance for c in components)
    uncertain = sum(c.variance**2 / c.df for c in components)
    return quantile(variance**2 / uncertain) * math.sqrt(variance) if uncertain else 0.0
