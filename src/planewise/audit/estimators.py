"""Totals, ratios and differences from a model's numbers and a random sample of them that was corrected.

The difference estimator: the model's total, known for every unit, and an estimate of its error from the items alone,

    T = sum of m_i over all units + sum of (y_i - m_i) / p_i over the items,

where m is what the masks say, y what the corrected item says, and p the probability with which it was drawn (Horvitz
and Thompson 1952, doi:10.1080/01621459.1952.10483446; Särndal, Swensson and Wretman 1992, section 6.3). It is unbiased
whatever the masks are; good masks only make it narrow. With a model's predictions for m this is what Angelopoulos et
al. 2023 (doi:10.1126/science.adi6000) call prediction-powered inference.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95
SMOOTHNESS = {0: 1 / 12, 1: 1 / 240}  # Kieu 1997; Gundersen et al. 1999
HALF_AN_OBJECT = 0.25  # the square of the error of the two further items that an interval of a count supposes
FARTHEST = 1e6  # times the estimate: a ratio's end beyond it is none


@dataclass(frozen=True)
class Sample:
    """The items of one stratum of ``size`` units.

    ``low``, ``high`` (n,): between which each item's true value lies, the same where it was corrected; ``masks`` (n,):
    what the masks say of it.
    """

    size: int
    low: np.ndarray
    high: np.ndarray
    masks: np.ndarray

    @property
    def n(self) -> int:
        return len(self.masks)


@dataclass(frozen=True)
class Part:
    """One population: its strata, and the ``total`` of what the masks say of all of its units.

    ``weight``: what a unit of the variable counts in the sum. ``whole``: the variable counts objects, and an item that
    seems right may hide one. ``largest``: the most that the masks say of a unit; ``most``: the most that it can hold.
    ``systematic``: drawn at equal distances from a random start.
    """

    samples: tuple[Sample, ...]
    total: float
    weight: float = 1.0
    whole: bool = False
    largest: float = math.inf
    most: float = math.inf
    systematic: bool = False

    @property
    def n(self) -> int:
        return sum(sample.n for sample in self.samples)

    @property
    def size(self) -> int:
        return sum(sample.size for sample in self.samples)

    def without_masks(self) -> "Part":
        """Return the same items as if there were no masks: the plain estimate from the corrected items."""
        bare = tuple(replace(sample, masks=np.zeros(sample.n)) for sample in self.samples)
        return replace(self, samples=bare, total=0.0, largest=0.0)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where the items do not tell it. ``df``: degrees of freedom."""

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
    """A share of a variance: ``variance`` with ``df``; ``doubt``: what skipped items may add to the standard error."""

    low: float
    high: float
    variance: float
    df: float
    doubt: float


def estimate(parts: list[Part]) -> Estimate:
    """Return the weighted sum of the totals of several populations, drawn independently.

    Within a stratum of N units and n items the variance is N^2 (1 - n / N) s^2 / n, s^2 that of the differences between
    item and masks (Cochran 1977, section 5.9); the quantile is Student's t with the degrees of freedom of Satterthwaite
    (1946, doi:10.2307/3002019). A systematic sample has the variance of ``cavalieri_variance``.

    - A count has few errors, which a small sample may not show: it supposes one item more that is wrong by half an
      object up, and one down, after Agresti and Coull (1998, doi:10.1080/00031305.1998.10480550).
    - Where no item differs from the masks, up to 1 - 0.025^(1/n) of the units may (Clopper and Pearson 1934,
      doi:10.1093/biomet/26.4.404), each by all that is possible.
    - A skipped item may be anything between its bounds. The standard error is a norm of the differences, so it is at
      most that at the middle of the bounds and the sum of what each of them adds, and the degrees of freedom are at
      least the fewest of a stratum: the interval holds each that any values within the bounds give.
    """
    components = _components_of(parts)
    low = sum(part.weight * part.total for part in parts) + sum(c.low for c in components)
    high = low + sum(c.high - c.low for c in components)
    variance = sum(c.variance for c in components)
    doubt = sum(c.doubt for c in components)
    value = (low + high) / 2
    if any(math.isnan(c.variance) for c in components) or not components:
        return Estimate(value, math.nan, math.nan, math.nan, math.nan)
    if variance == 0 and doubt == 0 and sum(part.n for part in parts) < sum(part.size for part in parts):
        return _nothing_wrong(parts, value)
    uncertain = sum(c.variance**2 / c.df for c in components if c.variance > 0)
    df = variance**2 / uncertain if uncertain > 0 and doubt == 0 else min(c.df for c in components)
    se = math.sqrt(variance) + doubt
    reach = quantile(df) * se
    return Estimate(value, low - reach, high + reach, se, df)


