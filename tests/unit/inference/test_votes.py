import numpy as np
import pytest

from planewise.inference.votes import object_votes

OBJECTS = np.array([0, 0, 1, 1, 2, 0])
LABELS = np.array([[0, 0, 5], [3, 0, 0], [1, 1, 0], [1, 1, 1], [2, 0, 3], [0, 1, 0]])
COUNTS = np.array([7, 50, 30, 10, 9, 4])


def test_votes_by_hand():
    votes = object_votes(OBJECTS, LABELS, COUNTS)
    assert votes.voxels.tolist() == [40, 9]
    assert votes.planes.tolist() == [3, 2]
    assert votes.by_all.tolist() == [0.25, 0.0]
    assert votes.alone.tolist() == [0.1, 0.0]  # 4 of label 1 of the second plane; labels 5 and 3 are of no object
    disputed = 40 * (1 - 0.25 + 0.1)
    assert votes.depth[0] == pytest.approx(disputed / (4 * np.pi * (3 * 40 / 4 / np.pi) ** (2 / 3)))


def test_a_label_belongs_to_the_object_that_holds_most_of_it():
    labels = np.array([[1, 1], [1, 2], [1, 0]])
    votes = object_votes(np.array([1, 2, 0]), labels, np.array([30, 20, 8]))
    assert votes.planes.tolist() == [2, 1]
    assert votes.alone.tolist() == [pytest.approx(8 / 30), 0.0]


def test_no_objects():
    votes = object_votes(np.zeros(2, np.int64), np.array([[1, 0], [0, 2]]), np.array([5, 6]))
    assert votes.voxels.size == votes.planes.size == votes.by_all.size == votes.alone.size == votes.depth.size == 0


def test_votes_of_some_objects():
    votes = object_votes(OBJECTS, LABELS, COUNTS).of(np.array([1]))
    assert (votes.voxels.tolist(), votes.planes.tolist(), votes.by_all.tolist()) == ([9], [2], [0.0])
