from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx

FILE = Path("a.tiff")
SIDES = {"z": 3, "y": 4, "x": 5, "c": 2, "t": 1}


def coded(axes):
    """An array whose voxels say where they are along z, y, x and c, whatever the order of its axes."""
    places = np.meshgrid(*[np.arange(SIDES[axis]) for axis in axes], indexing="ij")
    worth = {"z": 1000, "y": 100, "x": 10, "c": 1, "t": 0}
    return sum(place * worth[axis] for axis, place in zip(axes, places))


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("zyx")] + ["tczyx", "xyzct", "czxyt"])
@pytest.mark.parametrize("index", [..., 1, (slice(None), 2), (slice(0, 2), -1, slice(None, None, -1)), (2, 3, 4)])
def test_axes_in_any_order_become_z_y_x(axes, index):
    channel = 1 if "c" in axes else None
    volume = as_zyx(FILE, coded(axes), axes, channel)
    assert volume.shape == (3, 4, 5)
    assert np.array_equal(volume[index], (coded("zyx") + (channel or 0))[index])


@pytest.mark.parametrize("index", [..., 0, (0, slice(1, 3)), (slice(None), 2, 3), slice(1, 1)])
def test_a_missing_z_is_one_slice(index):
    volume = as_zyx(FILE, coded("xyc"), "xyc", 1)
    assert volume.shape == (1, 4, 5)
    assert np.array_equal(volume[index], (coded("yx")[None] + 1)[index])


class Counted:
    """An array that remembers how many voxels were read of it."""

    def __init__(self, array, chunks):
        self.array, self.shape, self.dtype, self.chunks, self.read = array, array.shape, array.dtype, chunks, 0

    def __getitem__(self, index):
        result = self.array[index]
        self.read += result.size
        return result


def test_only_what_is_indexed_of_one_channel_is_read():
    array = Counted(coded("xyzc"), (5, 2, 1, 2))
    volume = as_zyx(FILE, array, "xyzc", 1)
    assert volume.chunks == (1, 2, 5)
    assert volume[1:2].shape == (1, 4, 5)
    assert array.read == 4 * 5


@pytest.mark.parametrize(
    ("shape", "axes", "channel", "words"),
    [
        ((2, 3, 4, 5), "czyx", None, r"has 2 channels \(shape .*\); --channel K, 0 to 1, chooses one"),
        ((2, 3, 4, 5), "czyx", 2, "has 2 channels, 0 to 1; --channel 2 is not one"),
        ((2, 3, 4, 5), "czyx", -1, "--channel -1 is not one"),
        ((3, 4, 5), "zyx", 1, "has 1 channel, which is 0; --channel 1 is not one"),
        ((2, 3, 4, 5), "tzyx", None, "one time point is needed"),
        ((2, 3, 4, 5), "izyx", 0, "a volume has axes z, y, x"),
        ((2, 3, 4, 5), "cyxc", 0, "a volume has axes z, y, x"),
        ((3, 4), "zy", None, "a volume has axes z, y, x"),
    ],
)
def test_what_is_no_volume_is_refused(shape, axes, channel, words):
    with pytest.raises(PlanewiseError, match=rf"a\.tiff: .*{words}"):
        as_zyx(FILE, np.zeros(shape), axes, channel)
