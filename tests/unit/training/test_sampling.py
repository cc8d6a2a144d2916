import numpy as np
import pytest

from planewise.training.sampling import SampleRange, sample_generator, source_weights


@pytest.mark.parametrize(
    ("gamma", "share_of_b"),
    [(0, 1 / 5), (1, 1 / 2), (0.7, 1 / (1 + 4 * 4**-0.7))],
)
def test_weights_by_source(gamma, share_of_b):
    weights = source_weights(["a", "a", "b", "a", "a"], gamma)
    assert weights.sum() == pytest.approx(1)
    assert weights[2] == pytest.approx(share_of_b)


def test_processes_share_the_very_samples_of_one():
    alone = list(SampleRange(0, 5, 6, 0, 1))
    assert alone == list(range(30))
    shares = [list(SampleRange(0, 5, 6, rank, 3)) for rank in range(3)]
    together = [sample for step in range(5) for share in shares for sample in share[2 * step : 2 * step + 2]]
    assert together == alone


def test_a_resumed_range_is_the_rest():
    assert list(SampleRange(2, 5, 4, 0, 1)) == list(SampleRange(0, 5, 4, 0, 1))[8:]
    assert len(SampleRange(2, 5, 4, 0, 2)) == 6


def test_a_sample_depends_on_seed_and_number_alone():
    assert sample_generator(1, 7).random() == sample_generator(1, 7).random()
    assert len({sample_generator(seed, n).random() for seed in range(5) for n in range(5)}) == 25
    assert not np.isclose(sample_generator(0, 1).random(), sample_generator(1, 0).random())
