import numpy as np
import pytest
import torch

from planewise.inference.automatic import Place, SliceFindings, find_in_slices, prompts_from_slices, segment_within
from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Prompt
from planewise.inference.propagation import PropagationOptions
from planewise.models.platt import Platt
from planewise.models.reliability import ClassReliability

LEVELS = {1: 0.9, 4: 0.5}  # how bright each class is
OPTIONS = PropagationOptions(margin=4, least_pixels=4)


class Reader(torch.nn.Module):
    """Finds the pixels of a class's brightness in the box; how sure it is of a slice is read from its corner."""

    def __init__(self):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        self.classes = {value: place for place, value in enumerate(LEVELS)}
        self.encoded = 0

    def encode(self, slices):
        self.encoded += len(slices)
        return [slices]

    def decode(self, embeddings, boxes, classes):
        return self.decode_rated(embeddings, boxes, classes)[:2]

    def decode_rated(self, embeddings, boxes, classes):
        _, height, width = embeddings[0].shape
        masks = torch.full((*boxes.shape[:2], height, width), -1.0)
        scores = torch.zeros(boxes.shape[:2])
        for i, slice_ in enumerate(embeddings[0]):
            for j, (x0, y0, x1, y1) in enumerate(boxes[i].tolist()):
                rows = slice(round(y0 * height), round(y1 * height))
                columns = slice(round(x0 * width), round(x1 * width))
                place = int(classes[i, j])
                level = list(LEVELS.values())[place]
                masks[i, j, rows, columns] = 0.1 - (slice_[rows, columns] - level).abs()
                scores[i, j] = 10 * (slice_[0, place] - 0.5)
        return masks, scores, torch.full_like(scores, 0.7)


def volume(depth=12, side=64):
    """Images in 0..1 with the organ in the slices from 1 on; every class is said to be absent."""
    images = np.full((depth, side, side), 0.2)
    images[:, 0, :2] = 0
    organ = np.zeros((depth, side, side), np.uint8)
    organ[1:, 8:56, 8:56] = 1
    return images, organ


def say(images, label, sure):
    for z, value in sure.items():
        images[z, 0, list(LEVELS).index(label)] = value


def encoder_of(images):
    return Encoder(Reader(), (images * 255).round().astype(np.uint8))


def everywhere(organ):
    return Place(organ, np.ones(organ.shape, bool))


def segment(images, organ, within=None, reliability=None):
    place = everywhere(organ) if within is None else Place(organ, within)
    consecutive = np.ones(len(images) - 1, bool)
    return segment_within(encoder_of(images), place, consecutive, OPTIONS, lambda steps: None, reliability or {})


def test_every_class_is_found_where_it_is_said_to_be_and_ends_there():
    images, organ = volume()
    images[2:9, 20:30, 20:30] = LEVELS[1]
    images[4:7, 40:50, 36:46] = LEVELS[4]
    say(images, 1, {z: 0.6 + 0.05 * z for z in range(3, 8)})  # not in 2 and 8, where it can be seen
    say(images, 4, {4: 0.9, 5: 0.7, 6: 0.8})
    labels, result = segment(images, organ)
    expected = np.zeros_like(labels)
    expected[3:8, 20:30, 20:30] = 1
    expected[4:7, 40:50, 36:46] = 4
    assert np.array_equal(labels, expected)
    assert np.array_equal(result.labels, expected)
    assert np.isinf(result.scores[0]).all()  # no organ, no question
    assert (result.scores[3:8, 0] > 0).all()


def test_no_disease_is_an_answer():
    images, organ = volume()
    images[2:9, 20:30, 20:30] = LEVELS[1]
    labels, result = segment(images, organ)
    assert not labels.any()
    assert (result.scores[1:] < 0).all()


def test_a_patient_without_the_organ_shows_nothing():
    images, organ = volume()
    labels, result = segment(images, np.zeros_like(organ))
    assert not labels.any()
    assert np.isinf(result.scores).all()


def test_objects_are_grown_again_from_the_surest_slice():
    images, organ = volume()
    for z in range(2, 10):
        images[z, 20:30, 16 + z : 26 + z] = LEVELS[1]
    images[6, 16:50, 12:52] = LEVELS[1]  # in one slice all around is taken for it, though the model is least sure there
    say(images, 1, dict.fromkeys(range(2, 10), 0.9) | {4: 1.0, 6: 0.55})
    labels, result = segment(images, organ)
    assert (result.labels[6] == 1).sum() == 34 * 40
    assert (labels[6] == 1).sum() < 20 * 20  # what lies around the object's box is left out
    assert (labels[[2, 3, 4, 5]] == 1).sum(axis=(1, 2)).tolist() == [100] * 4


def test_a_slice_by_itself_shows_all_it_can_where_presence_is_not_asked():
    images, organ = volume()
    images[2:9, 20:30, 20:30] = LEVELS[1]
    result = find_in_slices(encoder_of(images), everywhere(organ), OPTIONS, False, lambda steps: None, {})
    assert (result.labels[2:9, 20:30, 20:30] == 1).all()


