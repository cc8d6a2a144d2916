"""HDF5: the one volume in a file, read when it is indexed; not written."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.volumes.formats import Format
from planewise.volumes.formats.containers import Spacing, only_volume, spacing_in_nm
from planewise.volumes.volume import Volume


@dataclass(frozen=True)
class Hdf5Voxels:
    """A dataset (z, y, x) of an HDF5 file; the file is open only while it is read."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __getitem__(self, index: Any) -> Any:
        import h5py

        with h5py.File(self.path, "r") as file:
            return file[self.name][index]


def _open_hdf5(path: Path) -> Volume:
    """Open the one 3D dataset of a file, with its spacing (z, y, x) in nm if it says any.

    ``resolution`` (z, y, x) in nm, as CREMI's files have it, or ``element_size_um`` (z, y, x), as ilastik's and Fiji's.
    Raises PlanewiseError if there is none, or several.
    """
    import h5py

    found: dict[str, Hdf5Voxels] = {}
    spacings: dict[str, Spacing | None] = {}

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape) == 3 and item.dtype.kind in "uifb":
            found[name] = Hdf5Voxels(path, name, item.shape, item.dtype, item.chunks or item.shape)
            in_nm = item.attrs.get("resolution")
            in_um = item.attrs.get("element_size_um")
            spacings[name] = spacing_in_nm(in_nm, 1.0) if in_nm is not None else spacing_in_nm(in_um, 1000.0)

    with h5py.File(path, "r") as file:
        file.visititems(look)
    name = only_volume(path, list(found))
    spacing = spacings[name]
    volume = Volume(found[name], has_origin=False, has_direction=False)
    return volume if spacing is None else replace(volume, spacing=spacing, unit="nm")


FORMAT = Format((".h5", ".hdf5"), _open_hdf5, results=".tiff")
