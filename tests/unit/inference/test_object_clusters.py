import numpy as np

from planewise.inference.object_clusters import vote_labels


def votes(rows, counts, sizes, vote=2):
    """``sizes``: of each plane's objects, without the background's."""
    whole = [np.array([0, *of_plane]) for of_plane in sizes]
    return vote_labels(np.array(rows), np.array(counts), whole, vote).tolist()


def test_objects_that_agree_closely_are_one_of_which_voxels_need_the_votes():
    rows = [(1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 1)]
    counts = [80, 10, 5, 7]  # the planes' objects: 95, 90 and 87 voxels; IoU 90/95, 80/102, 80/97
    sizes = [[95], [90], [87]]
    assert votes(rows, counts, sizes) == [1, 1, 0, 0]
    assert votes(rows, counts, sizes, vote=3) == [1, 0, 0, 0]
    assert votes(rows, counts, sizes, vote=1) == [1, 1, 1, 1]


def test_an_object_that_a_minority_of_planes_has_is_none():
    assert votes([(1, 1, 1), (2, 0, 0)], [500, 500], [[500, 500], [500], [500]]) == [1, 0]


def test_neighbours_that_one_plane_merges_stay_two():
    """Two planes keep 300 and 200 voxels apart; the third has them in one."""
    assert votes([(1, 1, 1), (2, 2, 1)], [300, 200], [[300, 200], [300, 200], [500]]) == [1, 2]


def test_a_trivial_overlap_unites_nothing():
    rows, counts = [(1, 1), (2, 2), (1, 2)], [10_000, 10_000, 90]  # 90 voxels, and an IoU below 0.01
    assert votes(rows, counts, [[10_090, 10_000], [10_000, 10_090]]) == [1, 2, 0]
