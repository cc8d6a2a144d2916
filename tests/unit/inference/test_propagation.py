import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from perfect_segmenter import PerfectSegmenter
from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Prompt
from planewise.inference.propagation import PropagationOptions, pieces, propagate


def run(images, prompts, gaps=(), cache=64, **options):
    segmenter = PerfectSegmenter()
    consecutive = np.array([z not in gaps for z in range(len(images) - 1)])
    bright = (np.asarray(images) * 255).astype(np.uint8)
    settings = PropagationOptions(margin=8, least_pixels=4, **options)
    labels = propagate(Encoder(segmenter, bright, cache), consecutive, prompts, settings, lambda steps: None)
    return labels, segmenter


def square(images, z, y, x, side=8, value=1.0):
    images[z, y : y + side, x : x + side] = value


def test_an_object_is_followed_both_ways_and_ends_where_it_ends():
    images = np.zeros((12, 64, 64))
    for z in range(3, 9):
        square(images, z, 10 + z, 20 - z)  # it moves by one pixel a slice
    images[11, 30:40, 30:40] = 1  # something else, not prompted
    labels, _ = run(images, [Prompt(2, 5, (15, 15, 23, 23))])
    assert np.array_equal(labels[:11] > 0, images[:11] > 0)
    assert not labels[11].any()
    assert set(np.unique(labels)) == {0, 2}


def test_an_object_that_splits_goes_on_as_two_unless_told():
    images = np.zeros((6, 64, 64))
    for z in range(3):
        images[z, 20:30, 10:50] = 1
    for z in range(3, 6):
        images[z, 20:30, 10:24] = images[z, 20:30, 36:50] = 1
    prompt = Prompt(1, 0, (10, 20, 50, 30))
    labels, segmenter = run(images, [prompt])
    assert np.array_equal(labels > 0, images > 0)
    assert segmenter.decoded[-1] == (1, 2)
    labels, segmenter = run(images, [prompt], split=False)
    assert segmenter.decoded[-1] == (1, 1)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any))
def test_pieces_of_a_mask_are_its_parts(mask):
    labelled, count = ndimage.label(mask, np.ones((3, 3)))
    painted = np.zeros(mask.shape, int)
    for number, (window, piece) in enumerate(pieces(mask, split=True), 1):
        assert not painted[window][piece].any()
        painted[window][piece] = number
        assert [(part.start, part.stop) for part in window] == [
            (places.min(), places.max() + 1) for places in np.nonzero(painted == number)
        ]
    assert number == count
    assert len(np.unique(np.stack([painted, labelled])[:, mask], axis=1).T) == count
    ((window, whole),) = pieces(mask, split=False)
    assert whole.sum() == mask[window].sum() == mask.sum()


def test_tracks_do_not_cross_a_gap():
    images = np.zeros((6, 32, 32))
    images[:, 8:20, 8:20] = 1
    labels, _ = run(images, [Prompt(1, 1, (8, 8, 20, 20))], gaps=(3,))
    assert labels.any(axis=(1, 2)).tolist() == [True] * 4 + [False] * 2


def test_each_slice_is_encoded_once_and_both_directions_share_a_call():
    images = np.zeros((9, 64, 64))
    for x in (4, 24, 44):
        images[:, 20:32, x : x + 12] = 1
    prompts = [Prompt(i + 1, 4, (x, 20, x + 12, 32)) for i, x in enumerate((4, 24, 44))]
    labels, segmenter = run(images, prompts)
    assert np.array_equal(labels > 0, images > 0)
    assert segmenter.encoded == 9
    assert segmenter.decoded == [(1, 3)] + [(2, 3)] * 4
    alone = sum((run(images, [prompt])[0] for prompt in prompts), np.zeros_like(labels))
    assert np.array_equal(labels, alone)


def test_a_small_cache_changes_nothing_but_the_work():
    images = np.zeros((12, 32, 32))
    images[:, 8:20, 8:20] = 1
    prompts = [Prompt(1, 0, (8, 8, 20, 20)), Prompt(1, 11, (8, 8, 20, 20))]
    large, _ = run(images, prompts)
    small, segmenter = run(images, prompts, cache=2)
    assert np.array_equal(large, small)
    assert segmenter.encoded > 12


def test_where_classes_overlap_the_larger_logit_wins():
    images = np.full((1, 32, 32), 0.0)
    images[0, 8:24, 4:28] = 0.8
    prompts = [Prompt(1, 0, (4, 8, 16, 24)), Prompt(2, 0, (12, 8, 28, 24))]
    labels, _ = run(images, prompts)
    assert set(np.unique(labels[0, 8:24, 4:28])) == {1, 2}


def test_a_part_that_lies_outside_its_box_is_another_object():
    class Leaking(PerfectSegmenter):
        def decode(self, embeddings, boxes, classes=None):
            masks = (embeddings[0] - 0.5)[:, None].expand(-1, boxes.shape[1], -1, -1)
            return masks, torch.ones(boxes.shape[:2])

    images = np.zeros((3, 64, 64), np.uint8)
    images[:, 10:20, 10:20] = images[:, 40:50, 40:50] = 255
    prompts = [Prompt(1, 1, (10, 10, 20, 20))]
    encoder = Encoder(Leaking(), images)
    labels = propagate(encoder, np.ones(2, bool), prompts, PropagationOptions(), lambda steps: None)
    assert labels[:, 10:20, 10:20].all()
    assert not labels[:, 40:50, 40:50].any()


def test_no_prompt_gives_no_label():
    labels, segmenter = run(np.ones((3, 16, 16)), [])
    assert not labels.any()
    assert segmenter.encoded == 0
