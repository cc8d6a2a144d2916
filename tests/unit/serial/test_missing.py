"""Pieces of the lungs that one scan lacks."""

import numpy as np
import pytest

from planewise.serial.missing import missing_pieces_ml

SPACING_MM = (5.0, 2.5, 2.5)


@pytest.fixture
def lungs():
    values = np.zeros((20, 40, 40), np.uint8)
    values[2:18, 4:36, 4:18] = 1
    values[2:18, 4:36, 22:36] = 2
    return values


def test_a_piece_has_its_volume_and_its_side(lungs):
    """A box of 8 x 20 x 12 voxels of 31.25 mm3 is 60 ml, whose edges no ball reaches."""
    others = lungs.copy()
    others[6:14, 10:30, 4:16] = 0
    first, second = missing_pieces_ml(lungs, others, SPACING_MM)
    assert 0.8 * 60 < first <= 60
    assert second == 0
    assert missing_pieces_ml(others, lungs, SPACING_MM) == (0, first)


def test_shells_and_specks_are_none(lungs):
    shifted = np.roll(lungs, (1, 2, 2), axis=(0, 1, 2))  # 5 mm: another breath
    assert missing_pieces_ml(lungs, shifted, SPACING_MM) == (0, 0)
    speck = lungs.copy()
    speck[6:9, 10:14, 4:8] = 0  # 1.5 of 448 ml
    assert missing_pieces_ml(lungs, speck, SPACING_MM) == (0, 0)
    assert missing_pieces_ml(lungs, lungs, SPACING_MM) == (0, 0)


def test_finer_voxels_give_the_same(lungs):
    others = lungs.copy()
    others[6:14, 10:30, 4:16] = 0
    fine, fine_others = (np.repeat(np.repeat(each, 4, axis=0), 2, axis=2) for each in (lungs, others))
    coarse_ml = missing_pieces_ml(lungs, others, SPACING_MM)[0]
    assert missing_pieces_ml(fine, fine_others, (1.25, 2.5, 1.25))[0] == pytest.approx(coarse_ml, rel=0.15)
