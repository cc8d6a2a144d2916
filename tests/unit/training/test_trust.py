import numpy as np
import torch

from planewise.data.prepared import IGNORED, Patient, save_patient
from planewise.training.trust import answers_on, reliability_on, seen_in
from planewise.volumes.volume import Volume


class Fixed(torch.nn.Module):
    """Says that class 3 is in a slice whose corner is bright, and that its mask is the box's left half."""

    def __init__(self):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        self.classes = {3: 0}

    def encode(self, slices):
        return [slices[:, None]]

    def decode_rated(self, embeddings, boxes, classes):
        slices = embeddings[0][:, 0]
        masks = torch.full((len(slices), 1, *slices.shape[1:]), -1.0)
        masks[..., 8:24, 8:16] = 1.0
        scores = torch.where(slices[:, 0, 0] > 0.5, 2.0, -2.0)[:, None]
        return masks, scores, torch.full_like(scores, 0.5)


def write(folder, name, depth=20, ignored=False, organ=True, spacing=2.0):
    images = np.full((depth, 32, 32), 100, np.uint8)
    images += np.random.default_rng(len(name)).integers(0, 9, images.shape, np.uint8)
    labels = np.zeros(images.shape, np.uint8)
    labels[: depth // 2, 8:24, 8:24] = 3  # of which the mask is half: Dice 2/3
    images[: depth // 2, 0, 0], images[depth // 2 :, 0, 0] = 255, 0
    if ignored:
        labels[depth // 2 :, 30, 30] = IGNORED
    lungs = np.zeros_like(labels)
    lungs[:, 4:28, 4:28] = 1
    geometry = Volume(images, (spacing, 1.0, 1.0), "mm")
    path = folder / f"{name}.npz"
    save_patient(path, Patient(name, images, labels, np.arange(depth), geometry, lungs if organ else None))
    return path


def test_scores_are_held_against_the_truth_of_patients_held_out(tmp_path):
    known = reliability_on(Fixed(), [write(tmp_path, name) for name in ("a", "bb", "ccc")], 0)[3]
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
    known = reliability_on(Spoiled(), [write(tmp_path, name) for name in ("a", "bb", "ccc")], 0)[3]
    assert (known.with_class, known.without) == (29, 30)
    assert "WARNING: class 3: the network gave no number in 1 of 60 held-out slices" in capsys.readouterr().err


def test_a_case_is_a_patient(tmp_path):
    scores, _, there, _, cases = answers_on(
        Fixed(), [write(tmp_path, "a", depth=4), write(tmp_path, "bb", depth=2)], 0
    )[3]
    assert scores.tolist() == [2, 2, -2, -2, 2, -2]
    assert there.tolist() == (scores > 0).tolist()
    assert cases.tolist() == [0, 0, 0, 0, 1, 1]


def test_where_nobody_knows_whether_a_class_is_there_it_is_not_asked(tmp_path):
    assert reliability_on(Fixed(), [write(tmp_path, "a", ignored=True)], 0) == {}  # no slice is known to be without
    assert reliability_on(Fixed(), [write(tmp_path, "b", organ=False)], 0) == {}
    assert reliability_on(Fixed(), [], 0) == {}


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
