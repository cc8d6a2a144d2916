"""The area of solids, of which it is known, in every orientation and of thick slices."""

import math

import numpy as np
import pytest
from solids import ball, ellipsoid, ellipsoid_surface, orientations, torus

from planewise.measurement.surface import sphericity, surface_area

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 1.0, 3.0)]


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("radius", [8.0, 12.0])
def test_balls(radius, spacing):
    area = surface_area(ball(radius, spacing), spacing)
    assert area == pytest.approx(4 * math.pi * radius**2, rel=0.02)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("turned", range(3))
def test_ellipsoids(spacing, turned):
    half_axes = (8.0, 10.0, 14.0)
    area = surface_area(ellipsoid(half_axes, spacing, orientations()[turned], turned), spacing)
    assert area == pytest.approx(ellipsoid_surface(half_axes), rel=0.02)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("turned", range(3))
def test_tori(spacing, turned):
    area = surface_area(torus(14.0, 6.0, spacing, orientations()[turned], turned), spacing)
    assert area == pytest.approx(4 * math.pi**2 * 14 * 6, rel=0.02)


def test_thick_slices():
    spacing = (4.0, 1.0, 1.0)
    assert surface_area(ball(12.0, spacing), spacing) == pytest.approx(4 * math.pi * 144, rel=0.03)


def test_the_unit_is_that_of_the_spacing():
    mask = ball(6.0, (1.0, 1.0, 1.0))
    one, other = surface_area(mask, (1.0, 1.0, 1.0)), surface_area(mask, (0.01, 0.01, 0.01))
    assert other == pytest.approx(one * 1e-4, rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (1, 3, 3), (2, 2, 2), (1, 9, 9)])
def test_the_smallest_objects_have_a_surface(shape):
    volume = math.prod(shape)
    faces = 2 * sum(volume / side for side in shape)
    area = surface_area(np.ones(shape, bool), (1.0, 1.0, 1.0))
    assert (36 * math.pi * volume**2) ** (1 / 3) <= area + 1e-9 < faces


def test_the_formula_of_ellipsoids_agrees_with_that_of_a_spheroid():
    a, c = 1.0, 2.0
    e = math.sqrt(1 - a**2 / c**2)
    assert ellipsoid_surface((a, a + 1e-9, c)) == pytest.approx(2 * math.pi * (a**2 + a * c / e * math.asin(e)))
    assert ellipsoid_surface((2.0, 2.0, 2.0)) == pytest.approx(16 * math.pi)


def test_the_sphericity_of_a_ball_is_one():
    volume, area = np.array([4 / 3 * math.pi * 27, 1.0]), np.array([4 * math.pi * 9, 6.0])
    assert sphericity(volume, area) == pytest.approx([1.0, (math.pi / 6) ** (1 / 3)])
