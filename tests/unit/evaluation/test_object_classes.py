import numpy as np

from planewise.evaluation.object_classes import class_doubts, class_of_objects
from planewise.evaluation.overlap import overlap_table

OVERLAP = overlap_table(np.array([[[4, 4, 4, 7, 7, 8]]]), np.array([[[1, 2, 2, 2, 1, 0]]]))
OBJECTS = np.array([4, 7, 8])


def test_an_object_is_of_the_class_of_most_of_its_voxels():
    assert class_of_objects(OBJECTS, OVERLAP).tolist() == [2, 1, 0]


def test_where_things_are_known_it_is_of_one_of_them():
    assert class_of_objects(OBJECTS, OVERLAP, things=(1,)).tolist() == [1, 1, 0]
    assert class_of_objects(OBJECTS, OVERLAP, things=()).tolist() == [0, 0, 0]


def test_objects_in_two_classes_and_in_none_are_named():
    spread, none = class_doubts(OVERLAP, {1: "mito", 2: "er"}, (1,), "they are left out")
    assert spread.startswith(
        "in several classes: object 4 (1 voxel of mito, 2 voxels of er), object 7 (1 voxel of mito, 1 voxel of er);"
    )
    assert none == "in no class of things: object 8 (1 voxel of background); they are left out"
    alone = overlap_table(np.array([[[4, 4]]]), np.array([[[1, 1]]]))
    assert class_doubts(alone, {1: "mito"}, (1,), "") == []
