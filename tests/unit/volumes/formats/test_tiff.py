import json

import numpy as np
import pytest
import tifffile

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.labels import open_labels
from planewise.volumes.volume import Volume

CODED = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.uint16)
CHANNELS = np.stack([CODED, CODED + 100])  # (c, z, y, x)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("axes", "flavour"), [("CZYX", "ome"), ("ZCYX", "ome"), ("TCZYX", "ome"), ("ZCYX", "imagej")])
def test_a_channel_of_several(tmp_path, axes, flavour, compression):
    voxels = CHANNELS.swapaxes(0, 1) if axes == "ZCYX" else CHANNELS
    voxels = voxels[None] if axes == "TCZYX" else voxels
    tifffile.imwrite(tmp_path / "a.tif", voxels, metadata={"axes": axes}, compression=compression, **{flavour: True})
    volume = open_volume(tmp_path / "a.tif", 1)
    assert volume.shape == (3, 4, 5)
    assert np.array_equal(volume.read(), CHANNELS[1])
    assert np.array_equal(volume.voxels[2, 1:3], CHANNELS[1, 2, 1:3])
    with pytest.raises(PlanewiseError, match=r"a\.tif: has 2 channels.*--channel"):
        open_volume(tmp_path / "a.tif")
    with pytest.raises(PlanewiseError, match=r"a\.tif: has 2 channels, 0 to 1; --channel 2"):
        open_volume(tmp_path / "a.tif", 2)


def test_the_channel_of_a_file_with_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CODED, photometric="minisblack")
    assert np.array_equal(open_volume(tmp_path / "a.tif", 0).read(), CODED)
    with pytest.raises(PlanewiseError, match="has 1 channel, which is 0; --channel 1"):
        open_volume(tmp_path / "a.tif", 1)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("slices", [1, 4])
def test_colour(tmp_path, slices, compression):
    colour = np.arange(slices * 6 * 7 * 3, dtype=np.uint16).reshape(slices, 6, 7, 3)
    tifffile.imwrite(tmp_path / "a.tif", colour.squeeze(), photometric="rgb", compression=compression)
    assert np.array_equal(open_volume(tmp_path / "a.tif", 2).read(), colour[..., 2])
    with pytest.raises(PlanewiseError, match=r"a\.tif: has 3 channels"):
        open_volume(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("slices", [3, 4])
def test_three_slices_are_no_colours(tmp_path, slices, compression):
    stack = np.arange(slices * 6 * 7, dtype=np.uint8).reshape(slices, 6, 7)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", planarconfig="separate", compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.series[0].axes == "SYX"  # as an old tifffile wrote a stack of three or four slices
    assert np.array_equal(open_volume(tmp_path / "a.tif").read(), stack)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_a_stack_that_is_called_time_is_a_stack_and_it_is_said_once(tmp_path, capsys, axes, kind):
    tifffile.imwrite(tmp_path / "a.tif", CODED, metadata={"axes": axes}, **{kind: True})
    for _ in range(2):
        assert np.array_equal(open_volume(tmp_path / "a.tif").read(), CODED)
    printed = capsys.readouterr().err
    assert printed.count("a.tif: declares its frames as time points") == (axes == "TYX")


def test_slices_at_several_times_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CHANNELS, metadata={"axes": "TZYX"}, ome=True)
    with pytest.raises(PlanewiseError, match=r"a\.tif: has shape .*one time point is needed"):
        open_volume(tmp_path / "a.tif")


def test_axes_without_names_are_refused_with_a_channel_too(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CHANNELS, photometric="minisblack")
    for channel in (None, 0):
        with pytest.raises(PlanewiseError, match=r"a\.tif: has shape \(2, 3, 4, 5\)"):
            open_volume(tmp_path / "a.tif", channel)


@pytest.mark.parametrize("metadata", [{}, None], ids=["shaped", "plain"])
@pytest.mark.parametrize("other", [np.zeros((5, 5), np.uint16), np.zeros((4, 5), np.float32)], ids=["size", "type"])
def test_pages_of_different_sizes_or_types_are_refused(tmp_path, metadata, other):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in (*CODED, other):
            tiff.write(page, contiguous=False, metadata=metadata)
    with pytest.raises(PlanewiseError, match=r"a\.tif: holds .* images \(.*4 x 5 uint16, .*\), not one"):
        open_volume(tmp_path / "a.tif")


