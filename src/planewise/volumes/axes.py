"""Arrays with any axes as volumes (z, y, x): assigns the axes, selects one channel, and reads when indexed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.indexing import Part, split_index
from planewise.volumes.volume import Access, LazyArray, ReadWhenIndexed, access


@dataclass(frozen=True)
class _ThreeAxes(ReadWhenIndexed):
    """The axes z (None for one slice), y and x of an array with other axes or another order; read when indexed.

    ``order``: the array's axes for z, y, x; ``at``: the index along each other axis, None for these three.
    """

    array: Any
    order: tuple[int | None, int, int]
    at: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(1 if axis is None else self.array.shape[axis] for axis in self.order)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.array.dtype)

    @property
    def access(self) -> Access:
        """How the array is read; rows of another order are not rows of z, y, x."""
        how = access(self.array)
        rows_stay = [axis for axis in self.order if axis is not None] == sorted(a for a in self.order if a is not None)
        return "whole" if how == "rows" and not rows_stay else how

    @property
    def chunks(self) -> tuple[int, ...]:
        return tuple(1 if axis is None else self.array.chunks[axis] for axis in self.order)

    def __getattr__(self, name: str) -> Any:
        if name in ("nchunks_initialized", "fill_value"):  # which tell of a Zarr array what is not stored
            return getattr(self.array, name)
        raise AttributeError(name)

    def __getitem__(self, index: Any) -> Any:
        needed, within = split_index(index, self.shape)
        source: list[Part] = [0 if place is None else place for place in self.at]
        for part, axis in zip(needed, self.order):
            if axis is not None:
                source[axis] = part
        read = np.asarray(self.array[tuple(source)])
        there = [axis for axis in self.order if axis is not None]
        read = read.transpose([sorted(there).index(axis) for axis in there])
        return (read[None][needed[0]] if self.order[0] is None else read)[within]


class SeveralChannels(PlanewiseError):
    """An image of ``count`` channels, none of which was chosen; ``what``: the file and its shape, as text."""

    def __init__(self, what: str, count: int) -> None:
        super().__init__(f"{what}; --channel K, 0 to {count - 1}, chooses one")
        self.what = what


def order_of(axes: str) -> str:
    """Return z, y and x in the order of an array's ``axes``; "" if there is not one of each."""
    order = "".join(axis for axis in axes if axis in "zyx")
    return order if sorted(order) == sorted("zyx") else ""


def as_zyx(path: Path, array: Any, axes: str, channel: int | None) -> LazyArray:
    """Return one channel of an array as a volume (z, y, x), read when it is indexed.

    ``axes``: a letter for each axis, z, y, x, c (channels), t (time), or another. z may be missing. Raises
    PlanewiseError, naming the file at ``path``, if another axis is longer than 1, or if ``channel`` does not exist, or
    is None with several channels.
    """
    shape = tuple(array.shape)
    described = f"shape {shape}, axes {', '.join(axes)}"
    several = [place for place, side in enumerate(shape) if side != 1 and axes[place] == "c"]
    other = [axis for axis, side in zip(axes, shape) if side != 1 and axis not in "zyxc"]
    repeated = any(axes.count(axis) > 1 for axis in "zyx")
    if not {"y", "x"} <= set(axes) or other or repeated or len(several) > 1:
        times = "; one time point is needed: save it as a separate file" if other == ["t"] else ""
        raise PlanewiseError(f"{path}: has {described}; a volume has axes z, y, x, and maybe channels{times}")
    count = shape[several[0]] if several else 1
    if channel is None and count > 1:
        raise SeveralChannels(f"{path}: has {count} channels ({described})", count)
    if channel is not None and not 0 <= channel < count:
        channels = "1 channel, which is 0" if count == 1 else f"{count} channels, 0 to {count - 1}"
        raise PlanewiseError(f"{path}: has {channels}; --channel {channel} is not one of them")
    if axes == "zyx":
        return array
    order = (axes.index("z") if "z" in axes else None, axes.index("y"), axes.index("x"))
    chosen = [None if axis in "zyx" else (channel or 0) * (place in several) for place, axis in enumerate(axes)]
    return _ThreeAxes(array, order, tuple(chosen))
