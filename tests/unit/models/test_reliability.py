import math

import numpy as np
import pytest
from pydantic import ValidationError

from planewise.models.platt import Platt, Prior, fit
from planewise.models.reliability import AS_TRAINED, LEAST, ClassReliability, reliability_of

OPEN = Prior(0.0, 1e3, 0.0, 1e3)  # nothing is known before


def test_a_share_by_hand():
    curve = Platt(slope=2.0, offset=-1.0)
    assert curve.share(0.5) == pytest.approx(0.5)
    assert curve.share(1.0) == pytest.approx(1 / (1 + math.exp(-1)))
    assert curve.share(-math.inf) == 0  # nothing was asked
    assert Platt(slope=0, offset=3).share(-math.inf) == 0
    assert math.isnan(curve.share(math.nan))
    assert 0.999 < curve.share(1e9) < 1


def test_shares_of_two_scores_come_back():
    """A quarter at score 0, three quarters at score 1: log odds -ln 3 and ln 3."""
    scores, there = np.repeat([0.0, 1.0], 400), np.tile(np.repeat([1.0, 0.0], [100, 300]), 2)
    there[400:] = 1 - there[400:]
    fitted = fit(scores, there, OPEN)
    assert fitted.offset == pytest.approx(-math.log(3), abs=1e-4)
    assert fitted.slope == pytest.approx(2 * math.log(3), abs=1e-4)


def test_nothing_held_out_leaves_what_was_known_before():
    fitted = fit(np.zeros(0), np.zeros(0), AS_TRAINED)
    assert (fitted.slope, fitted.offset) == pytest.approx((1, 0))


def test_a_few_slices_that_the_score_separates_make_nothing_certain():
    scores, there = np.repeat([-3.0, 3.0], 7), np.repeat([0.0, 1.0], 7)
    fitted = fit(scores, there, AS_TRAINED)
    assert 1 < fitted.slope < 2
    assert 0.95 < fitted.share(3.0) < 0.998


def test_an_overconfident_score_is_brought_down():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 6, 4000)
    there = (rng.random(4000) < 1 / (1 + np.exp(-0.3 * scores - 0.5))).astype(float)
    fitted = fit(scores, there, AS_TRAINED)
    assert fitted.slope == pytest.approx(0.3, abs=0.03)
    assert fitted.offset == pytest.approx(0.5, abs=0.15)


def test_a_score_that_says_the_opposite_says_nothing():
    scores = np.repeat([-1.0, 1.0], 300)
    there = np.concatenate([np.repeat([1.0, 0.0], [200, 100]), np.repeat([1.0, 0.0], [100, 200])])
    fitted = fit(scores, there, OPEN)
    assert fitted.slope == 0
    assert fitted.share(5) == pytest.approx(0.5, abs=1e-6)


def test_too_few_slices_say_nothing():
    there = np.arange(20) < LEAST - 1
    zeros = np.zeros(20)
    assert reliability_of(zeros, zeros, there, zeros) is None
    assert reliability_of(zeros, zeros, ~there, zeros) is None
    enough = np.arange(20) < LEAST
    known = reliability_of(np.where(enough, 2.0, -2), np.full(20, 0.5), enough, np.where(enough, 0.8, 0))
    assert (known.with_class, known.without) == (LEAST, 20 - LEAST)
    assert known.presence.share(2) > 0.85
    assert 0.7 < known.dice.share(0.5) < 0.8  # drawn towards 2 IoU / (1 + IoU)
    assert ClassReliability.model_validate(known.model_dump()) == known


def test_a_curve_that_falls_or_is_no_number_is_refused():
    for slope, offset in ((-1, 0), (math.nan, 0), (math.inf, 0), (1, math.nan)):
        with pytest.raises(ValidationError):
            Platt(slope=slope, offset=offset)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["scores", "ious"])
def test_slices_in_which_the_network_gave_no_number_do_not_count(bad, where):
    """By hand: at scores of 0 the slope stays the prior's. The offset b of 5 slices with the class and 5 without solves
    5 (1 - s) - 5 s = b for s = 1 / (1 + exp(-b)): it is 0. That of Dice solves 5 (d - s) = (b + 1.3) / 9: it is 0 for
    d = 1 / 2 + 1.3 / 45.
    """
    there = np.repeat([True, False, True], [5, 5, 3])
    numbers = {"scores": np.zeros(13), "ious": np.zeros(13)}
    numbers[where][10:] = bad
    known = reliability_of(**numbers, there=there, dices=np.where(np.arange(13) < 10, 0.5 + 1.3 / 45, 0.0) * there)
    assert (known.with_class, known.without) == (5, 5)
    assert (known.presence.slope, known.presence.offset) == pytest.approx((1, 0), abs=1e-9)
    assert (known.dice.slope, known.dice.offset) == pytest.approx((4, 0), abs=1e-9)


def test_a_class_without_a_finite_number_or_without_truth_is_not_calibrated():
    there, none = np.arange(20) % 2 == 0, np.full(20, math.nan)
    assert reliability_of(none, np.zeros(20), there, np.zeros(20)) is None
    assert reliability_of(np.zeros(20), np.zeros(20), np.zeros(20, bool), none) is None
