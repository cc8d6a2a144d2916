import numpy as np
import pytest

from planewise.data.case import Case
from planewise.data.classes import Target
from planewise.data.instances import as_int32, read_instances
from planewise.data.panoptic import IGNORED
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

ROW = np.array([[[1, 1, 0, 3, 3, 0, 2, 9]]], np.uint16)


def case_of(folder, truth, instances, name="instancesTr"):
    write_volume(folder / "imagesTr" / "a_0000.tiff", Volume(np.zeros(truth.shape, np.uint8)))
    write_labels(folder / name / "a.tiff", Volume(truth))
    return Case("a", folder / "imagesTr" / "a_0000.tiff", folder / name / "a.tiff", instances)


def test_instances_keep_their_ids_and_are_ignored_where_the_classes_beside_them_say(tmp_path):
    case = case_of(tmp_path, ROW, True)
    assert read_instances(case, Target("all", (1,))).tolist() == ROW.tolist()
    write_labels(tmp_path / "labelsTr" / "a.tiff", Volume(np.array([[[1, 1, 4, 4, 1, 0, 1, 1]]], np.uint8)))
    ids = read_instances(case, Target("all", (1,), 4))
    assert ids.dtype == np.int32
    assert ids.tolist() == [[[1, 1, IGNORED, IGNORED, 3, 0, 2, 9]]]


def test_a_class_is_split_into_what_touches_at_corners_too(tmp_path):
    truth = np.zeros((2, 3, 6), np.uint8)
    truth[0, 0, 0] = truth[1, 1, 1] = 2  # at a corner
    truth[0, 0, 4] = 3
    truth[1, 2, 4] = 2  # two rows away
    truth[0, 2, 0], truth[1, 2, 0] = 1, 5
    ids = read_instances(case_of(tmp_path, truth, False, "labelsTr"), Target("both", (2, 3), 5))
    assert ids[0, 0, 0] == ids[1, 1, 1] > 0
    assert len({ids[0, 0, 0], ids[0, 0, 4], ids[1, 2, 4]}) == 3
    assert (ids[0, 2, 0], ids[1, 2, 0], ids.max()) == (0, IGNORED, 3)


def test_a_truth_without_an_object_is_refused_with_what_it_holds(tmp_path):
    case = case_of(tmp_path, ROW.astype(np.uint8), False, "labelsTr")
    with pytest.raises(
        PlanewiseError, match=r"holds no voxel of cell \(7\) to learn from; its values are 0, 1, 2, 3, 9"
    ):
        read_instances(case, Target("cell", (7,)))


def test_ids_beyond_int32_are_numbered_anew_in_their_order():
    ids = np.array([[0, 2**40, 7], [IGNORED, 2**33, 7]])
    assert as_int32(ids).tolist() == [[0, 3, 1], [IGNORED, 2, 1]]
    assert as_int32(ids).dtype == np.int32
    assert as_int32(np.array([0, 2**31 - 1])).tolist() == [0, 2**31 - 1]
