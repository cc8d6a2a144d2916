"""Doubt is where the planes disagree: computed by hand on blocks."""

import math

import numpy as np
import pytest

from planewise.correction.doubts import doubts

SHAPE = (10, 20, 60)


def blocks(**at):
    """Labels of blocks of 8 x 16 x 8 voxels (1,024) by id: x from, or x from and how many."""
    labels = np.zeros(SHAPE, np.uint16)
    for name, (start, width) in at.items():
        labels[1:9, 2:18, start : start + width] = int(name[1:])
    return labels


def test_what_the_planes_do_not_have_comes_before_what_they_draw_alike():
    labels = blocks(a1=(0, 8), a2=(10, 8), a3=(20, 8))
    planes = {"xy": blocks(a5=(0, 8), a6=(10, 8)), "xz": blocks(a7=(0, 8), a8=(14, 6))}
    listed = doubts(labels, planes)
    assert [one.label for one in listed] == [3, 2, 1]
    assert listed[0].doubt == 1
    assert listed[1].agreement == {"xy": 1.0, "xz": pytest.approx(4 / 10)}
    assert listed[1].doubt == pytest.approx(1 - (1 + 0.4) / 2)  # its agreement, 0.7, is the usual one
    assert listed[2].doubt == pytest.approx(1 - math.sqrt(1 * 0.7))
    assert all(labels[one.place] == one.label for one in listed)


def test_what_planes_have_and_the_result_has_not_may_have_been_missed():
    labels = blocks(a1=(0, 8))
    both, one = blocks(a1=(0, 8), a2=(20, 8)), blocks(a1=(0, 8), a2=(20, 8), a3=(40, 8))
    missed = [doubt for doubt in doubts(labels, {"xy": both, "yz": one}) if not doubt.label]
    assert [doubt.doubt for doubt in missed] == [1.0, 0.5]
    assert [doubt.place[2] in range(20, 28) for doubt in missed] == [True, False]
    assert missed[1].voxels == 1024
    assert "may have been missed: agreement with xy 0.00, yz 1.00" in str(missed[1])


def test_small_things_and_what_the_result_has_in_part_were_not_missed():
    labels = blocks(a1=(0, 8))
    planes = {"xy": blocks(a1=(4, 8), a2=(30, 3)), "xz": blocks()}  # half of 1; and 384 voxels
    assert [doubt.label for doubt in doubts(labels, planes)] == [1]


def test_of_two_that_are_drawn_alike_the_small_one_is_the_more_doubtful():
    labels = blocks(a1=(0, 8), a2=(10, 16), a3=(40, 2))
    planes = {"xy": blocks(a1=(0, 4), a2=(10, 8), a3=(40, 1))}  # half of each
    small, middle, large = doubts(labels, planes)
    assert [one.label for one in (small, middle, large)] == [3, 1, 2]
    assert middle.doubt == pytest.approx(0.5)
    assert large.doubt == pytest.approx(1 - math.sqrt(0.5 * 0.5 ** (1 / 2) ** (1 / 3)))
    assert small.doubt == pytest.approx(1 - math.sqrt(0.5 * 0.5**4 ** (1 / 3)))


def test_where_no_plane_has_most_objects_the_others_are_still_in_order():
    labels = blocks(a1=(0, 8), a2=(10, 8), a3=(20, 8), a4=(30, 8), a5=(40, 8))
    listed = doubts(labels, {"xy": blocks(a1=(0, 8), a2=(14, 4))})
    assert [one.label for one in listed] == [3, 4, 5, 2, 1]
