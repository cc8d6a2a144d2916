import math

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.evaluation.presence import Slices, presence_scores, read_presence, write_presence


def case(truth, predicted):
    return Slices(np.array(truth, bool), np.array(predicted, bool))


def test_by_hand():
    result = presence_scores([case([1, 1, 0, 0, 0], [1, 0, 0, 1, 0])], [np.array([3.0, 1.0, 2.0, -1.0, -2.0])])
    assert (result.n_with, result.n_without) == (2, 3)
    assert result.sensitivity == 1 / 2
    assert result.specificity == 2 / 3
    assert result.auc == pytest.approx(5 / 6)  # one of six pairs is in the wrong order
    assert np.allclose(result.curve, [[0, 0], [0, 0.5], [1 / 3, 0.5], [1 / 3, 1], [2 / 3, 1], [1, 1]])


def test_equal_scores_count_half():
    assert presence_scores([case([1, 0], [1, 1])], [np.zeros(2)]).auc == 0.5
    nowhere = np.array([2.0, -np.inf, -np.inf])
    assert presence_scores([case([1, 1, 0], [1, 0, 0])], [nowhere]).auc == 0.75


def test_cases_are_put_together_and_those_without_scores_left_out_of_the_curve():
    cases = [case([1, 0], [1, 0]), case([0, 0], [0, 1]), case([1, 1], [0, 0])]
    result = presence_scores(cases, [np.array([1.0, 0.0]), np.array([2.0, -1.0]), None])
    assert result.auc == pytest.approx(2 / 3)
    assert result.sensitivity == pytest.approx(1 / 3)
    assert result.specificity == pytest.approx(2 / 3)


@pytest.mark.parametrize("truth", [[0, 0], [1, 1]])
def test_one_kind_of_slices_alone_has_no_curve(truth):
    result = presence_scores([case(truth, [0, 1])], [np.array([1.0, 2.0])])
    assert math.isnan(result.auc)
    assert len(result.curve) == 0
    assert math.isnan(result.sensitivity) == (not any(truth))
    assert math.isnan(result.specificity) == all(truth)


def test_no_case():
    result = presence_scores([], [])
    assert (result.n_with, result.n_without) == (0, 0)
    assert math.isnan(result.sensitivity)


def test_scores_come_back_from_their_file(tmp_path):
    scores = np.array([[1.5, -2], [-np.inf, 0.25]], np.float32)
    probabilities, dices = np.array([[0.8, np.nan], [0, np.nan]]), np.array([[0.66666, np.nan], [np.nan, np.nan]])
    write_presence(tmp_path / "a.csv", scores, {3: "ground glass", 7: "x"}, probabilities, dices)
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "slice,class,name,score,probability,expected_dice",
        "0,3,ground glass,1.5,0.8000,0.6667",
        "0,7,x,-2,,",
        "1,3,ground glass,-inf,0.0000,",
        "1,7,x,0.25,,",
    ]
    stored = read_presence(tmp_path / "a.csv", 2)
    assert {value: column.tolist() for value, column in stored.items()} == {3: [1.5, -np.inf], 7: [-2, 0.25]}
    assert read_presence(tmp_path / "none.csv", 2) == {}
    with pytest.raises(PlanewiseError, match=r"a\.csv: is no table of .* for 1 slice "):
        read_presence(tmp_path / "a.csv", 1)
    (tmp_path / "a.csv").write_text("slice,class\n0,1\n")
    with pytest.raises(PlanewiseError, match="predict the case again"):
        read_presence(tmp_path / "a.csv", 2)
