import numpy as np
import pytest
import torch

from planewise.inference.encoder import Encoder
from planewise.inference.novelty import Novelty, features_of, intensity_features, novelty_of, slices_with
from planewise.models.seen_data import SeenData, spread_of


class Mean(torch.nn.Module):
    """Embeds a slice as its intensities, twice."""

    def __init__(self):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))

    def encode(self, slices):
        return [slices, torch.stack([slices, 2 * slices], dim=1)]


def scan(seed, level=60.0, noise=4.0):
    rng = np.random.default_rng(seed)
    images = level + rng.uniform(-3, 3) + rng.normal(0, noise, (20, 48, 48))
    organ = np.zeros(images.shape, np.uint8)
    organ[3:18, 8:40, 8:40] = 1
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), organ


def seen():
    features = [features_of(Encoder(Mean(), images), organ) for images, organ in map(scan, range(5))]
    spreads = [spread_of([both[place] for both in features], [], 0.01) for place in range(2)]
    return SeenData(patients=5, intensities=spreads[0], embedding=spreads[1], thickness_mm=(1.0, 2.0))


def profile_of(images, organ, thickness=1.5):
    return novelty_of(Encoder(Mean(), images), organ, thickness, seen())


def test_features_by_hand():
    image = np.zeros((40, 40), np.uint8)
    image[:, 20:] = 255
    organ = np.zeros((40, 40), bool)
    organ[:, 10:30] = True
    assert intensity_features(image, organ) == pytest.approx([0, 0, 0.5, 1, 1, np.log(0.5)])
    rng = np.random.default_rng(0)
    noise = np.rint(rng.normal(100, 8, (200, 200))).astype(np.uint8)
    sd = np.exp(intensity_features(noise, np.ones(noise.shape, bool))[-1]) - 0.5
    assert sd == pytest.approx(8, rel=0.03)


def test_slices_that_show_enough_are_looked_at_evenly():
    organ = np.zeros((30, 10, 10), np.uint8)
    organ[5:26] = 1
    organ[5] = organ[25] = 0
    organ[5, 0, 0] = organ[25, 0, 0] = 2  # the ends
    assert slices_with(organ, 4) == [6, 12, 18, 24]
    assert slices_with(organ[:8], 4) == [6, 7]


@pytest.mark.parametrize("seed", range(100, 106))
def test_another_patient_of_the_same_kind_is_not_far(seed):
    assert profile_of(*scan(seed)).warnings() == []


@pytest.mark.parametrize("what", ["brighter", "noisier", "smoother", "inverted"])
def test_another_scanner_is_far(what):
    others = {"brighter": {"level": 90.0}, "noisier": {"noise": 12.0}, "smoother": {"noise": 1.0}}
    images, organ = scan(100, **others.get(what, {}))
    novelty = profile_of(255 - images if what == "inverted" else images, organ)
    assert novelty.intensities > 1
    assert "intensities are" in novelty.warnings()[0]
    just_over = Novelty(1.012, 0.5, 1.0, (1.0, 1.0)).warnings()
    assert just_over == ["intensities are 1.01 times as far from it as the limit"]
    assert (novelty.embedding > 1) == (what in ("brighter", "inverted"))


@pytest.mark.parametrize(("thickness", "far"), [(0.5, True), (0.7, False), (3.0, False), (3.1, True)])
def test_slices_much_thicker_or_thinner_than_seen(thickness, far):
    printed = Novelty(0.5, 0.5, thickness, (1.0, 2.0)).warnings()
    assert printed == ([f"slices are {thickness:g} mm apart, in the training 1 to 2 mm"] if far else [])


def test_without_the_organ_nothing_is_said():
    images, organ = scan(100)
    assert profile_of(images, organ * 0) is None
