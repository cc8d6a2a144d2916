import numpy as np
import pytest

from planewise.data.contrast import Contrast, contrast_of, objects_contrast, objects_polarity, skewness
from planewise.data.intensity import TrainedIntensities
from planewise.data.line_contrast import Lines

DARK = Contrast(fine="dark", broad="dark")
PHANTOM = Contrast(fine="dark", broad="bright", tail="dark")


@pytest.mark.parametrize(
    ("seen", "trained", "result"),
    [
        (DARK, DARK, "same"),
        (DARK.inverted(), DARK, "inverted"),
        (DARK.inverted().completed(PHANTOM), DARK.completed(PHANTOM), "inverted"),  # the tail alone says nothing
        (PHANTOM, PHANTOM, "same"),
        (PHANTOM.inverted(), PHANTOM, "inverted"),
        (Contrast(broad="dark", tail="bright"), PHANTOM, "inverted"),
        (Contrast(fine="dark", broad="dark", tail="bright"), PHANTOM, "unclear"),  # one width says that it is right
        (Contrast(tail="bright"), PHANTOM, "unclear"),  # one sign is not enough
        (Contrast(broad="dark"), PHANTOM, "unclear"),
        (DARK, Contrast(), "unclear"),
    ],
)
def test_a_contrast_is_inverted_if_two_signs_say_so_and_no_line_the_opposite(seen, trained, result):
    assert seen.against(trained) == result


def test_what_is_unclear_is_completed():
    by = Contrast(fine="bright", tail="bright")
    assert Contrast(fine="dark").completed(by) == Contrast(fine="dark", tail="bright")


def test_the_skewness_is_that_of_the_values_and_turns_with_the_image():
    image = np.zeros((64, 64), np.uint8)
    image[:, :16] = 100  # a quarter, in one piece: (1 - 2 p) / sqrt(p (1 - p)) = 1.1547, a little less when smoothed
    assert skewness(image) == pytest.approx(1.1547, abs=0.15)
    assert skewness(100 - image) == pytest.approx(-skewness(image), abs=1e-4)
    assert np.isnan(skewness(np.full((64, 64), 7)))


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


def test_the_tail_is_clear_if_most_tiles_agree():
    lines = [Lines((-0.5, 0.3), 8.0)] * 4
    assert contrast_of(lines, [-0.9, -0.8, -0.7, 0.1]) == PHANTOM
    assert contrast_of(lines, [-0.2] * 4).tail == "unclear"


def test_a_file_that_states_one_polarity_states_it_for_all_lines():
    assert TrainedIntensities.model_validate({"low": 0.2, "high": 0.9, "polarity": "dark"}).contrast == DARK
    assert TrainedIntensities.model_validate({"low": 0.2, "high": 0.9}).contrast == Contrast()


@pytest.mark.parametrize("more", [{}, {"objects": "dark"}])
def test_a_file_states_one_polarity_if_no_more_is_known(more):
    stated = {"low": 0.2, "high": 0.9, "contrast": DARK.model_dump()} | more
    seen = TrainedIntensities.model_validate(stated)
    assert seen.model_dump() == (stated if more else {"low": 0.2, "high": 0.9, "polarity": "dark"})
    assert TrainedIntensities.model_validate(seen.model_dump()) == seen
