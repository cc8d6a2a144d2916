import math

import numpy as np
import pytest

from planewise.evaluation.statistics import paired_difference, summarise


def test_mean_and_median_leave_out_what_is_not_defined():
    summary = summarise([1.0, math.nan, 2.0, 6.0], [*"abcd"])
    assert (summary.n, summary.mean, summary.median) == (3, 3, 2)
    assert math.isnan(summary.low)  # too few cases
    assert summarise([math.nan]).n == 0


def test_the_interval_is_about_that_of_the_normal_theory():
    values = np.random.default_rng(1).normal(0.7, 0.1, 100).tolist()
    summary = summarise(values)
    half = 1.96 * np.std(values) / 10
    assert (summary.low, summary.high) == pytest.approx((summary.mean - half, summary.mean + half), abs=0.004)
    assert summarise(values) == summary


def test_six_cases_that_all_agree_are_the_first_to_be_significant():
    better, worse = [0.8, 0.7, 0.9, 0.85, 0.6, 0.75], [0.7, 0.5, 0.6, 0.45, 0.1, 0.15]
    assert paired_difference(better, worse).p == pytest.approx(2 / 64)
    assert math.isnan(paired_difference(better[:5], worse[:5]).p)
    assert paired_difference(better, better).p == 1
    assert paired_difference(better, worse).mean == pytest.approx(0.35)
    with_gap = paired_difference([*better, math.nan], [*worse, 0.3])
    assert with_gap.n == 6
