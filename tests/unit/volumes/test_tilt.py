"""Gantry tilt: every slice goes to its place, and labels come back pixel for pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planewise.volumes.geometry import from_canonical, to_canonical
from planewise.volumes.tilt import tilt_degrees, tilted_again, upright
from planewise.volumes.volume import Volume

TURNED = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
IDENTITY = Volume(np.zeros((1, 1, 1))).direction


def place(volume: Volume, index: tuple[int, ...]) -> np.ndarray:
    """Return where a voxel lies in the patient (z, y, x), its tilt counted."""
    steps = np.multiply(index, volume.spacing) + np.array([0.0, *np.multiply(volume.tilt, index[0])])
    return np.asarray(volume.origin) + np.asarray(volume.direction) @ steps


def test_a_ramp_stays_where_it_lies_in_the_patient():
    tilted = Volume(np.zeros((6, 9, 5)), (2.0, 0.5, 0.7), "mm", (10.0, 20.0, 30.0), IDENTITY, (-0.8, 0.0))
    voxels = np.array(
        [[[place(tilted, (z, y, x)) @ (100, 10, 1) for x in range(5)] for y in range(9)] for z in range(6)]
    )
    straight = upright(tilted.with_voxels(voxels))
    assert straight.tilt == (0.0, 0.0)
    assert straight.shape == (6, 9 + 8, 5)  # 5 steps of 1.6 pixels
    for z in range(6):
        inside = [y for y in range(17) if 0 <= y - 8 + 1.6 * z <= 8]  # between two pixels of the slice
        for y in inside:
            assert straight.read()[z, y, 3] == pytest.approx(place(straight, (z, y, 3)) @ (100, 10, 1))
        assert (straight.read()[z, : max(inside[0] - 1, 0)] == voxels[z].min()).all()
    assert tilt_degrees(tilted) == pytest.approx(np.degrees(np.arctan(0.4)))


@settings(max_examples=40, deadline=None)
@given(
    tilt=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    direction=st.sampled_from([IDENTITY, TURNED]),
)
def test_labels_come_back_pixel_for_pixel(tilt, shape, direction):
    labels = np.arange(1, np.prod(shape) + 1, dtype=np.uint16).reshape(shape)  # each voxel tells its own place
    original = Volume(labels, (1.5, 0.6, 0.8), "mm", (1.0, 2.0, 3.0), direction, tilt)
    straight = upright(original, labels=True)
    assert np.array_equal(tilted_again(straight.read(), original), labels)
    assert (straight.read() > 0).sum() == labels.size  # whole slices: nothing is lost or doubled
    canonical = to_canonical(original, labels=True)
    assert canonical.shape == to_canonical(upright(original)).shape
    assert np.array_equal(from_canonical(canonical.read(), original).read(), labels)


@settings(max_examples=40, deadline=None)
@given(tilt=st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
def test_what_is_drawn_on_the_upright_grid_goes_to_the_nearest_original_pixel(tilt):
    original = Volume(np.zeros((5, 6, 7)), (1.5, 0.6, 0.8), "mm", (1.0, 2.0, 3.0), TURNED, tilt)
    straight = upright(original)
    coordinates = np.stack(np.meshgrid(*map(np.arange, straight.shape), indexing="ij"))
    back = np.stack([tilted_again(axis, original) for axis in coordinates])
    for index in np.ndindex(original.shape):
        away = place(straight, tuple(back[:, *index])) - place(original, index)
        assert np.linalg.norm(away) <= np.hypot(0.3, 0.4) + 1e-9  # half a pixel


def test_without_a_tilt_nothing_is_touched():
    volume = Volume(np.arange(8).reshape(2, 2, 2))
    assert upright(volume) is volume
    assert to_canonical(volume) is volume
    assert tilted_again(volume.voxels, volume) is volume.voxels


def test_integers_are_rounded_and_filled_with_the_darkest_of_the_slice():
    voxels = np.full((2, 2, 2), 100, np.int16)
    voxels[1, 0, 0] = -1000
    straight = upright(Volume(voxels, tilt=(0.25, 0.0))).read()
    assert straight.dtype == np.int16
    assert straight[0].tolist() == [[100, 100], [100, 100], [100, 100]]
    assert straight[1].tolist() == [[-1000, -175], [-175, 100], [-725, -725]]
