import json

import pytest

from planewise.compat.pairing import CLASSES, dataset_of, named_by_case
from planewise.data.nnunet import open_dataset
from planewise.data.phantom import write_chest_dataset
from planewise.errors import PlanewiseError

IMAGE, LABEL = "_0000.nii.gz", ".nii.gz"


@pytest.fixture
def data(tmp_path):
    write_chest_dataset(tmp_path / "data", 0, (4, 16, 16), train_cases=2)
    return tmp_path / "data"


def pair(data, tmp_path, images="imagesTr", labels="labelsTr", image_suffix=IMAGE, label_suffix=LABEL):
    return dataset_of(data / images, data / labels, image_suffix, label_suffix, tmp_path / "work")


def test_the_folders_of_a_nnunet_dataset_are_that_dataset(data, tmp_path, monkeypatch):
    assert pair(data, tmp_path) == data
    monkeypatch.chdir(data)
    assert dataset_of(*map(type(data), ("imagesTr", "./labelsTr")), IMAGE, LABEL, tmp_path / "work") == data
    assert not (tmp_path / "work").exists()


def test_labels_of_another_parent_are_the_labels(data, tmp_path):
    """Not those that lie beside the images."""
    (tmp_path / "second_reader").mkdir()
    (data / "labelsTr").rename(tmp_path / "second_reader" / "labelsTr")
    (data / "labelsTr").mkdir()
    folder = pair(data, tmp_path, labels="../second_reader/labelsTr")
    dataset = open_dataset(folder)
    assert [case.name for case in dataset.train] == ["CT_phantom1", "CT_phantom2"]
    assert dataset.problems == []
    assert dataset.train[0].image == data / "imagesTr" / "CT_phantom1_0000.nii.gz"
    assert dataset.train[0].truth == tmp_path / "second_reader" / "labelsTr" / "CT_phantom1.nii.gz"
    assert dataset.labels.classes == {1: "ground_glass", 2: "reticulation", 3: "honeycombing"}


def test_names_are_paired_by_their_suffixes(data, tmp_path, capsys):
    (tmp_path / "all").mkdir()
    for kind, suffix in (("images", "_ct.nii.gz"), ("labels", "_seg.nii.gz")):
        for path in (data / f"{kind}Tr").iterdir():
            case = path.name.split(".")[0].removesuffix("_0000")
            path.rename(tmp_path / "all" / f"{case}{suffix}")
    (tmp_path / "all" / "notes.txt").touch()
    folder = dataset_of(tmp_path / "all", tmp_path / "all", "_ct.nii.gz", "_seg.nii.gz", tmp_path / "work")
    dataset = open_dataset(folder)
    assert [(case.image.name, case.truth.name) for case in dataset.train] == [
        ("CT_phantom1_ct.nii.gz", "CT_phantom1_seg.nii.gz"),
        ("CT_phantom2_ct.nii.gz", "CT_phantom2_seg.nii.gz"),
    ]
    assert dataset.labels.classes == {value: name for name, value in CLASSES.items()}
    err = capsys.readouterr().err
    assert "2 pairs" in err
    assert "those of the original scripts, 1 ILD1, 2 Reticulation, 3 GGO-reticulation" in err


def test_images_and_labels_in_one_folder_with_a_suffix_that_ends_the_other(data, tmp_path):
    for path in (data / "labelsTr").iterdir():
        path.rename(data / "imagesTr" / path.name)
    folder = pair(data, tmp_path, labels="imagesTr")
    assert len(open_dataset(folder).train) == 2
    assert open_dataset(folder).problems == []


def test_what_lacks_its_other_half_is_a_row(data, tmp_path):
    (data / "labelsTr" / "CT_phantom2.nii.gz").unlink()
    (data / "imagesTr").rename(data / "images")
    dataset = open_dataset(pair(data, tmp_path, images="images"))
    assert [case.name for case in dataset.train] == ["CT_phantom1"]
    assert [problem.where for problem in dataset.problems] == [str(data / "labelsTr" / "CT_phantom2.nii.gz")]


def test_the_same_pairs_are_written_the_same(data, tmp_path):
    (data / "imagesTr").rename(data / "images")
    written = [(pair(data, tmp_path, images="images") / "dataset.json").read_bytes() for _ in range(2)]
    assert written[0] == written[1]
    assert json.loads(written[0])["numTraining"] == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": "none"}, "-img_path .*none: no such folder"),
        ({"labels": "none"}, "-gt_path .*none: no such folder"),
        ({"image_suffix": "_ct.nii.gz"}, "hold CT_phantom1_0000.nii.gz, CT_phantom2_0000.nii.gz, and CT_ph"),
        ({"label_suffix": "_seg"}, "-gt_name_suffix _seg: must end like a volume's name"),
    ],
)
def test_what_cannot_be_paired_is_refused_by_the_original_flag(data, tmp_path, changed, words):
    with pytest.raises(PlanewiseError, match=words):
        pair(data, tmp_path, **changed)


def test_labels_with_a_suffix_are_linked_by_their_case(data, tmp_path):
    labels = data / "labelsTr"
    assert named_by_case(labels, LABEL, tmp_path / "links") == labels
    (labels / "CT_phantom2.nii.gz").rename(labels / "CT_phantom2_seg.nii.gz")
    for _ in range(2):
        links = named_by_case(labels, "_seg.nii.gz", tmp_path / "links")
        assert {path.name: path.resolve() for path in links.iterdir()} == {
            "CT_phantom2.nii.gz": labels / "CT_phantom2_seg.nii.gz"
        }
    with pytest.raises(PlanewiseError, match=r"^-g .*: holds no file \*_drawn.nii.gz"):
        named_by_case(labels, "_drawn.nii.gz", tmp_path / "links")
