"""Findings in words: as many digits as the interval says something about, and what was skipped."""

import math
from dataclasses import replace

import pytest

from planewise.audit.estimators import Estimate
from planewise.audit.findings import NOTHING, Finding
from planewise.audit.plan import Plan
from planewise.audit.wording import halving, interval, number, sentence


@pytest.mark.parametrize(
    ("value", "half_width", "text"),
    [(12.3456, 1.2, "12.3"), (0.012345, 0.002, "0.0123"), (1234.5, 150, "1234"), (5, math.nan, "5.0"),
     (math.nan, 1, "unknown"), (math.inf, 1, "infinity"), (0.35, 60, "0.35"), (0, 0, "0.0"), (4.03125, 0, "4.031")],
)  # fmt: skip
def test_digits_follow_the_interval(value, half_width, text):
    assert number(value, half_width) == text


def finding(**changes):
    estimate = Estimate(12.3, 10.1, 14.5, 1.0, 20.0)
    masks = Estimate(16.0, *[math.nan] * 4)
    values = {
        "quantity": "volume_fraction", "what": "foreground", "scope": "unit", "unit": "cell", "measure": "%",
        "estimate": estimate, "masks": masks, "plain": NOTHING, "n": 30, "items": 30, "skipped": 0, "more": 55,
    }  # fmt: skip
    return Finding(**(values | changes))


PLAN = Plan("2026-01-01", "0", 1, "stratified", ["volume_fraction"], [], {"foreground": None}, [], [], [])


def test_a_sentence_says_number_interval_and_what_the_masks_say():
    text = sentence(finding(skipped=2), PLAN, [])
    assert text.startswith("The volume fraction of foreground in cell was 12.3 % (95 % interval 10.1 to 14.5 %)")
    assert "of which 28 were corrected" in text
    assert "the interval allows for anything in the 2 skipped" in text
    assert text.endswith("the segmentation alone gives 16.0 %.")
    less = finding(scope="difference", unit="treated less control", estimate=Estimate(-3.0, -4.0, -2.0, 0.4, 5.0), n=8)
    printed = sentence(less, replace(PLAN, conditions=["control", "treated"]), [])
    points = "(95 % interval 4.0 percentage points less to 2.0 percentage points less, Welch's t"
    assert f"was 3.0 percentage points less in treated than in control {points}" in printed
    assert printed.endswith("the segmentation alone gives 16.0 percentage points more.")


def test_one_item_and_a_mean_volume_are_said_as_one_says_them():
    of_objects = finding(quantity="mean_volume", what="objects", scope="population", unit="3 units", items=1)
    assert sentence(of_objects, PLAN, []).startswith("The mean volume of objects was")
    assert halving(finding(more=1)) == "1 more item"


def test_what_no_items_tell_is_said():
    assert interval(finding(estimate=NOTHING)) == "no interval: too few items"
    assert interval(finding(estimate=NOTHING, scope="population")) == "no interval: too few units"
    assert "without an upper end" in interval(finding(estimate=Estimate(5.0, 2.0, math.inf, 1.0, 3.0)))
    assert halving(finding()) == "55 more items"
    assert halving(finding(more=None, skipped=3)) == "correct the 3 skipped first"
    assert "four times as many units" in halving(finding(more=None, scope="difference"))
