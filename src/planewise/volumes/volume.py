"""A volume: voxels with their spacing, unit and orientation. Arrays are (z, y, x), and so are spacing and origin."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.indexing import check_memory
from planewise.volumes.label_names import LabelNames
from planewise.volumes.units import PIXEL, convert

SLAB_BYTES = 2**24  # that are read and written at a time; but
STORED_BYTES = 2**27  # of voxels stored in thick chunks, which are decompressed once for each slab that cuts them

LayerType = Literal["image", "labels"]
LayerData = tuple[Any, dict[str, Any], str]  # what napari calls LayerDataTuple
LAYER_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", PIXEL: "pixel"}

Spacing = tuple[float, float, float]  # z, y, x


class LazyArray(Protocol):
    """What voxels must offer: an array, or something on disk that is read when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class ReadWhenIndexed:
    """A ``LazyArray``: voxels that are read when they are indexed, and whole by what asks for an array, as numpy does.

    The latter raises PlanewiseError if this machine has less memory than they need.
    """

    @property
    def ndim(self: LazyArray) -> int:
        """The number of axes."""
        return len(self.shape)

    def __array__(self: LazyArray, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all voxels in memory."""
        if copy is False:
            raise ValueError("voxels on disk are only read into a new array")
        check_memory(self.shape, self.dtype)
        return np.asarray(self[...], dtype)


Access = Literal["chunks", "rows", "pages", "whole"]


def access(voxels: LazyArray) -> Access:
    """Return what of voxels is read when a few are: their chunks, rows or pages, or the whole."""
    if hasattr(voxels, "chunks"):
        return "chunks"
    mapped: Access = "rows" if isinstance(voxels, np.memmap) else "whole"
    return getattr(voxels, "access", mapped)


@dataclass(frozen=True)
class Volume:
    """Voxels (z, y, x) with their geometry.

    ``spacing`` (z, y, x) in ``unit`` ("nm", "um", "mm", or "pixel" where the file does not say); ``origin`` (z, y, x)
    of the first voxel's centre; ``direction`` (3, 3): column i is the direction of array axis i in patient space
    (z, y, x order, towards superior, posterior, left). ``tilt`` (y, x), in ``unit``: how much further along those axes
    each slice lies than the one before it, where a tilted gantry moved them apart; the rest of the geometry is that of
    the upright stack of the same slices, from the first one on. ``has_origin``, ``has_direction``: whether the file
    says them; a TIFF does not, and what stands here is no statement then. ``labels``: what the values are called, where
    they are known to be labels; None if unknown. ``sparse``: whether the file may leave out what is empty, as
    a DICOM segmentation does: around these voxels there may lie others, all 0. ``has_z_spacing``: whether the file
    states how far slices lie apart; where it does not, as a TIFF may, the spacing of x stands for it. ``stored_axes``:
    the order in which the file says that it stores z, y and x, as letters; empty where it does not say.
    """

    voxels: LazyArray
    spacing: Spacing = (1.0, 1.0, 1.0)
    unit: str = PIXEL
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    tilt: tuple[float, float] = (0.0, 0.0)
    has_origin: bool = True
    has_direction: bool = True
    labels: LabelNames | None = None
    sparse: bool = False
    has_z_spacing: bool = True
    stored_axes: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.voxels.shape
        return depth, height, width

    def spacing_in(self, unit: str) -> Spacing:
        """Return the spacing (z, y, x) in ``unit``; of a volume in "pixel" as it is, as if it were in that unit."""
        z, y, x = (convert(size, self.unit, unit) for size in self.spacing)
        return z, y, x

    def in_unit(self, unit: str) -> "Volume":
        """Return the volume with spacing, origin and tilt in ``unit``; one in "pixel" as it is."""
        if self.unit == PIXEL:
            return self
        z, y, x = (convert(place, self.unit, unit) for place in self.origin)
        tilt_y, tilt_x = (convert(step, self.unit, unit) for step in self.tilt)
        return replace(self, spacing=self.spacing_in(unit), origin=(z, y, x), unit=unit, tilt=(tilt_y, tilt_x))

    def read(self) -> np.ndarray:
        """Return all voxels in memory. Raises PlanewiseError if this machine has less than they need."""
        check_memory(self.voxels.shape, self.voxels.dtype)
        return np.asarray(self.voxels[...])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all voxels in memory, so that what takes arrays takes volumes; see ``read`` for errors."""
        return np.array(self.read(), dtype, copy=copy)

    def as_labels(self, names: dict[int, str] | None = None) -> "Volume":
        """Return the volume said to hold labels, of classes with these ``names`` by value, or of instances."""
        return replace(self, labels=LabelNames(names or {}))

    def with_voxels(self, voxels: LazyArray) -> "Volume":
        """Return other voxels of the same shape in this volume's place."""
        if tuple(voxels.shape) != tuple(self.voxels.shape):
            raise ValueError(f"voxels of shape {tuple(voxels.shape)} cannot stand for {tuple(self.voxels.shape)}")
        return replace(self, voxels=voxels)

    def to_napari(self, layer_type: LayerType, name: str = "planewise") -> LayerData:
        """Return a layer as napari's plugins return one: ``napari.layers.Layer.create(*volume.to_napari("labels"))``.

        Voxels in chunks stay on disk, others are read. Scale, translation and units are the volume's; how its axes run
        in the patient is not kept, for a viewer shows arrays as they lie. Raises PlanewiseError for labels that are no
        whole numbers.
        """
        if layer_type == "labels" and self.voxels.dtype.kind not in "uib":
            raise PlanewiseError(f"{name}: holds {self.voxels.dtype}; labels are whole numbers")
        voxels = self.voxels if access(self.voxels) == "chunks" else self.read()
        placed = {"scale": self.spacing, "translate": self.origin, "units": (LAYER_UNITS[self.unit],) * 3}
        return voxels, {"name": name, **placed}, layer_type


def slabs(voxels: LazyArray) -> Iterator[slice]:
    """Yield slices along z that cut ``voxels`` (z, y, x) into slabs which can be read one after the other."""
    plane = max(1, int(np.prod(voxels.shape[1:])) * voxels.dtype.itemsize)
    chunk = getattr(voxels, "chunks", (1,))[0]
    thickness = max(1, SLAB_BYTES // plane, min(chunk, STORED_BYTES // plane))
    for start in range(0, voxels.shape[0], thickness):
        yield slice(start, min(start + thickness, voxels.shape[0]))
