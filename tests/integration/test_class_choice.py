"""mito on a semantic truth of several classes: one is chosen, trained and scored; the others and the ignore label."""

import csv
import json

import numpy as np
import pytest

from planewise.cli import run
from planewise.report.tables import RESULTS
from planewise.training.slice_folder import read_pair, read_slice_folder
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SMALL = ["--model_config", "MitoNet_small.yaml", "--from_scratch", "--patch_size", "32", "--batch_size", "2",
         "--iterations", "2", "--num_workers", "0", "--device", "cpu", "--train_planes", "xy"]  # fmt: skip


def labels():
    """Two bodies of class 1, one of class 2, and rows that nobody knows."""
    drawn = np.zeros((12, 40, 40), np.uint8)
    drawn[:, 2:10, 2:10], drawn[:, 2:10, 20:30], drawn[:, 14:24, 4:20], drawn[:, 32:] = 1, 1, 2, 3
    return drawn


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "Dataset001_Two"
    rng = np.random.default_rng(0)
    for case, split in (("a", "Tr"), ("b", "Tr"), ("c", "Tr"), ("t", "Ts")):
        image = rng.integers(0, 255, (12, 40, 40), np.uint8)
        write_volume(folder / f"images{split}" / f"{case}_0000.tiff", Volume(image, (8.0, 8.0, 8.0), "nm"))
        write_labels(folder / f"labels{split}" / f"{case}.tiff", Volume(labels(), (8.0, 8.0, 8.0), "nm"))
    meta = {
        "channel_names": {"0": "EM"},
        "labels": {"background": 0, "mito": 1, "er": 2, "all": [1, 2], "ignore": 3},
        "numTraining": 3,
        "file_ending": ".tiff",
    }
    (folder / "dataset.json").write_text(json.dumps(meta))
    return folder


def train(dataset, *options):
    return run(["mito", "train", str(dataset), str(dataset.parent / "m"), *SMALL, *options])


def test_without_a_choice_nothing_is_done(dataset, capsys):
    assert train(dataset) == 2
    assert "several classes, mito (1), er (2), all (1, 2); choose one with --class" in capsys.readouterr().err
    assert not (dataset.parent / "Dataset001_Two_2d").exists()
    assert train(dataset, "--class", "golgi") == 2
    assert "--class golgi: no such class" in capsys.readouterr().err


@pytest.mark.parametrize(("wanted", "objects", "values"), [("er", 1, [2]), ("all", 3, [1, 2])])
def test_the_same_class_is_trained_and_scored(dataset, capsys, wanted, objects, values):
    assert train(dataset, "--class", wanted, "--test_after_training", "--test_axes", "xy") == 0
    printed = capsys.readouterr().err
    shown = ", ".join(map(str, values))
    assert f"Classes: {wanted} ({shown}) is trained and scored; background: " in printed
    assert "ignored: ignore (3)." in printed
    ids = read_pair(read_slice_folder(dataset.parent / "Dataset001_Two_2d", "train")[0])[1]
    assert ((ids == -1) == (labels()[0] == 3)).all()
    assert ((ids > 0) == np.isin(labels()[0], values)).all()
    assert len(np.unique(ids[ids > 0])) == objects
    predictions = dataset / "imagesTs_mitoNet_FT"
    scores = []
    for work in (None, ["mito", "evaluate", str(predictions), str(dataset / "labelsTs"), "--semantic_class", wanted]):
        assert work is None or run(work) == 0
        with (predictions / "evaluation" / RESULTS).open(newline="") as file:
            scores.append(list(csv.DictReader(file)))
    assert scores[0] == scores[1]
    report = json.loads((predictions / "evaluation" / "results.json").read_text())
    assert wanted in json.dumps(report)


def test_a_class_is_refused_where_all_truth_is_instances(dataset, capsys):
    for split in ("Tr", "Ts"):
        (dataset / f"labels{split}").rename(dataset / f"instances{split}")
    assert train(dataset, "--class", "er") == 2
    assert "goes with labelsTr" in capsys.readouterr().err
