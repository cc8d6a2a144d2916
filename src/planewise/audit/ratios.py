"""Ratios of two totals, each estimated from the same items."""

import math
from dataclasses import replace

from planewise.audit.estimators import Estimate, Part, Sample, estimate

FARTHEST = 1e6  # times the estimate: an end beyond it counts as infinite


def ratio(top: list[Part], bottom: list[Part]) -> Estimate:
    """Return the sum of ``top`` over that of ``bottom``, two variables of the same items of the same populations.

    The interval is Fieller's (1954, doi:10.1111/j.2517-6161.1954.tb00159.x): all R for which top - R bottom may be 0.
    Its upper end is infinity if the bottom may be 0; if the bottom is estimated as 0, nothing is known.
    """
    over, under = estimate(top).value, estimate(bottom).value
    if not (over > 0 and under > 0):  # then the ratio is only known not to be negative
        return Estimate(math.nan, 0.0, math.inf, math.nan, math.nan)
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
        for _ in range(30):
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
    # in units of objects, so that the assumptions for counts hold
    rescaled = tuple(Sample(s.size, s.low / by, s.high / by, s.masks / by) for s in samples)
    total = (top.total - by * bottom.total) / by
    weight, silent = top.weight * by, bottom.seems_right
    return replace(top, samples=rescaled, total=total, weight=weight, whole=True, silent=silent)
