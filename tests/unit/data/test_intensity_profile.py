"""What a volume's intensities are measured to be: padding, saturation and hot pixels left out."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from membranes import membranes
from planewise.data.intensity import IntensityRange, TrainedIntensities
from planewise.data.intensity_profile import measure_intensities, measure_slices
from planewise.data.phantom import em_phantom
from planewise.volumes.volume import Volume

PATH = Path("cell.tiff")
EIGHT_BIT = em_phantom((32, 144, 144), 12, 0)[0]


@pytest.mark.parametrize("share", [0.003, 0.007, 0.02])
@pytest.mark.parametrize("padding", [(0,), (0, 1), (0, 1, 2)])
def test_padding_of_several_values_and_any_saturation(share, padding):
    voxels = 1000 + 4 * EIGHT_BIT.astype(np.uint16)
    plain = measure_intensities(Volume(voxels), PATH)
    padded = np.pad(voxels, ((0, 0), (40, 40), (40, 40)))
    outside = padded == 0
    padded[outside] = np.random.default_rng(0).choice(padding, int(outside.sum()))
    flat = padded.reshape(-1)
    flat[np.flatnonzero(flat > 2)[:: int(1 / share)]] = 65_535
    profile = measure_intensities(Volume(padded), PATH)
    assert abs(profile.low - plain.low) <= 30  # of 560
    assert abs(profile.high - plain.high) <= 30


def test_big_endian_voxels():
    profile = measure_intensities(Volume(EIGHT_BIT.astype(">u2")), PATH)
    plain = measure_intensities(Volume(EIGHT_BIT), PATH)
    assert (profile.low, profile.high) == (plain.low, plain.high)


def test_quantiles_of_known_values():
    voxels = np.arange(1000, dtype=np.uint16).reshape(10, 10, 10)
    profile = measure_intensities(Volume(voxels), PATH)
    assert (profile.least, profile.low, profile.high, profile.most) == (0, 4, 994, 999)
    signed = measure_intensities(Volume(voxels.astype(np.int16) - 500), PATH)
    assert (signed.least, signed.low, signed.high, signed.most) == (-500, -496, 494, 499)
    real = measure_intensities(Volume(voxels / 1000), PATH)
    assert (real.least, real.low, real.high, real.most) == (0, 0.004, 0.994, 0.999)


def test_extremes_and_padding_outside_a_sample_count(monkeypatch):
    monkeypatch.setattr("planewise.data.intensity_profile.SAMPLE", 100)
    voxels = np.random.default_rng(0).random((10, 16, 32)).astype(np.float32)
    voxels[..., 0] = 0  # a column of padding, which a step of whole rows would take for everything
    voxels[3, 5, 7], voxels[4, 6, 9] = -3, 5000
    profile = measure_intensities(Volume(voxels), PATH)
    assert (profile.least, profile.most, profile.values) == (-3, 5000, 9)
    assert 0 < profile.low < profile.high < 1


def test_slabs_give_the_profile_of_the_whole(monkeypatch):
    whole = measure_intensities(Volume(EIGHT_BIT), PATH)
    monkeypatch.setattr("planewise.volumes.labels.SLAB_VOXELS", 144 * 144)
    assert dataclasses.asdict(measure_intensities(Volume(EIGHT_BIT), PATH)) == dataclasses.asdict(whole)


def test_the_polarity_is_the_sign_of_the_fine_structures():
    noise = np.random.default_rng(0).integers(0, 256, (16, 128, 128)).astype(np.uint8)
    assert measure_intensities(Volume(noise), PATH).contrast.polarity == "unclear"
    image = membranes()
    assert measure_intensities(Volume(image), PATH).contrast.polarity == "dark"
    assert measure_intensities(Volume(255 - image), PATH).contrast.polarity == "bright"
    blurred = ndimage.gaussian_filter(image.astype(np.float32), (0, 3, 3))
    assert measure_intensities(Volume(255 - blurred), PATH).contrast.polarity == "unclear"
    small = 255 - image[:, :100, :100]
    assert measure_intensities(Volume(small), PATH).contrast.polarity == "unclear"


def test_what_a_model_is_trained_on_is_told_from_its_slices():
    image, labels = em_phantom((32, 144, 144), 12, 0)
    shares = image.astype(np.float32) / 255
    measured = measure_slices(zip(shares, labels))
    trained = measure_intensities(Volume(em_phantom((32, 144, 144), 12, 1)[0]), PATH).of_range(
        IntensityRange(0.0, 255.0)
    )
    sheets = membranes() / 255
    assert measure_slices((image, np.zeros(image.shape)) for image in sheets).contrast.polarity == "dark"
    without_a_slab = sheets[:, :80]  # as validation leaves slices, lower than a tile
    assert measure_slices((image, np.zeros(image.shape)) for image in without_a_slab).contrast.polarity == "dark"
    assert measured.objects == "dark"  # see ``em_phantom``
    assert measured.low == pytest.approx(trained.low, abs=0.02)
    assert measured.high == pytest.approx(trained.high, abs=0.02)
    with pytest.raises(ValueError, match="low must be less"):
        TrainedIntensities(low=0.5, high=0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_little_memory_gives_the_same_profile_from_thinner_slabs(dtype, monkeypatch):
    monkeypatch.setattr("planewise.data.intensity_profile.SAMPLE", 5000)
    read = []
    volume = Volume(EIGHT_BIT.astype(dtype))
    whole = measure_intensities(volume, PATH)
    monkeypatch.setattr(
        "planewise.data.intensity_profile.read_voxels",
        lambda given, path, planes: read.append(planes.stop - planes.start) or given.voxels[planes],
    )
    slices = 3 * 144 * 144 * np.dtype(dtype).itemsize
    assert dataclasses.asdict(measure_intensities(volume, PATH, 4 * slices)) == dataclasses.asdict(whole)
    assert max(read) == 3
    assert sum(read) == 32
    measure_intensities(volume, PATH, 1)
    assert read[-1] == 1
