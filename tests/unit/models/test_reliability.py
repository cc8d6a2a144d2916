import math

import numpy as np
import pytest
from pydantic import ValidationError

from planewise.models.platt import Platt, Prior, fit
from planewise.models.reliability import (
    AS_TRAINED,
    LEAST,
    RAW,
    ClassReliability,
    Gain,
    brier,
    gain_of_curves,
    presence_curve,
    reliability_of,
)

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


def test_too_few_slices_or_patients_say_nothing():
    there = np.arange(20) < LEAST - 1
    zeros, cases = np.zeros(20), np.arange(20) % 4
    assert reliability_of(zeros, zeros, there, zeros, cases) is None
    assert reliability_of(zeros, zeros, ~there, zeros, cases) is None
    enough = np.arange(20) < LEAST
    answers = np.where(enough, 2.0, -2), np.full(20, 0.5), enough, np.where(enough, 0.8, 0)
    assert reliability_of(*answers, np.arange(20) % 2) is None
    known = reliability_of(*answers, cases)
    assert (known.with_class, known.without) == (LEAST, 20 - LEAST)
    assert known.presence.share(2) > 0.85
    assert 0.7 < known.dice.share(0.5) < 0.8  # drawn towards 2 IoU / (1 + IoU)
    assert ClassReliability.model_validate(known.model_dump()) == known


def test_a_patient_without_a_finite_number_is_none():
    there = np.arange(30) % 2 == 0
    scores = np.where(np.arange(30) < 20, 0.0, math.nan)
    assert reliability_of(scores, np.zeros(30), there, np.zeros(30), np.arange(30) // 10) is None
    assert reliability_of(np.zeros(30), np.zeros(30), there, np.zeros(30), np.arange(30) // 10) is not None


def test_a_brier_score_by_hand():
    """Probabilities 1/2 and 3/4 of a class that is in the first slice alone: (1/4 + 9/16) / 2."""
    assert brier(RAW, np.array([0.0, math.log(3)]), np.array([True, False])) == pytest.approx(0.40625)


def held_out(*slices_with_it):
    """Return scores of 0, truth, and cases of 20 slices each, of which so many have the class."""
    there = np.concatenate([np.arange(20) < count for count in slices_with_it])
    return np.zeros(len(there)), there, np.repeat(np.arange(len(slices_with_it)), 20)


def calibration_of(scores, there, cases):
    return reliability_of(scores, np.full(len(scores), 0.5), there, np.full(len(scores), 0.5), cases)


def test_a_curve_that_gains_in_every_case_is_kept():
    """By hand: at scores of 0, a curve's offset b solves k - n s = b for s = 1 / (1 + exp(-b)). Fitted to two cases, 30
    of 40 slices, s = 0.7257. The raw score has the Brier score 1/4, the curve 3/4 (1 - s)^2 + 1/4 s^2 = 0.1881.
    """
    gain = gain_of_curves(*held_out(15, 15, 15))
    assert (gain.mean, gain.se) == pytest.approx((0.0619, 0), abs=1e-4)
    known = calibration_of(*held_out(15, 15, 15))
    assert known.gain == gain
    assert known.presence == presence_curve(*held_out(15, 15, 15)[:2])
    assert 0.73 < known.presence.share(0.0) < 0.75


def test_a_curve_whose_gain_is_within_its_standard_error_is_dropped():
    """By hand, as above. The first two cases are judged by 25 of 40 slices, s = 0.6135, and gain 1/4 - 3/4 (1 - s)^2 -
    1/4 s^2 = 0.0439. The third is judged by 30 of 40, s = 0.7257, and gains 1/4 - 1/2 (1 - s)^2 - 1/2 s^2 = -0.0509.
    The mean is 0.0123. The deviations are 0.0316 twice and -0.0632: the standard error is 0.0547 / sqrt(3) = 0.0316.
    """
    gain = gain_of_curves(*held_out(15, 15, 10))
    assert (gain.mean, gain.se) == pytest.approx((0.0123, 0.0316), abs=1e-4)
    known = calibration_of(*held_out(15, 15, 10))
    assert (known.gain, known.presence) == (gain, RAW)


def test_a_curve_that_changes_nothing_or_makes_it_worse_is_dropped():
    assert calibration_of(*held_out(10, 10, 10)).gain == Gain(mean=0, se=0)
    assert calibration_of(*held_out(10, 10, 10)).presence == RAW
    known = calibration_of(*held_out(20, 0, 20, 0))  # a curve learns the opposite of what is left out
    assert known.gain.mean < 0
    assert known.presence == RAW


def test_a_file_from_before_curves_were_judged_keeps_its_curve():
    curve = {"slope": 0.5, "offset": 0.25}
    known = ClassReliability.model_validate({"presence": curve, "dice": curve, "with_class": 9, "without": 9})
    assert (known.presence, known.gain) == (Platt(slope=0.5, offset=0.25), None)


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
    dices = np.where(np.arange(13) < 10, 0.5 + 1.3 / 45, 0.0) * there
    known = reliability_of(**numbers, there=there, dices=dices, patients=np.arange(13) % 3)
    assert (known.with_class, known.without) == (5, 5)
    assert (known.presence.slope, known.presence.offset) == pytest.approx((1, 0), abs=1e-9)
    assert (known.dice.slope, known.dice.offset) == pytest.approx((4, 0), abs=1e-9)


def test_a_class_without_a_finite_number_or_without_truth_is_not_calibrated():
    there, none = np.arange(20) % 2 == 0, np.full(20, math.nan)
    cases = np.arange(20) % 3
    assert reliability_of(none, np.zeros(20), there, np.zeros(20), cases) is None
    assert reliability_of(np.zeros(20), np.zeros(20), np.zeros(20, bool), none, cases) is None
