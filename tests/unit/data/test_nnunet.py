import json

import numpy as np
import pytest
import tifffile

from dicom import write_dicom
from planewise.data.case import volumes_in
from planewise.data.nnunet import open_dataset
from planewise.errors import DatasetError, PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume

META = {"channel_names": {"0": "EM"}, "labels": {"background": 0, "x": 1}, "numTraining": 2, "file_ending": ".tiff"}


def write(path, shape=(4, 5, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="minisblack")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps(META))
    for case in "ab":
        write(tmp_path / "imagesTr" / f"{case}_0000.tiff")
        write(tmp_path / "instancesTr" / f"{case}.tiff")
    write(tmp_path / "imagesTs" / "t_0000.tiff")
    write(tmp_path / "instancesTs" / "t.tiff")
    return tmp_path


def test_a_good_dataset(folder):
    dataset = open_dataset(folder, need_test=True)
    assert [case.name for case in dataset.train] == ["a", "b"]
    assert [case.name for case in dataset.test] == ["t"]
    assert all(case.instances for case in dataset.train)
    assert dataset.problems == []


def test_cases_are_paired_by_name_whatever_the_listing_and_the_ending(folder):
    (folder / "instancesTr" / "a.tiff").rename(folder / "instancesTr" / "a.tif")
    (folder / "imagesTr" / "a_0000.tiff").rename(folder / "imagesTr" / "a.tif")
    write(folder / "imagesTr" / "a1_0000.tiff")  # would shift every pair that is made by order
    dataset = open_dataset(folder)
    assert [(case.image.name, case.truth.name) for case in dataset.train] == [
        ("a.tif", "a.tif"),
        ("b_0000.tiff", "b.tiff"),
    ]
    assert [problem.what for problem in dataset.problems] == ["has no instancesTr/a1.tiff"]


def test_every_problem_is_listed_at_once(folder):
    write(folder / "imagesTr" / "c_0000.tiff")
    write(folder / "instancesTr" / "d.tiff")
    write(folder / "imagesTr" / "e_0000.tiff")
    write(folder / "instancesTr" / "e.tiff", (4, 5, 7))
    write(folder / "imagesTr" / "f_0000.tiff")
    (folder / "instancesTr" / "f.tiff").write_bytes(b"II*\0")
    write(folder / "instancesTr" / "b.tif")
    write(folder / "imagesTr" / "a_0001.tiff")
    dataset = open_dataset(folder)
    assert [case.name for case in dataset.train] == ["a", "b"]
    told = " | ".join(f"{problem.where} {problem.what}" for problem in dataset.problems)
    for words in ("c_0000.tiff has no instancesTr/c.tiff", "d.tiff has no image", "(4, 5, 7)", "f.tiff cannot be read",
                  "second file for case b", "not the first channel"):  # fmt: skip
        assert words in told
    assert len(dataset.problems) == 6


def test_without_instances_the_semantic_labels_are_taken(folder):
    (folder / "instancesTr").rename(folder / "labelsTr")
    assert not any(case.instances for case in open_dataset(folder).train)


def test_a_test_case_needs_no_truth(folder):
    (folder / "instancesTs" / "t.tiff").unlink()
    (folder / "instancesTs").rmdir()
    dataset = open_dataset(folder, need_test=True)
    assert dataset.test[0].truth is None
    assert dataset.problems == []


def test_a_version_1_dataset_is_named(folder):
    (folder / "dataset.json").write_text(json.dumps({"modality": {"0": "EM"}, "training": []}))
    with pytest.raises(DatasetError, match=r"version 1.*channel_names"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing"),
        ("{", "not a JSON file"),
        ("[]", "JSON object"),
        (json.dumps({**META, "file_ending": ".png"}), r"\.png"),
        (json.dumps({**META, "channel_names": {"0": "a", "1": "b"}}), "2 channels"),
    ],
)
def test_a_bad_dataset_json_is_named(folder, content, words):
    (folder / "dataset.json").unlink()
    if content is not None:
        (folder / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"dataset\.json.*{words}"):
        open_dataset(folder)


def test_a_dataset_with_nothing_usable_is_refused_with_the_reasons(folder):
    for path in (folder / "instancesTr").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"no usable case(.|\n)*a_0000\.tiff: has no instancesTr/a\.tiff"):
        open_dataset(folder)


def test_a_file_that_is_no_volume_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PlanewiseError, match=r"notes\.txt: is neither a folder nor a volume.*\.tiff"):
        volumes_in(tmp_path / "notes.txt")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


def test_images_are_folders_with_one_dicom_series_each(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({**META, "channel_names": {"0": "CT"}, "file_ending": ".dcm"}))
    voxels = np.zeros((4, 5, 6), np.int16)
    for case in ("good_0000", "gap", "two", "other"):
        files = write_dicom(tmp_path / "imagesTr" / case / "deep", voxels)
        if case == "gap":
            files[1].unlink()
    write_dicom(tmp_path / "imagesTr" / "two" / "second", voxels, uid="1.5", SeriesNumber=2)
    for case, depth in (("good", 4), ("gap", 3), ("two", 4), ("other", 3)):
        write_volume(tmp_path / "labelsTr" / f"{case}.nii.gz", Volume(np.zeros((depth, 5, 6), np.uint8)))
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.train] == ["good"]
    problems = {problem.where.rpartition("/")[2]: problem.what for problem in dataset.problems}
    assert "1 slice of 5 mm missing" in problems["gap"]
    assert "holds 2 DICOM series: series 1 (CT, 4 slices of 5 mm); series 2" in problems["two"]
    assert "has shape (3, 5, 6)" in problems["other.nii.gz"]
