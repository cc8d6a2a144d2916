"""What is known after corrections: counted by hand on boxes of voxels."""

import numpy as np
import pytest

from planewise.correction.actions import Ball, Confirm, Delete, Merge, Paint, Split, Voxels
from planewise.correction.session import Corrections
from planewise.correction.truth import known_classes, known_labels, right_objects
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume


@pytest.fixture
def corrections(tmp_path):
    """Objects 1, 2 and 3: single voxels at x = 10, 14 and 30 of a line of 40 along x, in a plane of 21."""
    labels = np.zeros((5, 21, 40), np.uint8)
    labels[2, 10, (10, 14, 30)] = 1, 2, 3
    write_volume(tmp_path / "a.tiff", Volume(labels, (4.0, 2.0, 2.0), "nm"))
    with Corrections(tmp_path / "a.tiff") as opened:
        yield opened


def test_a_confirmed_object_is_known_with_the_background_around_it(corrections):
    corrections.apply(Confirm(labels=(1,)))
    truth = known_labels(corrections, margin=5)
    assert truth.objects == (1,)
    assert np.argwhere(truth.labels).tolist() == [[2, 10, 10]]
    z, y, x = np.indices(truth.known.shape)
    ball = (2 * (z - 2)) ** 2 + (y - 10) ** 2 + (x - 10) ** 2 <= 25  # a step along z is two along x
    ball[2, 10, 14] = False  # object 2 was not looked at
    np.testing.assert_array_equal(truth.known, ball)


def test_without_a_margin_only_the_object_is_known(corrections):
    corrections.apply(Confirm(labels=(1,)))
    assert known_labels(corrections, margin=0).known.sum() == 1


def test_what_was_deleted_or_erased_is_background(corrections):
    corrections.apply(Confirm(labels=(1,)))
    corrections.apply(Delete(labels=(3,)))
    truth = known_labels(corrections, margin=0)
    assert np.argwhere(truth.known).tolist() == [[2, 10, 10], [2, 10, 30]]
    corrections.apply(Paint(where=Ball(centre=(2, 10, 14), radius=0), label=0))
    corrections.apply(Paint(where=Ball(centre=(2, 10, 30), radius=0), label=None))
    truth = known_labels(corrections, margin=0)
    assert np.argwhere(truth.known).tolist() == [[2, 10, 10], [2, 10, 14], [2, 10, 30]]
    assert truth.labels[2, 10, 30] == 4
    corrections.undo(2)
    assert not known_labels(corrections, margin=0).known[2, 10, 14]


def test_in_a_confirmed_box_all_is_known(corrections):
    corrections.apply(Confirm(box=((2, 3), (10, 11), (12, 40))))
    truth = known_labels(corrections, margin=5)
    assert truth.known.sum() == 28
    assert truth.known[2, 10, 12:].all()
    assert set(np.unique(truth.labels)) == {0, 2, 3}


def test_an_object_that_was_changed_is_right_only_if_the_action_says_so(corrections):
    corrections.apply(Confirm(labels=(1, 2)))
    corrections.apply(Merge(labels=(3, 2)))
    assert right_objects(corrections.actions) == [1, 3]
    corrections.apply(Paint(where=Voxels(place=((2, 3), (10, 11), (10, 12))), label=3))
    assert right_objects(corrections.actions) == [3]  # 1 was painted over
    corrections.apply(Split(label=3, first=(2, 10, 10), second=(2, 10, 11)))
    assert right_objects(corrections.actions) == [3, 4]
    corrections.apply(Paint(where=Ball(centre=(2, 10, 11), radius=0), label=0))
    assert right_objects(corrections.actions) == [3]


def test_without_a_right_object_nothing_is_learned(corrections):
    corrections.apply(Delete(labels=(1,)))
    with pytest.raises(PlanewiseError, match="no object was confirmed or corrected"):
        known_labels(corrections, margin=5)


def test_of_classes_is_known_what_was_painted_or_confirmed_in_its_slice(tmp_path):
    """A file that runs from the feet upwards backwards: slice 5 of the file is slice 0, canonical."""
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[1, 2:6, 2:6] = 1  # nobody looks at it
    labels[3, 2:12, 2:12] = 2
    path = tmp_path / "ct.nii.gz"
    direction = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    write_volume(path, Volume(labels, (5.0, 2.0, 2.0), "mm", direction=direction))
    with Corrections(path) as corrections:
        with pytest.raises(PlanewiseError, match="no class was confirmed or corrected"):
            known_classes(corrections, 4)
        corrections.apply(Paint(where=Voxels(place=((3, 4), (8, 14), (2, 12))), label=2))  # four rows have it already
        corrections.apply(Confirm(box=((0, 1), (0, 20), (0, 20))))
        truth = known_classes(corrections, 4)
    assert truth.objects == (2,)
    expected = np.zeros((6, 20, 20), bool)
    rows, columns = np.indices((20, 20))
    down, across = np.clip(rows, 8, 13) - rows, np.clip(columns, 2, 11) - columns  # to the painted rows 8 to 13
    is_right = (rows >= 8) & (rows <= 13) & (columns >= 2) & (columns <= 11)
    is_class = (rows >= 2) & (rows <= 13) & (columns >= 2) & (columns <= 11)
    expected[2] = is_right | (~is_class & (down**2 + across**2 <= 2**2))  # 4 mm are two voxels
    expected[5] = True
    np.testing.assert_array_equal(truth.known, expected)
    assert (truth.labels[2][8:14, 2:12] == 2).all()
    assert (truth.labels > 0).sum() == 60
