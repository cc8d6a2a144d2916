"""The 2D slices of mito train as a user meets them: which are used again, which are cut, and that none are lost."""

import json
import shutil

import pytest
import tifffile

from planewise.cli import run
from planewise.data.phantom import write_phantom_dataset
from planewise.data.preparation import RECORD
from planewise.training.checkpoint import load_checkpoint

SMALL = ["--model_config", "MitoNet_small.yaml", "--from_scratch", "--patch_size", "32", "--batch_size", "2",
         "--num_workers", "0", "--device", "cpu", "--iterations", "1"]  # fmt: skip


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "D"
    write_phantom_dataset(folder, 0, (16, 48, 48), (16, 32, 32), 2, bodies=4)
    return folder


def train(dataset, name, *options):
    return run(["mito", "train", str(dataset), str(dataset.parent / "m"), "--model_name", name, *SMALL, *options])


def planes_in(folder):
    return {path.stem.split("_")[-2] for path in (folder / "train" / "images").iterdir()}


def content(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def folders(dataset):
    return sorted(path for path in dataset.parent.iterdir() if path.name.startswith("D_2d"))


def test_the_same_slices_are_used_again_and_others_lie_beside_them(dataset, capsys):
    assert train(dataset, "A", "--train_planes", "xy") == 0
    base = dataset.with_name("D_2d")
    before = content(base)
    assert train(dataset, "B", "--train_planes", "xy") == 0
    assert f"Using the slices in {base}: they were made from the same data and options" in capsys.readouterr().err
    assert train(dataset, "C", "--train_planes", "xz") == 0
    assert "planes: xy -> xz" in capsys.readouterr().err
    assert content(base) == before
    assert [planes_in(folder) for folder in folders(dataset)] == [{"xy"}, {"xz"}]
    key = json.loads((folders(dataset)[1] / RECORD).read_text())["key"]
    assert folders(dataset)[1].name == f"D_2d_{key[:8]}"
    assert train(dataset, "D", "--train_planes", "xz", "--skip_conversion") == 0
    assert train(dataset, "E", "--train_planes", "xy", "xz", "yz", "--skip_conversion") == 2
    assert "planes: xy -> xy xz yz" in capsys.readouterr().err
    assert len(folders(dataset)) == 2


def test_changed_labels_are_cut_again(dataset, capsys):
    assert train(dataset, "A", "--train_planes", "xy") == 0
    path = dataset / "instancesTr" / "phantom_train1.tiff"
    labels = tifffile.imread(path)
    labels[labels == 1] = 77
    tifffile.imwrite(path, labels)
    assert train(dataset, "B", "--train_planes", "xy", "--skip_conversion") == 2
    assert "data changed: phantom_train1 (truth)" in capsys.readouterr().err
    assert train(dataset, "B", "--train_planes", "xy") == 0
    new = folders(dataset)[1]
    masks = list((new / "train" / "masks").iterdir()) + list((new / "val" / "labels").iterdir())
    assert 77 in {value for mask in masks for value in tifffile.imread(mask).ravel().tolist()}


@pytest.mark.slow
def test_published_slices_without_a_record_are_used_as_they_are_and_never_replaced(dataset, capsys):
    assert train(dataset, "A", "--train_planes", "xy") == 0
    base = dataset.with_name("D_2d")
    (base / RECORD).unlink()
    before = content(base)
    capsys.readouterr()
    assert train(dataset, "B", "--train_planes", "xz", "--skip_conversion") == 0
    assert f"Using the slices in {base} as they are: they have no record" in capsys.readouterr().err
    assert train(dataset, "B", "--resume", "--skip_conversion") == 0
    assert train(dataset, "C", "--train_planes", "xz") == 0
    assert content(base) == before
    assert planes_in(folders(dataset)[1]) == {"xz"}
    assert train(dataset, "D", "--train_planes", "xz", "--output_data_path", str(base)) == 2
    assert "--output_data_path" in capsys.readouterr().err
    assert content(base) == before


@pytest.mark.slow
def test_a_training_is_resumed_on_its_slices_and_no_others(dataset, capsys):
    more = ["--train_planes", "xz", "--checkpoint_interval", "1"]
    assert train(dataset, "X", "--train_planes", "xy") == 0
    assert train(dataset, "A", *more) == 0
    files = dataset.parent / "m"
    stored = json.loads((files / "A_training" / RECORD).read_text())
    assert stored["options"]["planes"] == ["xz"]
    (files / "A.yaml").unlink()  # as if it was killed after its last step
    shutil.rmtree(folders(dataset)[1])
    assert train(dataset, "A", *more, "--resume") == 0  # cut again, though D_2d is there
    assert planes_in(folders(dataset)[1]) == {"xz"}
    assert load_checkpoint(files / "A_training" / "last.ckpt")["step"] == 1
    (files / "A.yaml").unlink()
    assert train(dataset, "A", "--train_planes", "xy", "--resume") == 2
    assert "was trained on other slices (planes: xz -> xy)" in capsys.readouterr().err


def test_a_case_that_was_left_out_is_said_again_when_slices_are_reused(dataset, capsys):
    path = dataset / "imagesTr" / "phantom_train1_0000.tiff"
    path.write_bytes(path.read_bytes()[:-200])
    shutil.copy(dataset / "imagesTr" / "phantom_train2_0000.tiff", dataset / "imagesTr" / "phantom_train3_0000.tiff")
    shutil.copy(dataset / "instancesTr" / "phantom_train2.tiff", dataset / "instancesTr" / "phantom_train3.tiff")
    for name in "AB":
        assert train(dataset, name, "--train_planes", "xy") == 1
        printed = capsys.readouterr()
        assert printed.out.count("phantom_train1_0000.tiff") == 1  # before the training, and only counted at the end
        assert printed.err.splitlines()[-1] == "1 problem in all"
    assert folders(dataset) == [dataset.with_name("D_2d")]
