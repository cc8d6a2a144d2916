import numpy as np
import pytest
from pydantic import ValidationError

from planewise.models.seen_data import Spread, distances, spread_of


def test_distances_by_hand():
    measured = distances(np.array([[1.0, 2.0], [3.0, 2.0], [3.0, 10.0]]), np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    assert measured == pytest.approx([0, np.sqrt(0.5), np.sqrt((1 + 4) / 2)])


def test_a_patient_is_as_far_as_its_median_slice():
    spread = Spread(mean=[0.0], std=[1.0], limit=2.0)
    assert spread.novelty(np.array([[0.0], [3.0], [100.0]])) == 1.5


def test_each_patient_is_held_against_the_others():
    patients = [np.array([[0.0], [2.0]]), np.array([[10.0], [12.0]])]
    spread = spread_of(patients, [], 0.5)
    # Against the second alone, mean 11 and SD 1, the first's slices are 11 and 9 away; the second's as much.
    assert spread.limit == pytest.approx(np.percentile([11, 9, 9, 11], 99))
    assert spread.mean == [6.0]
    assert spread.std == [pytest.approx(np.std([0, 2, 10, 12]))]


def test_one_patient_alone_says_nothing_and_one_held_out_does():
    one = [np.array([[0.0], [2.0]])]
    assert spread_of(one, [], 0.5) is None
    assert spread_of(one, [np.array([[4.0]])], 0.5).limit == pytest.approx(3.0)


def test_features_that_do_not_vary_are_not_looked_at_too_closely():
    still = [np.zeros((4, 2)), np.zeros((4, 2))]
    spread = spread_of(still, [], 0.02)
    assert spread.std == [0.02, 0.02]
    assert spread.limit == 1.0


@pytest.mark.parametrize("wrong", [{"mean": []}, {"std": [0.0]}, {"limit": 0}, {"mean": [1.0, 2.0]}, {"limit": np.nan}])
def test_a_damaged_spread_is_refused(wrong):
    with pytest.raises(ValidationError):
        Spread(**({"mean": [0.0], "std": [1.0], "limit": 1.0} | wrong))
