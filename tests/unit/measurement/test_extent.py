"""Boxes whose volumes are known by hand, in lungs that are boxes, stored in every orientation."""

import itertools
import math

import numpy as np
import pytest

from chest_boxes import SPACING_MM, chest_boxes
from planewise.measurement.density import densitometry
from planewise.measurement.extent import count_voxels, extent_measures
from planewise.measurement.lung_measures import lung_densities
from planewise.measurement.lungs import LungRegions
from planewise.volumes.geometry import to_canonical
from planewise.volumes.volume import Volume

GROUPS = {"glass": (1,), "net": (2,), "comb": (3,), "total_fibrosis": (2, 3), "total_extent": (1, 2, 3)}
EXPECTED = {  # voxels are 0.0375 ml, each lung has 20 x 24 x 18 of them, each lesion 1440
    "lungs_ml": 648, "lungs_left_ml": 324, "lungs_right_upper_ml": 108, "lungs_middle_ml": 216,
    "lungs_central_ml": 2 * 14 * 16 * 14 * 0.0375, "lungs_peripheral_ml": 648 - 2 * 14 * 16 * 14 * 0.0375,
    "glass_ml": 54, "glass_percent": 100 / 12, "glass_outside_lungs_ml": 4 * 0.0375,
    "glass_left_ml": 54, "glass_right_ml": 0, "glass_left_percent": 100 / 6, "glass_left_upper_percent": 50,
    "glass_upper_percent": 25, "glass_middle_percent": 0, "glass_right_upper_percent": 0,
    "glass_central_ml": 7 * 16 * 4 * 0.0375, "glass_peripheral_ml": (1440 - 7 * 16 * 4) * 0.0375,
    "glass_central_percent": 100 * 7 * 16 * 4 / (2 * 14 * 16 * 14),
    "net_right_lower_percent": 50, "net_left_lower_percent": 0, "net_lower_percent": 25, "net_outside_lungs_ml": 0,
    "comb_right_middle_percent": 50, "comb_right_percent": 100 / 6,
    "total_fibrosis_ml": 108, "total_fibrosis_right_percent": 100 / 3, "total_fibrosis_left_percent": 0,
    "total_extent_percent": 25, "total_extent_outside_lungs_ml": 4 * 0.0375,
}  # fmt: skip

ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def measures(hu, labels, lungs):
    labels, lungs = to_canonical(labels, labels=True), to_canonical(lungs, labels=True)
    regions = LungRegions.of(lungs.read(), lungs.spacing, "height", 10.0)
    return extent_measures(count_voxels(labels.read(), regions), GROUPS)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_extents_by_hand_in_every_orientation(order, signs):
    measured = measures(*chest_boxes(order, signs))
    assert {name: measured[name] for name in EXPECTED} == pytest.approx(EXPECTED)


def test_oblique_slices_go_to_the_nearest_axis():
    hu, labels, lungs = chest_boxes()
    turn = np.deg2rad(20)
    oblique = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    turned = [
        Volume(
            volume.voxels[:, ::-1, ::-1],
            volume.spacing,
            "mm",
            direction=tuple(map(tuple, oblique @ np.diag([1, -1, -1]))),
        )
        for volume in (hu, labels, lungs)
    ]
    measured = measures(*turned)
    assert measured["glass_left_upper_percent"] == pytest.approx(50)


def test_sums_of_regions_are_the_whole():
    measured = measures(*chest_boxes())
    for name in ("lungs", *GROUPS):
        whole = measured[f"{name}_ml"]
        for regions in (("left", "right"), ("upper", "middle", "lower"), ("central", "peripheral")):
            assert sum(measured[f"{name}_{region}_ml"] for region in regions) == pytest.approx(whole)
        thirds = itertools.product(("left", "right"), ("upper", "middle", "lower"))
        assert sum(measured[f"{name}_{side}_{zone}_ml"] for side, zone in thirds) == pytest.approx(whole)


def test_a_region_that_is_not_there_has_no_share():
    _, labels, lungs = (to_canonical(volume) for volume in chest_boxes())
    alone = np.where(lungs.read() == 1, 1, 0).astype(np.uint8)
    regions = LungRegions.of(alone, SPACING_MM, "volume", 10.0)
    measured = extent_measures(count_voxels(labels.read(), regions), GROUPS)
    assert measured["lungs_right_ml"] == 0
    assert math.isnan(measured["net_right_percent"])
    assert measured["net_outside_lungs_ml"] == pytest.approx(54)
    assert measured["glass_left_percent"] == pytest.approx(100 / 6)


def test_densities_of_both_lungs_and_of_each():
    hu, _, lungs = (to_canonical(volume) for volume in chest_boxes())
    measured = lung_densities(hu.read(), lungs.read())
    assert measured["lungs_mean_hu"] == pytest.approx(-810)
    assert measured["lungs_haa_percent"] == pytest.approx(100 / 12)
    assert measured["lungs_left_haa_percent"] == pytest.approx(100 / 6)
    assert measured["lungs_right_laa_percent"] == pytest.approx(100 / 6)
    assert measured["lungs_left_laa_percent"] == 0
    assert set(measured) == {
        f"{lung}_{key}"
        for lung in ("lungs", "lungs_left", "lungs_right")
        for key in densitometry(hu.read()[:1, :1, :1])
    }
