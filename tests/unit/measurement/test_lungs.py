import numpy as np
import pytest

from planewise.measurement.lungs import (
    LEFT,
    RIGHT,
    nearest_side,
    periphery,
    sides_by_number,
    touching,
    whole_parts,
    zones,
)

SPACING = (5.0, 2.5, 3.0)


def boxes(shape=(20, 30, 60)):
    """Two lungs of 14 x 20 x 20 voxels, 8 apart, and the body around them."""
    sides = np.zeros(shape, np.uint8)
    sides[3:17, 5:25, 6:26] = RIGHT
    sides[3:17, 5:25, 34:54] = LEFT
    return sides, np.ones(shape, bool)


# ---- sides


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1), (200, 7)])
def test_two_numbers_say_which_lung_is_which_by_where_they_lie(numbers):
    sides, _ = boxes()
    mask = np.where(sides == LEFT, numbers[0], np.where(sides == RIGHT, numbers[1], 0))
    assert np.array_equal(sides_by_number(mask), sides)


def test_numbers_that_are_not_one_lung_each_say_nothing():
    sides, _ = boxes()
    assert sides_by_number(np.minimum(sides, 1)) is None  # both lungs are 1
    lesion = np.minimum(sides, 1)
    lesion[5:9, 10:14, 40:46] = 2
    assert sides_by_number(lesion) is None  # 2 is in one of them
    lobes = np.where(sides > 0, np.where(np.arange(20)[:, None, None] < 10, 1, 2), 0)
    assert sides_by_number(lobes) is None
    assert sides_by_number(np.where(sides == LEFT, 3, sides) + (sides == RIGHT) * (np.arange(60) < 9)) is None  # three


def test_lungs_that_are_apart_take_their_sides_whole():
    sides, body = boxes()
    nearest = nearest_side(sides > 0, body, SPACING)
    assert np.array_equal(np.where(sides > 0, nearest, 0), sides)


def test_a_bridge_is_cut_where_it_is_thinnest():
    sides, body = boxes()
    lungs = sides > 0
    lungs[9:11, 12:16, 26:34] = True
    nearest = nearest_side(lungs, body, SPACING)
    assert np.array_equal(nearest[sides > 0], sides[sides > 0])
    bridge = nearest[9, 13, 26:34]
    assert bridge.tolist() == sorted(bridge.tolist(), reverse=True)
    assert {RIGHT, LEFT} == set(bridge.tolist())


def test_a_bridge_as_thick_as_the_lungs_is_cut_by_a_plane():
    sides, body = boxes()
    lungs = sides > 0
    lungs[3:17, 5:25, 26:34] = True
    lungs[3, 5, 31] = False  # the smallest plane
    nearest = nearest_side(lungs, body, SPACING)
    assert (nearest[:, :, :31][lungs[:, :, :31]] == RIGHT).all()
    assert (nearest[:, :, 32:][lungs[:, :, 32:]] == LEFT).all()


def test_a_thin_lung_is_not_lost_to_the_other():
    """Joined by a bridge; no depth leaves a core in the thin one."""
    sides, body = boxes()
    sides[sides == RIGHT] = 0
    sides[3:17, 13:16, 4:26] = RIGHT  # 7.5 mm
    lungs = sides > 0
    lungs[9:11, 13:16, 26:34] = True
    nearest = nearest_side(lungs, body, SPACING)
    assert (nearest[sides == RIGHT] == RIGHT).all()
    assert (nearest[sides == LEFT] == LEFT).all()


def test_a_part_that_is_nearly_all_of_one_side_is_whole():
    parts = np.zeros((1, 10, 50), int)
    parts[0, :, :20], parts[0, :, 30:] = 1, 2
    sides = np.where(np.arange(50) < 31, RIGHT, LEFT) * np.ones((1, 10, 1), int)  # a column of the second is wrong
    assert np.unique(whole_parts(sides, parts)[parts == 2]).tolist() == [LEFT]
    assert not whole_parts(sides, parts)[parts == 0].any()
    sides[0, :, 30:40] = RIGHT  # half of it: this is how it was taken apart
    assert set(np.unique(whole_parts(sides, parts)[parts == 2])) == {LEFT, RIGHT}


