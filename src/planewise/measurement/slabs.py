"""Slabs of a label volume with the planes around them, for methods that need a voxel's neighbours."""

from collections.abc import Iterator

import numpy as np

from planewise.errors import PlanewiseError
from planewise.evaluation.overlap import MAX_LABEL
from planewise.volumes.chunk_layers import slabs_with_halo
from planewise.volumes.volume import Volume


def with_halo(volume: Volume, halo: int) -> Iterator[tuple[slice, np.ndarray, slice]]:
    """Yield the slabs of labels, uint32, with up to ``halo`` more planes on either side; see ``slabs_with_halo``.

    Raises PlanewiseError if there are labels above 2**31 - 1.
    """
    for planes, read, core in slabs_with_halo(volume, halo):
        if read.dtype.itemsize >= 4 and read.size and read.max() > MAX_LABEL:
            raise PlanewiseError(f"labels reach {read.max()}; at most {MAX_LABEL} is supported: renumber them")
        yield planes, read.astype(np.uint32, copy=False), core


def bordered(volume: Volume) -> Iterator[tuple[np.ndarray, int]]:
    """Yield slabs with one more plane on either side, zeros beyond the volume, and the first plane of each."""
    for planes, slab, core in with_halo(volume, 1):
        before, after = 1 - core.start, 1 - (len(slab) - core.stop)
        yield np.pad(slab, ((before, after), (0, 0), (0, 0))), planes.start
