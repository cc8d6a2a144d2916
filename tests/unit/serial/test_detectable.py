"""The smallest detectable change, against values by hand."""

import math

import numpy as np
import pytest

from planewise.serial.detectable import category_of, smallest_detectable_change


def test_many_retakes_give_the_repeatability_coefficient():
    values = np.tile([9.0, 11.0], 5000)  # SD 1
    assert smallest_detectable_change(values, values) == pytest.approx(1.96 * math.sqrt(2), rel=1e-3)


def test_few_retakes_ask_for_more():
    """SD of 1, 2, 3 is 1: t of 4 degrees of freedom is 2.776."""
    assert smallest_detectable_change([1, 2, 3], [11, 12, 13]) == pytest.approx(2.776 * math.sqrt(2), rel=1e-3)
    with pytest.raises(ValueError, match="3 retakes"):
        smallest_detectable_change([1, 2], [1, 2, 3])


def test_of_two_deviations_the_larger_counts_with_its_own_freedom():
    """Welch: with no deviation in one scan, 2 degrees of freedom are left, t is 4.303."""
    assert smallest_detectable_change([1, 2, 3], [5, 5, 5]) == pytest.approx(4.303, rel=1e-3)


def test_what_never_differs_has_the_least_that_is_called():
    assert smallest_detectable_change([5, 5, 5], [5, 5, 5], least=0.4) == 0.4
    assert math.isnan(smallest_detectable_change([1, math.nan, 3], [1, 2, 3]))


def test_categories():
    assert category_of(2.1, 2.0) == "more"
    assert category_of(-2.1, 2.0) == "less"
    assert category_of(2.0, 2.0) == "not detectable"
    assert category_of(math.nan, 2.0) == category_of(5.0, math.nan) == "not detectable"


def test_equal_scans_are_called_changed_in_one_of_twenty():
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(2000):
        first, second = rng.normal(10, 1, 5), rng.normal(10, 1, 5)
        called += (
            category_of(rng.normal() - rng.normal(), smallest_detectable_change(first, second)) != "not detectable"
        )
    assert called / 2000 == pytest.approx(0.05, abs=0.015)
