"""Training on a few painted slices, as a user runs it: what is said, what is refused, and rounds of self-training."""

import shutil

import numpy as np
import pytest
import tifffile

from planewise.cli import run
from planewise.data.phantom import write_phantom_dataset
from planewise.models.model_file import read_model_file
from planewise.volumes.files import open_volume

SMALL = "--model_config MitoNet_small.yaml --from_scratch --patch_size 32 --batch_size 2 --num_workers 0 --device cpu"
STEP = 6  # slices along z, of which one is painted


@pytest.fixture
def dataset(tmp_path):
    """A dataset of two cases with slices along z painted, and one along y."""
    data = tmp_path / "data"
    write_phantom_dataset(data, 0, (36, 64, 80), (24, 40, 56), 2, bodies=8)
    for path in (data / "instancesTr").glob("*.tiff"):
        labels = np.asarray(open_volume(path).read())
        folder = data / "paintedTr" / path.stem
        folder.mkdir(parents=True)
        for z in range(3, len(labels), STEP):
            tifffile.imwrite(folder / f"z{z:04d}.tif", labels[z].astype(np.uint16))
        tifffile.imwrite(folder / "y0032.tif", labels[:, 32].astype(np.uint16))
    shutil.rmtree(data / "instancesTr")
    shutil.rmtree(data / "labelsTr", ignore_errors=True)
    return data


def train(dataset, *more, iterations="2"):
    counted = [] if "--minutes" in more and "--iterations" not in more else ["--iterations", iterations]
    return run(["mito", "train", str(dataset), str(dataset.parent / "m"), *SMALL.split(), *counted, *more])


def model(dataset):
    return read_model_file(dataset.parent / "m" / "FinetunedMitoNet.yaml")


def test_painted_slices_are_trained_on_in_their_planes(dataset, capsys):
    assert train(dataset) == 0
    message = capsys.readouterr().err
    assert "painted are slices z 3 9 15 21 27 33, y 32" in message
    assert model(dataset).planes == ("xy", "xz")
    assert "Objects of this model have no confidence" in message
    names = sorted(path.stem for path in (dataset.parent / "data_2d" / "train" / "images").iterdir())
    assert {name.split("_")[-2] for name in names} == {"xy", "xz"}


@pytest.mark.slow
def test_rounds_of_self_training_train_in_all_planes_and_end_without_a_gain(dataset, capsys):
    assert train(dataset, "--self_training", "2") == 0
    message = capsys.readouterr().err
    assert "Round 1: labelling the unpainted voxels" in message
    assert "Round 1: validation score" in message
    folder = dataset.parent / "m" / "FinetunedMitoNet_training"
    images = list((folder / "round_1" / "slices" / "train" / "images").iterdir())
    assert {path.stem.split("_")[-2] for path in images} >= {"xy", "xz"}
    gained = "no gain" not in message.partition("Round 1: validation score")[2].partition("min")[2].splitlines()[0]
    assert (folder / "round_2").exists() == gained
    made = (folder / "round_1" / "last.ckpt").stat().st_mtime_ns
    assert train(dataset, "--self_training", "2", "--resume") == 0
    assert (folder / "round_1" / "last.ckpt").stat().st_mtime_ns == made
    assert "labelling" not in capsys.readouterr().err
    (folder / "round_1" / "labelled_by.json").write_text("{}")  # as if the model had been trained on since
    assert train(dataset, "--self_training", "1", "--resume") == 0
    assert "Round 1: labelling the unpainted voxels" in capsys.readouterr().err
    assert (folder / "round_1" / "last.ckpt").stat().st_mtime_ns != made


def test_minutes_choose_the_iterations_and_a_resumed_training_keeps_them(dataset, capsys):
    assert train(dataset, "--minutes", "0.0001") == 0
    assert "--minutes 0.0001: 1 iterations, judged by the speed of the first few" in capsys.readouterr().err
    assert model(dataset).trained.step == 1
    assert train(dataset, "--minutes", "90", "--resume") == 0
    assert "is trained already; more" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        train(dataset, "--minutes", "1", "--iterations", "3", "--overwrite")
    assert "so does --iterations: give one of the two" in " ".join("".join(capsys.readouterr()).split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--train_planes", "xy"], "three planes must agree on a label, and there are only xy"),
        (["--skip_conversion"], "cuts new slices in each round, and --skip_conversion cuts none"),
        (["--devices", "2"], "works on one device"),
    ],
)
def test_what_has_no_rounds_is_refused_before_any_work(dataset, capsys, more, message):
    assert train(dataset, "--self_training", "1", *more) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (dataset.parent / "m").exists()


def test_where_all_is_painted_there_are_no_rounds(tmp_path, capsys):
    write_phantom_dataset(tmp_path / "data", 0, (24, 48, 48), (16, 32, 32), 1, bodies=6)
    assert train(tmp_path / "data", "--self_training", "1") == 2
    assert "the dataset has none" in " ".join(capsys.readouterr().err.split())


def test_two_truths_are_refused(dataset, capsys):
    (dataset / "labelsTr").mkdir()
    assert train(dataset) == 2
    assert "painted slices are one truth, and labelsTr another" in " ".join(capsys.readouterr().err.split())


def test_a_slice_of_the_wrong_size_leaves_out_its_case_alone(dataset, capsys):
    path = sorted((dataset / "paintedTr").iterdir())[0] / "z0003.tif"
    tifffile.imwrite(path, np.zeros((5, 5), np.uint8))
    assert train(dataset) == 1
    message = " ".join("".join(capsys.readouterr()).split())
    assert "has shape (5, 5), and a slice along z of the image (64, 80) (y, x)" in message


def test_a_dataset_of_painted_slices_alone_is_all_right_and_what_nnunet_lacks_is_a_note(dataset, capsys):
    assert run(["check", str(dataset)]) == 0
    printed, message = capsys.readouterr()
    assert "objects  3 of 3" in printed
    assert "nnU-Net would refuse it" in message
    assert "labelsTr: no such folder" in message.partition("nnU-Net would refuse it")[2]
