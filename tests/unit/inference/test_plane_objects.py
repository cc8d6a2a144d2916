import numpy as np
import pytest

from plane_labels import plane_of
from planewise.inference.plane_objects import paint_layer

LABELS = np.zeros((3, 4, 5), np.int32)
LABELS[0, 1, 1:4] = 1
LABELS[1:, 2:, 0] = 2
LABELS[2, 3, 3:] = 3


@pytest.mark.parametrize("plane", ["xy", "xz", "yz"])
def test_a_window_shows_what_lies_in_it(plane):
    objects = plane_of(LABELS, plane)
    assert objects.count == 3
    assert objects.dtype == np.uint8
    assert np.array_equal(objects[...], LABELS)
    assert np.array_equal(objects[1:, 1:4, 2:], LABELS[1:, 1:4, 2:])


@pytest.mark.parametrize("plane", ["xy", "xz", "yz"])
def test_a_layer_holds_several_planes_in_bits_of_their_own(plane):
    layer = np.full((3, 4), 7, np.int64)  # of another plane, in the lowest bits
    paint_layer(layer, 2, 1, 1, plane_of(LABELS, plane).for_kernels(), 8)
    assert np.array_equal(layer, 7 | LABELS[2, 1:, 1:].astype(np.int64) << 8)
