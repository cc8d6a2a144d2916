"""HDF5: the one volume in a file, read when it is indexed; not written."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx, order_of
from planewise.volumes.formats import Format
from planewise.volumes.formats.containers import only_volume
from planewise.volumes.units import read_spacing
from planewise.volumes.volume import ReadWhenIndexed, Volume


@dataclass(frozen=True)
class Hdf5Voxels(ReadWhenIndexed):
    """A dataset of an HDF5 file; the file is open only while it is read."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __getitem__(self, index: Any) -> Any:
        import h5py

        with h5py.File(self.path, "r") as file:
            return file[self.name][index]


def _open_hdf5(path: Path, channel: int | None) -> Volume:
    """Open the one volume of a file, with its spacing (z, y, x) if it states one.

    A volume is a dataset with 3 axes or, if there is none, one whose axes are named by ``axistags``, or one with 4
    axes, of which the shortest, first or last, is the channel axis. ``resolution`` is (z, y, x) in nm, as in CREMI's
    files; ``element_size_um`` is in um, as in ilastik's and Fiji's. Raises PlanewiseError if there is no volume, or
    several.
    """
    import h5py

    datasets: dict[str, Hdf5Voxels] = {}
    axes: dict[str, str] = {}
    named: set[str] = set()
    spacings: dict[str, tuple[list[float], str]] = {}

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "uifb" and (letters := _axes_of(item)):
            datasets[name] = Hdf5Voxels(path, name, item.shape, item.dtype, item.chunks or item.shape)
            axes[name] = letters
            if "axistags" in item.attrs:
                named.add(name)
            for attribute, unit in (("element_size_um", "um"), ("resolution", "nm")):
                if attribute in item.attrs:
                    spacings[name] = np.asarray(item.attrs[attribute], float).tolist(), unit

    with h5py.File(path, "r") as file:
        file.visititems(look)
    least = min(map(len, axes.values()), default=0)
    name = only_volume(path, [name for name in datasets if len(axes[name]) == least])
    stored = order_of(axes[name]) if name in named else ""
    voxels = as_zyx(path, datasets[name], axes[name], channel)
    volume = Volume(voxels, has_origin=False, has_direction=False, stored_axes=stored)
    if name not in spacings:
        return volume
    sizes, stated = spacings[name]
    if len(sizes) > 3 and len(sizes) == len(axes[name]):  # one for the channels too
        sizes = [size for size, axis in zip(sizes, axes[name]) if axis in "zyx"]
    if len(sizes) != 3:
        raise PlanewiseError(f"{path}: the spacing of {name} is {sizes}; it must be three numbers (z, y, x)")
    spacing, unit = read_spacing(path, sizes, [stated] * 3)
    return replace(volume, spacing=spacing, unit=unit).in_unit("nm")


def _axes_of(dataset: Any) -> str:
    """Return a letter for each axis of a dataset: z, y, x, c (channels), t (time); "" if that is not clear."""
    shape = dataset.shape
    if "axistags" in dataset.attrs:  # as vigra and ilastik write them
        letters = "".join(axis["key"] for axis in json.loads(dataset.attrs["axistags"])["axes"])
        if len(letters) == len(shape) and set("zyx") <= set(letters):
            return letters
        if len(shape) != 3:
            return ""
    if len(shape) == 3:
        return "zyx"
    if len(shape) == 4 and shape[0] < min(shape[1:]):
        return "czyx"
    if len(shape) == 4 and shape[3] < min(shape[:3]):
        return "zyxc"
    return ""


FORMAT = Format((".h5", ".hdf5"), _open_hdf5, results=".tiff")
