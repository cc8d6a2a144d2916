import numpy as np
import pytest

from perfect_network import ReadsClasses, class_outputs
from planewise.data.intensity import IntensityRange
from planewise.data.panoptic import DIVISOR, class_of
from planewise.data.phantom import organelle_phantom
from planewise.evaluation.instances import instance_scores
from planewise.evaluation.overlap import overlap_table
from planewise.inference.class_grouping import class_bits, fuse_classes, group_classes
from planewise.inference.gathering import GroupingOptions, gather_classes, slice_parts
from planewise.inference.panoptic_result import AllThings, ClassMap, joined_votes
from planewise.inference.planes import SliceOptions, plane_outputs
from planewise.inference.votes import ObjectVotes
from planewise.volumes.slices import PLANES

OPTIONS = SliceOptions(IntensityRange(0.0, 1.0), 0.0, 1.0, 1)
KINDS = (True, True, False)


def logits_of(*probabilities):
    """Logits (1 + classes, 1, pixels) of softmax probabilities, one tuple a pixel."""
    return np.log(np.array(probabilities, np.float32)).T[:, None]


def bits_of(logits, confidence):
    return np.unpackbits(class_bits(logits, confidence), axis=1, count=logits.shape[2]).tolist()


def test_a_pixel_is_of_the_likeliest_class_if_all_together_are_likely_enough():
    logits = logits_of((0.6, 0.3, 0.1), (0.4, 0.35, 0.25), (0.2, 0.3, 0.5), (0.45, 0.25, 0.3))
    assert bits_of(logits, 0.5) == [[0, 1, 0, 0], [0, 0, 1, 1]]  # background is likeliest in three of them
    assert bits_of(logits, 0.7) == [[0, 0, 0, 0], [0, 0, 1, 0]]


def test_beyond_the_specimen_is_no_class():
    logits = np.full((3, 1, 2), -np.inf, np.float32)
    logits[0] = 0
    assert bits_of(logits, 0.5) == [[0, 0], [0, 0]]


def test_an_object_is_of_the_class_that_most_of_its_pixels_are_of():
    values = np.zeros((16, 16), np.int32)
    values[2:8, 2:8] = DIVISOR + 1
    outputs = class_outputs(values, (1, 2), 3)
    seen = outputs.logits.copy()
    seen[:, 2:4, 2:8] = np.array([-4, -4, 4, -4])[:, None, None]  # a third of it looks like the other class
    seen[:, 12:14, :] = np.array([-4, -4, -4, 4])[:, None, None]
    options = GroupingOptions(things=KINDS)
    parts = slice_parts(type(outputs)(seen, outputs.heatmap, outputs.offsets), 16, 16, 0.0, options)
    mito, nucleus, er = group_classes(parts, options)
    assert mito.sizes.tolist() == [36]
    assert mito.boxes.tolist() == [[2, 2, 8, 8]]
    assert (mito.runs.paint(16) > 0).sum() == 36
    assert nucleus.sizes.tolist() == []
    assert er.sizes.tolist() == [32]
    assert er.boxes.tolist() == [[12, 0, 14, 16]]


def test_stuff_in_two_pieces_is_one_and_none_is_none():
    values = np.zeros((16, 16), np.int32)
    values[0, 0] = values[9, 5] = 3 * DIVISOR
    options = GroupingOptions(things=KINDS)
    parts = slice_parts(class_outputs(values, (1, 2), 3), 16, 16, 0.0, options)
    mito, nucleus, er = group_classes(parts, options)
    assert [len(objects.sizes) for objects in (mito, nucleus, er)] == [0, 0, 1]
    assert er.boxes.tolist() == [[0, 0, 10, 6]]


@pytest.fixture(scope="module")
def organelles():
    _, classes, ids = organelle_phantom((48, 64, 72), 8, 1)
    values = classes.astype(np.int32) * DIVISOR + np.where(classes < 3, ids, 0)
    return values, classes


def test_three_planes_find_every_class_again(organelles):
    values, classes = organelles
    options = GroupingOptions(things=KINDS, min_size=100, min_extent=3)
    planes = [
        gather_classes(
            plane_outputs(ReadsClasses((1, 2), 3), values, plane, OPTIONS, 4, lambda count: None),
            values.shape,
            plane,
            options,
        )
        for plane in PLANES
    ]
    fused = fuse_classes(planes, 2, options)
    for value in (1, 2):
        truth = np.where(classes == value, values - value * DIVISOR, 0)
        assert truth.any()
        assert instance_scores(overlap_table(truth, fused[value - 1][...]), 0.5).f1 >= 0.8
    er = fused[2][...] > 0
    assert ((classes == 3) & er).sum() / ((classes == 3) | er).sum() > 0.9

    things, objects = AllThings(fused, KINDS), ClassMap(fused)
    ids, map_ = things[...], objects[...]
    assert things.count == fused[0].count + fused[1].count == ids.max() == len(np.unique(ids)) - 1
    assert set(np.unique(map_[ids > fused[0].count])) == {2}
    assert set(np.unique(map_[(ids > 0) & (ids <= fused[0].count)])) == {1}
    assert np.array_equal(map_ == 3, er)
    assert (map_[ids == 0] % 3 == 0).all()
    assert np.array_equal(things[5:9, 3:40, 10:20], ids[5:9, 3:40, 10:20])
    assert np.array_equal(objects[5:9, 3:40, 10:20], map_[5:9, 3:40, 10:20])
    assert np.array_equal(class_of(values), classes)


def test_many_objects_of_two_classes_get_ids_that_differ():
    class Cells:
        def __init__(self, ids):
            self.ids, self.shape, self.count = ids, ids.shape, int(ids.max())

        def __getitem__(self, index):
            return self.ids[index]

    first = np.arange(1, 255, dtype=np.uint8).reshape(1, 2, 127)  # more than 255 together
    both = AllThings([Cells(first * (first < 200)), Cells(first), Cells(np.ones_like(first))], (True, True, False))
    assert both.dtype == np.uint16
    assert both[...].max() == 199 + 254


def test_votes_of_classes_follow_each_other():
    one = ObjectVotes(np.array([5]), np.array([3]), np.array([0.5]), np.array([0.1]), np.array([0]), np.array([4]))
    two = ObjectVotes(
        np.array([7, 8]), np.array([3, 2]), np.array([0.25, 1]), np.array([0.0, 0]), np.array([0, 1]), np.array([0, 2])
    )
    assert joined_votes([one, two]).voxels.tolist() == [5, 7, 8]
    assert joined_votes([one, two]).cut_from.tolist() == [0, 0, 2]  # the first of the second class is the second now
    assert joined_votes([]).voxels.dtype == np.int64
