"""Objects that a consensus merged are cut where two planes have the same parts, and the cut can be undone."""

from functools import partial

import numpy as np
import pytest

from plane_labels import boxes, columns, plane_of
from planewise.inference.consensus import FusionOptions, consensus
from planewise.inference.fused import FusedObjects
from planewise.inference.repair import cut_merged, undo_cuts
from planewise.volumes.slices import PLANES


def always(rows):
    return True


def fused(*planes, vote=2, min_size=0, min_agreement=0.0, repair=True):
    of_planes = [plane_of(labels, plane) for labels, plane in zip(planes, PLANES)]
    return consensus(of_planes, FusionOptions(vote, min_size, 0, min_agreement, repair))


def test_a_cut_by_hand():
    """The picture of the module: two planes have the parts, the third has one."""
    labels = np.array([[1, 4, 7], [1, 5, 7], [2, 5, 7], [2, 6, 7], [2, 0, 7]])
    counts = np.array([400, 10, 200, 190, 30])
    objects = np.ones(5, np.int64)
    of_planes, cut_from = cut_merged(objects, labels, counts, always)
    # label 5 shares 200 of its 210 voxels with 2, and 10 with 1; where planes 1 and 2 disagree the larger part has it
    assert of_planes.tolist() == [2, 1, 1, 1, 1]
    assert cut_from.tolist() == [0, 1]
    assert undo_cuts(of_planes, cut_from).tolist() == objects.tolist()
    assert objects.tolist() == [1] * 5  # as it was


def test_a_quarter_of_the_smaller_holds_labels_together():
    counts = np.array([300, 100, 300])
    labels = np.array([[1, 4, 7], [1, 5, 7], [2, 5, 7]])  # label 5 lies in 1 by 100 of its 400 voxels
    assert cut_merged(np.ones(3, np.int64), labels, counts, always)[1].tolist() == [0]
    counts[1] = 99
    assert cut_merged(np.ones(3, np.int64), labels, counts, always)[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([[1, 4, 7], [2, 4, 7]], "one plane alone has it apart"),
        ([[1, 4, 7], [2, 0, 7]], "the second plane has one of the parts only"),
        ([[1, 4, 7], [1, 4, 7]], "nobody has it apart"),
    ],
)
def test_what_is_not_cut(labels, why):
    of_planes, cut_from = cut_merged(np.ones(2, np.int64), np.array(labels), np.array([500, 500]), always)
    assert (of_planes.tolist(), cut_from.tolist()) == ([1, 1], [0]), why


def test_a_part_is_one_if_both_planes_have_the_same_of_it():
    """Of the second part they share 50 voxels of 100: 30 are of the first plane alone, 20 of the second."""
    labels, counts = np.array([[1, 4, 7], [2, 5, 7], [2, 0, 7], [0, 5, 7]]), np.array([500, 50, 30, 20])
    of_planes, cut_from = cut_merged(np.ones(4, np.int64), labels, counts, always)
    assert (of_planes.tolist(), cut_from.tolist()) == ([1, 2, 2, 2], [0, 1])
    counts[3] = 21
    assert cut_merged(np.ones(4, np.int64), labels, counts, always)[1].tolist() == [0]


def test_every_part_stands_by_itself():
    labels, counts = np.array([[1, 4, 7], [2, 5, 7]]), np.array([500, 90])
    assert cut_merged(np.ones(2, np.int64), labels, counts, always)[1].tolist() == [0, 1]
    for kept in (0, 1):  # neither what is left nor what is cut off may fall
        assert cut_merged(np.ones(2, np.int64), labels, counts, partial(np.isin, kept))[1].tolist() == [0]


def test_only_what_is_merged_is_cut_and_the_others_keep_their_labels():
    labels = np.array([[1, 1, 1], [0, 0, 5], [2, 2, 2], [3, 3, 2], [4, 4, 2], [5, 5, 4]])
    objects, counts = np.array([1, 0, 2, 2, 2, 3]), np.array([900, 50, 300, 500, 400, 700])
    of_planes, cut_from = cut_merged(objects, labels, counts, always)
    assert of_planes.tolist() == [1, 0, 5, 2, 4, 3]  # of the parts the largest keeps the label
    assert cut_from.tolist() == [0, 0, 0, 2, 2]
    assert undo_cuts(of_planes, cut_from).tolist() == objects.tolist()


def test_parts_of_several_pairs_of_planes_are_all_cut():
    """The first two planes have A apart, the first and third C: B hangs together with either by one plane alone."""
    labels = np.array([[1, 1, 1], [2, 2, 1], [3, 2, 2]])
    of_planes, _ = cut_merged(np.ones(3, np.int64), labels, np.array([500, 400, 300]), always)
    assert of_planes.tolist() == [1, 2, 3]


def test_no_objects():
    of_planes, cut_from = cut_merged(np.zeros(2, np.int64), np.array([[1, 0, 0], [0, 2, 0]]), np.ones(2), always)
    assert (of_planes.tolist(), cut_from.tolist()) == ([0, 0], [])
    assert undo_cuts(np.zeros((2, 3), np.uint8), cut_from).tolist() == [[0] * 3] * 2