def test_several_images_in_an_ome_tiff_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        tiff.write(CODED, metadata={"axes": "ZYX"}, photometric="minisblack")
        tiff.write(CODED, metadata={"axes": "ZYX"}, photometric="minisblack")
    with pytest.raises(PlanewiseError, match=r"a\.ome\.tif: holds 2 images \(3 x 4 x 5 uint16\), not one"):
        open_volume(tmp_path / "a.ome.tif")


def test_slabs_of_a_pyramid_in_subifds_are_read(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 255, (4, 64, 64)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as tiff:
        tiff.write(voxels, subifds=1, tile=(32, 32), metadata={"axes": "ZYX"}, compression="zlib")
        tiff.write(voxels[:, ::2, ::2], subfiletype=1, tile=(32, 32), compression="zlib")
    volume = open_volume(tmp_path / "p.ome.tif")
    assert np.array_equal(volume.voxels[1:3], voxels[1:3])
    assert np.array_equal(volume.read(), voxels)


def test_a_thumbnail_and_a_pyramid_do_not_count(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(CODED, photometric="minisblack")
        tiff.write(CODED[0, ::2, ::2], subfiletype=1)
    assert np.array_equal(open_volume(tmp_path / "a.tif").read(), CODED)
    with tifffile.TiffWriter(tmp_path / "b.ome.tif", ome=True) as tiff:
        tiff.write(CODED, photometric="minisblack", metadata={"axes": "ZYX"}, subifds=1)
        tiff.write(CODED[:, ::2, ::2], photometric="minisblack", subfiletype=1)
    assert np.array_equal(open_volume(tmp_path / "b.ome.tif").read(), CODED)


def write_ome(path, **sizes):
    tifffile.imwrite(path, CODED, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **sizes})


def test_ome_units_that_differ_are_brought_to_one(tmp_path):
    sizes = {"PhysicalSizeX": 0.008, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 80, "PhysicalSizeYUnit": "Å"}
    write_ome(tmp_path / "a.tif", **sizes, PhysicalSizeZ=40, PhysicalSizeZUnit="nm")
    volume = open_volume(tmp_path / "a.tif")
    assert (volume.spacing, volume.unit) == (pytest.approx((0.04, 0.008, 0.008)), "um")


def test_an_ome_unit_that_is_missing_is_um_and_an_ome_z_is_as_x(tmp_path):
    write_ome(tmp_path / "a.tif", PhysicalSizeX=5.0, PhysicalSizeXUnit="nm", PhysicalSizeY=0.005)
    volume = open_volume(tmp_path / "a.tif")
    assert (volume.spacing, volume.unit) == (pytest.approx((5, 5, 5)), "nm")


@pytest.mark.parametrize(("z_unit", "z"), [("nm", 0.04), ("um", 40.0), (None, 40.0)])
def test_imagej_units_that_differ_are_brought_to_one(tmp_path, z_unit, z):
    metadata = {"axes": "ZYX", "spacing": 40, "unit": "\\u00B5m"} | ({"zunit": z_unit} if z_unit else {})
    tifffile.imwrite(tmp_path / "a.tif", CODED, imagej=True, resolution=(125, 125), metadata=metadata)
    volume = open_volume(tmp_path / "a.tif")
    assert (volume.spacing, volume.unit) == (pytest.approx((z, 0.008, 0.008)), "um")


@pytest.mark.parametrize("size", ["0", "-5", "nan", "inf"])
def test_an_ome_size_that_cannot_be_is_refused(tmp_path, size):
    write_ome(tmp_path / "a.tif", PhysicalSizeX=123.0, PhysicalSizeY=1.0, PhysicalSizeZ=1.0)
    content = (tmp_path / "a.tif").read_bytes()
    assert content.count(b'="123.0"') == 1
    (tmp_path / "a.tif").write_bytes(content.replace(b'="123.0"', f'="{size}"'.ljust(8).encode()))
    with pytest.raises(PlanewiseError, match=r"a\.tif: its spacing \(z, y, x\) is 1, 1, "):
        open_volume(tmp_path / "a.tif")


@pytest.mark.parametrize(("resolution", "spacing"), [((0, 1), 1.0), ((1, 1), -1.0), ((1, 1), 0.0)])
def test_an_imagej_size_that_cannot_be_is_refused(tmp_path, resolution, spacing):
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": spacing}
    tifffile.imwrite(tmp_path / "a.tif", CODED, imagej=True, resolution=(resolution, (1, 1)), metadata=metadata)
    with pytest.raises(PlanewiseError, match=r"a\.tif: its spacing"):
        open_volume(tmp_path / "a.tif")


@pytest.mark.parametrize("spacing", ["[40, 8, Infinity]", "[40, 8, NaN]", "[40, 8, true]", "[40, 8, -8]", '"40"'])
def test_a_sidecar_that_cannot_be_is_refused(tmp_path, spacing):
    tifffile.imwrite(tmp_path / "a.tif", CODED, photometric="minisblack")
    (tmp_path / "a.json").write_text(f'{{"spacing": {spacing}}}')
    with pytest.raises(PlanewiseError, match=r"a\.json: spacing is .*three positive numbers"):
        open_volume(tmp_path / "a.tif")


def test_a_sidecar_in_angstrom(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    tifffile.imwrite(tmp_path / "imagesTr" / "a_0000.tif", CODED, photometric="minisblack")
    (tmp_path / "imagesTr" / "a.json").write_text(json.dumps({"spacing": [400, 80, 80]}))
    (tmp_path / "dataset.json").write_text(json.dumps({"spacing_unit": "angstrom"}))
    volume = open_volume(tmp_path / "imagesTr" / "a_0000.tif")
    assert (volume.spacing, volume.unit) == (pytest.approx((40, 8, 8)), "nm")


@pytest.mark.parametrize(
    ("unit", "imagej_unit", "ome_unit"), [("nm", "nm", "nm"), ("um", "um", "µm"), ("mm", "mm", "mm")]
)
def test_fiji_and_napari_both_see_the_spacing(tmp_path, unit, imagej_unit, ome_unit):
    write_volume(tmp_path / "a.tiff", Volume(CODED, (30.0, 4.0, 8.0), unit))
    with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
        assert tiff.is_ome
        assert tiff.is_imagej
        assert (tiff.series[0].kind, tiff.series[0].axes) == ("ome", "ZYX")
        about = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        pixels = about["Pixels"]
        assert about["Name"] == "a"
        assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [30, 4, 8]
        assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {ome_unit}
        assert (tiff.imagej_metadata["unit"], tiff.imagej_metadata["spacing"]) == (unit, 30)
        assert (tiff.imagej_metadata["images"], tiff.imagej_metadata["slices"]) == (3, 3)
        tags = tiff.pages[0].tags
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((1, 8), (1, 4))  # pixels in a unit
        assert tags["ResolutionUnit"].value == 1  # none of TIFF's own: ImageJ's description says it
        assert np.array_equal(tiff.asarray(), CODED)


def test_descriptions_come_in_the_order_that_both_readers_need(tmp_path):
    """Bio-Formats and libtiff keep the first of two descriptions, ImageJ the last that begins with its name."""
    write_volume(tmp_path / "a.tiff", Volume(CODED, (30.0, 4.0, 8.0), "nm"))
    content = (tmp_path / "a.tiff").read_bytes()
    start = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[start : start + 2], "little")
    entries = [content[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    tags = [int.from_bytes(entry[:2], "little") for entry in entries]
    assert tags == sorted(tags)
    offsets = [int.from_bytes(entry[8:], "little") for entry in entries if entry[:2] == (270).to_bytes(2, "little")]
    first, second = (content[offset : offset + 7] for offset in offsets)
    assert (first[:5], second) == (b"<?xml", b"ImageJ=")


def test_without_a_spacing_nobody_is_told_one(tmp_path):
    write_volume(tmp_path / "a.tiff", Volume(CODED))
    with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
        assert tiff.is_ome
        assert not tiff.is_imagej
        assert "PhysicalSize" not in tiff.ome_metadata
    assert open_volume(tmp_path / "a.tiff").unit == "pixel"


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.float16])
@pytest.mark.parametrize(("spacing", "unit"), [((8.0, 4.0, 4.0), "nm"), ((1.0, 1.0, 1.0), "pixel")])
def test_types_that_ome_has_no_name_for_are_written_without_it(tmp_path, dtype, spacing, unit):
    voxels = CODED.astype(dtype) + dtype(0 if dtype is np.float16 else 2**40)
    write_volume(tmp_path / "a.tiff", Volume(voxels, spacing, unit))
    read = open_volume(tmp_path / "a.tiff")
    assert (read.spacing, read.unit) == (spacing, unit)
    np.testing.assert_array_equal(read.read(), voxels)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_a_z_that_is_not_stated_is_as_x_and_it_is_said(tmp_path, capsys, kind):
    about = {"unit": "um"} if kind == "imagej" else {f"PhysicalSize{axis}{what}": value for axis in "XY"
                                                     for what, value in (("", 0.005), ("Unit", "um"))}  # fmt: skip
    for name, voxels in (("stack", CODED), ("slice", CODED[0])):
        metadata = {"axes": "ZYX"[-voxels.ndim :], **about}
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels, resolution=(200, 200), metadata=metadata, **{kind: True})
        for _ in range(2):
            volume = open_volume(tmp_path / f"{name}.tif")
            assert volume.spacing == pytest.approx((0.005, 0.005, 0.005))
    said = capsys.readouterr().err
    assert said.count("stack.tif: does not state the distance of its slices: 0.005 um is taken, as along x") == 1
    assert "slice.tif" not in said
    (tmp_path / "stack.json").write_text('{"spacing": [30, 5, 5]}')
    assert open_volume(tmp_path / "stack.tif").spacing == (30, 5, 5)
    assert capsys.readouterr().err == ""


