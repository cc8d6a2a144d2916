import json

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats import result_ending
from planewise.volumes.volume import Volume

CODED = np.arange(4 * 5).reshape(4, 5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_png_is_a_volume_of_one_slice(tmp_path, dtype):
    grey = (CODED * (1000 if dtype == np.uint16 else 1)).astype(dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(grey))
    volume = open_volume(tmp_path / "a.png")
    assert volume.shape == (1, 4, 5)
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.read(), grey[None])
    assert np.array_equal(np.asarray(volume.voxels[0, 1:3]), grey[1:3])
    assert volume.unit == "pixel"


def test_a_sidecar_gives_the_spacing(tmp_path):
    (tmp_path / "a_0000.png").write_bytes(imagecodecs.png_encode(CODED.astype(np.uint8)))
    (tmp_path / "a.json").write_text(json.dumps({"spacing": [40, 8, 8]}))
    assert open_volume(tmp_path / "a_0000.png").spacing == (40, 8, 8)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGBA", 4), ("LA", 2)])
def test_a_colour_png_needs_a_channel(tmp_path, mode, channels):
    colour = np.stack([CODED + 50 * channel for channel in range(channels)], axis=-1).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colour))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode
    assert np.array_equal(open_volume(tmp_path / "a.png", 1).read(), CODED[None] + 50)
    with pytest.raises(PlanewiseError, match=rf"has {channels} channels.*--channel"):
        open_volume(tmp_path / "a.png")


@pytest.mark.parametrize(("mode", "what"), [("P", "a palette"), ("1", "1 bits")])
def test_other_pngs_are_refused(tmp_path, mode, what):
    Image.fromarray(CODED.astype(np.uint8)).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(PlanewiseError, match=rf"a\.png: is a PNG with {what}"):
        open_volume(tmp_path / "a.png")


def test_a_damaged_png_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PlanewiseError, match=r"a\.png"):
        read_voxels(open_volume(path), path)
    path.write_text("no picture")
    with pytest.raises(PlanewiseError, match=r"a\.png: is no PNG"):
        open_volume(path)


def test_results_about_a_png_are_tiffs(tmp_path):
    assert result_ending(tmp_path / "a.png") == ".tiff"
    with pytest.raises(PlanewiseError, match="no format that can be written"):
        write_volume(tmp_path / "b.png", Volume(CODED[None]))
