"""TIFF: spacing from a sidecar (``{case}.json``, nnU-Net's convention), else from OME or ImageJ metadata."""

import json
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.formats import Format, stem_of
from planewise.volumes.volume import SLAB_BYTES, UNITS, Access, LazyArray, Volume, as_three_axes, count_beyond, slabs


@dataclass(frozen=True)
class _MappedVoxels:
    """Voxels that lie in a file as they are. Mapped only while they are read, so that what was read can be let go."""

    path: Path
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    access: ClassVar[Access] = "rows"

    def __getitem__(self, index: Any) -> np.ndarray:
        if index is Ellipsis:  # not mapped, which would count twice
            found = np.fromfile(self.path, self.dtype, math.prod(self.shape), offset=self.offset).reshape(self.shape)
        else:
            found = np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[index])
        return found if found.dtype.isnative else found.byteswap(inplace=True).view(found.dtype.newbyteorder("="))


class _TiffVoxels:
    """Voxels of a compressed TIFF of several pages: only the pages that an index touches are decoded."""

    access: ClassVar[Access] = "pages"

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, flags: dict[str, bool]) -> None:
        self.path, self.shape, self.dtype, self.flags = path, shape, dtype, flags

    def __getitem__(self, index: Any) -> np.ndarray:
        import tifffile
        import zarr

        with tifffile.TiffFile(self.path, **self.flags) as tiff:  # closed again, so that many volumes can be open
            if index is Ellipsis:
                return tiff.asarray(maxworkers=2)
            with tiff.aszarr() as store:
                return zarr.open(store, mode="r")[index]


def _open_tiff(path: Path) -> Volume:
    with _tiff_errors(path):
        volume = _open_tiff_series(path, {})
        if volume is None:  # pages that were written one by one, each with a shape of its own: read them as a stack
            volume = _open_tiff_series(path, {"is_shaped": False})
    assert volume is not None
    spacing = _sidecar_spacing(path)
    return volume if spacing is None else replace(volume, spacing=spacing, unit=_dataset_unit(path))


def _open_tiff_series(path: Path, flags: dict[str, bool]) -> Volume | None:
    """Return the first series of a TIFF, or None if it is one of several like it and ``flags`` are empty."""
    import tifffile

    with tifffile.TiffFile(path, **flags) as tiff:
        series = tiff.series[0]
        axes, shape, dtype = series.axes, series.shape, np.dtype(series.dtype)
        if not flags and len(tiff.series) > 1 and all(s.shape == shape and s.dtype == dtype for s in tiff.series):
            return None
        if "S" in axes and shape[axes.index("S")] > 1:
            raise PlanewiseError(f"{path}: is a colour image {shape} ({axes}); a volume has one channel")
        if count_beyond(shape, 3) or len(shape) < 2:
            raise PlanewiseError(f"{path}: has shape {shape} ({axes}); a volume has axes z, y, x")
        spacing, unit = _tiff_spacing(tiff)
        start = series.dataoffset  # None if the data is compressed or in pieces
        several_pages = len(tiff.pages) > 1
    voxels: LazyArray
    if start is not None:
        needed = int(np.prod(shape)) * dtype.itemsize + start
        if path.stat().st_size < needed:  # mapped, it would kill the process at the first touch
            raise PlanewiseError(f"{path}: is truncated ({path.stat().st_size} bytes, {needed} expected)")
        voxels = _MappedVoxels(path, dtype.newbyteorder(tiff.byteorder), start, shape)
    elif several_pages:
        voxels = _TiffVoxels(path, shape, dtype, flags)
    else:
        voxels = tifffile.imread(path)
    return Volume(as_three_axes(voxels), spacing, unit)


