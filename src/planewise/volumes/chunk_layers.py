"""Reads a volume slab by slab along z without decompressing a stored chunk once for each slab that cuts it."""

import math
from collections.abc import Sequence

import numpy as np

from planewise.volumes.volume import STORED_BYTES, LazyArray, ReadWhenIndexed, Volume


def read_in_order(volume: Volume) -> Volume:
    """Return ``volume``, of which slices along z can be read, for reading them from the first to the last.

    Layers of stored chunks stay in memory while a slab needs them, so that each is read once, though slabs are thinner
    or overlap. The volume is returned as it is where no chunks are known, or if a layer has more than ``STORED_BYTES``.
    """
    chunks: Sequence[int] = getattr(volume.voxels, "chunks", None) or (1,)
    plane = math.prod(volume.shape[1:]) * volume.voxels.dtype.itemsize
    if chunks[0] < 2 or chunks[0] * plane > STORED_BYTES:
        return volume
    return volume.with_voxels(_Layers(volume.voxels, chunks[0]))


class _Layers(ReadWhenIndexed):
    """Voxels stored in chunks that are ``depth`` planes thick; the layers of the slab read last are kept."""

    def __init__(self, voxels: LazyArray, depth: int) -> None:
        self.shape, self.dtype = voxels.shape, voxels.dtype
        self._voxels, self._depth = voxels, depth
        self._kept: dict[int, np.ndarray] = {}

    def __getitem__(self, planes: slice) -> np.ndarray:
        numbers = range(planes.start // self._depth, -(-planes.stop // self._depth))
        self._kept = {number: layer for number, layer in self._kept.items() if number in numbers}
        for number in numbers:
            if number not in self._kept:
                start = number * self._depth
                self._kept[number] = np.asarray(self._voxels[start : min(start + self._depth, self.shape[0])])
        parts = []
        for number, layer in sorted(self._kept.items()):
            start = number * self._depth
            parts.append(layer[max(0, planes.start - start) : planes.stop - start])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
