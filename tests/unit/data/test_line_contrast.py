import numpy as np
import pytest

from planewise.data.line_contrast import Lines, line_contrast, mean_contrast, polarities_of, tile_corner, tile_places


def test_the_contrast_of_dark_lines_is_negative_and_turns_with_the_image():
    lines = 100 + np.linspace(0, 1, 64 * 64).reshape(64, 64)  # a ramp: what is even is taken for a border
    lines[::8] -= 40
    assert line_contrast(lines).contrasts[0] < -0.3
    assert line_contrast(-lines).contrasts[0] == pytest.approx(-line_contrast(lines).contrasts[0])
    assert np.isnan(line_contrast(np.zeros((9, 9))).contrasts).all()
    lines[:, :4] = 255
    assert np.isnan(line_contrast(lines).contrasts).all()


@pytest.mark.parametrize(
    ("of_tiles", "mean", "polarities"),
    [
        ([Lines((-0.5, -0.3), 8.0)] * 3 + [Lines((0.1, 0.1), 8.0)], -0.35, ("dark", "dark")),  # three quarters agree
        ([Lines((-0.5, -0.3), 8.0)] * 2 + [Lines((0.1, 0.1), 8.0)] * 2, -0.2, ("unclear", "unclear")),
        ([Lines((0.5, 0.3), 8.0)] * 4, 0.5, ("bright", "bright")),
        ([Lines((0.5, 0.3), 3.9)] * 4, 0.5, ("unclear", "unclear")),  # too blurred
        ([Lines((0.5, -0.3), 8.0)] * 4, 0.5, ("bright", "dark")),  # the two widths do not agree
        ([Lines((0.5, 0.01), 8.0)] * 4, 0.5, ("bright", "unclear")),  # hardly a line of the second
        ([Lines((0.5, 0.3), 8.0)] * 3, 0.5, ("unclear", "unclear")),  # too few
        ([Lines((0.5, 0.3), 8.0)] * 3 + [Lines((np.nan, np.nan), 8.0)], 0.5, ("unclear", "unclear")),
    ],
)
def test_a_polarity_is_clear_if_most_tiles_agree(of_tiles, mean, polarities):
    assert mean_contrast(of_tiles) == pytest.approx(mean)
    assert polarities_of(of_tiles) == polarities


def test_tiles_lie_within_the_slices_and_are_spread():
    places = tile_places((64, 200, 128))
    assert len(places) == 32
    assert (places[0][0], places[-1][0]) == (0, 63)
    assert {y for _, y, _ in places} == {72 * step // 6 for step in range(7)}
    assert {x for *_, x in places} == {0}  # no wider than a tile
    assert tile_corner(1, 200, 300) == (36, 143)  # the fourth place of seven, and the sixth
