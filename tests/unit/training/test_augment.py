import numpy as np
import pytest

from planewise.training import augment
from planewise.training.augment import STRAIGHT, Variation, centre_crop, random_crop, varied_crop, warp


def coded(height=12, width=15):
    """A slice whose pixels and labels say where they are."""
    ids = np.arange(1, height * width + 1).reshape(height, width).astype(np.int32)
    return ids.astype(np.float32), ids


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("flip", [1, -1])
def test_a_warp_by_right_angles_moves_every_pixel_to_its_place(quarters, flip):
    image, labels = coded(9, 9)
    angle = quarters * np.pi / 2
    matrix = np.round([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [flip, 1]
    start = 4 - matrix @ [4, 4]
    pixels, ids = warp(image, labels, matrix, start, (9, 9), STRAIGHT)
    # Along increasing rows of the crop the slice is walked by the matrix's first column.
    expected = np.array([[labels[tuple((start + matrix @ [r, c]).astype(int))] for c in range(9)] for r in range(9)])
    assert np.array_equal(ids, expected)
    assert np.array_equal(pixels, expected)
    assert sorted(ids.ravel()) == sorted(labels.ravel())


def test_between_pixels_the_image_is_interpolated_and_the_labels_are_not():
    image, labels = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32), np.array([[1, 2], [3, 4]], np.int32)
    pixels, ids = warp(image, labels, np.eye(2), np.array([0.25, 0.6]), (1, 1), STRAIGHT)
    assert pixels[0, 0] == pytest.approx(0.25 * 2 + 0.6)
    assert ids[0, 0] == 2


def test_outside_the_slice_is_nothing():
    image, labels = coded()
    pixels, ids = warp(image, labels, np.eye(2), np.array([-3.0, -2.0]), (30, 30), STRAIGHT)
    assert np.array_equal(ids[3:15, 2:17], labels)
    assert pixels.sum() == image.sum()


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (2, 300)])
def test_slices_a_pixel_thick_have_views(shape):
    image, labels = np.ones(shape, np.float32), np.ones(shape, np.int32)
    for seed in range(5):
        variation = Variation((0.1, 0.6), bend=2.0, near_objects=0.5)
        pixels, ids = varied_crop(lambda: (image, labels), 64, variation, np.random.default_rng(seed))
        assert pixels.shape == ids.shape == (64, 64)


def test_centre_crop():
    image, labels = coded(13, 15)
    _, ids = centre_crop(image, labels, 5)
    assert np.array_equal(ids, labels[4:9, 5:10])
    _, ids = centre_crop(image, labels, 31)
    assert np.array_equal(ids[9:22, 8:23], labels)


