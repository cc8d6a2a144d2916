"""Ratios against hand-computed numbers."""

import math

import numpy as np
import pytest

from planewise.audit.estimators import Part, Sample, estimate, quantile
from planewise.audit.ratios import ratio


def sample(size, values):
    return Sample(size, np.array(values, float), np.array(values, float), np.zeros(len(values)))


def test_a_ratio_of_a_certain_number_has_the_interval_of_its_top():
    voxels, count = (sample(20, values) for values in ([30, 50, 40, 20], [2, 2, 2, 2]))
    top = estimate([Part((voxels,), 0.0)])
    estimated = ratio([Part((voxels,), 0.0)], [Part((count,), 0.0)])
    assert estimated.value == pytest.approx(top.value / 40)
    assert (estimated.low, estimated.high) == (pytest.approx(top.low / 40), pytest.approx(top.high / 40))


def test_a_ratios_ends_are_fiellers():
    """The roots of (T - R S)^2 = t^2 (var T - 2 R cov + R^2 var S)."""
    v, k = np.array([30.0, 55, 41, 18, 60]), np.array([2.0, 3, 2, 1, 4])
    scale = 30**2 * (1 - 5 / 30) / 5
    (tt, tk), (_, kk) = scale * np.cov(v, k)
    t, top, bottom = quantile(4), 6 * v.sum(), 6 * k.sum()
    roots = np.roots([bottom**2 - t**2 * kk, -2 * (top * bottom - t**2 * tk), top**2 - t**2 * tt])
    estimated = ratio([Part((sample(30, v),), 0.0)], [Part((sample(30, k),), 0.0)])
    assert sorted(roots) == pytest.approx([estimated.low, estimated.high])


def test_a_ratio_by_what_may_be_nothing_has_no_upper_end():
    estimated = ratio([Part((sample(90, [5, 0, 9]),), 0.0)], [Part((sample(90, [1, 0, 0]),), 0.0)])
    assert math.isinf(estimated.high)
    nothing = ratio([Part((sample(90, [5, 0, 9]),), 0.0)], [Part((sample(90, [0, 0, 0]),), 0.0)])
    assert (nothing.low, nothing.high) == (0, math.inf)
