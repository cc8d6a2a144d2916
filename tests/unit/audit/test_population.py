"""Populations, and what labels say of one unit: every object once, every voxel once."""

import numpy as np
import pytest

from planewise.audit.measuring import Crop, measure_box, measure_missed, measure_object, reaches_out, starts_in
from planewise.audit.population import (
    OBJECTS,
    VOXELS,
    Objects,
    Source,
    box_edges,
    boxes_of,
    by_content,
    first_voxels,
    missed_in,
    objects_in_order,
    objects_of,
    slices_of,
)
from planewise.volumes.volume import Volume


def source(labels, within=None, spacing=(1.0, 1.0, 1.0)):
    return Source(Volume(labels, spacing), None, None if within is None else Volume(within, spacing))


def test_slices_count_classes_where_it_counts():
    labels = np.zeros((3, 2, 4), np.uint8)
    labels[0, 0], labels[1, 1, :2], labels[1, 0, 0] = 1, 2, 3
    within = np.ones((3, 2, 4), np.uint8)
    within[0, 0, 0], within[2] = 0, 0
    population, reference = slices_of(source(labels, within), {"all": None, "b": (2, 3)})
    assert population.masks["all"].tolist() == [3, 3, 0]
    assert population.masks["b"].tolist() == [0, 3, 0]
    assert population.most["b"].tolist() == [7, 8, 0]
    assert reference == 15


def test_boxes_hold_each_object_and_voxel_once(balls):
    objects = objects_of(source(balls))
    boxes = boxes_of(source(balls), objects, box_edges(Volume(balls), 8, 5, None))
    assert boxes.size >= 24
    assert boxes.masks[OBJECTS].sum() == 5
    assert boxes.masks[VOXELS].sum() == (balls > 0).sum()
    times = np.zeros(balls.shape, int)
    for place, voxels in zip(boxes.places, boxes.masks[VOXELS]):
        times[place] += 1
        assert (balls[place] > 0).sum() == voxels
    assert (times == 1).all()
    assert (np.abs(np.diff([[p.start for p in place] for place in boxes.places], axis=0)) > 0).sum(axis=1).max() <= 2


def test_boxes_have_the_sides_that_are_asked_for():
    edges = box_edges(Volume(np.zeros((40, 48, 57), np.uint8)), 3, 0, (10, 24, 19))
    assert [np.diff(along).tolist() for along in edges] == [[10] * 4, [24] * 2, [19] * 3]


def test_boxes_are_near_to_cubes_where_voxels_are_not():
    volume = Volume(np.zeros((30, 120, 120), np.uint8), (4.0, 1.0, 1.0), "nm")
    z, y, x = box_edges(volume, 9, 0, None)
    assert (len(z) - 1, len(y) - 1, len(x) - 1) == (3, 3, 3)


def test_the_first_voxel_is_that_of_z_then_y_then_x():
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[1, 2, 0] = labels[1, 0, 2] = labels[2, 0, 0] = 4
    assert first_voxels(labels) == {4: (1, 0, 2)}


def test_objects_are_ordered_by_confidence_then_size(balls):
    objects = objects_of(source(balls))
    sizes = dict(zip(objects.labels.tolist(), objects.sizes.tolist()))
    by_size = objects_in_order(objects, {}, balls.shape)
    assert [sizes[label] for label in by_size.labels] == sorted(sizes.values())
    certain = objects_in_order(objects, {1: 0.9, 2: 0.1, 3: 0.95, 4: 0.2, 5: 0.5}, balls.shape)
    assert set(certain.labels[:2]) == {2, 4}
    assert set(certain.labels[-2:]) == {1, 3}
    for label, place in zip(certain.labels, certain.places):
        assert (balls[place] == label).sum() == sizes[label]


def test_boxes_by_content_and_boxes_for_what_is_missed(balls):
    objects = objects_of(source(balls))
    boxes = boxes_of(source(balls), objects, box_edges(Volume(balls), 8, 5, None))
    sorted_, order = by_content(boxes)
    assert (np.diff(sorted_.masks[OBJECTS]) >= 0).all()
    assert [boxes.places[i] for i in order] == sorted_.places
    assert sorted_.weights.min() > 0
    assert missed_in(boxes).masks[VOXELS].sum() == 0


CLOSED = ((False, False),) * 3


@pytest.fixture
def crop():
    """A crop of 4 x 6 x 6 whose item is its middle."""
    return Crop((slice(1, 3), slice(2, 4), slice(2, 4)), ((True, True),) * 3)


def test_an_object_counts_where_it_begins(crop):
    labels = np.zeros((4, 6, 6), np.uint8)
    labels[1, 2, 2] = 1  # begins in the item
    labels[0:3, 3, 3] = 2  # begins before it
    labels[2, 2:6, 3] = 3  # begins in it, and reaches a face behind which the volume goes on
    assert starts_in(labels, crop) == [1, 3]
    assert reaches_out(labels, crop, [1, 3]) == [3]
    assert reaches_out(labels, Crop(crop.place, CLOSED), [1, 3]) == []
    assert measure_box(labels, crop, []) == {OBJECTS: 2, VOXELS: 4}
    assert measure_box(labels, crop, [3]) == {OBJECTS: 1, VOXELS: 4}


def test_an_object_belongs_to_the_predicted_one_of_which_it_holds_most():
    drawn, labels = np.zeros((1, 1, 12), np.uint8), np.zeros((1, 1, 12), np.uint8)
    drawn[..., 0:6], drawn[..., 6:9], drawn[..., 10] = 1, 2, 3
    labels[..., 0:2], labels[..., 3:7], labels[..., 7:8] = 5, 6, 7
    assert measure_object(labels, drawn, 1) == {OBJECTS: 2, VOXELS: 6}  # a merge of 5 and 6
    assert measure_object(labels, drawn, 2) == {OBJECTS: 1, VOXELS: 1}
    assert measure_object(labels, drawn, 3) == {OBJECTS: 0, VOXELS: 0}  # false


def test_what_is_missed_shares_no_voxel_with_a_predicted_one(crop):
    drawn, labels = np.zeros((4, 6, 6), np.uint8), np.zeros((4, 6, 6), np.uint8)
    labels[1, 2, 2], labels[1, 3, 3:5], labels[0, 0, 0] = 1, 2, 3
    drawn[1, 3, 4] = 9
    assert measure_missed(labels, drawn, crop) == {OBJECTS: 1, VOXELS: 1}


def test_objects_without_a_confidence_come_with_the_most_certain():
    labels = np.arange(1, 7)
    corners = np.zeros((6, 3), int)
    objects = Objects(labels, np.array([9, 8, 7, 6, 5, 4]), corners, corners, corners + 1)
    ordered = objects_in_order(objects, {1: 0.1, 2: 0.5, 3: 0.9}, (4, 4, 4))
    assert ordered.labels == [1, 2, 6, 5, 4, 3]  # of those that are alike the smallest comes first
    assert objects_in_order(objects, {}, (4, 4, 4)).labels == [6, 5, 4, 3, 2, 1]
