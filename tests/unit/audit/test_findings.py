"""Findings: what an amount can be at all bounds its interval."""

import math

import pytest

from planewise.audit.estimators import Estimate
from planewise.audit.findings import _amount


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [(-3, 5, (0, 5)), (90, 120, (90, 100)), (-8, -2, (0, 0)), (103, 110, (100, 100)), (4, math.inf, (4, 100))],
)
def test_an_interval_lies_within_what_can_be_and_its_ends_keep_their_order(low, high, ends):
    bounded = _amount(Estimate((low + high) / 2, low, high, 1.0, 5.0), 100)
    assert (bounded.low, bounded.high) == ends
    assert bounded.half_width >= 0
