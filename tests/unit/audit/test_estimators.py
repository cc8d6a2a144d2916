"""Estimators against hand-computed numbers, textbooks, SciPy, and every sample that there is."""

import math
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from planewise.audit.estimators import Part, Sample, cavalieri_variance, estimate, items_to_halve, quantile
from planewise.audit.units import Units, difference_of, mean_of


def sample(size, true, masks=None):
    true = np.array(true, float)
    return Sample(size, true, true, np.zeros(len(true)) if masks is None else np.array(masks, float))


def with_moments(n, mean, variance):
    """Return n numbers of this mean and variance."""
    values = np.arange(n, dtype=float)
    return mean + (values - values.mean()) / values.std(ddof=1) * math.sqrt(variance)


def test_a_stratified_total_from_a_textbook():
    """Lohr, Sampling: design and analysis, on stratified sampling: farmland of the USA by 300 counties in 4 regions."""
    regions = [  # counties, of which drawn, mean acres, variance
        (220, 21, 97_629.81, 7_647_472_708),
        (1054, 103, 300_504.16, 29_618_183_543),
        (1382, 135, 211_315.04, 53_587_487_856),
        (422, 41, 662_295.51, 396_185_950_266),
    ]
    part = Part(tuple(sample(size, with_moments(n, mean, v)) for size, n, mean, v in regions), 0.0)
    estimated = estimate([part])
    assert estimated.value == pytest.approx(909_736_034, rel=1e-7)
    assert estimated.se == pytest.approx(50_417_248, rel=1e-6)


def test_the_difference_estimator_by_hand():
    """Masks say 100 of 10 units; two items, where they say 10 and 8 and 12 and 9 is true: 100 + 10 (2 + 1) / 2."""
    estimated = estimate([Part((sample(10, [12, 9], [10, 8]),), 100.0)])
    assert estimated.value == pytest.approx(115)
    assert estimated.se == pytest.approx(math.sqrt(10**2 * (1 - 2 / 10) * 0.5 / 2))
    assert estimated.df == pytest.approx(1)
    assert estimated.high - estimated.value == pytest.approx(12.7062 * estimated.se, rel=1e-5)


def test_it_is_unbiased_over_every_sample():
    """All 10 x 6 samples of two of five and two of four units: mean and variance come out exactly, for any masks."""
    true = [np.array([3.0, 0, 7, 2, 11]), np.array([5.0, 5, 1, 40])]
    masks = [np.array([9.0, 1, 0, 2, 5]), np.array([0.0, 6, 1, 2])]
    total = sum(m.sum() for m in masks)
    estimated = [
        estimate([Part(tuple(sample(len(y), y[list(i)], m[list(i)]) for y, m, i in zip(true, masks, chosen)), total)])
        for chosen in product(combinations(range(5), 2), combinations(range(4), 2))
    ]
    values = np.array([one.value for one in estimated])
    assert len(estimated) == 60
    assert values.mean() == pytest.approx(sum(y.sum() for y in true))
    assert np.mean([one.se**2 for one in estimated]) == pytest.approx(values.var())


def test_unequal_probabilities_are_unbiased_over_every_sample():
    """The first two units are taken whole, two of the other four drawn."""
    true, masks = np.array([50.0, 31, 3, 0, 7, 2]), np.array([20.0, 40, 1, 1, 1, 1])
    values = []
    for chosen in combinations(range(2, 6), 2):
        i = list(chosen)
        part = Part((sample(2, true[:2], masks[:2]), sample(4, true[i], masks[i])), masks.sum())
        values.append(estimate([part]).value)
    assert np.mean(values) == pytest.approx(true.sum())


def test_all_units_corrected_leave_no_doubt():
    estimated = estimate([Part((sample(3, [1, 2, 3], [9, 9, 9]),), 27.0, whole=True)])
    assert (estimated.value, estimated.low, estimated.high) == (6, 6, 6)


def test_one_item_gives_no_interval():
    estimated = estimate([Part((sample(10, [4], [3]),), 30.0)])
    assert estimated.value == 40
    assert math.isnan(estimated.low)


def test_degrees_of_freedom_are_satterthwaites():
    """Variances 12 and 3 with 1 and 2 degrees of freedom: 15^2 / (12^2 / 1 + 3^2 / 2)."""
    first = sample(6, [0, 2])  # 36 (1 - 2 / 6) 2 / 2 = 24
    second = sample(6, [0, 1, 2])  # 36 (1 - 3 / 6) 1 / 3 = 6
    assert estimate([Part((first, second), 0.0)]).df == pytest.approx(30**2 / (24**2 / 1 + 6**2 / 2))