def test_without_the_cuts_objects_of_several_classes_are_numbered_as_if_nothing_had_been_cut():
    """The third object was cut from the first, both of one class; the fourth and fifth are of the next."""
    labels, cut_from = np.array([1, 2, 3, 4, 5, 0]), np.array([0, 0, 1, 0, 0])
    assert undo_cuts(labels, cut_from).tolist() == [1, 2, 1, 3, 4, 0]


MERGED = boxes((0, 60)), boxes((0, 19), (40, 60)), boxes((0, 28), (28, 60))  # of neighbours 0 to 28 and 28 to 60


def test_two_planes_that_keep_neighbours_apart_overrule_the_one_that_merges_them():
    """No two of the planes' objects have an IoU of 0.75, so the published consensus joins all that one touches."""
    published, repaired = fused(*MERGED, repair=False), fused(*MERGED)
    assert published.votes.cut_from.tolist() == [0]
    assert np.array_equal(columns(repaired[...]), [2] * 28 + [1] * 32)  # the larger one keeps the label
    assert repaired.votes.cut_from.tolist() == [0, 1]
    assert repaired.votes.voxels.tolist() == [3200, 2800]
    assert repaired.votes.by_all.tolist() == [20 / 32, 19 / 28]
    assert repaired.votes.planes.tolist() == [3, 2]  # what merges them is mostly the larger
    assert np.array_equal(undo_cuts(repaired[...], repaired.votes.cut_from), published[...])


def test_where_one_vote_is_enough_nothing_is_cut():
    assert fused(*MERGED, vote=1).count == fused(*MERGED, vote=1, repair=False).count == 1


def test_a_part_that_would_be_left_out_is_not_cut_off():
    assert fused(*MERGED, min_agreement=0.62).count == 2
    assert fused(*MERGED, min_agreement=0.64).votes.cut_from.tolist() == [0]  # of the whole they agree on 0.65
    assert fused(*MERGED, min_size=2800).count == 2
    assert fused(*MERGED, min_size=2801).votes.cut_from.tolist() == [0]


def solid(shape, *balls):
    """Labels of balls (z, y, x, radius)."""
    at = np.stack(np.indices(shape), axis=-1)
    labels = np.zeros(shape, np.int32)
    for number, (*centre, radius) in enumerate(balls, start=1):
        labels[np.linalg.norm(at - centre, axis=-1) <= radius] = number
    return labels


def seen(truth, rng, merged, margin):
    """Labels as a plane has them: grown or shrunken by a random rim, some of the objects merged into one."""
    seen = truth.copy()
    seen[(rng.random(truth.shape) < margin) & (truth > 0)] = 0
    return np.where(np.isin(seen, merged), min(merged, default=0), seen)


@pytest.mark.parametrize("seed", range(4))
def test_touching_balls_are_told_apart_whichever_plane_merges_them(seed):
    rng = np.random.default_rng(seed)
    truth = solid((24, 24, 60), (12, 12, 12, 9), (12, 12, 29, 9), (12, 12, 46, 8))  # necks of a few voxels
    for merging in range(3):
        planes = [seen(truth, rng, (1, 2) if place == merging else (), 0.25) for place in range(3)]
        result = fused(*planes, min_size=100)
        published = fused(*planes, min_size=100, repair=False)
        assert (result.count, published.count) == (3, 2)
        assert np.array_equal(undo_cuts(result[...], result.votes.cut_from), published[...])
        for label in range(1, 4):  # each holds voxels of one ball alone
            assert len(np.unique(truth[result[...] == label])) == 1


@pytest.mark.parametrize("seed", range(4))
def test_an_object_that_a_dark_slice_breaks_in_one_plane_stays_one(seed):
    """In xy, the plane of the slice, it is in two; the others go through."""
    rng = np.random.default_rng(seed)
    truth = solid((40, 24, 24), (20, 12, 12, 11))
    broken = truth.copy()
    broken[20] = 0
    broken[21:][broken[21:] > 0] = 2
    result = fused(broken, *(seen(truth, rng, (), 0.2) for _ in range(2)), min_size=100)
    assert result.votes.cut_from.tolist() == [0]


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_only_divides_and_is_undone_exactly(seed):
    """Whatever the planes say: the voxels stay, parts nest in what they were cut from, and none is too small."""
    rng = np.random.default_rng(seed)
    planes = []
    for _ in range(3):
        blocks = rng.integers(0, 4, (4, 4, 6))
        planes.append(np.kron(blocks, np.ones((5, 5, 5), int)).astype(np.int32))
    repaired, published = fused(*planes, min_size=150), fused(*planes, min_size=150, repair=False)
    assert isinstance(repaired, FusedObjects)
    after, before = repaired[...], published[...]
    assert np.array_equal(after > 0, before > 0)
    assert np.array_equal(undo_cuts(after, repaired.votes.cut_from), before)
    sizes = np.bincount(after.ravel(), minlength=1)[1:]
    assert len(sizes) == repaired.count == len(repaired.votes.cut_from)
    assert sizes.min(initial=150) >= 150
    assert repaired.votes.voxels.tolist() == sizes.tolist()
    assert (repaired.votes.cut_from == 0).tolist() == [label < published.count for label in range(repaired.count)]
