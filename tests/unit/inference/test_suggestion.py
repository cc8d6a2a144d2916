"""Slices to paint next: by hand-computed doubts, and what their choice must keep to."""

import numpy as np
import pytest

from planewise.inference.suggestion import choose_slices, slice_doubts, voxel_doubt
from planewise.volumes.slices import AXIS, PLANES


def test_two_of_three_planes_are_more_doubt_than_one_and_all_or_none_are_no_doubt():
    planes = [np.array([0, 5, 5, 5]), np.array([0, 0, 2, 2]), np.array([0, 0, 0, 9])]
    assert voxel_doubt(planes) == pytest.approx([0, 2 / 27, 4 / 27, 0])


@pytest.mark.parametrize("plane", PLANES)
def test_doubt_in_slices_is_the_mean_over_their_voxels_however_thick_the_slabs(plane, monkeypatch):
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 2, (7, 5, 6)) for _ in range(3)]
    monkeypatch.setattr("planewise.inference.suggestion.SLAB_BYTES", 2 * 5 * 6)
    layers = []
    doubts = slice_doubts(planes, plane, layers.append)
    others = tuple(axis for axis in range(3) if axis != AXIS[plane])
    assert doubts == pytest.approx(voxel_doubt(planes).mean(axis=others))
    assert layers == [2, 2, 2, 1]


def test_with_equal_doubt_slices_lie_evenly_between_the_known_ones():
    doubts = {"a": np.ones(80), "b": np.ones(80)}
    known = {"a": [10, 50], "b": [10, 50]}
    chosen = choose_slices(doubts, known, 4)
    places = [(choice.case, choice.index) for choice in chosen]
    assert places == [("a", 70), ("b", 70), ("a", 30), ("b", 30)]  # beyond 50 there is no other side to tell of it
    assert [choice.share for choice in chosen] == sorted((choice.share for choice in chosen), reverse=True)


def test_the_case_and_the_end_that_are_in_doubt_come_first():
    doubts = {"sure": np.full(40, 0.001), "doubtful": np.concatenate([np.zeros(30), np.ones(10)])}
    first, second = choose_slices(doubts, {}, 2)
    assert (first.case, second.case) == ("doubtful", "sure")
    assert 30 <= first.index < 40
    assert first.share > 0.5


def test_no_slice_is_chosen_twice_and_none_that_is_known_even_without_any_doubt():
    chosen = choose_slices({"a": np.zeros(6)}, {"a": [2]}, 10)
    assert sorted(choice.index for choice in chosen) == [0, 1, 3, 4, 5]
