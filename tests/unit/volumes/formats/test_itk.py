import gzip
import struct

import numpy as np
import pytest
import SimpleITK

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats import result_ending
from planewise.volumes.volume import Volume

CODED = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.int16)
NIFTI_1 = {"dim": (40, "<8h"), "pixdim": (76, "<8f"), "slope": (112, "<f"), "units": (123, "<B"), "forms": (252, "<hh"),
           "second row": (296, "<4f")}  # fmt: skip


def write(path, voxels=CODED, vector=False, spacing=(1.0, 2.0, 3.0)):
    image = SimpleITK.GetImageFromArray(voxels, isVector=vector)
    image.SetSpacing([*spacing, 1.0][: image.GetDimension()])
    SimpleITK.WriteImage(image, str(path))


def patch(path, field, change):
    """Change a field of a NIfTI-1 header, compressed or not."""
    compressed = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if compressed else path.read_bytes())
    offset, form = NIFTI_1[field]
    values = list(struct.unpack_from(form, content, offset))
    change(values)
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)) if compressed else bytes(content))


@pytest.mark.parametrize("unit", ["nm", "um", "mm"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_any_unit_is_written_as_millimetres_and_stays_as_large(tmp_path, ending, unit):
    volume = Volume(CODED, (40.0, 8.0, 4.0), unit, (800.0, -16.0, 0.0))
    write_volume(tmp_path / f"a{ending}", volume)
    read = open_volume(tmp_path / f"a{ending}")
    assert read.unit == "mm"
    assert read.spacing_in("nm") == pytest.approx(volume.spacing_in("nm"))
    assert read.in_unit(unit).origin == pytest.approx((800, -16, 0), rel=1e-5, abs=1e-5)
    assert np.allclose(read.direction, np.eye(3))
    if ending == ".nii":
        content = (tmp_path / "a.nii").read_bytes()
        assert content[123] & 7 == 2  # NIFTI_UNITS_MM
        assert struct.unpack_from("<3f", content, 80) == pytest.approx(volume.spacing_in("mm")[::-1])


@pytest.mark.parametrize(("code", "factor"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_the_unit_that_a_nifti_says(tmp_path, code, factor):
    write(tmp_path / "a.nii")
    patch(tmp_path / "a.nii", "units", lambda values: values.__setitem__(0, code))
    volume = open_volume(tmp_path / "a.nii")
    assert (volume.spacing, volume.unit) == (pytest.approx((3 * factor, 2 * factor, factor)), "mm")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_channel_of_a_vector_image(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write(path, np.stack([CODED, CODED + 100], axis=-1), vector=True)
    volume = open_volume(path, 1)
    assert volume.shape == (3, 4, 5)
    assert np.array_equal(volume.read(), CODED + 100)
    assert np.array_equal(volume.voxels[1], CODED[1] + 100)
    assert volume.spacing == (3, 2, 1)
    with pytest.raises(PlanewiseError, match=r"has 2 channels.*--channel"):
        open_volume(path)
    with pytest.raises(PlanewiseError, match="--channel 2 is not one"):
        open_volume(path, 2)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_fourth_axis_is_of_channels(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write(path, np.stack([CODED, CODED + 100]))
    assert np.array_equal(open_volume(path, 1).read(), CODED + 100)
    with pytest.raises(PlanewiseError, match=r"has 2 channels.*--channel"):
        open_volume(path)
    write(path, CODED[None])
    assert np.array_equal(open_volume(path).read(), CODED)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_2d_image_is_a_volume_of_one_slice(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write(path, CODED[0])
    volume = open_volume(path)
    assert (volume.shape, volume.spacing) == ((1, 4, 5), (1, 2, 1))
    assert np.array_equal(volume.read(), CODED[:1])
    assert np.allclose(volume.direction, np.eye(3))
    write_volume(tmp_path / f"b{ending}", volume.with_voxels(volume.read()))
    assert open_volume(tmp_path / f"b{ending}").spacing == (1, 2, 1)


@pytest.mark.parametrize("size", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_nifti_spacing_that_cannot_be_is_refused(tmp_path, ending, size, capfd):
    path = tmp_path / f"a{ending}"
    write(path)
    patch(path, "pixdim", lambda values: values.__setitem__(2, size))
    with pytest.raises(PlanewiseError, match=r"a\.nii(\.gz)?: its spacing \(x, y, z\) is 1, .*, 3"):
        open_volume(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", ["0", "-1", "inf", "nan"])
def test_an_mha_spacing_that_cannot_be_is_refused(tmp_path, size):
    write(tmp_path / "a.mha")
    content = (tmp_path / "a.mha").read_bytes()
    assert b"ElementSpacing = 1 2 3" in content
    (tmp_path / "a.mha").write_bytes(content.replace(b"ElementSpacing = 1", f"ElementSpacing = {size}".encode()))
    with pytest.raises(PlanewiseError, match=r"a\.mha: its spacing"):
        open_volume(tmp_path / "a.mha")


@pytest.mark.parametrize("size", ["0", "inf", "nan"])
def test_an_nrrd_spacing_that_cannot_be_is_refused(tmp_path, size):
    write(tmp_path / "a.nrrd")
    content = (tmp_path / "a.nrrd").read_bytes()
    assert b"(1,0,0)" in content
    (tmp_path / "a.nrrd").write_bytes(content.replace(b"(1,0,0)", f"({size},0,0)".encode()))
    with pytest.raises(PlanewiseError, match=r"a\.nrrd"):
        open_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("side", [0, -4])
def test_a_nifti_side_that_cannot_be_is_refused(tmp_path, side):
    write(tmp_path / "a.nii.gz")
    patch(tmp_path / "a.nii.gz", "dim", lambda values: values.__setitem__(2, side))
    with pytest.raises(PlanewiseError, match=rf"a\.nii\.gz: its header says 3 axes, of 5, {side}, 3 voxels"):
        open_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_nifti_shorter_than_its_header_says_is_refused(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write(path)
    patch(path, "dim", lambda values: values.__setitem__(3, 30))
    with pytest.raises(PlanewiseError, match=r"a\.nii(\.gz)?: is truncated"):
        read_voxels(open_volume(path), path)


@pytest.mark.parametrize(("slope", "factor"), [(2.0, 2.0), (0.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_scaled_nifti_is_complete(tmp_path, ending, slope, factor):
    path = tmp_path / f"a{ending}"
    write(path)
    patch(path, "slope", lambda values: values.__setitem__(0, slope))
    assert np.array_equal(read_voxels(open_volume(path), path), CODED * factor)


def test_what_is_no_nifti(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"short")
    with pytest.raises(PlanewiseError, match=r"a\.nii: is no NIfTI"):
        open_volume(tmp_path / "a.nii")
    (tmp_path / "a.nii").write_bytes(struct.pack("<i8s", 540, b"n+2\0\r\n\x1a\n").ljust(2000))
    with pytest.raises(PlanewiseError, match=r"a\.nii: is a NIfTI-2 file"):
        open_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(("ending", "written"), [(".mhd", ".mha"), (".nhdr", ".nrrd")])
def test_formats_of_two_files_are_read_and_results_about_them_are_one_file(tmp_path, ending, written):
    write(tmp_path / f"a{ending}")
    volume = open_volume(tmp_path / f"a{ending}")
    assert np.array_equal(volume.read(), CODED)
    assert result_ending(tmp_path / f"a{ending}") == written
    with pytest.raises(
        PlanewiseError, match=rf"b{ending}: is in no format that can be written; those end in .*\{written}"
    ):
        write_volume(tmp_path / f"b{ending}", volume)
    assert not list(tmp_path.glob("b*"))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_axes_that_are_not_perpendicular_are_named(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write(path)

    def only_sform(forms):
        forms[:] = 0, 1

    def shear(row):
        row[2] += 1.0

    patch(path, "forms", only_sform)
    patch(path, "second row", shear)
    with pytest.raises(PlanewiseError, match=r"its axes are not perpendicular, as .* a tilted gantry; give the folder"):
        open_volume(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_voxels_that_are_no_numbers_are_refused_where_itk_reads_zeros(tmp_path, ending, dtype):
    voxels = CODED.astype(dtype)
    voxels[1, 2, 2:4] = np.nan
    write(tmp_path / f"a{ending}", voxels)
    volume = open_volume(tmp_path / f"a{ending}")
    with pytest.raises(PlanewiseError, match="2 voxels at z = 1 are NaN or infinite"):
        volume.read()
    voxels[2, 0, 0] = -np.inf
    write(tmp_path / f"a{ending}", voxels)
    with pytest.raises(PlanewiseError, match="3 voxels between z = 1 and 2 are NaN or infinite"):
        open_volume(tmp_path / f"a{ending}").read()
