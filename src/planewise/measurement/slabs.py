"""Slabs of a label volume with the planes around them, for methods that need a voxel's neighbours."""

from collections.abc import Iterator

import numpy as np

from planewise.errors import PlanewiseError
from planewise.evaluation.overlap import MAX_LABEL
from planewise.volumes.chunk_layers import read_in_order
from planewise.volumes.labels import slab_starts
from planewise.volumes.volume import Volume


def with_halo(volume: Volume, planes: slice, halo: int) -> tuple[np.ndarray, slice]:
    """Return ``planes`` of labels, uint32, with up to ``halo`` more on either side, and their place in these.

    Raises PlanewiseError if there are labels above 2**31 - 1.
    """
    first, stop = max(planes.start - halo, 0), min(planes.stop + halo, volume.shape[0])
    read = np.asarray(volume.voxels[first:stop])
    if read.dtype.itemsize >= 4 and read.size and read.max() > MAX_LABEL:
        raise PlanewiseError(f"labels reach {read.max()}; at most {MAX_LABEL} is supported: renumber them")
    return read.astype(np.uint32, copy=False), slice(planes.start - first, planes.stop - first)


def bordered(volume: Volume) -> Iterator[tuple[np.ndarray, int]]:
    """Yield slabs with one more plane on either side, zeros beyond the volume, and the first plane of each."""
    ordered = read_in_order(volume)
    for planes in slab_starts(volume.shape):
        slab, core = with_halo(ordered, planes, 1)
        before, after = 1 - core.start, 1 - (len(slab) - core.stop)
        yield np.pad(slab, ((before, after), (0, 0), (0, 0))), planes.start
