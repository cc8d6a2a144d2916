"""Volumes in HDF5 and N5 containers, which hold arrays by name: the one volume in them, read when it is indexed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError

Spacing = tuple[float, float, float]
COARSER = re.compile(r"s[1-9]\d*")  # a level of a pyramid that is not the finest


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


def open_hdf5(path: Path) -> tuple[Hdf5Voxels, Spacing | None]:
    """Return the one 3D dataset of a file, and its spacing (z, y, x) in nm if it says any.

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
            spacings[name] = _spacing(in_nm, 1.0) if in_nm is not None else _spacing(in_um, 1000.0)

    with h5py.File(path, "r") as file:
        file.visititems(look)
    name = _only(path, list(found))
    return found[name], spacings[name]


@dataclass(frozen=True)
class N5Voxels:
    """A dataset of an N5 container, as (z, y, x): N5 counts axes from the fastest."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(_open_n5_array(self.path).T[index].read().result())


def open_n5(path: Path) -> tuple[N5Voxels, Spacing | None]:
    """Return the one 3D dataset of a container, of a pyramid s0, s1, ... the finest, and its spacing in nm, if any.

    ``resolution`` or ``pixelResolution`` (x, y, z), the latter in its own unit. Raises PlanewiseError as ``open_hdf5``.
    """
    found = {}
    for file in sorted(path.rglob("attributes.json")):
        attributes = json.loads(file.read_text("utf-8"))
        name = str(file.parent.relative_to(path))
        if len(attributes.get("dimensions", ())) == 3 and not COARSER.fullmatch(file.parent.name):
            found[name] = attributes
    name = _only(path, list(found))
    about = found[name]
    physical = about.get("pixelResolution", about.get("resolution"))
    unit = 1.0
    if isinstance(physical, dict):
        unit = {"nm": 1.0, "um": 1000.0, "µm": 1000.0, "mm": 1e6}.get(str(physical.get("unit")), 1.0)
        physical = physical.get("dimensions")
    shape, chunks = (tuple(about[key][::-1]) for key in ("dimensions", "blockSize"))
    spacing = None if physical is None else _spacing(physical[::-1], unit)
    return N5Voxels(path / name, shape, np.dtype(about["dataType"]), chunks), spacing


def _open_n5_array(path: Path) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        raise PlanewiseError(f"{path}: N5 needs tensorstore: pip install planewise[n5]") from error
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path.resolve())}}
    return tensorstore.open(spec, read=True, open=True).result()


def _only(path: Path, names: list[str]) -> str:
    if len(names) != 1:
        listed = f" ({', '.join(names[:5])})" if names else ""
        raise PlanewiseError(
            f"{path}: holds {len(names)} volumes{listed}; one is needed: copy it to a file, or an OME-Zarr, of its own"
        )
    return names[0]


def _spacing(sizes: Any, in_nm: float) -> Spacing | None:
    if sizes is None:
        return None
    z, y, x = (float(size) * in_nm for size in sizes)
    return z, y, x
