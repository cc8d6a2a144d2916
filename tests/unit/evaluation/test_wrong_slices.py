import numpy as np

from planewise.evaluation.open_pairs import OpenPair
from planewise.evaluation.pairs import OK
from planewise.evaluation.wrong_slices import wrong_voxels
from planewise.volumes.volume import Volume


def test_as_numpy_counts():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 6, 7, 8)).astype(np.uint16)
    right = {(1, 1), (2, 3)}
    wrong = (truth > 0) | (predicted > 0)
    for a, b in right:
        wrong &= ~((truth == a) & (predicted == b))
    result = wrong_voxels(OpenPair(Volume(truth), Volume(predicted), OK), right)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        assert np.array_equal(result[axis], wrong.sum(axis=others))


def test_nothing_is_right():
    labels = np.ones((2, 3, 4), np.uint8)
    result = wrong_voxels(OpenPair(Volume(labels), Volume(labels), OK), set())
    assert [counts.tolist() for counts in result] == [[12] * 2, [8] * 3, [6] * 4]
