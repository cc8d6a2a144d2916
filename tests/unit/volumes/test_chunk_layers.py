"""Thick chunks are read once, however thin the slabs are."""

import numpy as np
import pytest

from planewise.volumes import chunk_layers
from planewise.volumes.chunk_layers import read_in_order
from planewise.volumes.volume import Volume


class Chunked:
    """Voxels in chunks of 4 planes that record which planes were read."""

    def __init__(self, depth):
        self.content = np.arange(depth * 6, dtype=np.uint16).reshape(depth, 2, 3)
        self.shape, self.dtype, self.chunks = self.content.shape, self.content.dtype, (4, 2, 2)
        self.read = []

    def __getitem__(self, index):
        self.read += range(*index.indices(len(self.content)))
        return self.content[index]


@pytest.mark.parametrize("thickness", [1, 3, 4, 9])
def test_each_chunk_is_read_once_by_slabs_with_borders(thickness):
    voxels = Chunked(11)
    volume = read_in_order(Volume(voxels))
    for start in range(0, 11, thickness):
        planes = slice(max(0, start - 1), min(11, start + thickness + 1))
        assert np.array_equal(volume.voxels[planes], voxels.content[planes])
    assert voxels.read == list(range(11))


def test_layers_that_are_too_large_are_not_kept(monkeypatch):
    monkeypatch.setattr(chunk_layers, "STORED_BYTES", 4 * 12 - 1)
    volume = Volume(Chunked(11))
    assert read_in_order(volume) is volume
    assert read_in_order(in_memory := Volume(np.zeros((4, 2, 3)))) is in_memory