@pytest.mark.parametrize("shape", [(200, 300), (40, 300), (30, 30)])
def test_a_random_crop_is_as_full_as_it_can_be_and_keeps_image_and_labels_together(shape):
    labels = np.ones(shape, np.int32)
    labels[shape[0] // 2 :] = 2
    image = labels.astype(np.float32) / 4
    share = []
    for seed in range(40):
        pixels, ids = random_crop(image, labels, 64, (1.0, 1.0), np.random.default_rng(seed))
        assert pixels.shape == ids.shape == (64, 64)
        assert pixels.dtype == np.float32
        assert 0 <= pixels.min() <= pixels.max() <= 1
        if (ids == 2).any() and (ids == 1).any():
            assert pixels[ids == 2].mean() > pixels[ids == 1].mean()
        share.append((ids > 0).mean())
    possible = min(shape[0], 64) * min(shape[1], 64) / 64**2
    assert max(share) >= possible - 0.06
    assert np.mean(share) > 0.7 * possible  # a rotation may turn a corner out of the slice


def test_magnification():
    labels = np.zeros((400, 400), np.int32)
    labels[150:250, 150:250] = 1
    image = labels.astype(np.float32)
    for scale, side in ((0.5, 50), (2.0, 200)):
        areas = [
            (
                random_crop(image, labels, 256 if scale > 1 else 200, (scale, scale), np.random.default_rng(s))[1] > 0
            ).sum()
            for s in range(20)
        ]
        assert max(areas) == pytest.approx(side**2, rel=0.06)


def test_what_is_upright_stays_upright():
    labels = np.zeros((96, 96), np.int32)
    labels[40:56, 10:20] = 1  # left of the middle
    labels[40:56, 60:90] = 2
    for seed in range(40):
        _, ids = random_crop(labels / 2, labels, 96, (0.9, 1.1), np.random.default_rng(seed), upright=True)
        rows, columns = zip(*(np.mean(np.nonzero(ids == value), axis=1) for value in (1, 2)))
        assert columns[0] < columns[1]
        assert abs(rows[0] - rows[1]) < abs(columns[0] - columns[1]) * np.tan(np.pi / 12) + 2


def test_bending_displaces_by_what_lies_between_its_knots():
    image, labels = coded(9, 9)
    knots = np.zeros((2, 2, 2))
    knots[0, 1] = 4.0  # rows of the view's end are looked up 4 rows further on
    pixels, ids = warp(image, labels, np.eye(2), np.zeros(2), (4, 4), knots)
    rows = [0, 2, 4, 6]  # r + 4 * r / 4
    assert np.array_equal(ids, labels[rows][:, :4])
    assert np.array_equal(pixels, image[rows][:, :4])


@pytest.mark.parametrize("bend", [0.0, 5.0])
@pytest.mark.parametrize("shape", [(300, 200), (20, 300), (300, 20)])
def test_a_varied_crop_keeps_image_and_labels_together(shape, bend):
    labels = np.ones(shape, np.int32)
    labels[: shape[0] // 2, : shape[1] // 2] = 2
    image = (labels * 100).astype(np.float32) / 255
    rng = np.random.default_rng(3)
    for _ in range(20):
        pixels, ids = varied_crop(lambda: (image, labels), 64, Variation((1.0, 1.0), bend), rng)
        assert pixels.shape == ids.shape == (64, 64)
        assert (ids > 0).mean() > 0.2
        shown = {round(float(np.median(pixels[ids == i])), 3) for i in np.unique(ids[ids > 0]) if (ids == i).sum() > 99}
        assert 1 <= len(shown) <= 2  # one intensity for each of the two labels


def test_thin_slices_fill_a_crop_in_bands_whose_ids_differ(monkeypatch):
    drawn = []

    def draw():
        drawn.append(len(drawn))
        return np.full((16, 200), 0.5, np.float32), np.full((16, 200), 1, np.int32)

    monkeypatch.setattr(augment, "MARGIN", 0.0)
    rng = np.random.default_rng(0)
    pixels, ids = varied_crop(draw, 64, Variation((1.0, 1.0)), rng)
    assert len(drawn) == 4
    assert (pixels > 0).all()
    bands = ids if (ids == ids[:, :1]).all() else ids.T  # turned, or not
    assert [np.unique(bands[start : start + 16]).tolist() for start in range(0, 64, 16)] == [[1], [2], [3], [4]]


def test_some_views_have_an_empty_side_without_labels():
    image, labels = np.full((90, 90), 0.5, np.float32), np.ones((90, 90), np.int32)
    empty = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pixels, ids = varied_crop(lambda: (image.copy(), labels.copy()), 64, Variation((1.0, 1.0)), rng)
        assert (ids[pixels == 0.5] == 1).all()
        sides = [(ids[0] == 0).all(), (ids[-1] == 0).all(), (ids[:, 0] == 0).all(), (ids[:, -1] == 0).all()]
        empty.append(sum(sides))
    assert 4 <= sum(count == 1 for count in empty) <= 24  # a fifth of 60, less those whose width is next to nothing
    assert max(empty) == 1


def test_ignored_pixels_stay_ignored_in_bands(monkeypatch):
    monkeypatch.setattr(augment, "MARGIN", 0.0)
    labels = np.full((16, 200), -1, np.int32)
    _, ids = varied_crop(lambda: (labels + 1.0, labels), 64, Variation((1.0, 1.0)), np.random.default_rng(0))
    assert (ids == -1).all()


def rare_object(shape, draws):
    """Return a function whose slices of ``shape`` are empty, except each third, which shows an object at a side."""

    def draw():
        draws.append(len(draws))
        labels = np.zeros(shape, np.int32)
        if len(draws) % 3 == 0:
            labels[1:4, shape[1] // 2 - 1 : shape[1] // 2 + 2] = 1
        return np.full(shape, 0.5, np.float32), labels

    return draw


@pytest.mark.parametrize("shape", [(300, 400), (40, 400), (400, 40), (20, 20)])
def test_a_view_near_objects_shows_one_however_few_slices_and_places_do(monkeypatch, shape):
    monkeypatch.setattr(augment, "MARGIN", 0.0)
    for seed in range(8):
        variation = Variation((0.7, 1.4), near_objects=1.0)
        _, ids = varied_crop(rare_object(shape, []), 64, variation, np.random.default_rng(seed))
        assert (ids > 0).any()


def test_the_share_of_views_near_objects_is_as_asked(monkeypatch):
    monkeypatch.setattr(augment, "MARGIN", 0.0)

    def share(near_objects):
        variation, draw = Variation((1.0, 1.0), near_objects=near_objects), rare_object((300, 400), [])
        crops = [varied_crop(draw, 64, variation, np.random.default_rng(seed)) for seed in range(80)]
        return np.mean([(ids > 0).any() for _, ids in crops])

    assert share(0.0) < 0.15
    assert 0.35 < share(0.5) < 0.7


def test_where_no_slice_shows_an_object_a_view_is_drawn_anywhere():
    empty = np.zeros((90, 90), np.int32)
    draws = []

    def draw():
        draws.append(1)
        return np.full((90, 90), 0.5, np.float32), empty

    _, ids = varied_crop(draw, 64, Variation((1.0, 1.0), near_objects=1.0), np.random.default_rng(0))
    assert not ids.any()
    assert len(draws) == augment.DRAWS
