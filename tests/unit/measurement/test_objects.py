"""What is counted voxel by voxel: by hand on a few voxels, on ellipsoids, and the same in any slabs."""

import numpy as np
import pytest
from skimage.measure import regionprops
from solids import ellipsoid, orientations

from planewise.errors import PlanewiseError
from planewise.measurement.objects import ObjectCounter


def count(labels, image=None, thickness=None):
    counter = ObjectCounter(labels.shape)
    thickness = thickness or len(labels)
    for start in range(0, len(labels), thickness):
        part = None if image is None else image[start : start + thickness]
        counter.add(labels[start : start + thickness], start, part)
    return counter.objects()


def test_a_few_voxels_by_hand():
    labels = np.zeros((3, 4, 5), np.uint32)
    labels[1, 1, 1:4] = 7
    labels[1, 2, 2] = 7
    labels[2, 3, 4] = 2
    image = np.arange(60, dtype=np.int16).reshape(labels.shape)
    objects = count(labels, image)
    assert objects.labels.tolist() == [2, 7]
    assert objects.voxels.tolist() == [1, 4]
    assert objects.boxes[1].tolist() == [[1, 1, 1], [1, 2, 3]]
    assert objects.tips[1].tolist() == [1, 1, 1]
    assert objects.centroids[1].tolist() == [1, 1.25, 2]
    assert objects.touches_border.tolist() == [True, False]
    assert (objects.intensity / objects.voxels).tolist() == [59, (26 + 27 + 28 + 32) / 4]
    # variance along x: of 1, 2, 3, 2 is 1/2; with 1/12 of a voxel
    assert objects.second_moments[1, 2, 2] / 4 - 4 == 0.5


def test_the_axes_of_a_box_are_those_of_its_moments():
    labels = np.ones((2, 3, 6), np.uint32)
    assert count(labels).axes((4.0, 1.0, 1.0))[0] == pytest.approx(np.sqrt(20 / 12 * np.array([8.0, 6.0, 3.0]) ** 2))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 1.0, 3.0)], ids=str)
@pytest.mark.parametrize("turned", range(3))
def test_the_axes_and_the_volume_of_ellipsoids(spacing, turned):
    mask = ellipsoid((9.0, 12.0, 20.0), spacing, orientations()[turned], turned)
    objects = count(mask.astype(np.uint32))
    assert objects.axes(spacing)[0] == pytest.approx([40.0, 24.0, 18.0], rel=0.02)
    assert objects.voxels[0] * np.prod(spacing) == pytest.approx(4 / 3 * np.pi * 9 * 12 * 20, rel=0.01)


def test_slabs_do_not_change_a_number(balls):
    image = np.random.default_rng(0).normal(size=balls.shape)
    whole, cut = count(balls, image), count(balls, image, 7)
    for name in ("labels", "voxels", "boxes", "tips", "first_moments", "second_moments", "intensity"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name)), name


def test_it_agrees_with_scikit_image(balls):
    image = np.random.default_rng(0).integers(0, 255, balls.shape)
    objects = count(balls, image)
    for row, region in enumerate(regionprops(balls, image)):
        assert objects.voxels[row] == region.area
        assert objects.centroids[row] == pytest.approx(region.centroid)
        assert (*objects.boxes[row, 0], *(objects.boxes[row, 1] + 1)) == region.bbox
        assert objects.intensity[row] / objects.voxels[row] == pytest.approx(region.intensity_mean)


def test_points_and_thin_sheets_are_labels():
    points = np.zeros((8, 40, 40), np.uint16)
    points[1::2, 1::4, 1::4] = np.arange(1, 401).reshape(4, 10, 10)
    assert count(points).voxels.tolist() == [1] * 400
    sheets = np.zeros((4, 8, 1000), np.uint16)
    sheets[:, :, 4::5] = np.arange(1, 201)
    assert count(sheets).voxels.tolist() == [32] * 200


def test_an_image_is_no_label_volume():
    image = np.random.default_rng(0).integers(0, 256, (8, 40, 40))
    with pytest.raises(PlanewiseError, match="is an image, not labels: its 255 values above 0"):
        count(image)


def test_many_small_objects_are_labels():
    labels = np.zeros((9, 40, 40), np.uint32)
    labels[::3, ::4, 0::4] = labels[::3, ::4, 1::4] = np.arange(1, 301).reshape(3, 10, 10)
    assert len(count(labels)) == 300


def test_nothing_is_no_object():
    objects = count(np.zeros((2, 3, 4), np.uint32))
    assert len(objects) == 0
    assert objects.axes((1.0, 1.0, 1.0)).shape == (0, 3)
