"""A volume: voxels with their spacing, unit and orientation. Arrays are (z, y, x), and so are spacing and origin."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

UNITS = {  # what files call a unit -> what we call it
    "nm": "nm", "nanometer": "nm", "nanometre": "nm",
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um",
    "micrometre": "um",
    "mm": "mm", "millimeter": "mm", "millimetre": "mm",
}  # fmt: skip


class LazyArray(Protocol):
    """What voxels must offer: an array, or something on disk that is read when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class Volume:
    """Voxels (z, y, x) with their geometry.

    ``spacing`` (z, y, x) in ``unit`` ("nm", "um", "mm", or "pixel" where the file does not say); ``origin`` (z, y, x)
    of the first voxel's centre; ``direction`` (3, 3): column i is the direction of array axis i in patient space
    (z, y, x order, towards superior, posterior, left); ``tilt`` (y, x), in ``unit``: how much further along those axes
    each slice lies than the one before it, where a tilted gantry moved them apart; the rest of the geometry is that of
    the upright stack of the same slices, from the first one on.
    """

    voxels: LazyArray
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = "pixel"
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    tilt: tuple[float, float] = (0.0, 0.0)

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.voxels.shape
        return depth, height, width

    def read(self) -> np.ndarray:
        """Return all voxels in memory."""
        return np.asarray(self.voxels[...])

    def with_voxels(self, voxels: LazyArray) -> "Volume":
        """Return other voxels of the same shape in this volume's place."""
        if tuple(voxels.shape) != tuple(self.voxels.shape):
            raise ValueError(f"voxels of shape {tuple(voxels.shape)} cannot stand for {tuple(self.voxels.shape)}")
        return replace(self, voxels=voxels)


def count_beyond(shape: tuple[int, ...], count: int) -> bool:
    """Whether more than ``count`` axes are longer than 1."""
    return sum(side > 1 for side in shape) > count


@dataclass(frozen=True)
class _LastThreeAxes:
    """An array whose axes before the last three are of length 1, without them; read when it is indexed."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape[-3:])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.array.dtype)

    def __getitem__(self, index: Any) -> Any:
        before = (0,) * (len(self.array.shape) - 3)
        return self.array[(*before, *(index if isinstance(index, tuple) else (index,)))]


def as_three_axes(voxels: LazyArray) -> LazyArray:
    """Bring an array with axes of length 1 beyond the three, or with only two axes, to (z, y, x)."""
    if len(voxels.shape) == 3:
        return voxels
    if all(side == 1 for side in voxels.shape[:-3]) and len(voxels.shape) > 3:
        return _LastThreeAxes(voxels)
    whole = np.asarray(voxels[...])
    if whole.ndim == 2:
        return whole[None]
    while whole.ndim > 3:
        whole = whole.squeeze(next(axis for axis, side in enumerate(whole.shape) if side == 1))
    return whole
