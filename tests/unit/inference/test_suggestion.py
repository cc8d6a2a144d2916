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


def test_doubt_counts_less_near_to_what_is_known_in_proportion():
    doubts = {"a": np.array([0, 0, 0, 0, 0, 4, 0, 0, 0, 3.0])}
    assert [(c.case, c.index) for c in choose_slices(doubts, {"a": [4]}, 1)] == [("a", 9)]  # 4 * 1 / 2.5 < 3
    assert choose_slices(doubts, {"a": [4]}, 1)[0].score == pytest.approx(3)
    assert [c.index for c in choose_slices(doubts, {"a": [4]}, 4)][:2] == [5, 9]  # 4 * min(1, 1 / 1)


def test_the_most_doubtful_case_comes_first_and_slices_of_a_stretch_of_doubt_spread():
    doubts = {"sure": np.full(40, 0.001), "doubtful": np.concatenate([np.zeros(20), np.ones(20)])}
    chosen = choose_slices(doubts, {}, 4)  # 10 apart count in full
    assert {choice.case for choice in chosen[:2]} == {"doubtful"}
    assert abs(chosen[0].index - chosen[1].index) >= 10


def test_no_slice_is_chosen_twice_and_none_that_is_known_even_without_any_doubt():
    chosen = choose_slices({"a": np.zeros(6)}, {"a": [2]}, 10)
    assert sorted(choice.index for choice in chosen) == [0, 1, 3, 4, 5]
