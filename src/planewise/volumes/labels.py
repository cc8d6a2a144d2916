"""Label volumes: whole numbers, 0 is background. Read whole or slab by slab, written in the smallest type."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import SeveralChannels
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats.ome_zarr import blocks
from planewise.volumes.volume import STORED_BYTES, Access, LazyArray, ReadWhenIndexed, Volume, access

SLAB_VOXELS = 2**24  # in memory at a time, for each volume; but
SLAB_PLANES = 8  # at least, since each slab is read with one more plane on either side


@dataclass(frozen=True)
class _LabelVoxels(ReadWhenIndexed):
    """Voxels of the volume at ``path`` that become unsigned integers when they are read."""

    volume: Volume
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        return self.volume.shape

    @property
    def dtype(self) -> np.dtype:
        dtype = self.volume.voxels.dtype
        return np.dtype({"f": "u8", "b": "u1"}.get(dtype.kind, f"u{dtype.itemsize}"))

    @property
    def access(self) -> Access:
        """How the file is read."""
        return access(self.volume.voxels)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of the stored chunks; an attribute that is missing if there are none."""
        chunks: tuple[int, ...] = self.volume.voxels.chunks  # type: ignore[attr-defined]
        return chunks

    def __getitem__(self, index: Any) -> np.ndarray:
        voxels = read_voxels(self.volume, self.path, index)
        if voxels.dtype.kind == "f":
            if not np.isfinite(voxels).all():
                what = "NaN" if np.isnan(voxels).any() else "infinity"
                raise PlanewiseError(f"{self.path}: holds {what}; labels are whole numbers, 0 is background")
            with np.errstate(invalid="ignore"):  # what is too large for an integer becomes another number
                as_integers = voxels.astype(np.int64)
            if not np.array_equal(as_integers, voxels):
                raise PlanewiseError(f"{self.path}: holds fractions; labels are whole numbers, 0 is background")
            voxels = as_integers
        if voxels.dtype.kind == "i" and voxels.size and voxels.min() < 0:
            raise PlanewiseError(f"{self.path}: holds negative values; labels are whole numbers from 0, the background")
        return voxels.astype(self.dtype, copy=False)


def open_labels(path: str | os.PathLike[str]) -> Volume:
    """Open a label volume; its voxels are unsigned integers, checked when they are read.

    Raises PlanewiseError, now or when voxels are read, if the file is damaged or holds several channels, fractions,
    negative values, NaN or infinity.
    """
    try:
        volume = open_volume(path)
    except SeveralChannels as error:  # no option chooses one of labels
        raise PlanewiseError(
            f"{error.what}; a label volume has one number for each voxel, not a colour: save the labels themselves"
        ) from error
    return as_labels(volume, Path(path))


def as_labels(volume: Volume, path: Path) -> Volume:
    """Return a volume as labels; ``path``: its name in errors, see ``open_labels``."""
    return volume.with_voxels(_LabelVoxels(volume, path))


def read_labels(path: str | os.PathLike[str]) -> Volume:
    """Read a label volume whole; see ``open_labels``."""
    volume = open_labels(path)
    return volume.with_voxels(volume.read())


def slab_starts(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Yield slices along z that cut a volume into slabs of ``SLAB_VOXELS``, but at least ``SLAB_PLANES`` thick."""
    thickness = max(SLAB_PLANES, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))


def _stored_pieces(voxels: LazyArray) -> Iterator[Any]:
    """Yield indices of pieces that cover ``voxels``, of about ``SLAB_VOXELS``: each stored chunk is in one of them.

    Chunks of more than ``STORED_BYTES``, which may be a whole file, are cut into slabs.
    """
    z, y, x = voxels.shape
    chunk = getattr(voxels, "chunks", None)
    if chunk is None or math.prod(chunk) * voxels.dtype.itemsize > STORED_BYTES:
        yield from slab_starts((z, y, x))
        return
    sides = list(chunk)
    for axis in (2, 1, 0):
        sides[axis] *= max(1, min(SLAB_VOXELS // math.prod(sides), -(-voxels.shape[axis] // sides[axis])))
    yield from blocks(voxels.shape, tuple(sides))


def count_values(labels: Volume) -> dict[int, int]:
    """Return how many voxels have each value; each stored chunk is read once.

    Raises PlanewiseError if the file is damaged or holds no labels.
    """
    counts: dict[int, int] = {}
    for piece in _stored_pieces(labels.voxels):
        read = np.asarray(labels.voxels[piece]).ravel()
        for start in range(0, len(read), SLAB_VOXELS):  # counting needs 8 bytes a voxel
            for value, count in _counted(read[start : start + SLAB_VOXELS]):
                counts[value] = counts.get(value, 0) + count
    return counts


def _counted(voxels: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the values of voxels (n,), and how many have each."""
    if voxels.dtype.itemsize <= 2:  # much faster than sorting
        number = np.bincount(voxels)
        values = np.flatnonzero(number)
        counts = number[values]
    else:
        values, counts = np.unique(voxels, return_counts=True)
    yield from zip(values.tolist(), counts.tolist())


def label_dtype(largest: int) -> np.dtype:
    """Return the smallest unsigned integer type that holds ``largest``."""
    return np.min_scalar_type(int(largest))


def write_labels(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write label voxels in the smallest unsigned type that holds them, marked as labels; see ``write_volume``."""
    volume = volume if volume.labels else volume.as_labels()
    voxels = np.asarray(volume.voxels)
    largest = int(voxels.max()) if voxels.size else 0
    write_volume(path, volume.with_voxels(voxels.astype(label_dtype(largest), copy=False)))
