import numpy as np
import pytest

from planewise.evaluation.instances import best_ious, match_objects
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.mistakes import find_mistakes


def table(truth, predicted):
    counter = LocatedCounter()
    counter.add(np.asarray(truth), np.asarray(predicted), 0)
    return counter.table()


def mistakes(truth, predicted):
    overlap = table(truth, predicted)
    matches = match_objects(overlap, 0.5)
    result = find_mistakes(overlap, set(zip(matches.truth.tolist(), matches.predicted.tolist())))
    return [(m.kind, m.truth, m.predicted, m.voxels, m.centre) for m in result]


def line(**objects):
    """Labels along x: name=(label, start, stop)."""
    labels = np.zeros((1, 1, 100), np.uint16)
    for label, start, stop in objects.values():
        labels[0, 0, start:stop] = label
    return labels


def test_a_merge_and_a_split():
    apart = line(a=(5, 0, 31), b=(7, 40, 51))
    together = line(a=(3, 0, 31), b=(3, 40, 51))
    assert mistakes(apart, together) == [("merge", (5, 7), (3,), 11, (0, 0, 45))]
    assert mistakes(together, apart) == [("split", (3,), (5, 7), 11, (0, 0, 45))]


def test_missed_false_and_inexact():
    truth = line(a=(1, 0, 11), c=(3, 60, 80))
    predicted = line(b=(2, 20, 25), c=(9, 75, 85))
    assert mistakes(truth, predicted) == [
        ("inexact", (3,), (9,), 20, (0, 0, 70)),
        ("missed", (1,), (), 11, (0, 0, 5)),
        ("false", (), (2,), 5, (0, 0, 22)),
    ]


def test_touching_a_neighbour_is_no_merge():
    truth = line(a=(1, 0, 20), b=(2, 20, 40))
    assert mistakes(truth, line(a=(1, 0, 22), b=(2, 22, 40))) == []


def test_a_perfect_prediction_and_nothing_at_all():
    truth = line(a=(1, 0, 20))
    assert mistakes(truth, truth) == mistakes(truth * 0, truth * 0) == []


def test_best_iou_of_every_object():
    sizes, ious = best_ious(table(line(a=(1, 0, 10), b=(4, 50, 60)), line(a=(2, 5, 10), b=(3, 0, 5), c=(9, 90, 99))))
    assert sizes.tolist() == [10, 10]
    assert ious == pytest.approx([0.5, 0])
