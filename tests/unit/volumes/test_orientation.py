"""Views of a file's array in the canonical orientation, and places and blocks back, in all orientations."""

import itertools

import numpy as np
import pytest

from planewise.volumes.geometry import place_from_canonical, to_canonical
from planewise.volumes.orientation import Orientation
from planewise.volumes.volume import Volume

SHAPE = (3, 4, 5)
ALL = [(order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]


def lying(order, signs):
    direction = np.zeros((3, 3))
    for axis, (patient, sign) in enumerate(zip(order, signs)):
        direction[patient, axis] = sign
    voxels = np.arange(60).reshape(SHAPE)
    return Volume(voxels, (2.0, 3.0, 4.0), "mm", direction=tuple(map(tuple, direction.tolist())))


@pytest.mark.parametrize(("order", "signs"), ALL)
def test_views_and_places_are_those_of_to_canonical(order, signs):
    volume = lying(order, signs)
    orientation = Orientation.of(volume)
    canonical = to_canonical(volume).voxels
    view = orientation.view(volume.voxels)
    np.testing.assert_array_equal(view, canonical)
    assert np.shares_memory(view, volume.voxels)
    np.testing.assert_array_equal(orientation.stored(view), volume.voxels)
    for at in itertools.product(*map(range, canonical.shape)):
        stored = place_from_canonical(at, volume)
        assert volume.voxels[stored] == canonical[at]
        assert orientation.canonical_place(stored) == at
    block = canonical[1:3, 0:2, 1:3]
    corner = orientation.stored_corner((1, 0, 1), block.shape)
    turned = orientation.stored(block)
    where = tuple(slice(start, start + side) for start, side in zip(corner, turned.shape))
    np.testing.assert_array_equal(volume.voxels[where], turned)
