import numpy as np
from test_assembled import FIRST, SECOND, SLICES, THIRD, Perfect, volume

from planewise.data.panoptic import IGNORED
from planewise.inference.gathering import GroupingOptions
from planewise.training.self_training import labeller, with_painted
from planewise.volumes.slices import PLANES


def row(*values):
    return np.array(values, np.int32).reshape(1, 1, -1)


def with_row(labels, painted):
    return with_painted(row(*labels), row(*painted)).ravel().tolist()


def test_what_was_painted_stays_and_gives_its_object_a_name():
    # The first object was painted as 7: the same one, and its painted background is no part of it.
    assert with_row([1, 1, 1, 1, -1, 2], [-1, 7, 7, 0, -1, -1]) == [1, 1, 1, 0, -1, 2]
    # What nobody else gave is an object of its own.
    assert with_row([0, 0, 1, 1], [-1, 5, -1, -1])[1] not in (0, 1, -1)
    # Where nothing was painted all stays.
    assert with_row([0, 1, -1, 2], [-1, -1, -1, -1]) == [0, 1, -1, 2]


def test_an_object_that_was_painted_as_background_is_not_believed():
    assert with_row([1, 1, 1, 1, 2], [-1, 0, 0, 7, -1])[:3] == [-1, 0, 0]
    assert with_row([1, 1, 1, 1, 2], [-1, 0, 0, 7, -1])[4] == 2
    assert with_row([1, 1, 1, 1, 2], [-1, 0, 7, 7, -1])[0] == 1  # two of three are one painted object's


def test_an_object_that_was_painted_as_two_is_not_believed():
    result = with_row([1, 1, 1, 1, 1], [-1, 7, 8, -1, -1])
    assert result[0] == result[3] == result[4] == IGNORED
    assert len({result[1], result[2], 0, IGNORED}) == 4


def test_ids_of_single_slices_may_differ_from_slice_to_slice():
    labels = np.zeros((9, 6, 12), np.int32)
    labels[:, :, :8] = 1
    painted = np.full(labels.shape, IGNORED, np.int32)
    painted[2], painted[6] = 0, 0
    painted[2, :, :8], painted[6, :, :8] = 3, 4
    painted[:, 1] = np.where(labels[:, 1] > 0, 5, 0)  # a slice along y, which crosses both
    assert np.array_equal(with_painted(labels, painted), labels)
    painted[6, :, 5:8] = 9  # beside 4, in one slice: they are two
    result = with_painted(labels, painted)
    assert np.unique(result[0][labels[0] > 0]).tolist() == sorted({IGNORED, *np.unique(result[0, 1, :8]).tolist()})
    assert len({0, result[6, 0, 0], result[6, 0, 6]}) == 3


def test_planes_label_what_they_agree_on():
    image = volume(FIRST, SECOND).image
    painted = np.full(image.shape, IGNORED, np.int32)
    painted[5] = 0
    painted[5, 2:14, 2:14] = 9
    label = labeller(Perfect(), PLANES, SLICES, GroupingOptions())
    labels = label(image, painted)
    assert np.array_equal(labels[5] > 0, painted[5] == 9)
    elsewhere = np.arange(24) != 5
    assert len(np.unique(labels[FIRST])) == 1
    assert np.unique(labels[SECOND][elsewhere[2:22]]).tolist() == [IGNORED]  # which was painted as background
    labels[FIRST] = labels[SECOND] = 0
    assert not labels.any()


def test_nothing_is_known_of_what_planes_do_not_agree_on():
    class Unsure(Perfect):
        """Sees objects in xy alone, whose slices are 32 x 40."""

        def _outputs(self, slice_):
            return super()._outputs(slice_ if slice_.shape == (32, 40) else np.zeros_like(slice_))

    given = volume(THIRD)
    nothing = np.full(given.labels.shape, IGNORED, np.int32)
    labels = labeller(Unsure(), PLANES, SLICES, GroupingOptions())(given.image, nothing)
    assert np.array_equal(labels == IGNORED, given.labels > 0)
    assert not labels[given.labels == 0].any()


def test_a_single_slice_is_what_was_painted():
    given = volume(FIRST)
    painted = np.where(given.labels[5:6] > 0, 3, IGNORED).astype(np.int32)
    label = labeller(Perfect(), PLANES, SLICES, GroupingOptions())
    assert np.array_equal(label(given.image[5:6], painted), painted)
