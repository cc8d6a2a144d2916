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
LayerData = tuple[Any, dict[str, Any], str]  # napari's LayerDataTuple
LAYER_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", PIXEL: "pixel"}

Spacing = tuple[float, float, float]  # z, y, x


class LazyArray(Protocol):
    """The interface of voxels: an array, or something on disk that is read when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class ReadWhenIndexed:
    """A ``LazyArray``: voxels are read when they are indexed, and as a whole when converted to a NumPy array.

    The conversion raises PlanewiseError if this machine has too little memory.
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
    """Return the unit in which voxels are read: chunks, rows, pages, or the whole."""
    if hasattr(voxels, "chunks"):
        return "chunks"
    mapped: Access = "rows" if isinstance(voxels, np.memmap) else "whole"
    return getattr(voxels, "access", mapped)


@dataclass(frozen=True)
class Volume:
    """Voxels (z, y, x) with their geometry.

    ``spacing`` (z, y, x) in ``unit`` ("nm", "um", "mm", or "pixel" if unknown); ``origin`` (z, y, x)
    of the first voxel's centre; ``direction`` (3, 3): column i is the direction of array axis i in patient space
    (z, y, x order, towards superior, posterior, left). ``tilt`` (y, x), in ``unit``: the shift along those axes of
    each slice relative to the one before, caused by a tilted gantry; the rest of the geometry describes the upright
    stack of the same slices, starting at the first. ``has_origin``, ``has_direction``: whether the file states them; if
    not, as in a TIFF, the values here mean nothing. ``labels``: the names of the values, if they are known to be
    labels; None if unknown. ``sparse``: whether the file may omit empty slices, as a DICOM segmentation does: these
    voxels may be surrounded by others, all 0. ``has_z_spacing``: whether the file states the distance of slices; if
    not, as a TIFF may, the spacing of x is used for it. ``stored_axes``: the order in which the
    file says that it stores z, y and x, as letters; empty if it does not say. ``unit_assumed_in``: the sidecar that
    gives the spacing without a unit, so that ``unit`` is an assumption; empty if the unit is stated.
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
    unit_assumed_in: str = ""

    def __repr__(self) -> str:
        size, spacing = (" x ".join(f"{side:g}" for side in sides) for sides in (self.shape, self.spacing))
        source = type(self.voxels).__name__.lstrip("_")
        return f"Volume({size} of {self.voxels.dtype}, spacing {spacing} {self.unit} (z, y, x), from {source})"

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.voxels.shape
        return depth, height, width

    def spacing_in(self, unit: str) -> Spacing:
        """Return the spacing (z, y, x) in ``unit``; that of a volume in "pixel" is returned unchanged.

        Raises PlanewiseError for "mm" if the unit is only assumed to be another, see ``unit_assumed_in``.
        """
        if self.unit_assumed_in and unit == "mm" and self.unit != "mm":
            raise PlanewiseError(
                f"{self.unit_assumed_in}: gives a spacing without a unit, which is read as {self.unit} unless one is "
                'stated, and mm are needed: write "spacing_unit": "mm" (or "nm") into it, or into the dataset.json in '
                "the folder above"
            )
        z, y, x = (convert(size, self.unit, unit) for size in self.spacing)
        return z, y, x

    def in_unit(self, unit: str) -> "Volume":
        """Return the volume with spacing, origin and tilt in ``unit``; one in "pixel" as it is. See ``spacing_in``."""
        if self.unit == PIXEL:
            return self
        z, y, x = (convert(place, self.unit, unit) for place in self.origin)
        tilt_y, tilt_x = (convert(step, self.unit, unit) for step in self.tilt)
        return replace(self, spacing=self.spacing_in(unit), origin=(z, y, x), unit=unit, tilt=(tilt_y, tilt_x))

    def read(self) -> np.ndarray:
        """Return all voxels in memory. Raises PlanewiseError if this machine has too little."""
        check_memory(self.voxels.shape, self.voxels.dtype)
        return np.asarray(self.voxels[...])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all voxels in memory, so that a volume can be passed as an array; see ``read`` for errors."""
        return np.array(self.read(), dtype, copy=copy)

    def as_labels(self, names: dict[int, str] | None = None) -> "Volume":
        """Return the volume marked as labels, of classes with these ``names`` by value, or of instances."""
        return replace(self, labels=LabelNames(names or {}))

    def with_voxels(self, voxels: LazyArray) -> "Volume":
        """Return a volume with this geometry and other ``voxels`` of the same shape."""
        if tuple(voxels.shape) != tuple(self.voxels.shape):
            raise ValueError(f"voxels of shape {tuple(voxels.shape)} cannot stand for {tuple(self.voxels.shape)}")
        return replace(self, voxels=voxels)

    def to_napari(self, layer_type: LayerType, name: str = "planewise") -> LayerData:
        """Return a layer tuple as napari's plugins do: ``napari.layers.Layer.create(*volume.to_napari("labels"))``.

        Voxels in chunks stay on disk, others are read. Scale, translation and units are the volume's; the direction
        in the patient is not kept, since a viewer shows arrays as stored. Raises PlanewiseError for labels that are not
        integers.
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
