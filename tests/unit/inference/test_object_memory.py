from functools import partial

import numpy as np
import pytest
import torch

from planewise.inference.automatic import Place, segment_within
from planewise.inference.encoder import Encoder
from planewise.inference.object_memory import propagate_memory
from planewise.inference.prompts import Prompt
from planewise.inference.propagation import PropagationOptions, propagate

OPTIONS = PropagationOptions(margin=8, least_pixels=4)


class Boxes(torch.nn.Module):
    """A slice's embedding is the slice itself. Counts its calls; ``place``: of the classes that have tokens."""

    def __init__(self, place=()):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        self.classes = dict(place)
        self.encoded = 0

    def encode(self, slices):
        self.encoded += len(slices)
        return [slices]

    def decode(self, embeddings, boxes, classes=None):
        masks = (embeddings[0] - 0.1)[:, None].expand(-1, boxes.shape[1], -1, -1)
        return masks, masks.flatten(2).amax(2)


class Remembering:
    """Remembers how bright the object in the box is, and finds all pixels that are as bright in the next slice."""

    def __init__(self):
        self.started, self.followed = [], []

    def start(self, embeddings, z, slices, box, place):
        (image,) = embeddings[0]
        height, width = image.shape
        x0, y0, x1, y1 = (box * torch.tensor([width, height] * 2)).round().int().tolist()
        inside = torch.zeros_like(image)
        inside[y0:y1, x0:x1] = image[y0:y1, x0:x1]
        memory = Memory(float(inside.max()))
        self.started.append((z, slices, place))
        return *self.mask(inside, memory), memory

    def follow(self, embeddings, z, memory):
        assert memory.last is None or z == memory.last + memory.direction
        memory.last = z
        self.followed.append((z, memory.direction))
        return self.mask(embeddings[0][0], memory)

    def mask(self, image, memory):
        mask = 0.02 - (image - memory.level).abs()
        return mask, torch.tensor(1.0 if (mask > 0).any() else -1.0)


class Memory:
    def __init__(self, level, direction=0):
        self.level, self.direction, self.last = level, direction, None

    def towards(self, direction):
        return Memory(self.level, direction)


def run(images, prompts, gaps=(), cache=64, present=lambda z, label: True, options=OPTIONS):
    memory, counted = Remembering(), []
    encoder = Encoder(Boxes(), (images * 255).round().astype(np.uint8), cache)
    consecutive = np.array([z not in gaps for z in range(len(images) - 1)])
    labels = propagate_memory(encoder, consecutive, prompts, options, counted.append, present, segmenter=memory)
    return labels, memory, encoder.segmenter.encoded, sum(counted)


def moving(depth=12, step=9):
    """An object that moves farther in a slice than it is wide, so that no box of a slice holds it in the next."""
    images = np.zeros((depth, 64, 128))
    for z in range(2, 10):
        images[z, 20:28, 10 + step * z : 18 + step * z] = 0.8
    return images


def test_an_object_is_known_again_both_ways_where_no_box_holds_it():
    images = moving(step=12)
    prompt = Prompt(3, 5, (70, 20, 78, 28))
    labels, memory, encoded, counted = run(images, [prompt])
    assert np.array_equal(labels, np.where(images > 0, 3, 0))
    assert memory.started == [(5, 12, None)]
    assert sorted(memory.followed) == [(1, -1), (2, -1), (3, -1), (4, -1), *((z, 1) for z in range(6, 11))]
    assert encoded == counted == 10  # one slice beyond each end, none twice


def test_several_objects_of_several_classes_share_the_embeddings():
    images = moving()
    images[1:7, 40:50, 30:40] = 0.5
    images[4:12, 50:60, 60:70] = 0.3
    prompts = [Prompt(1, 5, (55, 20, 63, 28)), Prompt(2, 2, (30, 40, 40, 50)), Prompt(1, 9, (60, 50, 70, 60))]
    labels, memory, encoded, _ = run(images, prompts)
    expected = np.zeros_like(labels)
    expected[(images > 0.7) | ((images > 0.2) & (images < 0.4))] = 1
    expected[(images > 0.4) & (images < 0.6)] = 2
    assert np.array_equal(labels, expected)
    assert encoded == 12
    alone = [run(images, [prompt])[0] for prompt in prompts]
    assert np.array_equal(labels, np.max(alone, axis=0))
    assert [z for z, _, _ in memory.started] == [2, 5, 9]


def test_no_object_crosses_a_slice_that_is_missing():
    images = moving()
    labels, memory, _, _ = run(images, [Prompt(1, 5, (55, 20, 63, 28))], gaps=(2, 6))
    assert np.flatnonzero(labels.any(axis=(1, 2))).tolist() == [3, 4, 5, 6]
    assert sorted(memory.followed) == [(3, -1), (4, -1), (6, 1)]