def test_a_count_supposes_errors_that_do_not_show():
    """20 of 100 boxes, one wrong: one more item wrong by half an object up and one down, (2 / 4) / 21 of variance."""
    part = Part((sample(100, [2.0] * 19 + [3.0], [2.0] * 20),), 150.0)
    estimated, voxels = estimate([replace(part, whole=True)]), estimate([part])
    assert estimated.value == voxels.value == 155
    assert estimated.se**2 - voxels.se**2 == pytest.approx(100**2 * (1 - 20 / 100) / 20 * (0.5 / 21))


def test_where_no_count_is_wrong_some_may_be():
    """20 of 100 boxes, all right: 16.5 wrong ones would be missed by all of them once in 40, 0.8^16.5 = 0.025."""
    estimated = estimate([Part((sample(100, [2.0] * 20, [2.0] * 20),), 150.0, whole=True)])
    assert (estimated.low, estimated.value, estimated.high) == (
        pytest.approx(133.47, abs=0.01),
        150,
        pytest.approx(166.53, abs=0.01),
    )


def test_where_nothing_is_wrong_a_share_of_the_units_may_be():
    """Ten of 100 slices are right: by Clopper and Pearson up to 30.85 % of all are wrong, each by all that it can."""
    part = Part((sample(100, [0.0] * 10),), 0.0, largest=0.0, most=7.0)
    share = stats.beta.ppf(0.975, 1, 10)
    estimated = estimate([part])
    assert share == pytest.approx(0.30850, abs=1e-5)
    assert (estimated.low, estimated.high) == (0, pytest.approx(share * 100 * 7))
    assert items_to_halve([part]) is None


def test_cavalieris_variance_by_hand():
    """Sections 1, 2, 3, 2: A = 18, B = 2 + 6 + 6, C = 3 + 4; 3 A - 4 B + C = 5."""
    values = np.array([1.0, 2, 3, 2])
    assert cavalieri_variance(values, 2.0) == pytest.approx(4 * 5 / 12)


def test_a_systematic_total():
    part = Part((sample(8, [1, 2, 3, 2]),), 0.0, systematic=True)
    estimated = estimate([part])
    assert estimated.value == 16
    assert estimated.se == pytest.approx(math.sqrt(5 / 3))
    assert estimated.df == 3


def test_units_are_compared_as_scipy_does():
    a, b = np.array([4.0, 5.5, 3.8, 6.1]), np.array([7.0, 8.2, 5.9])
    estimated = difference_of(Units.of(a), Units.of(b))
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert (estimated.low, estimated.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    one = stats.ttest_1samp(a, 0).confidence_interval()
    assert (mean_of(Units.of(a)).low, mean_of(Units.of(a)).high) == (pytest.approx(one.low), pytest.approx(one.high))
    assert math.isnan(difference_of(Units.of(a[:1]), Units.of(b)).low)


NUMBERS = st.floats(0, 10)


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=6, max_size=6), NUMBERS, NUMBERS)
def test_an_interval_with_skipped_items_holds_every_one_that_it_may_be(values, one, other):
    """Two of six items were skipped, and may be anything from 0 to 10."""
    low, high = np.array(values), np.array(values)
    low[[1, 4]], high[[1, 4]] = 0, 10
    filled = np.array(values)
    filled[[1, 4]] = one, other
    masks = np.full(6, 5.0)

    def part(a, b):
        halves = [slice(0, 3), slice(3, 6)]
        return Part(tuple(Sample(9, a[half], b[half], masks[half]) for half in halves), 90.0, whole=True)

    skipped, known = estimate([part(low, high)]), estimate([part(filled, filled)])
    assert skipped.low <= known.low + 1e-9
    assert skipped.high >= known.high - 1e-9
    means = mean_of(Units(low, low, high)), mean_of(Units.of(filled))
    assert means[0].low <= means[1].low + 1e-9
    assert means[0].high >= means[1].high - 1e-9
    units = Units.of(np.array([1.0, 4, 2]))
    pairs = [difference_of(units, ends) for ends in (Units(low, low, high), Units.of(filled))]
    assert pairs[0].low <= pairs[1].low + 1e-9
    assert pairs[0].high >= pairs[1].high - 1e-9


def test_so_many_items_do_halve_it():
    """With as many items again of the same spread, the interval is half as wide, and with one less it is not."""
    spread = with_moments(10, 0, 4.0)
    more = items_to_halve([Part((sample(1000, spread),), 0.0)])
    widths = {n: quantile(n - 1) * math.sqrt(1000**2 * (1 - n / 1000) * 4 / n) for n in (10, 10 + more - 1, 10 + more)}
    assert widths[10 + more] <= widths[10] / 2 < widths[10 + more - 1]
    assert items_to_halve([Part((sample(5, [1, 2, 3, 4, 5]),), 0.0)]) is None