def test_each_slice_is_encoded_once():
    images, organ = volume()
    images[2:9, 20:30, 20:30] = LEVELS[1]
    say(images, 1, dict.fromkeys(range(2, 9), 0.9))
    encoder = encoder_of(images)
    segment_within(encoder, everywhere(organ), np.ones(11, bool), OPTIONS, lambda steps: None, {})
    assert encoder.segmenter.encoded == 11  # all but the one without the organ


def test_prompts_lie_in_the_surest_slice_that_shows_enough():
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[1:4, 2:6, 3:9] = 2
    labels[3, 2:6, 3:9] = 0
    labels[3, 2, 3] = 2  # the surest slice of the first object, too little of it
    labels[5, 10:14, 10:15] = 2
    labels[4, 18, 18] = 7  # never enough
    scores = np.array([[0, 9], [1, 9], [2, 9], [5, 9], [9, 9], [0.5, 9]], np.float32)
    findings = SliceFindings(labels, scores, scores, np.zeros_like(scores), 0, 0)
    prompts = prompts_from_slices(findings, [2, 7], least_pixels=4)
    assert prompts == [Prompt(2, 2, (3, 2, 9, 6)), Prompt(2, 5, (10, 10, 15, 14))]


def test_tracks_know_their_class():
    images, organ = volume()
    images[2:9, 20:30, 20:30] = LEVELS[1]
    images[2:9, 20:30, 30:40] = LEVELS[4]  # it touches the other class
    for label in LEVELS:
        say(images, label, dict.fromkeys(range(2, 9), 0.9))
    labels, _ = segment(images, organ)
    assert (labels[2:9, 20:30, 20:30] == 1).all()
    assert (labels[2:9, 20:30, 30:40] == 4).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_direction_of_z_does_not_matter(reverse):
    images, organ = volume()
    images[2:9, 20:30, 20:30] = LEVELS[1]
    say(images, 1, dict.fromkeys(range(3, 8), 0.9))
    step = -1 if reverse else 1
    labels, _ = segment(images[::step], organ[::step])
    assert labels[::step].any(axis=(1, 2)).tolist() == [3 <= z < 8 for z in range(12)]


def reliability(slope, offset):
    return ClassReliability(
        presence=Platt(slope=slope, offset=offset), dice=Platt(slope=1, offset=0), with_class=9, without=9
    )


def test_nothing_is_found_away_from_the_organ_nor_leaks_there_nor_starts_there():
    images, organ = volume()
    images[2:9, 20:40, 20:60] = LEVELS[1]  # an object that goes on beyond what the organ is near to
    images[2:9, 50:62, 2:8] = LEVELS[1]  # and one that lies outside of it
    say(images, 1, dict.fromkeys(range(2, 9), 0.9))
    within = np.zeros(organ.shape, bool)
    within[1:, 8:48, 8:50] = True
    labels, result = segment(images, organ, within)
    expected = np.zeros_like(labels)
    expected[2:9, 20:40, 20:50] = 1
    assert np.array_equal(labels, expected)
    assert np.array_equal(result.labels, expected)
    # The box of the organ and its margin of 1 pixel: columns 7 to 56; the other object shows 7 rows of one column.
    assert result.shown == 7 * (20 * 37 + 7)
    assert result.outside == 7 * (20 * 7 + 7)


def test_a_class_that_is_likelier_in_the_slice_wins_where_two_overlap_and_no_voxel_is_twice():
    """Both classes are read in the same pixels; voxel by voxel P(class in slice) x P(voxel in its mask) decides."""
    images, organ = volume()
    images[3:6, 20:30, 20:30] = 0.7
    reader = Reader()
    alike = {1: 0.2, 4: 0.1}  # logits of the two masks

    def decode_rated(embeddings, boxes, classes):
        slices = embeddings[0]
        masks = torch.full((*boxes.shape[:2], *slices.shape[1:]), -1.0)
        places = classes.tolist()
        for i, slice_ in enumerate(slices):
            for j, place in enumerate(places[i]):
                masks[i, j][(slice_ - 0.7).abs() < 0.01] = list(alike.values())[place]
        scores = torch.tensor([[{0: 1.0, 1: 3.0}[place] for place in row] for row in places])
        return masks, scores, scores

    reader.decode_rated = decode_rated
    encoder = Encoder(reader, (images * 255).round().astype(np.uint8))
    place = everywhere(organ)

    def winner(by_class):
        labels, result = segment_within(encoder, place, np.ones(11, bool), OPTIONS, lambda steps: None, by_class)
        assert set(np.unique(result.labels)) == set(np.unique(labels))
        return set(np.unique(labels)) - {0}

    # sigmoid(1) sigmoid(0.2) = 0.731 * 0.550 = 0.402 < sigmoid(3) sigmoid(0.1) = 0.953 * 0.525 = 0.500
    assert winner({}) == {4}
    # As calibrated, class 4 overstates: sigmoid(1 * 3 - 2.5) = 0.622, 0.622 * 0.525 = 0.327 < 0.402
    assert winner({4: reliability(1, -2.5)}) == {1}
    # And where its presence is likelier not, it is not there at all, nor is the other where it is calibrated away
    assert winner({4: reliability(1, -3.5)}) == {1}
    assert winner({1: reliability(1, -1.5), 4: reliability(1, -3.5)}) == set()
