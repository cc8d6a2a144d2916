import numpy as np
import pytest

from planewise.data.contrast import Contrast, contrast_of, is_certain, objects_contrast, objects_polarity
from planewise.data.intensity import TrainedIntensities
from planewise.data.line_contrast import Lines

DARK = Contrast(fine="dark", broad="dark")
PHANTOM = Contrast(fine="dark", broad="bright")


@pytest.mark.parametrize(
    ("seen", "trained", "result"),
    [
        (DARK, DARK, "same"),
        (DARK.inverted(), DARK, "inverted"),
        (PHANTOM, PHANTOM, "same"),
        (PHANTOM.inverted(), PHANTOM, "inverted"),
        (DARK, PHANTOM, "unclear"),  # one width says that it is right
        (Contrast(broad="dark"), PHANTOM, "unclear"),  # one width alone is not enough
        (DARK, Contrast(), "unclear"),
    ],
)
def test_a_contrast_is_inverted_if_lines_of_both_widths_say_so(seen, trained, result):
    assert seen.against(trained) == result


def test_what_is_unclear_is_completed():
    by = Contrast(fine="bright", broad="bright")
    assert Contrast(fine="dark").completed(by) == Contrast(fine="dark", broad="bright")


def test_objects_are_dark_if_they_are_in_most_slices():
    image, labels = np.full((8, 8), 10.0), np.zeros((8, 8), np.int32)
    image[:4], labels[:4] = 2.0, 5
    labels[4] = -1  # not known
    assert objects_contrast(image, labels) == pytest.approx(-2)  # half of the pixels each: std is 4
    assert np.isnan(objects_contrast(image, np.where(labels > 0, 0, labels)))
    assert objects_polarity([-2.0, -1.0, -0.5, 0.1]) == "dark"
    assert objects_polarity([-2.0, -1.0, 0.5, 0.1]) == "unclear"
    assert objects_polarity([1.0, 1.0, 1.0, float("nan")]) == "unclear"  # too few
    assert objects_polarity([0.1] * 8) == "unclear"  # hardly a difference


def test_the_contrast_of_an_image_is_that_of_its_lines():
    assert contrast_of([Lines((-0.5, 0.3), 8.0)] * 4) == PHANTOM


def test_a_file_that_states_one_polarity_states_it_for_all_lines():
    assert TrainedIntensities.model_validate({"low": 0.2, "high": 0.9, "polarity": "dark"}).contrast == DARK
    assert TrainedIntensities.model_validate({"low": 0.2, "high": 0.9}).contrast == Contrast()


@pytest.mark.parametrize("more", [{}, {"objects": "dark"}])
def test_a_file_states_one_polarity_if_no_more_is_known(more):
    stated = {"low": 0.2, "high": 0.9, "contrast": DARK.model_dump()} | more
    seen = TrainedIntensities.model_validate(stated)
    assert seen.model_dump() == (stated if more else {"low": 0.2, "high": 0.9, "polarity": "dark"})
    assert TrainedIntensities.model_validate(seen.model_dump()) == seen


@pytest.mark.parametrize(
    ("lines", "tiles", "middle", "certain"),
    [
        ((0.2, 0.2), 4, 0.1, True),  # strong by itself
        ((0.2, 0.07), 4, 0.4, True),
        ((0.2, 0.07), 4, 0.3, False),  # bright lines, where dark ones are flattened
        ((0.2, 0.05), 8, 0.5, True),
        ((0.2, 0.05), 7, 0.5, False),  # too few
        ((0.2, 0.05), 8, 0.4, False),
        ((0.2, 0.05), 8, 0.7, True),
        ((-0.2, -0.05), 8, 0.7, False),
        ((-0.2, -0.05), 8, 0.3, True),
        ((-0.2, 0.05), 8, 0.7, True),  # which no gamma does
    ],
)
def test_a_contrast_is_certain_if_it_is_strong_or_not_due_to_a_gamma(lines, tiles, middle, certain):
    of_tiles = [Lines(lines, 8.0)] * tiles
    assert is_certain(contrast_of(of_tiles), of_tiles, middle) == certain
    assert not is_certain(Contrast(), [], middle)
