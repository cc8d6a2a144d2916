import math

import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.partitions import partition_scores


def test_by_hand():
    truth = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    halves = partition_scores(overlap_table(truth, np.array([1, 1, 2, 2, 3, 3, 3, 3])))
    assert (halves.vi_split, halves.vi_merge) == pytest.approx((0.5, 0))  # one bit, for half of the voxels
    merged = partition_scores(overlap_table(truth, np.ones(8, int)))
    assert (merged.vi_split, merged.vi_merge) == pytest.approx((0, 1))
    assert merged.rand_error == pytest.approx(1 - 2 * 24 / (24 + 56))  # ordered pairs together: in both, truth, merged
    same = partition_scores(overlap_table(truth, truth))
    assert (same.vi_split, same.vi_merge, same.rand_error) == (0, 0, 0)


def test_finding_nothing_costs_as_much_as_merging_all():
    truth = np.array([1, 1, 2, 2, 0, 0])
    assert partition_scores(overlap_table(truth, truth * 0)) == partition_scores(overlap_table(truth, truth * 0 + 7))


def test_nothing_to_find():
    scores = partition_scores(overlap_table(np.zeros(4, int), np.ones(4, int)))
    assert math.isnan(scores.vi_split)
    assert math.isnan(scores.rand_error)


@pytest.mark.parametrize("seed", range(3))
def test_as_scikit_image_counts(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 6, (2, 20, 20))
    scores = partition_scores(overlap_table(truth, predicted))
    split, merge = variation_of_information(truth, predicted, ignore_labels=[0])
    assert (scores.vi_split, scores.vi_merge) == pytest.approx((split, merge))
    assert scores.rand_error == pytest.approx(adapted_rand_error(truth, predicted, ignore_labels=(0,))[0])
