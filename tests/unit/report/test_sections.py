import numpy as np
import pytest

from planewise.report import sections
from planewise.report.sections import Box, read_sections
from planewise.volumes.slices import shrink
from planewise.volumes.volume import Volume

PLACES = {"xy": [0, 11], "xz": [5], "yz": [3, 16]}


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("planes", [1, 4, 100])
def test_slices_and_boxes_are_those_of_the_whole_volume(monkeypatch, step, planes):
    monkeypatch.setattr(sections, "SLAB_PLANES", planes)
    monkeypatch.setattr(sections, "SLAB_VOXELS", 0)
    voxels = np.arange(12 * 13 * 17, dtype=np.uint16).reshape(12, 13, 17)  # every voxel names its place
    box = Box((2, 3, 1), (11, 13, 16), (3, 1, 2))
    result = read_sections(Volume(voxels), PLACES, step, average=False, boxes=[box])
    assert result.slices.keys() == {(plane, i) for plane, places in PLACES.items() for i in places}
    np.testing.assert_array_equal(result.slices["xy", 11], voxels[11, ::step, ::step])
    np.testing.assert_array_equal(result.slices["xz", 5], voxels[::step, 5, ::step])
    np.testing.assert_array_equal(result.slices["yz", 16], voxels[::step, ::step, 16])
    assert box.shape == (3, 10, 8)
    np.testing.assert_array_equal(result.boxes[0], voxels[2:11:3, 3:13, 1:16:2])
    averaged = read_sections(Volume(voxels), PLACES, step, average=True).slices["xz", 5]
    np.testing.assert_allclose(averaged, shrink(voxels[:, 5][None], step)[0])
