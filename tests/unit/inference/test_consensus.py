import numpy as np
import pytest

from perfect_network import perfect_outputs
from plane_labels import boxes, columns, plane_of
from planewise.evaluation.instances import instance_scores
from planewise.evaluation.overlap import overlap_table
from planewise.inference.consensus import FusionOptions, consensus
from planewise.inference.fused import FusedObjects
from planewise.inference.gathering import GroupingOptions, gather_classes
from planewise.volumes.slices import PLANES


def fused(*planes, vote=2, min_size=0, min_extent=0, min_agreement=0.0):
    objects = [plane_of(labels, plane) for labels, plane in zip(planes, PLANES)]
    return consensus(objects, FusionOptions(vote, min_size, min_extent, min_agreement))[...]


def test_a_voxel_needs_the_votes():
    a, b, c = boxes((0, 20)), boxes((2, 22)), boxes((4, 24))
    assert np.array_equal(columns(fused(a, b, c)), columns(boxes((2, 22))))
    assert np.array_equal(columns(fused(a, b, c, vote=3)), columns(boxes((4, 20))))
    assert np.array_equal(columns(fused(a, b, c, vote=1)), columns(boxes((0, 24))))


def test_what_too_few_planes_agree_on_is_left_out():
    a, b, c = boxes((0, 20), (40, 50)), boxes((0, 20), (40, 50)), boxes((0, 20), (44, 46))
    assert np.array_equal(columns(fused(a, b, c)), columns(boxes((0, 20), (40, 50))))
    assert np.array_equal(columns(fused(a, b, c, min_agreement=0.2)), columns(boxes((0, 20), (40, 50))))  # 2 of 10
    assert np.array_equal(columns(fused(a, b, c, min_agreement=0.21)), columns(boxes((0, 20))))
    assert fused(a, b, min_agreement=1.0).max() == 2  # two planes that must agree do
    assert consensus([plane_of(a, "xy")], FusionOptions(2, 0, 0, min_agreement=1.0)).count == 2  # one cannot disagree


def test_the_votes_are_those_on_the_objects_that_are_left():
    a, b, c = boxes((0, 20), (40, 50)), boxes((0, 20), (40, 50)), boxes((0, 22), (44, 46))
    objects = [plane_of(labels, plane) for labels, plane in zip((a, b, c), PLANES)]
    for least, voxels, shares in ((0.0, [2000, 1000], [1.0, 0.2]), (0.3, [2000], [1.0])):
        fused = consensus(objects, FusionOptions(2, 0, 0, min_agreement=least))
        assert isinstance(fused, FusedObjects)
        assert fused.votes.voxels.tolist() == voxels == np.bincount(fused[...].ravel())[1:].tolist()
        assert fused.votes.by_all.tolist() == shares
        assert fused.votes.alone.tolist() == [0.1, 0.0][: len(voxels)]


def test_an_object_of_one_plane_alone_is_none():
    assert not fused(boxes((0, 20)), boxes(), boxes()).any()
    assert not fused(boxes((0, 20)), boxes((30, 50)), boxes()).any()


def test_two_planes():
    assert np.array_equal(columns(fused(boxes((0, 20)), boxes((2, 22)))), columns(boxes((2, 20))))


def test_one_plane_is_the_result():
    assert np.array_equal(fused(boxes((0, 20), (30, 50))), boxes((0, 20), (30, 50)))


def test_a_false_merge_in_one_plane_is_outvoted():
    split = boxes((0, 20), (22, 42))
    merged = boxes((0, 42))
    # The merged object overlaps both clusters: it is the hub's neighbours that are larger, so it is divided.
    assert np.array_equal(columns(fused(split, split, merged)), columns(split))


def test_objects_that_still_overlap_are_united():
    # a and c agree on one object; b has it in two, each of them in another cluster.
    result = columns(fused(boxes((0, 40)), boxes((0, 38)), boxes((0, 20), (20, 40))))
    assert set(result[:38]) == {1}


def test_small_and_flat_results_are_dropped():
    labels = boxes((0, 4), (10, 30))
    assert set(columns(fused(labels, labels, labels, min_extent=5))) == {0, 1}
    assert not fused(labels, labels, labels, min_size=3000).any()


def test_empty_planes():
    empty = boxes()
    assert not fused(empty, empty, empty).any()


def test_more_than_65535_objects_do_not_wrap():
    labels = np.zeros((82, 82, 82), np.int32)
    labels[::2, ::2, ::2] = np.arange(1, 41**3 + 1).reshape(41, 41, 41)
    result = fused(labels, labels)
    assert result.max() == 41**3 > 65535
    assert len(overlap_table(labels, result).count) == 41**3


@pytest.mark.parametrize("planes", [("xy",), ("xz", "yz"), PLANES], ids=" ".join)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_perfect_network_finds_every_object(balls, planes, scale):
    options = GroupingOptions(scale=scale)
    objects = [gather_classes(perfect_outputs(balls, plane, scale), balls.shape, plane, options)[0] for plane in planes]
    scores = instance_scores(overlap_table(balls, consensus(objects, options.fusion(2))[...]), 0.75)
    assert (scores.tp, scores.fp, scores.fn) == (5, 0, 0)


@pytest.mark.parametrize("threads", [2, 3, 50])
def test_threads_change_nothing(balls, threads):
    planes = [plane_of(np.roll(balls, i, axis=i), plane) for i, plane in enumerate(PLANES)]
    options = FusionOptions(2, 500, 5)
    assert np.array_equal(consensus(planes, options, threads)[...], consensus(planes, options)[...])