def quantile(df: float) -> float:
    """Return Student's t that a 95 % interval reaches to."""
    return float(student.ppf(0.5 + CONFIDENCE / 2, max(df, 1.0)))


def _components_of(parts: list[Part]) -> list[_Component]:
    counted = sum(part.n for part in parts if part.whole)
    return [component for part in parts for component in _components(part, counted)]


def _components(part: Part, counted: int) -> list[_Component]:
    """Return the components of one population's variance; ``counted``: items of all that count objects."""
    found = []
    for sample in part.samples:
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
        found.append(
            _Component(scale * low.sum(), scale * high.sum(), variance, max(n - 1, 1), one * float(radius.sum()))
        )
    if part.whole and part.n:
        n, size = part.n, part.size
        more = size**2 * (1 - n / size) / n * 2 * HALF_AN_OBJECT / (counted + 1)
        found.append(_Component(0.0, 0.0, part.weight**2 * more, counted, 0.0))
    return found


def _nothing_wrong(parts: list[Part], value: float) -> Estimate:
    """Return the interval where no item differs from the masks, but not all units are items."""
    down = up = 0.0
    for part in parts:
        share = 1 - ((1 - CONFIDENCE) / 2) ** (1 / part.n)
        left = part.weight * min(share * part.size, part.size - part.n)
        down += left * part.largest
        up += left * part.most
    return Estimate(value, max(value - down, 0.0), value + up, 0.0, math.nan)


def cavalieri_variance(values: np.ndarray, step: float, smoothness: int = 0) -> float:
    """Return the variance of the total of a systematic sample along an axis: step^2 alpha (3 A - 4 B + C).

    ``values`` (n,): in order, every ``step``-th section; A, B, C: sums of products of values 0, 1 and 2 apart; alpha is
    1/12 for values that jump (``smoothness`` 0) and 1/240 for smooth ones (Gundersen and Jensen 1987,
    doi:10.1111/j.1365-2818.1987.tb02837.x; Kieu 1997; Gundersen et al. 1999, doi:10.1046/j.1365-2818.1999.00457.x). It
    supposes that values change smoothly: what alternates in step with the sample is not seen.
    """
    a, b, c = (float((values[lag:] * values[: len(values) - lag]).sum()) for lag in (0, 1, 2))
    return max(0.0, step**2 * SMOOTHNESS[smoothness] * (3 * a - 4 * b + c))


def ratio(top: list[Part], bottom: list[Part]) -> Estimate:
    """Return the sum of ``top`` over that of ``bottom``, two variables of the same items of the same populations.

    The interval is Fieller's (1954, doi:10.1111/j.2517-6161.1954.tb00159.x): all R for which top - R bottom may be 0.
    It has no upper end, infinity, where the bottom may be 0.
    """
    over, under = estimate(top).value, estimate(bottom).value
    if not (over > 0 and under > 0):
        return Estimate(math.nan, math.nan, math.nan, math.nan, math.nan)
    value = over / under

    def test(r: float) -> Estimate:
        return estimate([less(a, b, r) for a, b in zip(top, bottom)])

    at = test(value)
    if math.isnan(at.low):
        return Estimate(value, math.nan, math.nan, math.nan, math.nan)

    def end(factor: float) -> float:
        inside, outside = 1.0, factor
        while 1 / FARTHEST < outside < FARTHEST and test(value * outside).holds(0):
            inside, outside = outside, outside * factor
        if not 1 / FARTHEST < outside < FARTHEST:
            return 0.0 if factor < 1 else math.inf
        for _ in range(40):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if test(value * middle).holds(0) else (inside, middle)
        return value * inside

    return Estimate(value, end(1 / 1.25), end(1.25), at.se / under, at.df)


