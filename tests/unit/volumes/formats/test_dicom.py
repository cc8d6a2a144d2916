"""DICOM: what a folder holds, where its slices lie, and what keeps them from being a volume."""

import locale
import pickle
import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from dicom import AXIAL, CORONAL, SAGITTAL, change, write_dicom, write_enhanced, write_file
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import list_series, listed, open_series, read_folder
from planewise.volumes.tilt import tilt_degrees, upright

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


@pytest.fixture
def hu() -> np.ndarray:
    """Voxels (6, 7, 8) that tell their own place."""
    return np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8) - 200


@pytest.fixture
def _locale():
    """GDCM changes the process's locale."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def refused(folder: Path) -> str:
    with pytest.raises(PlanewiseError) as error:
        open_volume(folder)
    return str(error.value)


# ---- geometry


@pytest.mark.usefixtures("_locale")
@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
def test_every_voxel_lies_where_itk_says(tmp_path, hu, orientation):
    write_dicom(tmp_path, hu, spacing=(3, 0.5, 0.75), orientation=orientation, origin=(10, -20, 30))
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = SimpleITK.ReadImage(names)
    volume = open_volume(tmp_path)
    assert np.array_equal(volume.read(), hu)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), hu)
    for index in np.ndindex(2, 2, 2):
        ours = np.asarray(volume.origin) + np.asarray(volume.direction) @ np.multiply(index, volume.spacing)
        theirs = image.TransformIndexToPhysicalPoint(index[::-1])
        assert ours[::-1] == pytest.approx(theirs, abs=1e-4)
    assert volume.tilt == (0, 0)


def test_slices_are_ordered_by_where_they_lie_not_by_name_or_number(tmp_path, hu):
    files = write_dicom(tmp_path / "in", hu, origin=(0, 0, -12))
    for z, path in enumerate(files):
        change(path, InstanceNumber=6 - z)
        path.rename(tmp_path / "in" / f"IM{(z * 5) % 6}")  # no ending either
    volume = open_volume(tmp_path / "in")
    assert np.array_equal(volume.read(), hu)
    assert volume.spacing == (5, 2.5, 2.5)
    assert volume.origin == (-12, 0, 0)


def test_missing_slices_are_named_with_their_neighbours(tmp_path, hu):
    files = write_dicom(tmp_path, np.concatenate([hu, hu]))
    files[3].unlink()
    files[7].unlink()
    files[8].unlink()
    words = refused(tmp_path)
    assert "1 slice of 5 mm missing between slice 3 (002.dcm, 10.00 mm) and slice 4 (004.dcm, 20.00 mm)" in words
    assert "2 slices of 5 mm missing between slice 6 (006.dcm, 30.00 mm) and slice 7 (009.dcm, 45.00 mm)" in words
    assert "export the whole series again" in words


def test_uneven_slices_are_named_and_rounding_passes(tmp_path, hu):
    files = write_dicom(tmp_path, hu)
    for z, path in enumerate(files):
        change(path, ImagePositionPatient=[0, 0, 5 * z + (0.02 if z == 2 else 0)])  # 0.4 % of the spacing
    assert open_volume(tmp_path).spacing[0] == pytest.approx(5)
    for z, path in enumerate(files):
        change(path, ImagePositionPatient=[0, 0, round(0.625 * z, 1)])  # 0.6 and 0.7, by rounding alone
    assert open_volume(tmp_path).spacing[0] == pytest.approx(0.62)
    for z, path in enumerate(files):
        change(path, ImagePositionPatient=[0, 0, 5 * z])
    change(files[2], ImagePositionPatient=[0, 0, 10.4])
    words = refused(tmp_path)
    assert "not evenly spaced (usually 5 mm)" in words
    assert "slice 2 (001.dcm, 5.00 mm) and slice 3 (002.dcm, 10.40 mm) lie 5.4 mm apart" in words


def test_doubled_positions_are_named_and_copies_of_a_file_are_passed_over(tmp_path, hu, capsys):
    files = write_dicom(tmp_path, hu)
    shutil.copy(files[1], tmp_path / "copy of 001.dcm")
    assert np.array_equal(open_volume(tmp_path).read(), hu)
    assert "passed over copies of files (1): copy of 001.dcm" in capsys.readouterr().err
    change(tmp_path / "copy of 001.dcm", SOPInstanceUID="1.9")
    words = refused(tmp_path)
    assert "1 positions are doubled" in words
    assert "(001.dcm, 5.00 mm) and slice 3 (copy of 001.dcm, 5.00 mm) lie in one place" in words


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImageOrientationPatient": [*CORONAL]}, "coronal, 7 x 8: 002.dcm"),
        ({"Columns": 4, "PixelData": bytes(56)}, "axial, 7 x 4: 002.dcm at 10.0 mm"),
        ({"PixelSpacing": [2.5, 2.6]}, "slice 3 (002.dcm, 10.00 mm) has pixels of 2.5 x 2.6 mm; the others have 2.5 x"),
        ({"RescaleType": "MGML"}, "slice 3 (002.dcm, 10.00 mm) holds MGML, not HU"),
        ({"RescaleSlope": None}, "slice 3 (002.dcm, 10.00 mm) lacks RescaleSlope and RescaleIntercept"),
        ({"ImagePositionPatient": None}, "002.dcm has no position in the patient"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "slice 3 (002.dcm, 10.00 mm) is stored as MONOCHROME1"),
        (
            {"ImagePositionPatient": [0, 4, 10]},
            "slice 3 (002.dcm, 10.00 mm) lies 4.00 mm beside the line",
        ),
    ],
)
def test_a_slice_unlike_the_others_is_named(tmp_path, hu, tags, words):
    files = write_dicom(tmp_path, hu)
    change(files[2], **tags)
    assert words in refused(tmp_path)


def test_one_slice_is_a_volume_as_thick_as_it_says(tmp_path, hu):
    [file] = write_dicom(tmp_path, hu[:1])
    assert open_volume(tmp_path).spacing == (5, 2.5, 2.5)
    change(file, SliceThickness=None)
    assert "SliceThickness does not say how thick" in refused(tmp_path)


# ---- gantry tilt


def test_a_tilted_gantry_is_seen_and_every_slice_goes_to_its_place(tmp_path):
    angle = np.radians(15)
    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))  # the table moves along z, whatever the gantry does
    step = 3 * np.cos(angle), -3 * np.sin(angle)
    z, y, _ = np.meshgrid(np.arange(8), np.arange(30), np.arange(6), indexing="ij")
    pixel = 0.5
    height = 3 * z - np.sin(angle) * y * pixel  # of each voxel over the table's zero, by hand
    hu = np.rint(1000 - 20 * height)
    write_dicom(tmp_path, hu, spacing=(step[0], pixel, pixel), orientation=orientation, tilt=(step[1], 0))
    positions = [list(pydicom.dcmread(path).ImagePositionPatient) for path in sorted(tmp_path.iterdir())]
    assert np.allclose(np.diff(positions, axis=0), [0, 0, 3], atol=1e-5)
    volume = open_volume(tmp_path)
    assert volume.spacing[0] == pytest.approx(step[0], abs=1e-5)
    assert tilt_degrees(volume) == pytest.approx(15, abs=1e-3)
    assert np.array_equal(volume.read(), hu)  # the slices as they are
    straight = upright(volume)
    voxels = straight.read()
    inside = 0
    for index in np.ndindex(straight.shape):
        place = np.asarray(straight.origin) + np.asarray(straight.direction) @ np.multiply(index, straight.spacing)
        row = (place[1] / np.cos(angle)) / pixel  # of the slice: y in the patient is only along the columns
        if 0 <= row <= 29:
            inside += 1
            assert voxels[index] == pytest.approx(1000 - 20 * place[0], abs=1.1)
    assert inside > 0.9 * hu.size


def test_a_shift_of_less_than_half_a_pixel_is_no_tilt(tmp_path, hu):
    write_dicom(tmp_path, hu, tilt=(0.2, 0))  # 1 mm in all, of pixels of 2.5 mm
    assert open_volume(tmp_path).tilt == (0, 0)


def test_a_tilt_that_only_the_header_knows_is_told(tmp_path, hu, capsys):
    write_dicom(tmp_path, hu, GantryDetectorTilt=-12)
    assert open_volume(tmp_path).tilt == (0, 0)
    assert "tilted by -12 degrees, but the positions of its slices do not" in capsys.readouterr().err


# ---- values


@pytest.mark.parametrize(
    ("bits", "signed", "rescale", "dtype"),
    [
        (16, True, (1, 0), np.int16),
        (12, False, (1, -1024), np.int16),
        (12, True, (1, -24), np.int16),
        (16, False, (1, -1024), np.int32),
        (16, True, (0.5, 0.25), np.float32),
    ],
)
def test_values_are_hu_however_they_are_stored(tmp_path, hu, bits, signed, rescale, dtype):
    values = hu + rescale[1] % 1
    write_dicom(tmp_path, values, bits=bits, signed=signed, rescale=rescale)
    volume = open_volume(tmp_path)
    assert volume.voxels.dtype == dtype
    assert volume.read().dtype == dtype
    assert np.array_equal(volume.read(), values)


def test_bits_beyond_those_stored_are_nothing(tmp_path, hu):
    files = write_dicom(tmp_path, hu, bits=12, signed=False, rescale=(1, -1024))
    for path in files:
        stored = np.frombuffer(pydicom.dcmread(path).PixelData, "<u2") | 0xF000  # overlays were kept there once
        change(path, PixelData=stored.astype("<u2").tobytes())
    assert np.array_equal(open_volume(tmp_path).read(), hu)


def test_each_slice_has_its_own_rescale(tmp_path, hu):
    files = write_dicom(tmp_path, hu)
    stored = np.frombuffer(pydicom.dcmread(files[2]).PixelData, "<i2") + 1000
    change(files[2], PixelData=stored.astype("<i2").tobytes(), RescaleIntercept=-1000)
    assert np.array_equal(open_volume(tmp_path).read(), hu)


def test_a_ct_without_rescale_is_refused_unless_its_values_may_be_hu(tmp_path, hu, capsys):
    write_dicom(tmp_path / "a", hu + 200, signed=False, rescale=None)
    assert "no slice has RescaleSlope and RescaleIntercept, without which values are not HU" in refused(tmp_path / "a")
    write_dicom(tmp_path / "b", hu, rescale=None)
    assert np.array_equal(open_volume(tmp_path / "b").read(), hu)
    assert "its signed values are taken as HU as they stand" in capsys.readouterr().err
    write_dicom(tmp_path / "c", hu + 200, signed=False, rescale=None, Modality="MR")  # has no HU
    assert np.array_equal(open_volume(tmp_path / "c").read(), hu + 200)


@pytest.mark.usefixtures("_locale")
@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_slices_are_read(tmp_path, hu, syntax):
    encoders = {
        JPEGLossless: imagecodecs.ljpeg_encode,
        JPEGLosslessSV1: imagecodecs.ljpeg_encode,
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0),
    }
    files = write_dicom(tmp_path, hu, rescale=(1, -1024), bits=12, signed=False)
    for path in files:
        file = pydicom.dcmread(path)
        if syntax == RLELossless:
            file.compress(RLELossless, generate_instance_uid=False)
        else:
            file.PixelData = encapsulate([encoders[syntax](file.pixel_array)])
            file["PixelData"].VR = "OB"
            file.file_meta.TransferSyntaxUID = syntax
        file.save_as(path)
    assert np.array_equal(open_volume(tmp_path).read(), hu)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage([str(path) for path in files])), hu)


@pytest.mark.usefixtures("_locale")
@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_signed_slices_that_gdcm_compressed_are_read(tmp_path, hu, compressor):
    for path in write_dicom(tmp_path, hu):
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.SetFileName(str(path))
        writer.Execute(SimpleITK.ReadImage(str(path)))
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(open_volume(tmp_path).read(), hu)


def test_what_is_compressed_in_no_way_that_is_read_is_named(tmp_path, hu):
    for path in write_dicom(tmp_path, hu):
        file = pydicom.dcmread(path)
        file.PixelData = encapsulate([b"\0" * 64])
        file["PixelData"].VR = "OB"
        file.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
        file.save_as(path)
    with pytest.raises(PlanewiseError, match=r"000.dcm: is compressed as MPEG-4.*decompress it first"):
        open_volume(tmp_path).read()


def test_an_enhanced_ct_is_one_file_of_many_frames(tmp_path, hu):
    write_enhanced(tmp_path / "IM1", hu, (1.25, 0.5, 0.75))
    volume = open_volume(tmp_path)
    assert np.array_equal(volume.read(), hu)
    assert volume.spacing == (1.25, 0.5, 0.75)
    [series] = list_series(tmp_path)
    assert (series.kernel, series.thickness_mm, len(series.slices)) == ("Br59f", 1.25, 6)


# ---- what a folder holds


def test_series_are_listed_at_any_depth_among_other_files(tmp_path, hu):
    write_dicom(tmp_path / "P2" / "b" / "c", hu, ending="", uid="1.7", PatientID="P2", SeriesNumber=4,
                SeriesDescription="Thorax  1.0", ConvolutionKernel=["Br59f", "3"], SliceThickness=1)  # fmt: skip
    flat = tmp_path / "flat"
    write_dicom(flat, hu, uid="1.4", SeriesNumber=10)
    for number, path in enumerate(write_dicom(tmp_path / "x", hu[:4], uid="1.5", SeriesNumber=9, orientation=CORONAL)):
        path.rename(flat / f"other{number}")
    write_file(flat / "scout", np.zeros((9, 9)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_file(flat / "report.dcm", None, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    write_file(tmp_path / "DICOMDIR", None, SOPClassUID="1.2.840.10008.1.3.10")
    (tmp_path / "README").write_text("what is here")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    (flat / "._000.dcm").write_bytes(b"a Mac was here")
    (tmp_path / "P2" / "again").symlink_to(tmp_path)
    contents = read_folder(tmp_path)
    assert contents.left_out == {"localizers": 1, "SR objects": 1}
    assert contents.problems == ()
    nine, ten, thorax = contents.series
    assert (nine.number, nine.orientation, len(nine.slices), nine.spacing_mm) == ("9", "coronal", 4, 5)
    assert (ten.number, ten.orientation, ten.folder) == ("10", "axial", flat)
    assert (thorax.patient, thorax.study_date, thorax.description) == ("P2", "20240102", "Thorax 1.0")
    assert (thorax.kernel, thorax.thickness_mm, thorax.modality) == ("Br59f 3", 1, "CT")
    assert np.array_equal(open_series(ten).read(), hu)
    words = refused(tmp_path)
    assert "holds 3 DICOM series" in words
    assert "series 4 'Thorax 1.0' (Br59f 3, 6 slices of 1 mm)" in words
    assert "--series" in words


def test_files_without_a_preamble_are_read(tmp_path, hu):
    for path in write_dicom(tmp_path, hu, SpecificCharacterSet="ISO_IR 100"):
        file = pydicom.dcmread(path)
        del file.file_meta
        file.preamble = None
        path.unlink()
        file.save_as(path.with_suffix(""), implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.with_suffix("").read_bytes()[:4] == b"\x08\x00\x05\x00"
    assert np.array_equal(open_volume(tmp_path).read(), hu)


def test_a_series_goes_to_other_processes(tmp_path, hu, monkeypatch):
    write_dicom(tmp_path / "a", hu)
    monkeypatch.chdir(tmp_path)
    [series] = list_series(Path("a"))
    there = pickle.loads(pickle.dumps(series.resolved()))
    monkeypatch.chdir("/")
    assert np.array_equal(open_volume(there).read(), hu)


@pytest.mark.parametrize("damage", ["cut", "header", "empty"])
def test_a_damaged_file_is_named_and_its_series_is_not_opened(tmp_path, hu, damage):
    files = write_dicom(tmp_path / "a", hu)
    write_dicom(tmp_path / "b", hu, uid="1.8")
    content = files[5].read_bytes()  # the last: no gap would tell
    files[5].write_bytes({"cut": content[:-50], "header": content[:180], "empty": b""}[damage])
    words = refused(tmp_path / "a")
    assert "005.dcm" in words
    assert "truncated" in words or "damaged" in words
    assert np.array_equal(open_volume(tmp_path / "b").read(), hu)


def test_damaged_pixels_are_named_when_they_are_read(tmp_path, hu):
    files = write_dicom(tmp_path, hu, rescale=(1, -1024), bits=12, signed=False)
    for path in files:
        file = pydicom.dcmread(path)
        file.PixelData = encapsulate([imagecodecs.ljpeg_encode(file.pixel_array)[: 20 if path == files[3] else None]])
        file["PixelData"].VR = "OB"
        file.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        file.save_as(path)
    with pytest.raises(PlanewiseError, match=r"003.dcm: its pixels cannot be read"):
        open_volume(tmp_path).read()


def test_a_folder_without_a_volume_says_what_it_holds(tmp_path):
    (tmp_path / "a").mkdir()
    assert "is an empty folder" in refused(tmp_path / "a")
    (tmp_path / "a" / "notes.txt").write_text("x")
    assert "only files of other kinds" in refused(tmp_path / "a")
    (tmp_path / "b").mkdir()
    write_file(tmp_path / "b" / "s.dcm", None, Modality="RTSTRUCT", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3")
    write_file(tmp_path / "b" / "p.dcm", np.zeros((4, 4)), Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    words = refused(tmp_path / "b")
    assert "RTSTRUCT objects (1)" in words
    assert "images without a position (ImagePositionPatient) (1)" in words


def test_nothing_reaches_the_terminal_and_the_locale_stays(tmp_path, hu, capfd):
    before = locale.setlocale(locale.LC_ALL)
    files = write_dicom(tmp_path, hu)
    for path in files:  # an invalid date and UID, of which pydicom and GDCM warn
        content = path.read_bytes().replace(b"20240102", b"2024.1.2").replace(b"1.2.3.4", b"1.2.x.4")
        path.write_bytes(content)
    assert np.array_equal(open_volume(tmp_path).read(), hu)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert before == locale.setlocale(locale.LC_ALL)


def test_acquisitions_that_join_end_to_end_are_said(tmp_path, hu, capsys):
    half = len(hu) // 2
    files = write_dicom(tmp_path / "a", hu, AcquisitionNumber=1)
    for file in files[half:]:
        content = pydicom.dcmread(file)
        content.AcquisitionNumber = 2
        content.save_as(file)
    np.testing.assert_array_equal(open_volume(tmp_path / "a").read(), hu)
    said = capsys.readouterr().err
    assert f"come from 2 acquisitions, 1 ({half} slices), 2 ({len(hu) - half} slices), which join without a gap" in said


def test_series_that_are_called_alike_are_listed_with_their_uids(tmp_path, hu):
    for uid in ("1.2.3.4", "1.2.3.5"):
        write_dicom(tmp_path / uid, hu, uid=uid)
    series = tuple(list_series(tmp_path))
    assert "series 1, UID 1.2.3.4 (" in listed(series)
    assert "UID" not in listed(series[:1])
