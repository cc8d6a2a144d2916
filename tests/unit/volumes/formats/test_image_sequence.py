import json

import imagecodecs
import numpy as np
import pytest
import tifffile

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats import image_sequence
from planewise.volumes.formats.image_sequence import images_in, open_sequence

CODED = np.arange(12 * 4 * 5).reshape(12, 4, 5).astype(np.uint16)


def write(folder, names, voxels=CODED, **options):
    folder.mkdir(exist_ok=True)
    for name, slice_ in zip(names, voxels):
        if name.endswith(".png"):
            (folder / name).write_bytes(imagecodecs.png_encode(slice_))
        else:
            tifffile.imwrite(folder / name, slice_, **options)


@pytest.mark.parametrize(
    "name", ["slice_{:04d}.tif", "slice{}.tiff", "{}.png", "em2_z{}_8nm.tif"], ids=["padded", "plain", "png", "within"]
)
@pytest.mark.parametrize("first", [0, 5])
def test_a_folder_of_slices_is_one_volume_in_the_order_of_their_numbers(tmp_path, name, first):
    write(tmp_path / "em", [name.format(number) for number in range(first, first + 12)])
    (tmp_path / "em" / "notes.txt").write_text("not an image")
    volume = open_volume(tmp_path / "em")
    assert volume.shape == (12, 4, 5)
    assert volume.voxels.dtype == np.uint16
    assert np.array_equal(volume.read(), CODED)
    for index in (3, (slice(2, 5), 1), (slice(None, None, -3), slice(1, 3), -1), slice(4, 4)):
        assert np.array_equal(volume.voxels[index], CODED[index])


def test_only_the_slices_that_are_wanted_are_read(tmp_path):
    write(tmp_path / "em", [f"{number}.tif" for number in range(12)], compression="zlib")
    volume = open_volume(tmp_path / "em")
    for number in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11):
        (tmp_path / "em" / f"{number}.tif").unlink()
    assert np.array_equal(volume.voxels[3], CODED[3])
    with pytest.raises(PlanewiseError, match=r"4\.tif"):
        read_voxels(volume, tmp_path / "em", slice(3, 5))


def test_files_that_are_listed(tmp_path):
    write(tmp_path / "em", [f"a{number}.tif" for number in range(3)])
    write(tmp_path / "em", [f"b{number}.tif" for number in range(3)], CODED[5:])
    assert np.array_equal(open_sequence(sorted(tmp_path.glob("em/b*"))[::-1]).read(), CODED[5:8])


def test_spacing_is_that_of_the_sidecar_else_of_the_first_slice(tmp_path):
    about = {"PhysicalSizeX": 8, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 8, "PhysicalSizeYUnit": "nm"}
    about |= {"PhysicalSizeZ": 30, "PhysicalSizeZUnit": "nm"}
    write(tmp_path / "em", [f"{number}.ome.tif" for number in range(3)], metadata={"axes": "YX", **about}, ome=True)
    assert open_volume(tmp_path / "em").spacing == pytest.approx((30, 8, 8))
    (tmp_path / "em.json").write_text(json.dumps({"spacing": [40, 8, 8]}))
    volume = open_volume(tmp_path / "em")
    assert (volume.spacing, volume.unit) == ((40, 8, 8), "nm")
    assert not volume.has_origin


def test_a_channel_of_colour_slices(tmp_path):
    colour = np.stack([CODED, CODED + 1, CODED + 2], axis=-1)
    write(tmp_path / "em", [f"{number}.png" for number in range(12)], colour)
    with pytest.raises(PlanewiseError, match=r"0\.png: has 3 channels.*--channel"):
        open_volume(tmp_path / "em")
    assert np.array_equal(open_volume(tmp_path / "em", 2).read(), CODED + 2)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["s0.tif", "s1.tif", "s3.tif", "s7.tif"], r"lacks number 2, 4 to 6; if no slice is missing"),
        (["s1.tif", "s01.tif", "s2.tif"], r"s01\.tif and s1\.tif have the same number"),
        (["a1.tif", "b2.tif"], r"a1\.tif and b2\.tif differ in more than a number"),
        (["s1.tif", "s2.png"], r"differ in more than a number"),
        (["z1_c0.tif", "z1_c1.tif", "z2_c0.tif"], r"differ in 2 numbers"),
    ],
)
def test_names_that_are_no_sequence(tmp_path, names, words):
    write(tmp_path / "em", names)
    with pytest.raises(PlanewiseError, match=rf"em: .*{words}"):
        open_volume(tmp_path / "em")


def test_gaps_of_any_width_are_found_at_once(tmp_path):
    write(tmp_path / "em", ["s0.tif", "s20260101123000.tif"])
    with pytest.raises(PlanewiseError, match="lacks number 1 to 20260101122999"):
        open_volume(tmp_path / "em")


def test_slices_that_differ_are_named(tmp_path):
    write(tmp_path / "em", ["s0.tif", "s1.tif", "s2.tif"])
    tifffile.imwrite(tmp_path / "em" / "s1.tif", CODED[0, :3])
    with pytest.raises(PlanewiseError, match=r"s1\.tif: is 3 x 5 of uint16, and s0\.tif 4 x 5 of uint16"):
        open_volume(tmp_path / "em")
    tifffile.imwrite(tmp_path / "em" / "s1.tif", CODED[0].astype(np.float32))
    with pytest.raises(PlanewiseError, match=r"s1\.tif: is 4 x 5 of float32"):
        open_volume(tmp_path / "em")
    tifffile.imwrite(tmp_path / "em" / "s1.tif", CODED[:2])
    with pytest.raises(PlanewiseError, match=r"s1\.tif: holds 2 slices"):
        open_volume(tmp_path / "em")
    (tmp_path / "em" / "s1.tif").write_text("not a TIFF")
    with pytest.raises(PlanewiseError, match=r"s1\.tif: begins as no TIFF does"):
        open_volume(tmp_path / "em")


def test_volumes_in_a_folder_are_no_sequence(tmp_path):
    write(tmp_path / "em", ["case_1.tif", "case_2.tif"], CODED.reshape(2, 6, 4, 5))
    with pytest.raises(PlanewiseError, match=r"case_1\.tif: holds 6 slices; each file of an image sequence holds one"):
        open_volume(tmp_path / "em")


def test_a_folder_of_one_image_is_a_volume_of_one_slice(tmp_path):
    write(tmp_path / "em", ["a.tif"])
    assert open_volume(tmp_path / "em").shape == (1, 4, 5)


def test_hidden_files_are_passed_over(tmp_path):
    write(tmp_path / "em", ["1.tif", "2.tif", "._1.tif"])
    assert [path.name for path in images_in(tmp_path / "em")] == ["1.tif", "2.tif"]
    assert open_volume(tmp_path / "em").shape == (2, 4, 5)


def test_headers_are_read_once(tmp_path, monkeypatch):
    write(tmp_path / "em", [f"{number}.tif" for number in range(12)])
    opened = []
    open_slice = image_sequence._open_slice
    monkeypatch.setattr(image_sequence, "_open_slice", lambda *a: opened.append(a) or open_slice(*a))
    open_volume(tmp_path / "em")
    first = len(opened)
    open_volume(tmp_path / "em")
    assert (first, len(opened) - first) == (13, 1)


def test_a_folder_of_neither_slices_nor_dicom(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlanewiseError, match="empty"):
        open_volume(tmp_path / "empty")