@contextmanager
def _tiff_errors(path: Path) -> Iterator[None]:
    """Raise what tifffile only logs: of a truncated file it would return the pages that are left."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    messages: list[str] = []
    logger, handler = logging.getLogger("tifffile"), Handler(logging.ERROR)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
    if messages:
        raise PlanewiseError(f"{path}: is damaged ({messages[0]}); is the file complete?")


def _tiff_spacing(tiff: Any) -> tuple[tuple[float, float, float], str]:
    """Return the spacing in OME or ImageJ metadata, or ones and "pixel"."""
    if tiff.ome_metadata:
        found = dict(re.findall(r'\b(PhysicalSize[XYZ](?:Unit)?)="([^"]*)"', tiff.ome_metadata))
        if "PhysicalSizeX" in found and "PhysicalSizeY" in found:
            x = float(found["PhysicalSizeX"])
            unit = UNITS.get(found.get("PhysicalSizeXUnit", "um").lower(), "pixel")
            return (float(found.get("PhysicalSizeZ", x)), float(found["PhysicalSizeY"]), x), unit
    if tiff.imagej_metadata:
        tags = tiff.pages[0].tags
        unit = UNITS.get(str(tiff.imagej_metadata.get("unit", "")).lower(), "pixel")
        if "XResolution" in tags and "YResolution" in tags:
            x, y = (tags[name].value[1] / max(tags[name].value[0], 1) for name in ("XResolution", "YResolution"))
            if x > 0 and y > 0:
                return (float(tiff.imagej_metadata.get("spacing", x)), float(y), float(x)), unit
    return (1.0, 1.0, 1.0), "pixel"


def _sidecar_spacing(path: Path) -> tuple[float, float, float] | None:
    """Return the spacing in nnU-Net's sidecar: ``{case}.json`` beside ``{case}_0000.tiff`` or ``{case}.tiff``."""
    stem = stem_of(path)
    for name in dict.fromkeys((re.sub(r"_\d{4}$", "", stem), stem)):
        sidecar = path.with_name(f"{name}.json")
        if sidecar.is_file():
            return read_sidecar(sidecar)
    return None


def _dataset_unit(path: Path) -> str:
    """Return the ``spacing_unit`` of the dataset.json above the volume's folder; nanometres where it says nothing."""
    try:
        meta = json.loads((path.parent.parent / "dataset.json").read_text("utf-8"))
        return UNITS.get(str(meta["spacing_unit"]).lower(), "pixel")
    except (OSError, ValueError, TypeError, KeyError):
        return "nm"


def read_sidecar(path: Path) -> tuple[float, float, float] | None:
    """Return the ``spacing`` (z, y, x) of a sidecar, or None if it has none. Raises PlanewiseError on nonsense."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PlanewiseError(f"{path}: is not a JSON file ({first_line(error)})") from error
    spacing = content.get("spacing") if isinstance(content, dict) else None
    if spacing is None:
        return None
    good = (
        isinstance(spacing, list) and len(spacing) == 3 and all(isinstance(s, int | float) and s > 0 for s in spacing)
    )
    if not good:
        raise PlanewiseError(f"{path}: spacing is {spacing!r}; it must be three positive numbers (z, y, x)")
    z, y, x = spacing
    return float(z), float(y), float(x)


def _write_tiff(path: Path, volume: Volume) -> None:
    import tifffile

    voxels = volume.voxels
    metadata: dict[str, Any] = {"axes": "ZYX"}
    if volume.unit != "pixel":
        for axis, size in zip("ZYX", volume.spacing):
            metadata[f"PhysicalSize{axis}"] = size
            metadata[f"PhysicalSize{axis}Unit"] = "µm" if volume.unit == "um" else volume.unit
    tifffile.imwrite(
        path,
        _pages(voxels),
        shape=volume.shape,
        dtype=voxels.dtype,
        ome=True,
        metadata=metadata,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 6},
        bigtiff=int(np.prod(volume.shape)) * voxels.dtype.itemsize > 2**31,
        maxworkers=2,
        buffersize=SLAB_BYTES,
    )


def _pages(voxels: LazyArray) -> Iterator[np.ndarray]:
    for slab in slabs(voxels):
        piece = np.ascontiguousarray(voxels[slab])
        yield from piece
        del piece  # before the next is read


FORMAT = Format((".ome.tiff", ".ome.tif", ".tiff", ".tif"), _open_tiff, _write_tiff, ".tiff")
