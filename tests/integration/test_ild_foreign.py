"""Segmentations of other programs, which leave out empty slices, measured and scored as a user does."""

import csv

import numpy as np
import pydicom
import pytest

from chest_boxes import SPACING_MM, chest_boxes
from dicom import write_dicom, write_sparse_segmentation
from planewise.cli import run
from planewise.volumes.files import open_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

pytest.importorskip("highdicom", reason="DICOM segmentations are written by it: pip install planewise[dicom]")

TAGS = {
    "FrameOfReferenceUID": "1.2.9", "PatientName": "Doe^Jane", "PatientBirthDate": "", "PatientSex": "",
    "AccessionNumber": "", "StudyID": "", "StudyTime": "", "SpacingBetweenSlices": 5.0,
}  # fmt: skip
NOTE = "on its grid; around them it is taken as empty"


@pytest.fixture
def patient(tmp_path):
    """A series ct/P1, its labels as fseg/P1.seg.dcm without the empty slices, and whole as truth/P1.nii.gz."""
    hu, labels, lungs = chest_boxes()
    files = write_dicom(tmp_path / "ct" / "P1", hu.read(), spacing=SPACING_MM, **TAGS)
    write_sparse_segmentation(tmp_path / "fseg" / "P1.seg.dcm", files, labels.read())
    for name, volume in (("truth", labels), ("lungs", lungs)):
        write_labels(tmp_path / name / "P1.nii.gz", Volume(volume.read(), SPACING_MM, "mm"))
    assert open_volume(tmp_path / "fseg" / "P1.seg.dcm").shape[0] < len(files)
    return tmp_path


def row(path):
    with path.open(newline="") as file:
        return next(csv.DictReader(file))


def measure(patient, labels, images="ct/P1", *more):
    return run(["ild", "measure", str(patient / labels), "--images", str(patient / images), "--lungs",
                str(patient / "lungs"), "--output", str(patient / "out" / labels), *more])  # fmt: skip


def test_a_segmentation_without_empty_slices_is_measured_as_the_whole(patient, capsys):
    assert measure(patient, "fseg") == 0
    assert " ".join(capsys.readouterr().err.split()).count(NOTE) == 1
    assert measure(patient, "truth", "ct/P1", "--classes", "class 1=1", "class 2=2", "class 3=3") == 0
    sparse, whole = (row(patient / "out" / labels / "measures.csv") for labels in ("fseg", "truth"))
    numbers = [column for column in whole if column.endswith(("_ml", "_percent"))]
    assert [sparse[column] for column in numbers] == [whole[column] for column in numbers]
    assert float(sparse["class_1_ml"]) == pytest.approx(54)


@pytest.mark.parametrize("order", [("fseg", "truth"), ("truth", "fseg")], ids=["prediction", "truth"])
def test_a_segmentation_without_empty_slices_is_scored_against_the_whole(patient, order, capsys):
    predicted, truth = (str(patient / name) for name in order)
    assert run(["ild", "evaluate", predicted, truth, "--output", str(patient / "scores")]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.count(NOTE) == 1
    with (patient / "scores" / "results.csv").open(newline="") as file:
        dices = [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "dsc"]
    assert dices == [1.0, 1.0, 1.0]


def test_a_segmentation_that_is_called_like_a_slice_is_to_be_renamed(patient, capsys):
    (patient / "fseg" / "P1.seg.dcm").rename(patient / "fseg" / "P1.dcm")
    printed = "the name of a DICOM segmentation ends in .seg.dcm"
    assert measure(patient, "fseg") == 2
    assert f"{patient / 'fseg'}: holds no volumes; labels are" in (err := capsys.readouterr().err)
    assert printed in err
    for pair in (("fseg", "truth"), ("truth", "fseg")):
        assert run(["ild", "evaluate", *(str(patient / name) for name in pair)]) == 2
        assert printed in capsys.readouterr().err


def test_labels_that_cannot_be_read_are_refused_in_their_readers_words(patient, capsys):
    path = patient / "fseg" / "P1.seg.dcm"
    file = pydicom.dcmread(path)
    file.SegmentationType, file.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    file.save_as(path)
    printed = (
        f"{path}: is a FRACTIONAL segmentation: every voxel has a share (PROBABILITY), not a label; choose a threshold"
    )
    for command in (["measure", "fseg", "--images", str(patient / "ct")], ["evaluate", "truth", "fseg"]):
        with_paths = [str(patient / word) if word in ("fseg", "truth") else word for word in command]
        assert run(["ild", *with_paths, "--output", str(patient / "out")]) == 2
        err = capsys.readouterr().err
        assert printed in err
        assert "no dataset.json names the classes" in err


def test_labels_that_are_all_empty_name_no_classes(patient, capsys):
    write_labels(patient / "truth" / "P1.nii.gz", Volume(np.zeros((24, 40, 60), np.uint8), SPACING_MM, "mm"))
    assert measure(patient, "truth") == 2
    printed = f"{patient / 'truth'}: holds no labels above 0, and no dataset.json names the classes"
    assert printed in capsys.readouterr().err


def test_labels_without_a_ct_are_said_with_the_cases_that_there_are(patient, capsys):
    """One series alone is named after the folder that is given, not after its own."""
    (patient / "fseg" / "P2.seg.dcm").write_bytes((patient / "fseg" / "P1.seg.dcm").read_bytes())
    assert measure(patient, "fseg", "ct") == 2
    assert "--images holds none of case P1, but of ct" in " ".join(capsys.readouterr().out.split())
