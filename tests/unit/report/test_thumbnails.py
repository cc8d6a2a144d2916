import base64
import io

import numpy as np
import pytest
from PIL import Image

from planewise.report.thumbnails import SHADES, _nearest, box_around, palette_of, picture_of, seen_from

RED, GREEN = palette_of("#ff0000"), palette_of("#00ff00")


def pixels(uri):
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA")).astype(int)


def ball(radius=12):
    z, y, x = np.ogrid[-15:16, -15:16, -15:16]
    return z**2 + y**2 + x**2 <= radius**2


def test_the_view_turns_and_does_not_mirror():
    view = seen_from((1.0, 1.0, 1.0), (1, 1, 1))
    assert view @ view.T == pytest.approx(np.eye(3))
    right, down, towards = view[:, ::-1]  # to x, y, z, which are right-handed: left, back, up
    assert np.cross(right, -down) == pytest.approx(towards)
    assert view[1, 0] < 0  # what is higher in the body is higher in the picture


def test_a_ball_is_round_and_lit_from_above_and_its_surroundings_are_not_drawn():
    shown = pixels(picture_of(ball(), (1.0, 1.0, 1.0), (1, 1, 1), 80, RED))
    there = shown[..., 3] > 0
    rows, columns = (np.flatnonzero(there.any(axis=axis)) for axis in (1, 0))
    assert abs(len(rows) - len(columns)) <= 2
    assert there.sum() == pytest.approx(np.pi / 4 * len(rows) * len(columns), rel=0.05)
    assert not there[0, 0]
    upper, lower = (shown[half][there[half]][:, 0].mean() for half in (slice(40), slice(40, None)))
    assert upper > lower + 20
    assert (shown[there][:, 1:3] == 0).all()


def test_what_is_nearer_hides_what_is_behind():
    colours = np.zeros((20, 40, 20), np.uint8)
    colours[5:15, 2:12, 5:15], colours[:, 30:] = 1, 2  # small in front, large behind
    shown = pixels(picture_of(colours, (1.0, 1.0, 1.0), (1, 1, 1), 80, np.vstack([RED, GREEN])))
    alone = pixels(picture_of(colours * (colours == 1), (1.0, 1.0, 1.0), (1, 1, 1), 80, RED))
    red = (shown[..., 0] > 0) & (shown[..., 1] == 0)
    np.testing.assert_array_equal(red, alone[..., 3] > 0)
    assert (shown[..., 1] > 0).any()


@pytest.mark.parametrize("size", [0.6, 3.0, 11.5])
def test_each_pixel_shows_the_nearest_of_the_voxels_that_cover_it(size):
    rng = np.random.default_rng(0)
    shape, reach = (30, 40), int(np.ceil(size / 2))
    at = np.stack([rng.integers(0, 40, 60), rng.integers(0, 30, 60)], axis=1)
    depth, colour = rng.permutation(60) - 20.0, rng.integers(1, 5, 60)
    seen, colours = np.full(shape, -np.inf), np.zeros(shape, int)
    for (x, y), z, value in zip(at, depth, colour):
        for row in range(max(0, y - reach), min(30, y + reach + 1)):
            for column in range(max(0, x - reach), min(40, x + reach + 1)):
                if z > seen[row, column]:
                    seen[row, column], colours[row, column] = z, value
    found = _nearest(at, depth, colour, shape, size)
    np.testing.assert_array_equal(found[0], seen)
    np.testing.assert_array_equal(found[1], colours)


def test_thick_slices_are_drawn_as_they_lie_in_space():
    flat = ball()[::5]  # every fifth slice, 5 apart
    whole, thick = (
        pixels(picture_of(solid, spacing, (1, 1, 1), 80, RED))[..., 3] > 0
        for solid, spacing in ((ball(), (1.0, 1.0, 1.0)), (flat, (5.0, 1.0, 1.0)))
    )
    assert thick.sum() == pytest.approx(whole.sum(), rel=0.25)


def test_a_box_is_thinned_along_each_axis_so_that_its_voxels_are_alike_in_space():
    assert box_around((0, 0, 0), (40, 600, 300), (30.0, 6.0, 6.0)).steps == (2, 10, 10)
    assert box_around((4, 4, 4), (10, 10, 10), (1.0, 1.0, 1.0)).steps == (1, 1, 1)


def test_nothing_has_no_picture():
    assert picture_of(np.zeros((4, 4, 4), np.uint8), (1.0, 1.0, 1.0), (1, 1, 1), 80, RED) == ""
    assert SHADES * 17 <= 255  # places of a palette
