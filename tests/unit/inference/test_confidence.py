import csv

import numpy as np
import pytest

from planewise.inference.confidence import COLUMNS, ConfidenceOfVoxels, calibrate, confidences, write_objects
from planewise.inference.votes import ObjectVotes
from planewise.models.model_file import Calibration
from planewise.volumes.slices import PLANES


def votes_of(*shares):
    ones = np.ones(len(shares))
    return ObjectVotes(
        1000 * ones.astype(int), 3 * ones.astype(int), np.array(shares), 0 * ones, *2 * [0 * ones.astype(int)]
    )


def confidence_of(calibration, *shares):
    return confidences(votes_of(*shares), calibration)


def test_confidence_by_hand():
    calibration = Calibration(slope=4.0, offset=-1.0, planes=PLANES, right=1, wrong=1)
    assert confidence_of(calibration, 0.25, 0.75) == pytest.approx([0.5, 1 / (1 + np.exp(-2))])


@pytest.mark.parametrize(("slope", "offset"), [(6.0, -3.0), (3.0, 0.5), (10.0, -2.0)])
def test_the_confidence_of_many_objects_is_how_many_are_right(slope, offset):
    rng = np.random.default_rng(0)
    shares = rng.random(60_000)
    right = rng.random(len(shares)) < 1 / (1 + np.exp(-(slope * shares + offset)))
    result = calibrate(shares, right, PLANES)
    assert (result.slope, result.offset) == (pytest.approx(slope, rel=0.05), pytest.approx(offset, abs=0.12))
    assert (result.right, result.wrong) == (right.sum(), (~right).sum())
    certain = confidence_of(result, *shares)
    for low in np.arange(0, 1, 0.2):
        chosen = (shares >= low) & (shares < low + 0.2)
        assert certain[chosen].mean() == pytest.approx(right[chosen].mean(), abs=0.02)


@pytest.mark.parametrize(
    ("shares", "right"),
    [([], []), ([0.9] * 8, [True] * 8), ([0.1] * 8, [False] * 8), ([0.1, 0.9] * 20, [True, False] * 20)],
    ids=["none", "all right", "all wrong", "the wrong way round"],
)
def test_few_objects_make_a_sober_calibration(shares, right):
    result = calibrate(np.array(shares), np.array(right, bool), PLANES)
    none, half, all_ = confidence_of(result, 0.0, 0.5, 1.0)
    assert 0.01 < none <= half <= all_ < 0.99


def test_the_table_of_objects(tmp_path):
    path = tmp_path / "a_objects.csv"
    calibration = Calibration(slope=4.0, offset=-1.0, planes=PLANES, right=1, wrong=1)

    def rows():
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    write_objects(path, votes_of(0.25, 0.75), np.array([7, 8]), calibration)
    first, second = rows()
    assert tuple(first) == COLUMNS
    assert (first["label"], first["confidence"], first["voxels"], first["given_by_all"]) == (
        "1",
        "0.5000",
        "1000",
        "0.2500",
    )
    assert (second["label"], second["confidence"]) == ("2", "0.8808")
    write_objects(path, votes_of(0.25), np.array([7]), None)
    assert [(row["confidence"], row["given_by_all"]) for row in rows()] == [("", "0.2500")]
    write_objects(path, None, np.array([7, 8]), calibration)
    assert [(row["label"], row["confidence"], row["voxels"], row["planes"]) for row in rows()] == [
        ("1", "", "7", "1"),
        ("2", "", "8", "1"),
    ]


def test_every_voxel_has_the_confidence_of_its_object():
    labels = np.array([[[0, 1, 2]], [[2, 2, 0]]], np.uint8)
    volume = ConfidenceOfVoxels(labels, np.array([0.25, 0.5]))
    assert volume.shape == labels.shape
    assert volume[...].dtype == volume.dtype == np.float32
    assert volume[1:].tolist() == [[[0.5, 0.5, 0.0]]]
    assert volume[0].tolist() == [[0.0, 0.25, 0.5]]