def test_an_object_ends_where_its_class_is_not_present():
    images = moving()
    images[:, 40:50, 30:40] = 0.5
    prompts = [Prompt(1, 5, (55, 20, 63, 28)), Prompt(2, 5, (30, 40, 40, 50))]
    labels, _, _, _ = run(images, prompts, present=lambda z, label: label == 2 or 4 <= z < 8)
    assert np.flatnonzero((labels == 1).any(axis=(1, 2))).tolist() == [4, 5, 6, 7]
    assert (labels == 2).any(axis=(1, 2)).all()


def test_an_object_that_vanishes_does_not_come_back():
    images = moving()
    images[7] = 0
    labels, _, _, _ = run(images, [Prompt(1, 5, (55, 20, 63, 28))])
    assert np.flatnonzero(labels.any(axis=(1, 2))).tolist() == [2, 3, 4, 5, 6]


def test_what_is_too_small_is_no_part_of_an_object():
    images = moving()
    images[6, 50, 100] = 0.8
    images[7, 50:52, 100:102] = 0.8
    labels, _, _, _ = run(images, [Prompt(1, 5, (55, 20, 63, 28))])
    assert labels[6, 50, 100] == 0
    assert (labels[7, 50:52, 100:102] == 1).all()
    assert labels[8].any()  # an object in two parts goes on as one


def test_two_tracks_of_one_object_become_one():
    images = np.zeros((8, 64, 64))
    images[:, 20:30, 20:30] = 0.8
    _, memory, _, _ = run(images, [Prompt(1, 2, (20, 20, 30, 30)), Prompt(1, 4, (20, 20, 30, 30))])
    assert sorted(memory.followed) == [(z, -1) for z in range(4)] + [(z, 1) for z in range(3, 8)]


def test_the_start_is_looked_for_in_the_same_box_as_without_memory():
    class Starting(Remembering):
        def start(self, embeddings, z, slices, box, place):
            boxes.append((box.tolist(), place))
            return super().start(embeddings, z, slices, box, place)

    boxes, images = [], moving()
    segmenter = Boxes({7: 1})
    decode = segmenter.decode
    segmenter.decode = lambda embeddings, box, classes: (
        boxes.append((box[0, 0].tolist(), int(classes))) or decode(embeddings, box, classes)
    )
    encoder = Encoder(segmenter, (images * 255).round().astype(np.uint8))
    arguments = encoder, np.zeros(len(images) - 1, bool), [Prompt(7, 5, (55, 20, 63, 28))], OPTIONS, lambda steps: None
    propagate(*arguments)
    propagate_memory(*arguments, segmenter=Starting())
    assert boxes[0][0] == pytest.approx(boxes[1][0])
    assert boxes[0][0] == pytest.approx([51 / 128, 18 / 64, 67 / 128, 30 / 64])  # 8 of 256 are 4 of 128, 2 of 64
    assert boxes[0][1] == boxes[1][1] == 1


def test_a_small_cache_changes_nothing_but_the_work():
    images = moving()
    prompts = [Prompt(1, 2, (28, 20, 36, 28)), Prompt(2, 9, (91, 20, 99, 28))]
    large, small = run(images, prompts), run(images, prompts, cache=2)
    assert np.array_equal(large[0], small[0])
    assert small[2] > large[2] == 10


def test_what_is_found_in_lungs_goes_on_by_memory():
    """Objects start in the surest slice of presence, and end with it."""
    images = np.full((10, 64, 64), 0.05)
    images[2:8, 20:30, 20:30] = 0.8

    class Sure(Boxes):
        def decode_rated(self, embeddings, boxes, classes=None):
            masks, _ = super().decode(embeddings, boxes)
            scores = embeddings[0][:, 0, :1].expand(-1, boxes.shape[1]) * 10 - 5
            return masks, scores, scores

    images[:, 0, 0] = [0, 0, 0.4, 0.6, 0.7, 0.9, 0.6, 0.6, 0, 0]  # not in slice 2, where it can be seen
    organ = np.ones(images.shape, np.uint8)
    within = np.ones(organ.shape, bool)
    within[5:, 28:] = False  # away from the lungs
    memory = Remembering()
    labels, _ = segment_within(
        Encoder(Sure({4: 0}), (images * 255).round().astype(np.uint8)),
        Place(organ, within),
        np.ones(9, bool),
        OPTIONS,
        lambda steps: None,
        {},
        partial(propagate_memory, segmenter=memory),
    )
    expected = np.zeros_like(labels)
    expected[3:8, 20:30, 20:30] = 4
    expected[5:, 28:] = 0
    assert np.array_equal(labels, expected)
    assert memory.started == [(5, 10, 0)]
