"""Arrays of other libraries as volumes: NumPy, Zarr, HDF5, dask, xarray, layers of napari. None is imported.

They are recognised by their attributes: a shape and a dtype; named axes with coordinates; data with a scale.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx
from planewise.volumes.files import check_volume, open_volume
from planewise.volumes.foreign import plain
from planewise.volumes.formats.dicom import Series
from planewise.volumes.layers import is_layer, volume_of_layer
from planewise.volumes.units import NANOMETRES, PIXEL, read_spacing, refuse_unknown
from planewise.volumes.volume import Spacing, Volume

UNEVEN = 1e-3  # largest relative difference of steps between coordinates


def as_volume(
    given: Any,
    channel: int | None = None,
    spacing: Spacing | None = None,
    unit: str | None = None,
    name: str = "volume",
) -> Volume:
    """Return what is ``given`` as a volume; its voxels are read when they are indexed, if the library allows that.

    ``given``: a ``Volume``, a path (see ``open_volume``), an array (z, y, x) or (y, x) of any library, one of xarray
    whose axes are called z, y, x (c, t), a layer of napari, or what a napari plugin returns for one. ``spacing`` (z, y,
    x) in ``unit`` (nm, um or mm) overrides its spacing. ``name``: used in errors for what has no path. Raises
    PlanewiseError if it is none of these, or holds no numbers.
    """
    path = Path(given) if isinstance(given, str | os.PathLike) else Path(name)
    volume = _adopted(given, path, channel)
    if spacing is not None:
        if unit not in (None, PIXEL, *NANOMETRES):
            raise PlanewiseError(f"unit={unit}: is unknown; a spacing is in {', '.join(NANOMETRES)}")
        try:
            z, y, x = (float(side) for side in spacing)
        except (TypeError, ValueError):
            raise PlanewiseError(f"spacing={spacing}: must be three positive numbers, of z, y, x") from None
        volume = replace(volume, spacing=(z, y, x), unit=unit or volume.unit)
    elif unit is not None:
        raise PlanewiseError(f"unit={unit}: goes with spacing=(z, y, x)")
    check_volume(path, volume)
    return volume


def _adopted(given: Any, path: Path, channel: int | None) -> Volume:
    if isinstance(given, str | os.PathLike | Series):
        return open_volume(given, channel)
    if has_coordinates(given):
        return _with_coordinates(given, path, channel)
    if channel:
        raise PlanewiseError(f"{path}: has 1 channel, which is 0; channel={channel} is not one of them")
    if isinstance(given, Volume):
        return given
    if getattr(getattr(given, "dtype", None), "kind", "") in ("m", "M"):  # which no buffer holds, so that NumPy raises
        raise PlanewiseError(f"{path}: holds {given.dtype}; a volume holds integers or real numbers")
    if is_layer(given):
        return volume_of_layer(given, path)
    if not all(hasattr(given, part) for part in ("shape", "dtype", "__getitem__")):
        raise PlanewiseError(
            f"{path}: is {type(given).__name__}; a volume is a path, an array (z, y, x), an xarray.DataArray, a layer "
            "of napari, or a planewise.Volume"
        )
    axes = {2: "yx", 3: "zyx"}.get(len(given.shape))
    if axes is None:
        raise PlanewiseError(f"{path}: has shape {tuple(given.shape)}; give one volume (z, y, x) or one slice (y, x)")
    return Volume(as_zyx(path, plain(given), axes, None), has_origin=False, has_direction=False)


def has_coordinates(given: Any) -> bool:
    """Whether an object is an array of xarray."""
    return all(hasattr(given, part) for part in ("dims", "coords", "data"))


def _with_coordinates(given: Any, path: Path, channel: int | None) -> Volume:
    """Return an xarray array as a volume: spacing and origin come from its coordinates, the unit from their
    attribute."""
    names = [str(name).lower() for name in given.dims]
    axes = "".join({"channel": "c", "time": "t"}.get(name, name[:1] if len(name) == 1 else "?") for name in names)
    voxels = as_zyx(path, plain(given.data), axes, channel)
    spacing, origin, units = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], ["", "", ""]
    there = [name for name in given.dims if str(name).lower() in "zyx" and name in given.coords]
    for name in there:
        axis, places = "zyx".index(str(name).lower()), np.asarray(given.coords[name].values, float)
        steps = np.diff(places)
        if len(steps) and not (steps[0] > 0 and np.allclose(steps, steps[0], rtol=UNEVEN, atol=0)):
            raise PlanewiseError(f"{path}: its coordinates along {name} are not evenly spaced and rising; resample it")
        spacing[axis] = float(steps.mean()) if len(steps) else 1.0
        origin[axis] = float(places[0])
        units[axis] = str(given.coords[name].attrs.get("units", ""))
    if "z" not in axes:  # one slice, whose thickness nothing says
        spacing[0], units[0] = spacing[1], units[1]
    refuse_unknown(path, units)
    sizes, unit = read_spacing(path, spacing, units)
    place, _ = read_spacing(path, origin, units)
    return Volume(voxels, sizes, unit, place, has_origin=bool(there), has_direction=False)
