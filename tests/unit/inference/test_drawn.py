"""Masks of what is drawn: as propagation decodes the same box, moved by points, each slice encoded once."""

import numpy as np
import pytest
import torch

from planewise.inference.drawn import Drawn, along, mask_of, parts_within
from planewise.inference.encoder import Encoder
from planewise.inference.propagation import PropagationOptions, Track, decode_tracks
from planewise.models.sam2 import BoxSegmenter, ClassTokens, build_sam2, initialise

BOX = (10.0, 12.0, 40.0, 50.0)


@pytest.fixture(params=[None, {2: "two"}])
def encoder(request):
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    tokens = None if request.param is None else ClassTokens(request.param, 64)
    segmenter = BoxSegmenter(network, tokens).frozen()
    return Encoder(segmenter, np.random.default_rng(0).integers(0, 255, (3, 60, 70)).astype(np.uint8), 2)


def test_points_along_a_line_are_even():
    assert along(((0.0, 0.0), (4.0, 0.0), (4.0, 4.0))) == ((0, 0), (2, 0), (4, 0), (4, 2), (4, 4))
    assert along(((3.0, 5.0),)) == ((3.0, 5.0),)
    assert along(((3.0, 5.0), (3.0, 5.0))) == ((3.0, 5.0),)


def test_a_box_alone_is_what_propagation_decodes(encoder):
    for label in (1, 2):
        [(logits, _)] = decode_tracks(encoder, [(1, [Track(label, BOX)])], PropagationOptions(margin=5))
        within = slice(10, 52), slice(8, 42)  # BOX, and 5 of 256 pixels on each side
        expected = parts_within(logits[0] > 0, within)
        np.testing.assert_array_equal(mask_of(encoder, Drawn(1, label, BOX), 5.0), expected)


def test_parts_that_lie_mostly_outside_of_the_box_are_other_objects():
    mask = np.zeros((10, 20), bool)
    mask[2:4, 2:6] = mask[6, 9:13] = mask[8, 16:19] = True
    expected = mask.copy()
    expected[8] = False
    np.testing.assert_array_equal(parts_within(mask, (slice(0, 10), slice(0, 11))), expected)


def test_points_and_the_class_reach_the_decoder_and_a_slice_is_encoded_once(encoder, monkeypatch):
    encoded, decoded = [], []
    encode, decode = encoder.segmenter.encode, encoder.segmenter.decode
    monkeypatch.setattr(encoder.segmenter, "encode", lambda slices: encoded.append(1) or encode(slices))

    def noted(embeddings, *prompts):
        decoded.append((prompts, decode(embeddings, *prompts)[0]))
        return decode(embeddings, *prompts)

    monkeypatch.setattr(encoder.segmenter, "decode", noted)
    mask_of(encoder, Drawn(1, 2, BOX), 0.0)
    mask_of(encoder, Drawn(1, 2, BOX, inside=((35.0, 30.0),), outside=((7.0, 6.0),)), 0.0)
    assert len(encoded) == 1
    (_, without), ((box, classes, (places, inside)), with_points) = decoded
    np.testing.assert_allclose(box.numpy().ravel(), [10 / 70, 12 / 60, 40 / 70, 50 / 60], rtol=1e-6)
    np.testing.assert_allclose(places.numpy()[0, 0], [[0.5, 0.5], [0.1, 0.1]], rtol=1e-6)
    assert inside.tolist() == [[[1, 0]]]
    assert (classes is None) == (encoder.segmenter.tokens is None)
    assert not torch.equal(without, with_points)
