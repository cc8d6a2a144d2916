import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from planewise.evaluation.statistics import mean_by_patient, paired_difference, summarise


def test_mean_and_median_leave_out_what_is_not_defined():
    summary = summarise([1.0, math.nan, 2.0, 6.0], [*"abcd"])
    assert (summary.n, summary.mean, summary.median) == (3, 3, 2)
    assert math.isnan(summary.low)  # too few cases
    assert summarise([math.nan], ["a"]).n == 0


def test_the_mean_of_a_patient_leaves_out_what_is_not_defined():
    assert mean_by_patient([1, 5, math.nan, 2, math.nan], [*"abacd"]) == [1, 5, 2]
    assert mean_by_patient([1, 5, 2], [*"aba"]) == [1.5, 5]
    summary = summarise([1, 5, math.nan, 2, math.nan], [*"abaad"])
    assert (summary.n, summary.n_cases, summary.mean) == (2, 3, 3.25)


def test_patients_of_one_scan_each_give_the_numbers_of_their_cases():
    """As they were before patients were told apart: the formulas are written out here."""
    rng = np.random.default_rng(3)
    first, second = rng.random(9), rng.random(9)
    names = [*"abcdefghi"]
    summary = summarise(first.tolist(), names)
    means = np.random.default_rng(0).choice(first, (10_000, 9)).mean(axis=1)
    expected = (9, 9, first.mean(), np.median(first), *np.percentile(means, [2.5, 97.5]))
    assert dataclasses.astuple(summary) == expected
    difference = paired_difference(first.tolist(), second.tolist(), names)
    assert (difference.n, difference.mean) == (9, (first - second).mean())
    assert difference.p == wilcoxon(first - second).pvalue


def test_the_interval_is_about_that_of_the_normal_theory():
    values = np.random.default_rng(1).normal(0.7, 0.1, 100).tolist()
    names = [str(i) for i in range(100)]
    summary = summarise(values, names)
    half = 1.96 * np.std(values) / 10
    assert (summary.low, summary.high) == pytest.approx((summary.mean - half, summary.mean + half), abs=0.004)
    assert summarise(values, names) == summary


def test_six_patients_that_all_agree_are_the_first_to_be_significant():
    better, worse = [0.8, 0.7, 0.9, 0.85, 0.6, 0.75], [0.7, 0.5, 0.6, 0.45, 0.1, 0.15]
    names = [*"abcdef"]
    assert paired_difference(better, worse, names).p == pytest.approx(2 / 64)
    assert math.isnan(paired_difference(better[:5], worse[:5], names[:5]).p)
    assert math.isnan(paired_difference(better, worse, [*"abcdee"]).p)
    assert paired_difference(better, better, names).p == 1
    assert paired_difference(better, worse, names).mean == pytest.approx(0.35)
    with_gap = paired_difference([*better, math.nan], [*worse, 0.3], [*names, "g"])
    assert (with_gap.n, with_gap.n_cases) == (6, 6)
