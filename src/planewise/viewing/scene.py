"""What a viewer shows: an image and labels over it, in one space and orientation, read from their files on demand.

Voxels are counted (z, y, x) in the canonical orientation, as in reports.
"""

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.space import laid_on
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats import ending_of, ome_zarr
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import to_canonical
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import open_labels, slab_starts
from planewise.volumes.machine import machine_memory
from planewise.volumes.volume import LazyArray, Volume, access

Voxel = tuple[int, int, int]  # z, y, x

SEEN = 2**22  # voxels that are read to determine the range of an image
COUNTED = 2**24  # voxels that are read to list the objects of a label volume
LISTED = 300  # objects of a layer that are shown in 3D when it opens


@dataclass(frozen=True)
class Level:
    """A volume, or a smaller copy of it: every ``step``-th of its voxels along z, y, x."""

    voxels: LazyArray
    step: Voxel = (1, 1, 1)


@dataclass(frozen=True)
class Layer:
    """An image, or labels if ``volume.labels`` says so; ``levels``: its voxels and smaller copies, the finest first.

    ``path``: where it was opened from. ``shown``: whether it is visible when a viewer opens.
    """

    name: str
    path: Path | Series
    volume: Volume
    levels: tuple[Level, ...]
    shown: bool = True

    @property
    def dtype(self) -> np.dtype:
        """The type passed to viewers, which support neither booleans nor signed 64-bit integers."""
        kind, size = self.volume.voxels.dtype.kind, self.volume.voxels.dtype.itemsize
        if self.volume.labels is not None or kind == "b":
            return np.dtype(f"u{size}")
        return np.dtype("f4") if kind == "f" or (kind == "i" and size == 8) else np.dtype(f"{kind}{size}")

    def level_for(self, step: Voxel) -> tuple[Level, Voxel]:
        """Return the coarsest level that contains every ``step``-th voxel of the volume, and the step within it."""
        for level in reversed(self.levels):
            if all(whole % part == 0 for whole, part in zip(step, level.step)):
                z, y, x = (whole // part for whole, part in zip(step, level.step))
                return level, (z, y, x)
        raise ValueError(f"a step of {step} is not possible")

    def read(self, level: Level, index: Any) -> np.ndarray:
        """Return voxels of a level. Raises PlanewiseError if the file is damaged, or they do not fit in memory."""
        return read_voxels(Volume(level.voxels), self.path, index).astype(self.dtype, copy=False)

    def thinned(self, most: int) -> tuple[np.ndarray, Voxel]:
        """Return the voxels of the finest level with at most ``most`` voxels, and its step; else those of the coarsest.

        If these are too many, they are thinned further, equally along each axis.
        """
        fitting = [level for level in self.levels if math.prod(level.voxels.shape) <= most]
        level = (fitting or self.levels[-1:])[0]
        further = 1
        while math.prod(-(-side // further) for side in level.voxels.shape) > most:
            further += 1
        index = (slice(None, None, further),) * 3
        z, y, x = (size * further for size in level.step)
        return self.read(level, index), (z, y, x)


@dataclass(frozen=True)
class Place:
    """A place to visit: a voxel, a description of what is there, and the number of wrong voxels."""

    what: str
    at: Voxel
    voxels: int


@dataclass(frozen=True)
class Scene:
    """Layers of one case, all on one voxel grid; ``places``: to visit, most important first.

    ``at``: the voxel in the middle of the view. ``chosen``: by layer, the one object that is shown in 3D.
    """

    title: str
    layers: list[Layer]
    places: list[Place]
    at: Voxel
    chosen: dict[str, int]

    @property
    def volume(self) -> Volume:
        """The geometry of all layers."""
        return self.layers[0].volume


# ---- layers


def image_layer(name: str, path: Path | Series, channel: int | None) -> tuple[Layer, Volume]:
    """Return an image as a layer, and as stored, to align labels with it; for errors see ``open_volume``."""
    stored = open_volume(path, channel)
    return _layer(name, path, replace(stored, labels=None), None, channel), stored


def labels_layer(
    name: str,
    path: Path,
    names: LabelNames,
    image: tuple[Path | Series, Volume] | None,
    ignore_geometry: bool,
    shown: bool,
) -> tuple[Layer, Volume]:
    """Return labels as a layer, and as stored; for errors see ``laid_on``.

    ``names``: of classes, if the file does not name them; ``image``: the image that they are aligned with.
    """
    stored = open_labels(path)
    known = stored.labels if stored.labels is not None and (stored.labels.names or stored.labels.given) else names
    placed = stored if image is None else laid_on(stored, path, image[1], image[0], ignore_geometry)
    return replace(_layer(name, path, placed, known, None), shown=shown), stored


def _layer(name: str, path: Path | Series, placed: Volume, labels: LabelNames | None, channel: int | None) -> Layer:
    volume = replace(to_canonical(placed, labels=labels is not None), labels=labels)
    levels = [Level(volume.voxels)]
    if isinstance(path, Path) and volume.voxels is placed.voxels and ending_of(path) in ome_zarr.FORMAT.endings:
        levels = _levels_of_store(path, volume, channel)
    elif access(volume.voxels) in ("pages", "whole") and _fits(volume):
        levels = [Level(_ReadOnce(volume, path))]
    return Layer(name, path, volume.with_voxels(levels[0].voxels), tuple(levels))


def _levels_of_store(path: Path, volume: Volume, channel: int | None) -> list[Level]:
    """Return the voxels of an OME-Zarr and those of its smaller copies that have every second, third ... voxel."""
    full, *smaller = ome_zarr.open_levels(path, channel)
    levels = [Level(full.voxels if full.voxels.dtype == volume.voxels.dtype else volume.voxels)]
    for copy in smaller:
        ratios = [coarse / fine for coarse, fine in zip(copy.spacing, full.spacing)]
        z, y, x = (round(ratio) for ratio in ratios)
        whole = all(abs(ratio - step) < 0.01 for ratio, step in zip(ratios, (z, y, x)))
        if whole and copy.shape == tuple(-(-side // step) for side, step in zip(full.shape, (z, y, x))):
            levels.append(Level(copy.voxels, (z, y, x)))
    return levels


def _fits(volume: Volume) -> bool:
    return math.prod(volume.shape) * volume.voxels.dtype.itemsize <= machine_memory() // 4


class _ReadOnce:
    """Voxels that are read as a whole at the first access, because their format does not allow reading parts."""

    def __init__(self, volume: Volume, path: Path | Series) -> None:
        self.shape, self.dtype = volume.shape, volume.voxels.dtype
        self._volume, self._path = volume, path
        self._read: np.ndarray | None = None
        self._lock = threading.Lock()

    def __getitem__(self, index: Any) -> np.ndarray:
        with self._lock:
            if self._read is None:
                self._read = read_voxels(self._volume, self._path)
        return self._read[index]


# ---- what is in them


def contrast(layer: Layer) -> tuple[float, float]:
    """Return the values shown black and white in an image: its 0.5 % and 99.5 % quantiles."""
    voxels, _ = layer.thinned(SEEN)
    finite = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels
    low, high = np.percentile(finite, (0.5, 99.5)).tolist() if finite.size else (0.0, 1.0)
    return (low, high) if low < high else (low, low + 1)


def objects(layer: Layer) -> list[int]:
    """Return the ids in a label volume, largest objects first, at most ``LISTED``; for a large volume those in its
    smaller copy."""
    values, counts = np.unique(layer.thinned(COUNTED)[0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [int(values[i]) for i in order if values[i]][:LISTED]


def place_of(layer: Layer, value: int) -> Voxel:
    """Return the voxel of an object that is nearest to its centre.

    A large volume's smaller copies are searched first. Raises PlanewiseError if there is no such object.
    """
    voxels, step = layer.thinned(COUNTED)
    inside = np.argwhere(voxels == value) * step
    if not len(inside) and step != (1, 1, 1):
        coordinates = []
        for slab in slab_starts(layer.volume.shape):
            within = np.argwhere(layer.read(layer.levels[0], slab) == value)
            coordinates.append(within + (slab.start, 0, 0))
        inside = np.concatenate(coordinates)
    if not len(inside):
        raise PlanewiseError(f"--object {value}: {layer.path} holds no such label")
    z, y, x = inside[np.square(inside - inside.mean(axis=0)).sum(axis=1).argmin()].tolist()
    return z, y, x


def middle(layer: Layer) -> Voxel:
    """Return the voxel in the middle of a volume."""
    z, y, x = (side // 2 for side in layer.volume.shape)
    return z, y, x
