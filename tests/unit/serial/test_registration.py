"""Registration of phantoms that were warped by known fields."""

import numpy as np
import pytest
from scipy import ndimage

from planewise.apps.ild.lungs import find_lungs
from planewise.data.phantom import breathing_field, chest_phantom, warped
from planewise.errors import PlanewiseError
from planewise.measurement.lungs import LungRegions, zones
from planewise.serial.change import carried_extents
from planewise.serial.registration import register

SHAPE, SPACING_MM = (20, 64, 64), (5.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def pair():
    """A phantom, and itself warped, both with labels and lungs, and the field."""
    hu, labels = chest_phantom(SHAPE, 7)
    field = breathing_field(SHAPE, 3)
    later = np.rint(warped(hu.astype(np.float32), field)).astype(np.int16)
    after = warped(labels, field, labels=True)
    return (hu, labels, find_lungs(hu, SPACING_MM)), (later, after, find_lungs(later, SPACING_MM)), field


@pytest.fixture(scope="module")
def registration(pair):
    (hu, _, lungs), (later, _, after), _ = pair
    return register(hu, lungs, SPACING_MM, later, after, SPACING_MM)


def test_places_are_recovered_within_less_than_a_voxel(pair, registration):
    (_, _, lungs), _, field = pair
    places = np.indices(SHAPE).astype(np.float32)
    true = places.copy()
    for _ in range(30):  # the field leads back to the first scan: its inverse by iteration
        true = places - np.stack([ndimage.map_coordinates(step, true, order=1, mode="nearest") for step in field])
    moved = np.moveaxis(true - places, 0, -1) * np.array(SPACING_MM)
    inside = lungs > 0
    error = np.linalg.norm(registration.displacement_mm() - moved, axis=-1)[inside]
    assert error.mean() < min(3.0, np.linalg.norm(moved, axis=-1)[inside].mean())
    assert registration.overlap > 0.95
    assert registration.folded == 0


def test_volumes_are_recovered(pair, registration):
    (_, _, lungs), (_, after, later_lungs), _ = pair
    regions = LungRegions(lungs, zones(lungs, "height"), np.broadcast_to(False, SHAPE), SPACING_MM)
    carried = carried_extents(after, later_lungs, registration, regions)
    voxel_ml = np.prod(SPACING_MM) / 1000
    assert carried.lung_ml() == pytest.approx((later_lungs > 0).sum() * voxel_ml, rel=0.06)
    for value in (1, 2, 3):
        assert carried.ml((value,)) == pytest.approx((after == value).sum() * voxel_ml, rel=0.12)
    assert sum(carried.ml((1,), zone) for zone in ("upper", "middle", "lower")) == pytest.approx(carried.ml((1,)))


@pytest.mark.slow
def test_it_is_the_same_every_time(pair, registration):
    (hu, _, lungs), (later, _, after), _ = pair
    again = register(hu, lungs, SPACING_MM, later, after, SPACING_MM)
    np.testing.assert_array_equal(again.growth, registration.growth)


@pytest.mark.slow
def test_scans_on_other_grids_lie_on_each_other(pair):
    """Another spacing, and a shift of whole voxels: the lungs come back."""
    (hu, _, lungs), _, _ = pair
    thin, thin_lungs = (np.repeat(np.roll(volume, 3, axis=2), 2, axis=0) for volume in (hu, lungs))
    registration = register(hu, lungs, SPACING_MM, thin, thin_lungs, (2.5, 4.0, 4.0))
    assert registration.overlap > 0.97
    assert registration.growth[lungs > 0].mean() == pytest.approx(1, abs=0.03)
    shift = registration.displacement_mm()[lungs > 0].mean(axis=0)
    np.testing.assert_allclose(shift[2], 12, atol=1.5)


def test_what_does_not_fit_is_refused(pair):
    (hu, _, lungs), _, _ = pair
    with pytest.raises(PlanewiseError, match="shows no lungs"):
        register(hu, lungs, SPACING_MM, hu, np.zeros_like(lungs), SPACING_MM)
    bar = np.zeros_like(lungs)
    bar[2:4, 2:60, 2:6] = 1
    with pytest.raises(PlanewiseError, match="could not be registered"):
        register(hu, lungs, SPACING_MM, hu, bar, SPACING_MM)


@pytest.mark.parametrize("lacking", [pytest.param("first", marks=pytest.mark.slow), "second"])
def test_lungs_of_which_one_scan_lacks_a_piece_are_refused(pair, lacking):
    """Dense disease at the wall that is found as lung in one of them alone: 2.5 % of the lungs."""
    (hu, _, lungs), _, _ = pair
    less = lungs.copy()
    rows = np.flatnonzero(lungs[10].any(axis=1))
    less[8:14, rows[len(rows) // 2] :, : SHAPE[2] // 4] = 0
    first, second = (less, lungs) if lacking == "first" else (lungs, less)
    other = "second" if lacking == "first" else "first"
    with pytest.raises(PlanewiseError, match=f"ml in one piece are lung only in the {other}"):
        register(hu, first, SPACING_MM, hu, second, SPACING_MM)
