import numpy as np
from prepared_cases import Fixed, write

from planewise.training.reliability import answers_on, reliability_on


def test_scores_are_held_against_the_truth_of_patients_held_out(tmp_path):
    known = reliability_on(Fixed(), {write(tmp_path, name): name for name in ("a", "bb", "ccc")}, 0)[3]
    assert (known.with_class, known.without) == (30, 30)
    assert known.gain.is_clear
    assert known.presence.share(2.0) > 0.9
    assert known.presence.share(-2.0) < 0.1
    assert abs(known.dice.share(0.5) - 2 / 3) < 0.02


class Spoiled(Fixed):
    """Gives no number for the first slice of a patient that was segmented."""

    def decode_rated(self, embeddings, boxes, classes):
        masks, scores, ious = super().decode_rated(embeddings, boxes, classes)
        self.asked = getattr(self, "asked", 0) + 1
        return masks, scores * (np.nan if self.asked == 1 else 1), ious


def test_a_slice_in_which_the_network_gives_no_number_does_not_count_and_is_said(tmp_path, capsys):
    known = reliability_on(Spoiled(), {write(tmp_path, name): name for name in ("a", "bb", "ccc")}, 0)[3]
    assert (known.with_class, known.without) == (29, 30)
    assert "WARNING: class 3: the network gave no number in 1 of 60 held-out slices" in capsys.readouterr().err


def test_the_scans_of_a_patient_are_one(tmp_path):
    held_out = {
        write(tmp_path, name, depth): whose for name, depth, whose in (("a", 4, "B"), ("b", 2, "A"), ("c", 2, "B"))
    }
    scores, _, there, _, patients = answers_on(Fixed(), held_out, 0)[3]
    assert scores.tolist() == [2, 2, -2, -2, 2, -2, 2, -2]
    assert there.tolist() == (scores > 0).tolist()
    assert patients.tolist() == [1, 1, 1, 1, 0, 0, 1, 1]


def test_scans_of_too_few_patients_calibrate_nothing(tmp_path):
    scans = [write(tmp_path, name) for name in ("a", "bb", "ccc")]
    assert reliability_on(Fixed(), dict.fromkeys(scans, "A") | {scans[0]: "B"}, 0) == {}


def test_where_nobody_knows_whether_a_class_is_there_it_is_not_asked(tmp_path):
    assert (
        reliability_on(Fixed(), {write(tmp_path, "a", ignored=True): "a"}, 0) == {}
    )  # no slice is known to be without
    assert reliability_on(Fixed(), {write(tmp_path, "b", organ=False): "b"}, 0) == {}
    assert reliability_on(Fixed(), {}, 0) == {}
