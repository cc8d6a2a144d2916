import numpy as np
import pytest

from planewise.evaluation.instances import match_objects
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.object_table import object_table


def line(*objects):
    """Labels along x: (label, start, stop)."""
    labels = np.zeros((1, 1, 100), np.uint16)
    for label, start, stop in objects:
        labels[0, 0, start:stop] = label
    return labels


def table(truth, predicted):
    counter = LocatedCounter()
    counter.add(truth, predicted, 3)
    overlap = counter.table()
    matches = match_objects(overlap, 0.5)
    return object_table(overlap, set(zip(matches.truth.tolist(), matches.predicted.tolist())))


def rows(result):
    return list(
        zip(result.truth, result.voxels, result.predicted, result.predicted_voxels, result.iou.round(3), result.matched)
    )


def test_every_object_stands_in_a_row_of_its_own_or_beside_its_match():
    truth = line((4, 0, 10), (7, 20, 30), (9, 50, 60))
    predicted = line((1, 0, 8), (2, 25, 27), (3, 27, 28), (5, 80, 85))
    result = table(truth, predicted)
    assert rows(result) == [
        (4, 10, 1, 8, 0.8, True),
        (7, 10, 2, 2, 0.2, False),
        (9, 10, 0, 0, 0.0, False),  # missed
        (7, 10, 3, 1, 0.1, False),  # a second piece of 7
        (0, 0, 5, 5, 0.0, False),  # false
    ]
    assert result.centre[:, 2].tolist() == pytest.approx([4.5, 24.5, 54.5, 24.5, 82])
    assert result.lower.tolist() == [[3, 0, 0], [3, 0, 20], [3, 0, 50], [3, 0, 20], [3, 0, 80]]
    assert result.upper.tolist() == [[4, 1, 10], [4, 1, 30], [4, 1, 60], [4, 1, 30], [4, 1, 85]]


def test_a_merged_prediction_stands_beside_each_true_object_and_in_no_row_of_its_own():
    result = table(line((1, 0, 30), (2, 40, 50)), line((6, 0, 50)))
    assert rows(result) == [(1, 30, 6, 50, 0.6, True), (2, 10, 6, 50, 0.2, False)]
    assert result.lower[:, 2].tolist() == [0, 40]
    assert result.upper[:, 2].tolist() == [30, 50]
    assert result.both_lower[:, 2].tolist() == [0, 0]
    assert result.both_upper[:, 2].tolist() == [50, 50]


@pytest.mark.parametrize("empty", ["truth", "predicted", "both"])
def test_nothing(empty):
    nothing, one = line(), line((3, 5, 9))
    truth, predicted = (one if empty == "predicted" else nothing), (one if empty == "truth" else nothing)
    expected = {"truth": [(0, 0, 3, 4, 0.0, False)], "predicted": [(3, 4, 0, 0, 0.0, False)], "both": []}
    assert rows(table(truth, predicted)) == expected[empty]