def less(top: Part, bottom: Part, r: float) -> Part:
    """Return the population of the variable top - r bottom."""
    by = r * bottom.weight / top.weight
    samples = tuple(
        Sample(a.size, a.low - by * b.high, a.high - by * b.low, a.masks - by * b.masks)
        for a, b in zip(top.samples, bottom.samples)
    )
    if not bottom.whole:
        return replace(top, samples=samples, total=top.total - by * bottom.total)
    # in units of objects, so that what is supposed of a count holds
    rescaled = tuple(Sample(s.size, s.low / by, s.high / by, s.masks / by) for s in samples)
    total = (top.total - by * bottom.total) / by
    return replace(top, samples=rescaled, total=total, weight=top.weight * by, whole=True)


def mean_of(low: np.ndarray, high: np.ndarray) -> Estimate:
    """Return the mean over the population that units are a sample of, by Student's t between the units.

    ``low``, ``high`` (n,): between which each unit's estimate lies, the same where nothing was skipped. That estimates
    have an error each is in the spread between them, if they are unbiased and independent.
    """
    centre, spread, doubt = _spread(low, high)
    if len(low) < 2:
        return Estimate(centre, math.nan, math.nan, math.nan, math.nan)
    reach = quantile(len(low) - 1) * (spread + doubt)
    return Estimate(centre, float(low.mean()) - reach, float(high.mean()) + reach, spread + doubt, len(low) - 1)


def difference_of(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> Estimate:
    """Return the mean of ``second`` less that of ``first``, by Welch's t (1947, doi:10.1093/biomet/34.1-2.28).

    Each is (low, high) as in ``mean_of``; the units, not their items, are the sample.
    """
    (a, se_a, doubt_a), (b, se_b, doubt_b) = _spread(*first), _spread(*second)
    n_a, n_b = len(first[0]), len(second[0])
    if min(n_a, n_b) < 2 or se_a + se_b == 0:
        return Estimate(b - a, math.nan, math.nan, math.nan, math.nan)
    variance = se_a**2 + se_b**2
    df = variance**2 / (se_a**4 / (n_a - 1) + se_b**4 / (n_b - 1))
    if doubt_a + doubt_b > 0:  # it may be fewer at other values within the bounds
        df = min(n_a, n_b) - 1
    se = math.sqrt(variance) + doubt_a + doubt_b
    reach = quantile(df) * se
    low = float(second[0].mean() - first[1].mean()) - reach
    high = float(second[1].mean() - first[0].mean()) + reach
    return Estimate(b - a, low, high, se, df)


def _spread(low: np.ndarray, high: np.ndarray) -> tuple[float, float, float]:
    """Return the mean, its standard error at the middle of the bounds, and what the bounds may add to that."""
    middle, n = (low + high) / 2, len(low)
    se = float(np.std(middle, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return float(middle.mean()), se, float(((high - low) / 2).sum()) / n


def items_to_halve(parts: list[Part]) -> int | None:
    """Return how many more items, shared out as those that are there, would halve the interval of ``estimate``.

    By the variances that the items show; None where they show none.
    """
    now = estimate(parts)
    if math.isnan(now.half_width) or now.half_width <= 0 or not math.isfinite(now.df):
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
    """Return the half width that ``factor`` times as many items would give."""
    variance = uncertain = 0.0
    counted = sum(part.n for part in parts if part.whole)
    for part in parts:
        for sample, component in zip([*part.samples, None], _components(part, counted)):
            size, n = (part.size, part.n) if sample is None else (sample.size, sample.n)
            then = min(n * factor, size)
            free = 1 - n / size
            gain = 0.0 if free == 0 else (n / then) * (1 - then / size) / free
            gain *= (counted + 1) / (counted * factor + 1) if sample is None else 1.0
            variance += component.variance * gain
            uncertain += (component.variance * gain) ** 2 / max(then - 1, 1)
    return quantile(variance**2 / uncertain) * math.sqrt(variance) if uncertain else 0.0
