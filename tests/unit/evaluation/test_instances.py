import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from planewise.evaluation.evaluate import score_labels
from planewise.evaluation.instances import InstanceScores, instance_scores, match
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.voxels import VoxelScores, voxel_scores
from planewise.volumes.labels import read_labels


def row(*spans, length=40):
    labels = np.zeros((1, 1, length), np.uint16)
    for i, (start, stop) in enumerate(spans, start=1):
        labels[..., start:stop] = i
    return labels


def test_by_hand():
    truth = row((0, 10), (12, 22), (24, 34))
    predicted = row((0, 8), (14, 30), (36, 38))  # IoU 0.8; 8 of 18 with the second, 6 of 20 with the third; nothing
    scores = instance_scores(overlap_table(truth, predicted), 0.5)
    assert (scores.tp, scores.fp, scores.fn) == (1, 2, 2)
    assert scores.precision == scores.recall == scores.f1 == pytest.approx(1 / 3)
    assert scores.accuracy == pytest.approx(1 / 5)
    assert scores.sq == pytest.approx(0.8)
    assert scores.pq == pytest.approx(0.8 / 3)
    voxels = voxel_scores(overlap_table(truth, predicted))
    assert (voxels.tp, voxels.fp, voxels.fn) == (8 + 8 + 6, 2 + 2, 2 + 2 + 4)


def test_an_iou_of_exactly_the_threshold_matches():
    assert instance_scores(overlap_table(row((0, 10)), row((0, 5))), 0.5).tp == 1


def test_as_many_matches_as_possible_come_before_a_larger_iou():
    # A greedy choice of the largest IoU (row 0, column 0) would leave row 1 without a match.
    rows, columns = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert match(rows, columns, np.array([0.9, 0.5, 0.5]), 0.5).tolist() == [1, 2]
    assert match(rows, columns, np.array([0.9, 0.4, 0.5]), 0.5).tolist() == [0]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_the_sparse_matching_is_stardist_s(n, m, seed):
    iou = np.random.default_rng(seed).random((n, m)).round(2)
    valid = iou >= 0.5
    cost = -valid.astype(float) - np.where(valid, iou, 0) / (2 * min(n, m))
    chosen = linear_sum_assignment(cost)
    expected = valid[chosen].sum(), np.where(valid, iou, 0)[chosen].sum()
    rows, columns = np.indices(iou.shape).reshape(2, -1)
    matched = match(rows, columns, iou.ravel(), 0.5)
    assert len(set(rows[matched])) == len(set(columns[matched])) == len(matched)
    assert (len(matched), iou.ravel()[matched].sum()) == pytest.approx(expected)


NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "expected"),  # iou, dice, precision, recall
    [
        (VoxelScores(0, 0, 0), (NAN, NAN, NAN, NAN)),
        (VoxelScores(0, 5, 0), (0, 0, 0, NAN)),
        (VoxelScores(0, 0, 5), (0, 0, NAN, 0)),
        (VoxelScores(3, 1, 2), (0.5, 6 / 9, 0.75, 0.6)),
    ],
    ids=["both empty", "truth empty", "prediction empty", "neither"],
)
def test_voxel_scores(scores, expected):
    assert (scores.iou, scores.dice, scores.precision, scores.recall) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("scores", "expected"),  # precision, recall, f1, accuracy, sq, pq
    [
        (InstanceScores(0, 0, 0, 0.0), (NAN,) * 6),
        (InstanceScores(0, 4, 0, 0.0), (0, NAN, 0, 0, NAN, 0)),
        (InstanceScores(0, 0, 4, 0.0), (NAN, 0, 0, 0, NAN, 0)),
        (InstanceScores(2, 1, 1, 1.5), (2 / 3, 2 / 3, 2 / 3, 0.5, 0.75, 0.5)),
    ],
    ids=["both empty", "truth empty", "prediction empty", "neither"],
)
def test_instance_scores(scores, expected):
    matched = (scores.precision, scores.recall, scores.f1, scores.accuracy, scores.sq, scores.pq)
    assert matched == pytest.approx(expected, nan_ok=True)
    assert scores.rq == pytest.approx(scores.f1, nan_ok=True)


def test_ids_are_instances_whether_connected_or_not():
    truth = row((0, 10), (20, 30))
    truth[truth == 2] = 1
    scores = instance_scores(overlap_table(truth, truth), 0.5)
    assert (scores.tp, scores.fp, scores.fn) == (1, 0, 0)


def test_mean_accuracy_by_hand():
    scores = score_labels(row((0, 100), length=100), row((0, 72), length=100))  # IoU 0.72: 5 of the 10 thresholds
    assert scores["mean_accuracy"] == pytest.approx(0.5)


def test_the_published_pair(real_data):
    truth, predicted = (read_labels(real_data / "evaluation" / f"hippo_{name}.tiff").read() for name in ("gt", "unet"))
    scores = score_labels(truth, predicted)
    assert (scores["n_truth"], scores["n_pred"]) == (15, 14)
    assert (scores["tp_50"], scores["fp_50"], scores["fn_50"]) == (10, 4, 5)
    assert scores["f1_50"] == pytest.approx(0.690, abs=5e-4)
    assert scores["pq_50"] == pytest.approx(0.599, abs=5e-4)
