"""Predictions beside a dataset: what compare would say of them is said by check."""

import json

import numpy as np
import pytest

from planewise.cli import run
from planewise.data.classes import LabelDefinition
from planewise.evaluation.prediction_checks import doubts_of_predictions
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

LABELS = LabelDefinition({1: "mito"})
SPACING = (8.0, 8.0, 8.0)


@pytest.fixture
def dataset(tmp_path):
    """Three test cases with a semantic truth, and a method that predicted them as they are."""
    labels = np.zeros((6, 16, 20), np.uint8)
    labels[:, 2:8, 2:8] = 1
    image = np.random.default_rng(0).integers(0, 255, labels.shape).astype(np.uint8)
    for case in "abc":
        write_volume(tmp_path / "imagesTs" / f"{case}_0000.nrrd", Volume(image, SPACING, "nm"))
        for folder in ("labelsTs", "imagesTs_good"):
            write_labels(tmp_path / folder / f"{case}.nrrd", Volume(labels, SPACING, "nm"))
    meta = {"channel_names": {"0": "EM"}, "labels": {"background": 0, "mito": 1}, "file_ending": ".nrrd"}
    (tmp_path / "dataset.json").write_text(json.dumps(meta))
    return tmp_path


def write(dataset, name, voxels, **geometry):
    write_labels(dataset / "imagesTs_bad" / f"{name}.nrrd", Volume(voxels, SPACING, "nm", **geometry))
    return dataset / "imagesTs_bad" / f"{name}.nrrd"


def test_what_is_seen_of_predictions(dataset):
    assert doubts_of_predictions(dataset, LABELS, False) == []
    smaller = write(dataset, "a", np.zeros((6, 16, 19), np.uint8))
    moved = write(dataset, "b", np.ones((6, 16, 20), np.uint8), origin=(80.0, 0.0, 0.0))
    extra = write(dataset, "d", np.ones((6, 16, 20), np.uint8))
    lacks, *others = doubts_of_predictions(dataset, LABELS, False)
    assert lacks == f"{dataset / 'imagesTs_bad'}: lacks 1 of 3 cases, c: counted as empty predictions"
    assert [note.partition(": ")[0] for note in others] == [str(path) for path in (smaller, moved, extra)]
    assert "(6, 16, 19)" in others[0]
    assert "does not lie in the space of" in others[1]
    assert "no truth" in others[2]
    assert str(moved) not in "".join(doubts_of_predictions(dataset, LABELS, True))


def test_names_of_which_none_is_that_of_a_truth(dataset):
    (dataset / "imagesTs_bad").mkdir()
    (note,) = doubts_of_predictions(dataset, LABELS, False)
    assert note.startswith(f"{dataset}/imagesTs_bad: no prediction has the name of a truth: it holds no label volumes;")


def test_values_that_no_label_names(dataset):
    path = write(dataset, "a", np.full((6, 16, 20), 7, np.uint8))
    for case in "bc":
        write(dataset, case, np.ones((6, 16, 20), np.uint8))
    (note,) = doubts_of_predictions(dataset, LABELS, False)
    assert note.startswith(f"{path}: holds 7 (1,920 voxels), which no label of dataset.json names; those are mito (1).")
    (dataset / "labelsTs").rename(dataset / "instancesTs")  # then any value is an object
    assert doubts_of_predictions(dataset, LABELS, False) == []


def test_check_warns_of_them(dataset, capsys):
    write(dataset, "a", np.full((6, 16, 20), 7, np.uint8))
    assert run(["check", str(dataset)]) == 0
    said = "".join((captured := capsys.readouterr()).out.split() + captured.err.split())
    assert f"WARNING:{dataset / 'imagesTs_bad'}:lacks2of3cases,b,c:countedasemptypredictions" in said
    assert "holds7(1,920voxels),whichnolabelofdataset.jsonnames" in said
