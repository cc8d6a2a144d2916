"""N5: the one volume in a container, read when it is indexed; not written."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.formats import Format
from planewise.volumes.formats.containers import only_volume, spacing_in_nm
from planewise.volumes.volume import Volume

COARSER = re.compile(r"s[1-9]\d*")  # a level of a pyramid that is not the finest


@dataclass(frozen=True)
class N5Voxels:
    """A dataset of an N5 container, as (z, y, x): N5 counts axes from the fastest."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(_open_n5_array(self.path).T[index].read().result())


def _open_n5(path: Path) -> Volume:
    """Open the one 3D dataset of a container, of a pyramid s0, s1, ... the finest, with its spacing in nm, if any.

    ``resolution`` or ``pixelResolution`` (x, y, z), the latter in its own unit. Raises PlanewiseError as ``open_hdf5``.
    """
    found = {}
    for file in sorted(path.rglob("attributes.json")):
        attributes = json.loads(file.read_text("utf-8"))
        name = str(file.parent.relative_to(path))
        if len(attributes.get("dimensions", ())) == 3 and not COARSER.fullmatch(file.parent.name):
            found[name] = attributes
    name = only_volume(path, list(found))
    about = found[name]
    physical = about.get("pixelResolution", about.get("resolution"))
    unit = 1.0
    if isinstance(physical, dict):
        unit = {"nm": 1.0, "um": 1000.0, "µm": 1000.0, "mm": 1e6}.get(str(physical.get("unit")), 1.0)
        physical = physical.get("dimensions")
    shape, chunks = (tuple(about[key][::-1]) for key in ("dimensions", "blockSize"))
    spacing = None if physical is None else spacing_in_nm(physical[::-1], unit)
    voxels = N5Voxels(path / name, shape, np.dtype(about["dataType"]), chunks)
    volume = Volume(voxels, has_origin=False, has_direction=False)
    return volume if spacing is None else replace(volume, spacing=spacing, unit="nm")


def _open_n5_array(path: Path) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        raise PlanewiseError(f"{path}: N5 needs tensorstore: pip install planewise[n5]") from error
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path.resolve())}}
    return tensorstore.open(spec, read=True, open=True).result()


FORMAT = Format((".n5",), _open_n5, results=".tiff")
