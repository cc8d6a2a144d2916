"""Reads a volume slab by slab along z without decompressing a stored chunk once for each slab that cuts it."""

import math
from collections.abc import Iterator

import numpy as np

from planewise.volumes.labels import slab_starts
from planewise.volumes.volume import STORED_BYTES, Volume


def slabs_with_halo(volume: Volume, halo: int) -> Iterator[tuple[slice, np.ndarray, slice]]:
    """Yield the slabs of ``slab_starts``, each with up to ``halo`` more planes on either side (z, y, x), and its place
    in these. The arrays are not to be changed.

    Of a volume in chunks, whole layers of chunks are read and stay in memory while slabs need them, so that each chunk
    is decompressed once. Layers of more than ``STORED_BYTES`` are read in as few equal parts as possible, for each of
    which their chunks are decompressed.
    """
    depth = volume.shape[0]
    layer = min((getattr(volume.voxels, "chunks", None) or (1,))[0], depth)
    part = _part(layer, math.prod(volume.shape[1:]) * volume.voxels.dtype.itemsize)
    kept, start = np.empty((0, *volume.shape[1:]), volume.voxels.dtype), 0
    for planes in slab_starts(volume.shape):
        first, stop = max(planes.start - halo, 0), min(planes.stop + halo, depth)
        core = slice(planes.start - first, planes.stop - first)
        if layer == 1:
            yield planes, np.asarray(volume.voxels[first:stop]), core
            continue
        end = start + len(kept)
        if stop > end:
            above = (stop - 1) // layer * layer  # where the last layer starts
            until = min(above + -(-(stop - above) // part) * part, above + layer, depth)
            kept, start = kept[first - start :].copy(), first  # the others are freed before more are read
            kept = np.concatenate([kept, np.asarray(volume.voxels[end:until])])
        yield planes, kept[first - start : stop - start], core


def _part(layer: int, plane_bytes: int) -> int:
    """Return how many planes of a layer of chunks are read at a time."""
    parts = max(1, -(-layer * plane_bytes // STORED_BYTES))
    return -(-layer // parts)