def test_a_sidecar_that_differs_from_its_file_is_taken_and_it_is_said(tmp_path, capsys):
    write_volume(tmp_path / "a.tif", Volume(CODED, (0.03, 0.005, 0.005), "um"))
    (tmp_path / "a.json").write_text('{"spacing": [30, 5, 5]}')
    assert open_volume(tmp_path / "a.tif").spacing == (30, 5, 5)
    assert capsys.readouterr().err == ""
    (tmp_path / "a.json").write_text('{"spacing": [8, 8, 8]}')
    assert open_volume(tmp_path / "a.tif").spacing == (8, 8, 8)
    said = capsys.readouterr().err
    assert "voxels (z, y, x) of 8 x 8 x 8 nm, and a.tif itself gives 0.03 x 0.005 x 0.005 um: the for" in said


def test_a_sidecar_without_a_spacing_is_said(tmp_path, capsys):
    write_volume(tmp_path / "a.tif", Volume(CODED))
    (tmp_path / "a.json").write_text('{"spacng": [30, 5, 5]}')
    assert open_volume(tmp_path / "a.tif").unit == "pixel"
    assert 'a.json: names no "spacing" (it holds spacng)' in capsys.readouterr().err


def test_a_damaged_file_is_described_in_plain_words(tmp_path):
    path = tmp_path / "a.tif"
    voxels = np.random.default_rng(0).integers(0, 99, (9, 40, 40), np.uint8)
    tifffile.imwrite(path, voxels, photometric="minisblack", compression="zlib")
    whole = path.read_bytes()
    for damaged, said in (
        (
            whole[: len(whole) // 2],
            r"is damaged: it ends at byte [\d,]+, and names a page at byte [\d,]+; copy",
        ),
        (whole[:-500], r"a page cannot be decoded \(.+\); unless .* the file is damaged: copy it again"),
        (b"text" * 9, "begins as no TIFF does; copy the file again, or name it by its format"),
        (b"", "is empty; copy the file again"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(PlanewiseError, match=rf"a\.tif: {said}"):
            read_voxels(open_volume(path), path)
    tifffile.imwrite(path, voxels, photometric="minisblack")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(PlanewiseError, match=r"a\.tif: is truncated: 9,000 of [\d,]+ bytes are there; copy"):
        open_volume(path)


def test_why_a_page_is_not_decoded_is_said(tmp_path, monkeypatch):
    """It need not be the file's fault."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((9, 40, 40), np.uint8), photometric="minisblack", compression="zlib")
    volume = open_volume(path)

    def no_thread(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(tifffile.TiffFile, "asarray", no_thread)
    with pytest.raises(PlanewiseError, match=r"cannot be decoded \(can't start new thread\); unless memory or threads"):
        volume.read()


def test_colours_are_no_labels_and_no_option_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 9, 9, 3), np.uint8), photometric="rgb")
    with pytest.raises(
        PlanewiseError, match=r"has 3 channels \(.*\); a label volume has one number for each voxel"
    ) as e:
        open_labels(tmp_path / "a.tif")
    assert "--channel" not in str(e.value)
