"""What a model stores of the patients that it was trained on."""

from prepared_cases import Fixed, write

from planewise.training.seen_data import seen_in


def test_what_the_patients_were_like(tmp_path):
    trained_on = [write(tmp_path, "a"), write(tmp_path, "bb", spacing=3.0)]
    seen = seen_in(Fixed(), trained_on, [write(tmp_path, "ccc", spacing=9.0)])
    assert (seen.patients, seen.thickness_mm) == (2, (2.0, 3.0))
    assert 100 / 255 < seen.intensities.mean[2] < 109 / 255
    assert len(seen.embedding.mean) == 1


def test_too_few_patients_say_nothing_of_what_is_far(tmp_path):
    alone = [write(tmp_path, "a")]
    assert seen_in(Fixed(), alone, []) is None
    assert seen_in(Fixed(), [write(tmp_path, "b", organ=False)], alone) is None
    assert seen_in(Fixed(), [], alone) is None
