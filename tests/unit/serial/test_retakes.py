"""Retakes: what they change, and that they leave the disease."""

import numpy as np
import pytest

from planewise.data.phantom import CHEST_SPACING_MM, chest_phantom
from planewise.serial.comparability import Scan
from planewise.serial.retakes import LEAST_NOISE_HU, Variation, noise_of, retake, variation_between

SHAPE = (12, 64, 64)
NOTHING = Variation(0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def chest():
    hu, labels = chest_phantom(SHAPE, 1)
    lungs = ((hu < -500) & (np.indices(SHAPE)[1] > 8)).astype(np.uint8)
    return hu, labels, lungs


def one(chest, variation, seed=0):
    return retake(chest[0], chest[2], CHEST_SPACING_MM, variation, np.random.default_rng(seed))


def test_without_variation_a_retake_is_the_scan(chest):
    np.testing.assert_array_equal(one(chest, NOTHING), chest[0])


def test_the_same_seed_is_the_same_retake(chest):
    variation = Variation(20.0, 0.3, 1.0, 0.03)
    np.testing.assert_array_equal(one(chest, variation), one(chest, variation))
    assert (one(chest, variation) != one(chest, variation, seed=1)).any()


def test_noise_is_seen_as_it_is():
    rng = np.random.default_rng(0)
    assert noise_of(40 + rng.normal(0, 20, (6, 64, 64))) == pytest.approx(20, rel=0.05)
    assert noise_of(np.full((6, 64, 64), 40)) == LEAST_NOISE_HU
    assert noise_of(np.full((6, 64, 64), -900)) == LEAST_NOISE_HU
    edges = np.where(np.arange(64) < 32, 40.0, 100.0) + rng.normal(0, 20, (6, 64, 64))
    assert noise_of(edges) == pytest.approx(20, rel=0.1)


def test_added_noise_adds_up(chest):
    before = noise_of(chest[0])
    assert noise_of(one(chest, Variation(30.0, 0.0, 0.0, 0.0))) == pytest.approx(np.hypot(before, 30), rel=0.1)


def test_more_air_keeps_the_mass():
    """Lungs that are larger along z by a share are darker by it: what they weigh stays."""
    column = np.full((21, 4, 4), 40, np.int16)
    column[6:15] = -800
    inside = (column == -800).astype(np.uint8)
    weighed = []
    for seed in range(5):
        made = retake(column, inside, (5.0, 2.5, 2.5), Variation(0.0, 0.0, 0.0, 0.05), np.random.default_rng(seed))
        larger = np.exp(np.random.default_rng(seed).normal(0, 0.05))
        assert made[10, 0, 0] == pytest.approx(-1000 + 200 / larger, abs=1)
        length = 9 + (40.0 - made[:, 0, 0]).sum() / (1040 - 200 / larger) - 9
        weighed.append(length * 200 / larger)
    np.testing.assert_allclose(weighed, 9 * 200, rtol=0.05)


def test_retakes_differ_at_least_as_far_as_the_scans():
    first = Scan("a", "P", "B70f", True, "", True, 1.0, (1.0, 1.0, 1.0), 4000, ())
    second = Scan("b", "P", "B60f", True, "", True, 1.5, (1.0, 1.0, 1.0), 4400, ())
    same = variation_between(first, first, 12.0)
    assert same == Variation(12.0, 0.3, 0.25, 0.03)
    apart = variation_between(first, second, 12.0)
    assert apart.sharpness == 0.6
    assert apart.extra_mm == 0.5
    assert apart.inspiration == pytest.approx(np.log(1.1) / np.sqrt(2))
