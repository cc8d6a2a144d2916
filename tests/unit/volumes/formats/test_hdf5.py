import json

import h5py
import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume

CODED = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.uint16)
CHANNELS = np.stack([CODED, CODED + 100])


def write(path, voxels, **attributes):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=voxels).attrs.update(attributes)


def tags(axes):
    return json.dumps({"axes": [{"key": axis, "typeFlags": 2} for axis in axes]})


@pytest.mark.parametrize("axes", ["czyx", "zyxc"])
def test_the_shortest_axis_first_or_last_is_of_channels(tmp_path, axes):
    write(tmp_path / "a.h5", CHANNELS if axes == "czyx" else np.moveaxis(CHANNELS, 0, -1))
    volume = open_volume(tmp_path / "a.h5", 1)
    assert np.array_equal(volume.read(), CHANNELS[1])
    assert np.array_equal(volume.voxels[2, 1:3], CHANNELS[1, 2, 1:3])
    with pytest.raises(PlanewiseError, match=r"a\.h5: has 2 channels.*--channel"):
        open_volume(tmp_path / "a.h5")


def test_axes_that_are_named(tmp_path):
    write(tmp_path / "a.h5", CHANNELS.transpose(1, 2, 3, 0)[None], axistags=tags("tzyxc"))
    assert np.array_equal(open_volume(tmp_path / "a.h5", 1).read(), CHANNELS[1])
    write(tmp_path / "b.h5", np.stack([CODED] * 2), axistags=tags("tzyx"))
    with pytest.raises(PlanewiseError, match=r"b\.h5: has shape .*one time point is needed"):
        open_volume(tmp_path / "b.h5")


def test_axes_that_are_not_clear_are_no_volume(tmp_path):
    write(tmp_path / "a.h5", np.zeros((3, 3, 3, 3)))
    with pytest.raises(PlanewiseError, match=r"a\.h5: holds 0 volumes"):
        open_volume(tmp_path / "a.h5", 0)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"resolution": (40.0, 0.0, 8.0)}, r"its spacing \(z, y, x\) is 40, 0, 8"),
        ({"resolution": (40.0, -8.0, 8.0)}, "its spacing"),
        ({"element_size_um": (0.04, np.nan, 0.008)}, "its spacing"),
        ({"element_size_um": (np.inf, 0.008, 0.008)}, "its spacing"),
        ({"resolution": (40.0, 8.0)}, "three numbers"),
    ],
)
def test_a_spacing_that_cannot_be_is_refused(tmp_path, attributes, words):
    write(tmp_path / "a.h5", CODED, **attributes)
    with pytest.raises(PlanewiseError, match=rf"a\.h5: .*{words}"):
        open_volume(tmp_path / "a.h5")
