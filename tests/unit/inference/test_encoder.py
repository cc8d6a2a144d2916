import numpy as np
import pytest
import torch

from perfect_segmenter import PerfectSegmenter
from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Prompt
from planewise.inference.propagation import PropagationOptions, propagate
from planewise.models.sam2 import BoxSegmenter, build_sam2, initialise


class Counting(PerfectSegmenter):
    """Keeps how many slices each call encodes; has no memory for more than ``most``."""

    def __init__(self, most=99):
        super().__init__()
        self.most, self.calls = most, []

    def encode(self, slices):
        if len(slices) > self.most:
            raise torch.OutOfMemoryError
        self.calls.append(len(slices))
        return super().encode(slices)


def test_slices_encoded_in_batches_are_those_encoded_one_by_one():
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    segmenter = BoxSegmenter(network).frozen()
    images = np.random.default_rng(0).integers(0, 255, (5, 60, 70)).astype(np.uint8)
    one_by_one, in_batches = Encoder(segmenter, images), Encoder(segmenter, images, batch=4)
    in_batches.look_ahead(range(5))
    assert list(in_batches.kept) == [0, 1, 2, 3]
    for z in range(5):
        for level, other in zip(one_by_one(z), in_batches(z)):
            assert other.shape == level.shape
            torch.testing.assert_close(other, level, rtol=1e-4, atol=1e-4)
            assert other.untyped_storage().nbytes() == other.nbytes  # of its own, not the whole batch's


@pytest.mark.parametrize("batch", [1, 4])
def test_fronts_look_ahead_as_far_as_they_have_come(batch):
    images = np.zeros((30, 32, 32))
    images[:, 8:20, 8:20] = 1
    segmenter = Counting()
    encoder = Encoder(segmenter, (images * 255).astype(np.uint8), batch=batch)
    settings = PropagationOptions(margin=8, least_pixels=4)
    labels = propagate(encoder, np.ones(29, bool), [Prompt(1, 15, (8, 8, 20, 20))], settings, lambda steps: None)
    assert np.array_equal(labels > 0, images > 0)
    assert segmenter.encoded == 30
    if batch == 4:
        assert segmenter.calls[:3] == [1, 2, 4]  # beyond as many as lie behind
        assert max(segmenter.calls) == 4


def test_a_short_object_has_few_slices_encoded_in_vain():
    images = np.zeros((40, 32, 32))
    images[20:22, 8:20, 8:20] = 1
    segmenter = Counting()
    encoder = Encoder(segmenter, (images * 255).astype(np.uint8), batch=8)
    settings = PropagationOptions(margin=8, least_pixels=4)
    propagate(encoder, np.ones(39, bool), [Prompt(1, 20, (8, 8, 20, 20))], settings, lambda steps: None)
    assert sum(segmenter.calls) <= 8


def test_a_batch_that_the_gpu_has_no_memory_for_is_halved_for_good():
    segmenter = Counting(most=3)
    encoder = Encoder(segmenter, np.zeros((20, 8, 8), np.uint8), batch=8)
    encoder.look_ahead(range(20))
    assert segmenter.calls == [2, 2, 2, 2]
    assert list(encoder.kept) == list(range(8))
    encoder.look_ahead(range(8, 20))
    assert segmenter.calls[4:] == [2]
    with pytest.raises(torch.OutOfMemoryError):
        Encoder(Counting(most=0), np.zeros((2, 8, 8), np.uint8))(0)


def test_no_front_evicts_what_the_other_looks_at_next():
    segmenter = Counting()
    encoder = Encoder(segmenter, np.zeros((20, 8, 8), np.uint8), limit=4, batch=8)
    encoder.look_ahead(range(20))
    assert segmenter.calls == [2]
    encoder(0)
    encoder.look_ahead(range(10, 20))
    assert 0 in encoder.kept
    assert len(encoder.kept) == 4
