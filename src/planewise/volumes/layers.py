"""Converts napari layers to volumes without importing napari; ``Volume.to_napari`` is the inverse.

A layer is an object with ``data`` and ``scale``, or a tuple as napari's plugins return it: (data, {"scale": ...},
type).
"""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.foreign import plain
from planewise.volumes.units import read_spacing, refuse_unknown
from planewise.volumes.volume import Volume


def is_layer(given: Any) -> bool:
    """Whether an object is a napari layer, or a layer tuple."""
    is_tuple = isinstance(given, tuple) and len(given) in (2, 3) and isinstance(given[1], dict)
    return is_tuple or (hasattr(given, "data") and hasattr(given, "scale"))


def volume_of_layer(layer: Any, path: Path) -> Volume:
    """Return the data of a layer, at its finest resolution, with its scale, translation and units.

    ``path``: its name in errors. Raises PlanewiseError if it is not a volume (z, y, x) or slice (y, x).
    """
    if isinstance(layer, tuple):
        metadata: dict[str, Any] = layer[1]
        data, several = layer[0], bool(metadata.get("multiscale", isinstance(layer[0], list)))
    else:
        metadata = {key: getattr(layer, key, None) for key in ("scale", "translate", "units", "rgb")}
        data, several = layer.data, bool(getattr(layer, "multiscale", False))
    data = plain(data[0] if several else data)
    count = len(data.shape)
    if count not in (2, 3) or metadata.get("rgb"):
        raise PlanewiseError(f"{path}: is a layer of shape {tuple(data.shape)}; one channel (z, y, x) is needed")
    moves = (metadata.get(name) for name in ("scale", "translate"))
    scale, translate = ([float(v) for v in (() if move is None else move)] for move in moves)
    units = metadata.get("units")
    names = [str(unit) for unit in ((units,) * 3 if isinstance(units, str) else units or ("pixel",) * 3)]
    scale, translate = [1.0] * (3 - len(scale)) + scale, [0.0] * (3 - len(translate)) + translate
    names = names[:1] * (3 - len(names)) + names
    if count == 2:
        scale[0], names[0] = scale[-2], names[-2]
    refuse_unknown(path, names[-3:])
    sizes, unit = read_spacing(path, scale[-3:], names[-3:])
    place, _ = read_spacing(path, translate[-3:], names[-3:])
    voxels = data if count == 3 else plain(np.asarray(data[...])[None])
    return Volume(voxels, sizes, unit, place, has_origin=metadata.get("translate") is not None, has_direction=False)
