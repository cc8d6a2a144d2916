"""Intensities: one image in every encoding is seen alike, and what cannot be told is refused."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from membranes import membranes
from planewise.data.contrast import Contrast
from planewise.data.intensity import IntensityRange, TrainedIntensities, normalise
from planewise.data.intensity_profile import measure_intensities
from planewise.data.intensity_rule import IntensityRule, choose_range
from planewise.data.phantom import em_phantom
from planewise.errors import PlanewiseError
from planewise.volumes.volume import Volume

PATH = Path("cell.tiff")
EIGHT_BIT = em_phantom((32, 144, 144), 12, 0)[0]
VALUES = EIGHT_BIT.astype(float)


@cache
def trained():
    """What a model has seen of another phantom; nothing is compiled while tests are collected."""
    return measure_intensities(Volume(em_phantom((32, 144, 144), 12, 1)[0]), PATH).of_range(IntensityRange(0.0, 255.0))


DARK = TrainedIntensities(low=0.2, high=0.75, polarity="dark")
ENCODINGS = {
    "full 16 bit": EIGHT_BIT.astype(np.uint16) * 257,
    "float": (VALUES / 255).astype(np.float32),
    "12 bit in uint16": np.rint(VALUES / 255 * 4095).astype(np.uint16),
    "low-contrast 16 bit": (30_000 + 10 * VALUES).astype(np.uint16),
    "dim 8 bit": EIGHT_BIT // 4,
    "int16 of 0..255": EIGHT_BIT.astype(np.int16),
    "floats beyond 1": (VALUES * 16).astype(np.float32),
    "floats of 0..255": VALUES,
    "int8 of -128..127": (VALUES - 128).astype(np.int8),
    "int16 that fills its type": (VALUES * 257 - 32768).astype(np.int16),
    "negative": (VALUES - 500).astype(np.int16),
    "32 bit with an offset": (VALUES * 1000 + 1e9).astype(np.uint32),
}


def seen(voxels, rule=None):
    return (rule or IntensityRule(trained())).range_of(Volume(voxels), PATH).range.shares(voxels)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_an_image_is_seen_alike(encoding):
    difference = np.abs(seen(ENCODINGS[encoding]) - VALUES / 255)
    assert difference.max() < 0.05  # of the range; the training data's quantiles are another phantom's
    assert difference.mean() < 0.025


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_full_range_is_divided_by_the_largest_value_of_the_type_and_by_nothing_else(dtype):
    top = np.iinfo(dtype).max
    voxels = EIGHT_BIT.astype(dtype) * (top // 255)
    range_ = IntensityRule(trained()).range_of(Volume(voxels), PATH).range
    assert range_ == IntensityRange(0.0, float(top), clipped=False)
    published = voxels.astype(np.float32) * np.float32(1 / (top * 0.12765)) - np.float32(0.57571 / 0.12765)
    assert np.array_equal(normalise(voxels, range_, 0.57571, 0.12765), published)


def test_inverted_contrast_is_refused_and_turned_round_when_told():
    image = membranes()
    with pytest.raises(PlanewiseError, match=r"cell.tiff: its contrast is inverted.*--invert"):
        seen(255 - image, IntensityRule(DARK))
    seen(image, IntensityRule(DARK))
    inverted = 255 - EIGHT_BIT
    assert np.allclose(seen(inverted, IntensityRule(trained(), invert=True)), VALUES / 255, atol=1e-6)
    dim = inverted // 4
    assert np.abs(seen(dim, IntensityRule(trained(), invert=True)) - VALUES / 255).max() < 0.04
    assert np.allclose(seen(inverted, IntensityRule(trained(), given=(0, 255))), 1 - VALUES / 255)  # the user says so


def test_a_range_that_is_given_is_used_and_nothing_is_judged():
    chosen = IntensityRule(trained(), given=(50.0, 150.0)).range_of(Volume(EIGHT_BIT), PATH)
    assert chosen.range == IntensityRange(50.0, 150.0, clipped=True)
    assert "--intensity" in chosen.decision
    shares = chosen.range.shares(np.array([0, 50, 100, 150, 255], np.uint8))
    assert shares.tolist() == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.full((4, 5, 6), 7, np.uint8), "is 7 everywhere"),
        (np.arange(120).reshape(4, 5, 6) % 2 * 3.5, "holds two values, 0 and 3.5"),
        (np.arange(120).reshape(4, 5, 6) % 2 == 1, "holds two values, 0 and 1"),
        (np.where(np.arange(1200) == 7, np.nan, np.arange(1200)).reshape(10, 10, 12), "1 voxels at z = 0 are NaN"),
        (np.zeros((0, 5, 6), np.uint8), "is empty"),
    ],
    ids=["constant", "two values", "a mask", "NaN", "empty"],
)
def test_what_cannot_be_told_is_refused_by_name(voxels, words):
    with pytest.raises(PlanewiseError, match=rf"cell.tiff: .*{words}"):
        seen(voxels)


def test_hot_pixels_padding_and_saturation_do_not_stretch_the_range():
    plain = measure_intensities(Volume(EIGHT_BIT), PATH)
    hot = EIGHT_BIT.astype(np.uint16)
    hot[3, 5, 7] = 65_535
    assert (measure_intensities(Volume(hot), PATH).low, measure_intensities(Volume(hot), PATH).high) == (
        plain.low,
        plain.high,
    )
    assert np.abs(seen(hot) - VALUES / 255)[hot < 65_535].max() < 0.04
    assert seen(hot).max() == 1.0  # clipped
    padded = np.pad(EIGHT_BIT, ((0, 0), (40, 40), (40, 40)))
    assert measure_intensities(Volume(padded), PATH).low == plain.low


def test_an_unclear_polarity_refuses_nothing():
    unclear = trained().model_copy(update={"contrast": Contrast()})
    choose_range(measure_intensities(Volume(255 - membranes()), PATH), unclear, PATH)


@pytest.mark.parametrize("seed", [0, 2])
def test_the_inverted_contrast_of_a_phantom_is_refused_and_the_right_one_never(seed):
    image, rule = em_phantom((32, 144, 144), 12, seed)[0], IntensityRule(trained())
    seen(image, rule)
    with pytest.raises(PlanewiseError, match=r"is inverted: .*thin lines bright.*trained on .*thin lines dark"):
        seen(255 - image, rule)


def test_a_range_that_holds_no_voxel_is_refused():
    profile = measure_intensities(Volume(EIGHT_BIT), PATH)
    with pytest.raises(PlanewiseError, match="no voxel lies within --intensity 300 4000: uint8, uses"):
        choose_range(profile, trained(), PATH, (300, 4000))


def test_a_border_says_nothing_of_the_contrast():
    """Its edge would count as lines."""
    white = np.pad(membranes()[:, :256, :256], ((0, 0), (100, 100), (100, 100)), constant_values=255)
    assert measure_intensities(Volume(white), PATH).contrast in (trained().contrast, Contrast())


def test_what_could_not_be_checked_is_said_with_what_the_truth_says():
    profile = measure_intensities(Volume(EIGHT_BIT[:, :100, :100]), PATH)  # too small for lines
    rule = IntensityRule(trained())
    assert rule.unchecked(profile).endswith("that of the training data; use --invert for a volume that is inverted")
    dark = IntensityRule(trained().model_copy(update={"objects": "dark"}))
    assert dark.unchecked(profile).endswith(
        "darker than their surroundings; use --invert for a volume in which they are brighter"
    )
    assert not IntensityRule(trained(), invert=True).unchecked(profile)  # the user has said it
    assert not IntensityRule(trained(), given=(0.0, 255.0)).unchecked(profile)
    assert not rule.unchecked(measure_intensities(Volume(EIGHT_BIT), PATH))


def test_an_inverted_contrast_that_is_not_certain_is_only_a_warning():
    profile = measure_intensities(Volume(255 - membranes()), PATH)
    assert profile.contrast_is_certain
    rule, doubtful = IntensityRule(DARK), replace(profile, contrast_is_certain=False)
    assert list(rule.doubts(profile, PATH)) == []  # it is refused
    assert choose_range(doubtful, DARK, PATH)[1].endswith("255 white; its contrast may be inverted")
    (doubt,) = rule.doubts(doubtful, PATH)
    assert doubt.startswith("WARNING: cell.tiff: its contrast may be inverted: thin lines bright, broad lines bright (")
    assert list(IntensityRule(DARK, invert=True).doubts(doubtful, PATH)) == []


def test_an_inversion_that_contradicts_the_contrast_is_refused_and_a_warning_where_that_is_not_certain():
    profile = measure_intensities(Volume(membranes()), PATH)
    assert profile.contrast_is_certain
    assert list(IntensityRule(DARK).doubts(profile, PATH)) == []
    with pytest.raises(PlanewiseError, match=r"^cell.tiff: its contrast is that of the training data .*another folder"):
        choose_range(profile, DARK, PATH, invert=True)
    doubtful = replace(profile, contrast_is_certain=False)
    choose_range(doubtful, DARK, PATH, invert=True)
    (given,) = IntensityRule(DARK, (0.0, 255.0), invert=True).range_of(Volume(membranes()), PATH).doubts
    (doubt,) = IntensityRule(DARK, invert=True).doubts(doubtful, PATH)
    assert doubt == given
    assert doubt.startswith("WARNING: cell.tiff: its contrast is that of the training data (thin lines dark, broad ")
    assert "leave --invert out" in doubt


def test_ids_of_objects_are_refused_as_an_image_unless_a_range_is_given():
    ids = em_phantom((16, 96, 96), 20, 0)[1]
    assert len(np.unique(ids)) > 9
    with pytest.raises(
        PlanewiseError, match=r"^cell.tiff: looks like labels, not like an image: .*--intensity LOW HIGH"
    ):
        seen(ids)
    seen(ids, IntensityRule(trained(), given=(0.0, 20.0)))
