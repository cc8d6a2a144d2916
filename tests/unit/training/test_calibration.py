import numpy as np
import pytest
from test_assembled import FIRST, SECOND, SLICES, Perfect, volume

from planewise.inference.gathering import GroupingOptions
from planewise.training.assembled import AssembledVolume
from planewise.training.calibration import best_ious, calibration_on
from planewise.volumes.slices import PLANES


class SeesMoreAlongX(Perfect):
    """In yz, whose slices are 24 x 32, nothing is seen of the second half of the rows."""

    def _outputs(self, slice_):
        if slice_.shape == (24, 32):
            slice_ = np.where(np.arange(24)[:, None] < 12, slice_, 0)
        return super()._outputs(slice_)


def test_objects_count_as_right_by_their_iou():
    truth, predicted = np.zeros((2, 4, 10), int), np.zeros((2, 4, 10), int)
    truth[0, :, :6] = 7
    predicted[0, :, 2:8] = 1  # 16 of 32
    predicted[1, 0, :5] = 2
    predicted[1, 3] = 3
    truth[1, 3] = -1
    iou, known = best_ious(truth, predicted, 4)
    assert iou.tolist() == [0.5, 0.0, 0.0, 0.0]
    assert known.tolist() == [True, True, False, False]


def test_a_perfect_model_is_believed_and_what_is_not_there_is_counted_as_wrong():
    good = calibration_on(Perfect(), [volume(FIRST, SECOND)], PLANES, SLICES, GroupingOptions())
    assert (good.right, good.wrong, good.planes) == (8, 0, PLANES)  # two in four views
    false = calibration_on(Perfect(), [volume(FIRST, shown=[FIRST, SECOND])], PLANES, SLICES, GroupingOptions())
    assert (false.right, false.wrong) == (4, 4)


def test_an_object_that_painted_slices_cut_is_right_if_a_section_of_it_is():
    whole = volume(FIRST, SECOND)
    labels = np.full_like(whole.labels, -1)
    for number, z in enumerate((6, 16)):
        labels[z] = np.where(whole.labels[z] > 0, whole.labels[z] + 2 * number, 0)
    good = calibration_on(Perfect(), [AssembledVolume(whole.image, labels)], PLANES, SLICES, GroupingOptions())
    assert (good.right, good.wrong) == (8, 0)


def test_no_object_is_left_out_for_a_lack_of_agreement():
    grouping = GroupingOptions(min_agreement=1.0)
    predicted = calibration_on(SeesMoreAlongX(), [volume(FIRST)], PLANES, SLICES, grouping)
    assert predicted.right + predicted.wrong == 4


@pytest.mark.parametrize("planes", [("xy",), ("xy", "xz")])
def test_planes_that_cannot_disagree_calibrate_nothing(planes):
    assert calibration_on(Perfect(), [volume(FIRST)], planes, SLICES, GroupingOptions()) is None


def test_a_model_that_finds_nothing_calibrates_nothing():
    unseen = volume(FIRST, shown=[])
    assert calibration_on(Perfect(), [unseen], PLANES, SLICES, GroupingOptions()) is None


def test_volumes_of_one_slice_calibrate_nothing():
    whole = volume(FIRST)
    thin = AssembledVolume(whole.image[5:6], whole.labels[5:6])
    assert calibration_on(Perfect(), [thin], PLANES, SLICES, GroupingOptions()) is None
