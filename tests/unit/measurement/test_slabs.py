"""Slabs of labels with the planes around them."""

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.measurement.slabs import bordered, with_halo
from planewise.volumes.volume import Volume


class Chunked:
    """Labels in chunks of 4 planes that record which planes were read."""

    shape, dtype, chunks = (6, 1, 1), np.dtype(np.uint16), (4, 1, 1)

    def __init__(self):
        self.read = []

    def __getitem__(self, index):
        self.read += range(*index.indices(6))
        return np.arange(1, 7, dtype=self.dtype)[index].reshape(-1, 1, 1)


def test_slabs_have_zeros_beyond_the_volume_and_thick_chunks_are_read_once(monkeypatch):
    for limit in ("SLAB_VOXELS", "SLAB_PLANES"):
        monkeypatch.setattr(f"planewise.volumes.labels.{limit}", 2)
    voxels = Chunked()
    slabs = [(slab.ravel().tolist(), start) for slab, start in bordered(Volume(voxels))]
    assert slabs == [([0, 1, 2, 3], 0), ([2, 3, 4, 5], 2), ([4, 5, 6, 0], 4)]
    assert voxels.read == list(range(6))


def test_labels_that_are_too_high_are_refused():
    with pytest.raises(PlanewiseError, match=r"labels reach 2147483648; at most 2147483647 is supported"):
        next(with_halo(Volume(np.full((1, 1, 1), 2**31, np.uint32)), 1))