def test_touching_counts_corners():
    sides = np.zeros((3, 3, 4), np.uint8)
    sides[0, 0, 0], sides[1, 1, 1] = LEFT, RIGHT
    assert touching(sides)
    sides[1, 1, 1], sides[1, 1, 2] = 0, RIGHT
    assert not touching(sides)


# ---- zones


def test_zones_by_height_and_by_volume():
    sides = np.zeros((12, 4, 8), np.uint8)
    sides[2:8, :, :4] = LEFT
    sides[2:11, :1, 6:] = RIGHT  # 2 pixels; to slice 10
    assert zones(sides, "height").tolist() == [0, 0, 3, 3, 3, 2, 2, 2, 1, 1, 1, 0]
    # 18 voxels in each of slices 2 to 7, 2 in 8 to 10: of 114, the thirds end at 38 and 76
    assert zones(sides, "volume").tolist() == [0, 0, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0]


def test_zones_of_no_lungs():
    assert not zones(np.zeros((5, 4, 4), np.uint8), "volume").any()


# ---- periphery


@pytest.mark.parametrize("depth", [1.0, 7.5, 10.0, 12.4, 20.0, 200.0])
def test_the_rim_of_a_box_is_exact_in_mm_along_every_axis(depth):
    """From the centre of the n-th voxel behind a face it is (n + 1/2) spacings to that face."""
    sides, _ = boxes()
    rim = periphery(sides, depth, SPACING)
    index = np.indices(sides.shape)
    for side, (low, high) in ((RIGHT, ((3, 5, 6), (17, 25, 26))), (LEFT, ((3, 5, 34), (17, 25, 54)))):
        to_faces = [
            np.minimum(index[axis] - low[axis] + 0.5, high[axis] - index[axis] - 0.5) * SPACING[axis]
            for axis in range(3)
        ]
        expected = np.min(to_faces, axis=0) <= depth
        assert np.array_equal(rim[sides == side], expected[sides == side])
    assert not rim[sides == 0].any()


def test_the_rim_is_that_of_brute_force_on_any_shape():
    rng = np.random.default_rng(0)
    sides = np.pad((rng.random((7, 9, 8)) < 0.93).astype(np.uint8), 1)
    outside = _without_holes(sides == 0)
    depth = 6.0
    expected = np.zeros(sides.shape, bool)
    for voxel in np.argwhere(sides):
        gaps = np.maximum(np.abs(outside - voxel) - 0.5, 0) * SPACING
        expected[tuple(voxel)] = np.sqrt((gaps**2).sum(axis=1)).min() <= depth
    assert np.array_equal(periphery(sides, depth, SPACING), expected)
    assert 0 < expected.sum() < sides.sum()


def _without_holes(background):
    from scipy import ndimage

    parts, _ = ndimage.label(background)
    return np.argwhere(parts == parts[0, 0, 0])


def test_the_end_of_the_scan_and_a_hole_are_no_surface():
    sides = np.zeros((10, 21, 21), np.uint8)
    sides[:, 3:18, 3:18] = LEFT  # cut off above and below
    sides[5, 10, 10] = 0  # a vessel that the mask left out
    rim = periphery(sides, 3.0, (1.0, 1.0, 1.0))
    assert np.array_equal(rim[0], rim[4])
    assert not rim[5, 10, 11]
    assert rim[:, 5, 10].all()
    assert not rim[:, 6, 10].any()


def test_the_other_lung_is_a_surface():
    sides = np.zeros((12, 24, 24), np.uint8)
    sides[1:11, 2:22, 2:12], sides[1:11, 2:22, 12:22] = RIGHT, LEFT
    assert periphery(sides, 2.0, (1.0, 1.0, 1.0))[5, 10, 11]
