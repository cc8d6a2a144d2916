"""Contacts: faces by hand, discs between touching balls in every orientation, and the same in any slabs."""

import math

import numpy as np
import pytest
from solids import orientations, touching_balls

from planewise.measurement.contacts import HALO, ContactCounter


def contacts_of(first, second, spacing=(1.0, 1.0, 1.0), thickness=None):
    counter = ContactCounter(spacing)
    thickness = thickness or len(first)
    for start in range(0, len(first), thickness):
        stop = min(start + thickness, len(first))
        low, high = max(start - HALO, 0), min(stop + HALO, len(first))
        counter.add(first[low:high], second[low:high], slice(start - low, stop - low))
    return counter.contacts()


def test_flat_faces_are_exact():
    labels = np.zeros((9, 9, 9), np.uint32)
    labels[2:7, 2:7, :4], labels[2:7, 2:7, 4:] = 5, 3
    table = contacts_of(labels, labels, (3.0, 2.0, 1.0)).once
    assert (table.first.tolist(), table.second.tolist()) == ([3], [5])
    assert table.area == pytest.approx([25 * 6])


def test_corners_and_background_are_no_contact():
    labels = np.zeros((4, 4, 4), np.uint32)
    labels[0, 0, 0], labels[1, 1, 1], labels[0, 0, 2] = 1, 2, 3
    assert len(contacts_of(labels, labels).first) == 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 1.0, 3.0)], ids=str)
@pytest.mark.parametrize("turned", range(3))
def test_a_disc_between_balls(spacing, turned):
    labels = touching_balls(14.0, 14.0, spacing, orientations()[turned], turned)
    table = contacts_of(labels, labels, spacing).once
    truth = math.pi * (14**2 - 7**2)
    rim = 2 * math.pi * math.sqrt(14**2 - 7**2) * max(spacing) / 2  # half a voxel of it
    assert table.area[0] == pytest.approx(truth, abs=max(rim, 0.08 * truth))


def test_slabs_do_not_change_a_number():
    labels = touching_balls(9.0, 12.0, (2.0, 1.0, 1.0), orientations()[1])
    labels[labels == 0] = 3
    whole, cut = (contacts_of(labels, labels, (2.0, 1.0, 1.0), thickness) for thickness in (None, 3))
    assert len(whole.once.first) == 3
    for name in ("first", "second", "area"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name))


def test_contacts_with_another_volume():
    labels, reference = np.zeros((2, 6, 8, 8), np.uint32)
    labels[1:3, 2:6, 2:6] = 4
    reference[3:5, 2:6, 2:6] = 9
    reference[1, 2, 2] = 9  # lies within: no contact of that voxel
    table = contacts_of(labels, reference)
    assert (table.first.tolist(), table.second.tolist()) == ([4], [9])
    number, area = table.of(np.array([2, 4]))
    assert number.tolist() == [0, 1]
    assert area[1] == pytest.approx(16, rel=0.2)
