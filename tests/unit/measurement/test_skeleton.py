"""The centre line of tubes and rings of which it is known, in every orientation and of thick slices."""

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number
from solids import ball, orientations, torus, y_tube

from planewise.measurement.skeleton import centre_line
from planewise.measurement.thinning import thinned

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 1.0, 3.0)]


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("turned", range(3))
def test_a_y(spacing, turned):
    line = centre_line(y_tube(30.0, 5.0, spacing, orientations()[turned], turned), spacing)
    assert (line.branches, line.end_points, line.loops, line.pieces) == (3, 3, 0, 1)
    assert line.length == pytest.approx(90, abs=2 * max(spacing) + 3)  # an end is known to a voxel
    assert line.radius == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("turned", range(3))
def test_a_torus(spacing, turned):
    line = centre_line(torus(16.0, 5.0, spacing, orientations()[turned], turned), spacing)
    assert (line.branches, line.end_points, line.loops) == (1, 0, 1)
    assert line.length == pytest.approx(2 * math.pi * 16, rel=0.035)
    assert line.radius == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_the_line_of_a_ball_is_short(spacing):
    line = centre_line(ball(10.0, spacing), spacing)
    assert line.branches <= 1
    assert line.length <= 3
    assert line.radius == pytest.approx(10, abs=max(1.0, max(spacing) / 2))


@pytest.mark.parametrize("radius", [2.0, 3.0])
def test_no_arm_is_lost_however_it_lies(radius):
    for seed in range(5):
        for turn in orientations():
            line = centre_line(y_tube(14.0, radius, (1.0, 1.0, 1.0), turn, seed), (1.0, 1.0, 1.0))
            assert (line.branches, line.end_points) == (3, 3)


def test_a_rough_surface_grows_no_branches():
    rod = np.zeros((25, 25, 70), bool)
    z, y = np.ogrid[-12:13, -12:13]
    shifts = np.random.default_rng(0).integers(-1, 2, (70, 2))
    for x in range(8, 62):  # as outlines that were drawn slice by slice
        rod[:, :, x] = (z - shifts[x, 0]) ** 2 + (y - shifts[x, 1]) ** 2 <= 49
    line = centre_line(rod, (1.0, 1.0, 1.0))
    assert (line.branches, line.end_points) == (1, 2)


def test_a_cavity_is_filled_and_a_tunnel_is_a_loop():
    solid = np.ones((15, 15, 15), bool)
    solid[7, 7, 7] = False
    assert centre_line(solid, (1.0, 1.0, 1.0)).loops == 0
    solid[:, 5:10, 5:10] = False
    assert centre_line(solid, (1.0, 1.0, 1.0)).loops == 1


def test_pieces_are_counted():
    pieces = np.zeros((5, 5, 20), bool)
    pieces[1:4, 1:4, 1:6] = pieces[1:4, 1:4, 13:18] = True
    assert centre_line(pieces, (1.0, 1.0, 1.0)).pieces == 2


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (2, 2, 2), (1, 4, 4), (1, 1, 9)])
def test_the_smallest_objects_have_a_line(shape):
    line = centre_line(np.ones(shape, bool), (4.0, 1.0, 1.0))
    assert line.pieces == 1
    assert line.radius > 0


@pytest.mark.parametrize("seed", range(4))
def test_thinning_keeps_the_topology_and_leaves_lines(seed):
    rough = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(24, 24, 24)), 2) > 0.02
    mask = np.pad(rough, 1)
    line = thinned(mask, ndimage.distance_transform_edt(mask))
    assert not (line & ~mask).any()
    assert euler_number(line, 3) == euler_number(mask, 3)
    assert ndimage.label(line, np.ones((3, 3, 3)))[1] == ndimage.label(mask, np.ones((3, 3, 3)))[1]
    assert line.sum() < 0.2 * mask.sum()
