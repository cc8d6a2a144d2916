"""N5: the one volume in a container, read when it is indexed; not written."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx
from planewise.volumes.formats import Format
from planewise.volumes.formats.containers import only_volume
from planewise.volumes.indexing import check_memory
from planewise.volumes.units import read_spacing
from planewise.volumes.volume import ReadWhenIndexed, Volume

COARSER = re.compile(r"s[1-9]\d*")  # a level of a pyramid that is not the finest


@dataclass(frozen=True)
class N5Voxels(ReadWhenIndexed):
    """A dataset of an N5 container, as (z, y, x): N5 counts axes from the fastest."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(_open_n5_array(self.path).T[index].read().result())


def _open_n5(path: Path, channel: int | None) -> Volume:
    """Open the one 3D dataset of a container, or the finest level of its pyramid s0, s1, ..., with its spacing, if any.

    The spacing is ``resolution`` or ``pixelResolution`` (x, y, z), in the unit of the latter, else nm. Raises
    PlanewiseError if there is no volume, or several, or if its sides are invalid.
    """
    datasets = {}
    for file in sorted(path.rglob("attributes.json")):
        attributes = json.loads(file.read_text("utf-8"))
        name = file.parent.relative_to(path).as_posix()
        if len(attributes.get("dimensions", ())) == 3 and not COARSER.fullmatch(file.parent.name):
            datasets[name] = attributes
    name = only_volume(path, list(datasets))
    about = datasets[name]
    shape, chunks = (_sides(path, key, about) for key in ("dimensions", "blockSize"))
    dtype = np.dtype(about["dataType"])
    check_memory(chunks, dtype)  # blocks are read whole; without enough memory for one the process would be killed
    voxels = as_zyx(path, N5Voxels(path / name, shape, dtype, chunks), "zyx", channel)
    volume = Volume(voxels, has_origin=False, has_direction=False)
    physical = about.get("pixelResolution", about.get("resolution"))
    if physical is None:
        return volume
    stated = "nm"
    if isinstance(physical, dict):
        stated, physical = physical.get("unit") or "nm", physical["dimensions"]
    if len(physical) != 3:
        raise PlanewiseError(f"{path}: its resolution is {physical}; it must be three numbers (x, y, z)")
    spacing, unit = read_spacing(path, physical[::-1], [stated] * 3)
    return replace(volume, spacing=spacing, unit=unit).in_unit("nm")


def _sides(path: Path, key: str, about: dict[str, Any]) -> tuple[int, ...]:
    sides = tuple(about[key][::-1])
    if len(sides) != 3 or not all(isinstance(side, int) and 0 < side < 2**63 for side in sides):
        raise PlanewiseError(f"{path}: its {key} are {about[key]}; they must be three positive whole numbers")
    return sides


def _open_n5_array(path: Path) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        raise PlanewiseError(f"{path}: N5 needs tensorstore: pip install planewise[n5]") from error
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path.resolve())}}
    return tensorstore.open(spec, read=True, open=True).result()


FORMAT = Format((".n5",), _open_n5, results=".tiff")
