"""Thick chunks are read once, however thin the slabs are."""

import numpy as np
import pytest

from planewise.volumes import chunk_layers
from planewise.volumes.chunk_layers import slabs_with_halo
from planewise.volumes.volume import Volume


class Chunked:
    """Voxels in chunks that record which planes are read each time."""

    def __init__(self, depth, thickness=4):
        self.content = np.arange(depth * 6, dtype=np.uint16).reshape(depth, 2, 3)
        self.shape, self.dtype, self.chunks = self.content.shape, self.content.dtype, (thickness, 2, 2)
        self.read = []

    def __getitem__(self, index):
        self.read.append(list(range(*index.indices(len(self.content)))))
        return self.content[index]


@pytest.fixture
def thickness(monkeypatch):
    """Set how thick slabs are."""

    def set_it(planes):
        for limit in ("SLAB_VOXELS", "SLAB_PLANES"):
            monkeypatch.setattr(f"planewise.volumes.labels.{limit}", planes)

    return set_it


def read_all(voxels, halo):
    """Read all slabs, of which each holds what it should."""
    volume, seen = Volume(voxels), 0
    content = np.asarray(voxels[:]) if isinstance(voxels, np.ndarray) else voxels.content
    for planes, slab, core in slabs_with_halo(volume, halo):
        assert planes.start == seen
        assert np.array_equal(slab, content[max(0, planes.start - halo) : planes.stop + halo])
        assert np.array_equal(slab[core], content[planes])
        seen = planes.stop
    assert seen == len(content)


@pytest.mark.parametrize(
    ("planes", "reads"),
    [(1, [(0, 4), (4, 8), (8, 11)]), (3, [(0, 4), (4, 8), (8, 11)]), (5, [(0, 8), (8, 11)]), (11, [(0, 11)])],
)
def test_each_chunk_is_read_once_and_all_that_a_slab_lacks_together(thickness, planes, reads):
    thickness(planes)
    read_all(voxels := Chunked(11), 1)
    assert voxels.read == [list(range(*read)) for read in reads]


def test_layers_that_are_too_large_are_read_in_parts(thickness, monkeypatch):
    thickness(1)
    monkeypatch.setattr(chunk_layers, "STORED_BYTES", 5 * 12 - 1)  # a layer of 5 planes as 3 and 2
    read_all(voxels := Chunked(11, 5), 1)
    assert voxels.read == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9], [10]]


def test_what_is_not_in_thick_chunks_is_read_as_it_is(thickness):
    thickness(2)
    read_all(voxels := Chunked(4, 1), 1)
    assert voxels.read == [[0, 1, 2], [1, 2, 3]]
    volume = Volume(Chunked(5).content)
    assert all(np.shares_memory(slab, volume.voxels) for _, slab, _ in slabs_with_halo(volume, 1))


def test_any_chunks_slabs_and_halos_give_the_array(thickness, monkeypatch):
    random = np.random.default_rng(0)
    for _ in range(300):
        depth, chunk, planes = (int(number) for number in random.integers(1, 30, 3))
        thickness(planes)
        monkeypatch.setattr(chunk_layers, "STORED_BYTES", int(random.integers(1, 400)))
        read_all(Chunked(depth, chunk), int(random.integers(0, 9)))
