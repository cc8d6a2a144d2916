import numpy as np
import pytest

from planewise.inference.averaging import averaged_classes, averaging_bytes
from planewise.inference.gathering import SliceOutputs
from planewise.volumes.slices import PLANES, as_stack


def outputs_of(probabilities, plane):
    """Yield a plane's outputs that say ``probabilities`` (1 + classes, z, y, x), in slices padded at their end."""
    stacks = [as_stack(of_class, plane) for of_class in probabilities]
    for slices in zip(*stacks):
        logits = np.log(np.pad(np.stack(slices), [(0, 0), (0, 3), (0, 5)], constant_values=1.0)) + 7  # any shift
        yield SliceOutputs(logits.astype(np.float32), np.zeros((1, 1)), np.zeros((2, 1, 1)))


def of_voxels(*planes, confidence=0.5):
    """Return the class of one voxel of which each plane says (background, first, second)."""
    volumes = [np.array(printed, float)[:, None, None, None] * np.ones((3, 2, 3, 4)) for printed in planes]
    labels = averaged_classes(
        ((plane, outputs_of(volume, plane)) for plane, volume in zip(PLANES, volumes)), (2, 3, 4), 2, confidence
    )
    assert labels.shape == (2, 3, 4)
    assert labels.dtype == np.uint8
    return np.unique(labels).tolist()


def test_one_sure_plane_counts_for_more_than_two_that_waver():
    wavering = (0.52, 0.40, 0.08)
    assert of_voxels(wavering, wavering, (0.02, 0.03, 0.95)) == [2]  # 0.353, 0.277, 0.370
    assert of_voxels(wavering, wavering, wavering) == [0]


def test_classes_together_make_foreground_and_the_likeliest_is_taken():
    assert of_voxels((0.4, 0.35, 0.25)) == [1]  # background is likelier than either
    assert of_voxels((0.4, 0.35, 0.25), confidence=0.7) == [0]


def test_every_plane_finds_its_voxels():
    """Each voxel has a probability of its own, so that a plane that was laid wrong would be seen."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((1, 1, 1), (3, 4, 5)).transpose(3, 0, 1, 2)
    expected = np.where(probabilities[0] <= 0.5, 1 + probabilities[1:].argmax(axis=0), 0)
    labels = averaged_classes([(plane, outputs_of(probabilities, plane)) for plane in PLANES], (3, 4, 5), 2, 0.5)
    assert np.array_equal(labels, expected)
    assert len(np.unique(labels)) == 3


def test_a_slice_that_shows_nothing_is_background():
    logits = np.stack([np.zeros((4, 4)), np.full((4, 4), -np.inf)]).astype(np.float32)
    nothing = SliceOutputs(logits, np.zeros((1, 1)), np.zeros((2, 1, 1)))
    assert not averaged_classes([("xy", [nothing, nothing])], (2, 4, 4), 1, 0.5).any()


@pytest.mark.parametrize(("voxels", "classes", "needed"), [(1000, 3, 9000), (10, 1, 50)])
def test_what_it_holds(voxels, classes, needed):
    assert averaging_bytes(voxels, classes) == needed
