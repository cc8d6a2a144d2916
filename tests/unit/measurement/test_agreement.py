"""Agreement against worked examples that were published."""

import math

import numpy as np
import pytest

from planewise.measurement.agreement import (
    bland_altman,
    categories,
    category_table,
    icc_2_1,
    kappa_weights,
    weighted_kappa,
)
from planewise.measurement.readers import KAZEROONI, agreement

# Bland and Altman 1986, Lancet i:307-310, table: peak expiratory flow of 17 subjects in l/min, the first reading with
# the Wright meter and the first with the mini Wright meter
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]

# Shrout and Fleiss 1979, Psychological Bulletin 86:420-428, table 2: four judges rate six targets
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_bland_and_altman_s_own_example():
    result = bland_altman(np.array(WRIGHT), np.array(MINI), deviations=2)
    assert result.n == 17
    assert result.mean.value == pytest.approx(-2.1, abs=0.05)
    assert result.sd == pytest.approx(38.8, abs=0.05)
    # they computed on from rounded numbers
    assert result.mean == pytest.approx((-2.1, -22.0, 17.8), abs=0.1)
    assert result.lower == pytest.approx((-79.7, -114.3, -45.1), abs=0.2)
    assert result.upper == pytest.approx((75.5, 40.9, 110.1), abs=0.2)
    assert bland_altman(np.array(WRIGHT), np.array(MINI)).lower.value == pytest.approx(
        -2.1176 - 1.96 * 38.7651, abs=1e-3
    )


def test_shrout_and_fleiss_s_own_example():
    result = icc_2_1(np.array(JUDGES))
    assert result.value == pytest.approx(0.29, abs=0.005)
    # with exact F; R's psych::ICC prints 0.019 and 0.76 for this table
    assert (result.low, result.high) == pytest.approx((0.019, 0.761), abs=0.001)


def test_icc_by_hand():
    """Two readers, three patients, the second always one more: BMS 8, JMS 1.5, EMS 0."""
    result = icc_2_1(np.array([[1, 2], [3, 4], [5, 6]]))
    assert result.value == pytest.approx(8 / (8 + 2 * 1.5 / 3))
    assert result.low < result.value < result.high <= 1


def test_icc_of_readers_who_agree_entirely_and_of_nothing():
    assert icc_2_1(np.array([[1, 1], [3, 3], [7, 7]])) == pytest.approx((1, 1, 1))
    for nothing in ([[1, 1]], [[2, 2], [2, 2]]):
        assert all(math.isnan(value) for value in icc_2_1(np.array(nothing)))
    assert icc_2_1(np.array([[1, 2], [1, 2], [1, 2]])).value == 0  # each reader says the same of everybody


def test_kappa_of_cohen_1968():
    """Psychological Bulletin 70:213-220, table 1: 200 patients, three diagnoses, weights of disagreement; 0.348.

    Unweighted the table has 0.492.
    """
    table = 200 * np.array([[0.44, 0.07, 0.09], [0.05, 0.20, 0.05], [0.01, 0.03, 0.06]])
    disagreement = np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]])
    assert weighted_kappa(table, 1 - disagreement / 6).value == pytest.approx(0.348, abs=0.0005)
    assert weighted_kappa(table, np.eye(3)).value == pytest.approx(0.492, abs=0.0005)


def test_linear_kappa_with_its_interval():
    """SAS/STAT User's Guide, PROC FREQ, agreement study: two dermatologists, 88 patients, four ordered categories.

    Simple kappa 0.3449, 0.2030 to 0.4868; weighted kappa (Cicchetti-Allison) 0.5082, 0.3798 to 0.6366.
    """
    table = [[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]]
    assert weighted_kappa(np.array(table), np.eye(4)) == pytest.approx((0.3449, 0.2030, 0.4868), abs=5e-5)
    assert weighted_kappa(np.array(table), kappa_weights(4, "linear")) == pytest.approx(
        (0.5082, 0.3798, 0.6366), abs=5e-5
    )


def test_quadratic_kappa():
    """Agresti 2002, Categorical Data Analysis, section 10.5: two pathologists, 118 slides, carcinoma of the cervix.

    Kappa 0.493; weighted kappa with squared distances 0.78.
    """
    table = np.array([[22, 2, 2, 0], [5, 7, 14, 0], [0, 2, 36, 0], [0, 1, 17, 10]])
    assert weighted_kappa(table, np.eye(4)).value == pytest.approx(0.493, abs=0.0005)
    assert weighted_kappa(table, kappa_weights(4, "quadratic")).value == pytest.approx(0.78, abs=0.005)


def test_kappa_where_it_is_not_defined():
    weights = kappa_weights(3, "quadratic")
    assert math.isnan(weighted_kappa(np.zeros((3, 3)), weights).value)
    assert math.isnan(weighted_kappa(np.diag([5, 0, 0]), weights).value)
    assert weighted_kappa(np.diag([5, 3, 2]), weights) == pytest.approx((1, 1, 1))
    alike = weighted_kappa(np.array([[0, 4, 0], [0, 3, 0], [0, 2, 0]]), weights)
    assert alike.value == pytest.approx(0)
    assert math.isnan(alike.low)


def test_categories_are_bounded_from_below():
    assert categories(np.array([0, 0.01, 5, 5.01, 25, 50.5, 100]), KAZEROONI).tolist() == [0, 1, 1, 2, 2, 4, 5]
    table = category_table(np.array([0, 1, 1]), np.array([0, 1, 2]), 3)
    assert table.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_scans_of_a_patient_are_averaged_and_what_is_undefined_is_left_out():
    first, second = [10.0, 20.0, 4.0, math.nan], [12.0, 22.0, 5.0, 3.0]
    result = agreement("a_percent", first, second, ["P", "P", "Q", "R"], KAZEROONI, "quadratic")
    assert result.first.tolist() == [15, 4]
    assert result.second.tolist() == [17, 5]
    assert result.limits.n == 2
    assert result.kappa.value == pytest.approx(1)
    row = result.row()
    assert row["mean_first"] == 9.5
    assert row["difference"] == -1.5
    assert agreement("a_ml", first, second, ["P", "P", "Q", "R"], KAZEROONI, "quadratic").kappa is None
    nobody = agreement("a_percent", [math.nan], [1.0], ["P"], KAZEROONI, "linear")
    assert nobody.limits.n == 0
    assert math.isnan(nobody.row()["mean_first"])
