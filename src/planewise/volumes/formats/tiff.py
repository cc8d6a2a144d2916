"""TIFF: spacing from a sidecar (nnU-Net's convention), else from OME or ImageJ metadata, both of which are written."""

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.progress import say_once
from planewise.volumes.axes import as_zyx, order_of
from planewise.volumes.formats import Format, stem_of
from planewise.volumes.formats.mapped import MappedVoxels
from planewise.volumes.formats.sidecar import with_sidecar
from planewise.volumes.units import PIXEL, read_spacing
from planewise.volumes.volume import SLAB_BYTES, Access, LazyArray, ReadWhenIndexed, Spacing, Volume, slabs

IMAGE_DESCRIPTION, ASCII = 270, 2  # a tag of TIFF, and the type of its value
BEGINNINGS = (b"II", b"MM", b"EP")  # of TIFFs in either order of bytes, and of one kind that only tifffile knows
OFFSET = re.compile(r"invalid page offset (\d+)")  # in tifffile's messages


class _TiffVoxels(ReadWhenIndexed):
    """Voxels of a compressed TIFF of several pages: only the pages that an index touches are decoded."""

    access: ClassVar[Access] = "pages"

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, flags: dict[str, bool]) -> None:
        self.path, self.shape, self.dtype, self.flags = path, shape, dtype, flags

    def __getitem__(self, index: Any) -> np.ndarray:
        import tifffile
        import zarr

        try:
            with tifffile.TiffFile(self.path, **self.flags) as tiff:  # closed again, so that many volumes can be open
                if index is Ellipsis:
                    return tiff.asarray(maxworkers=2)
                with tiff.aszarr(level=0) as store:
                    return zarr.open(store, mode="r")[index]
        except RuntimeError as error:  # of the decoder, or of the threads it runs in
            raise PlanewiseError(
                f"{self.path}: a page cannot be decoded ({first_line(error)}); unless memory or threads are lacking, "
                "the file is damaged: copy it again"
            ) from error


def _open_tiff(path: Path, channel: int | None) -> Volume:
    with _tiff_errors(path):
        volume = _open_tiff_series(path, channel, {})
        if volume is None:  # pages written one by one, each with its own shape: read them as a stack
            volume = _open_tiff_series(path, channel, {"is_shaped": False})
    assert volume is not None
    return with_sidecar(path, volume)


def _open_tiff_series(path: Path, channel: int | None, flags: dict[str, bool]) -> Volume | None:
    """Return the one series of a TIFF, or None if it has several alike and ``flags`` are empty.

    Raises PlanewiseError if there are several; reduced copies of the first do not count.
    """
    import tifffile

    with tifffile.TiffFile(path, **flags) as tiff:
        full_size = [series for series in tiff.series if not series.keyframe.is_reduced] or tiff.series[:1]
        series = full_size[0]
        kinds = list(dict.fromkeys(f"{' x '.join(map(str, s.shape))} {s.dtype}" for s in full_size))
        if len(full_size) > 1 and len(kinds) == 1 and series.kind == "shaped" and not flags:
            return None
        if len(full_size) > 1:
            raise PlanewiseError(
                f"{path}: holds {len(full_size)} images ({', '.join(kinds[:5])}), not one; the pages of a volume are "
                "of one size and type: save each image as a separate file"
            )
        axes, shape, dtype = _letters(path, series.axes, series.shape), series.shape, np.dtype(series.dtype)
        stored = order_of(series.axes.lower())  # of OME, ImageJ or tifffile; pages alone have no name
        spacing, unit, has_z = _tiff_spacing(path, tiff)
        start = series.dataoffset  # None if the data is compressed or in pieces
        several_pages = len(tiff.pages) > 1
        order = tiff.byteorder
    voxels: LazyArray
    if start is not None:
        voxels = MappedVoxels(path, dtype.newbyteorder(order), start, shape)
    elif several_pages:
        voxels = _TiffVoxels(path, shape, dtype, flags)
    else:
        voxels = tifffile.imread(path)
    zyx = as_zyx(path, voxels, axes, channel)
    return Volume(zyx, spacing, unit, has_origin=False, has_direction=False, has_z_spacing=has_z, stored_axes=stored)


def _letters(path: Path, axes: str, shape: tuple[int, ...]) -> str:
    """Return a series' axes as z, y, x, c (channels, or samples of colour), t, or i for what has no name.

    An unnamed axis, or time, is z if there is no other, since some programs write stacks so. Three or four slices that
    an old tifffile wrote as planes of colour are slices.
    """
    if axes == "SYX":
        return "zyx"
    letters = [{"Z": "z", "Y": "y", "X": "x", "C": "c", "S": "c", "T": "t"}.get(axis, "i") for axis in axes]
    stacked = [place for place, letter in enumerate(letters) if letter in "zti" and shape[place] != 1]
    if len(stacked) == 1:
        if letters[stacked[0]] == "t":
            say_once(f"{path}: declares its frames as time points; they are taken as the slices of a volume (z)")
        letters = ["i" if letter == "z" else letter for letter in letters]
        letters[stacked[0]] = "z"
    return "".join(letters)


@contextmanager
def _tiff_errors(path: Path) -> Iterator[None]:
    """Raise what tifffile only logs: for a truncated file it would return the remaining pages.

    Its own errors are said in plain words.
    """
    import tifffile

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    messages: list[str] = []
    logger, handler = logging.getLogger("tifffile"), Handler(logging.ERROR)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    except tifffile.TiffFileError as error:
        with path.open("rb") as file:
            begins = file.read(2)
        if begins in BEGINNINGS:
            raise
        what = "begins as no TIFF does" if begins else "is empty"
        raise PlanewiseError(f"{path}: {what}; copy the file again, or name it by its format") from error
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
    if messages:
        place = OFFSET.search(messages[0])
        ends = f"it ends at byte {path.stat().st_size:,}, and names a page at byte {int(place[1]):,}" if place else ""
        raise PlanewiseError(f"{path}: is damaged: {ends or 'its pages cannot be read'}; copy the file again")


def _tiff_spacing(path: Path, tiff: Any) -> tuple[Spacing, str, bool]:
    """Return the spacing (z, y, x) in OME or ImageJ metadata, or ones, its unit, or "pixel", and whether z is stated.

    If only z is missing, the spacing of x is used for it.
    """
    if tiff.ome_metadata:
        about = dict(re.findall(r'\b(PhysicalSize[XYZ](?:Unit)?)="([^"]*)"', tiff.ome_metadata))
        if "PhysicalSizeX" in about and "PhysicalSizeY" in about:
            axes = "ZYX" if "PhysicalSizeZ" in about else "XYX"
            units = [about.get(f"PhysicalSize{axis}Unit", "um") for axis in axes]  # which is OME's default
            spacing, unit = read_spacing(path, [about[f"PhysicalSize{axis}"] for axis in axes], units)
            return spacing, unit, axes == "ZYX"
    if tiff.imagej_metadata:
        about, tags = tiff.imagej_metadata, tiff.pages[0].tags
        if "XResolution" in tags and "YResolution" in tags:
            pixels = [tags[name].value for name in ("YResolution", "XResolution")]  # as fractions: how many in a unit
            y, x = (below / above if above else math.inf for above, below in pixels)
            units = [about.get(name) or about.get("unit", "") for name in ("zunit", "yunit", "unit")]
            spacing, unit = read_spacing(path, [about.get("spacing", x), y, x], units)
            return spacing, unit, "spacing" in about
    return (1.0, 1.0, 1.0), PIXEL, False


def _write_tiff(path: Path, volume: Volume) -> None:
    import tifffile

    voxels = volume.voxels
    _, y, x = volume.spacing
    tifffile.imwrite(
        path,
        _pages(voxels),
        shape=volume.shape,
        dtype=voxels.dtype,
        metadata=None,  # but for the descriptions
        extratags=[(IMAGE_DESCRIPTION, ASCII, None, text, True) for text in _descriptions(path, volume)],
        resolution=(1 / x, 1 / y) if _is_measured(volume) else None,
        resolutionunit="NONE",  # the descriptions say it
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 6},
        bigtiff=int(np.prod(volume.shape)) * voxels.dtype.itemsize > 2**31,
        maxworkers=2,
        buffersize=SLAB_BYTES,
    )


def _is_measured(volume: Volume) -> bool:
    return volume.unit != PIXEL or len(set(volume.spacing)) > 1


def _descriptions(path: Path, volume: Volume) -> list[bytes]:
    """Return the descriptions of a TIFF's voxels in OME's form and, if the voxel size is known, also in ImageJ's.

    If a page has two descriptions, OME's readers, such as libtiff and Bio-Formats, take the first. ImageJ takes the
    last one that begins with its name, and reads the sides of pixels from the resolution tags, in the unit named there.
    """
    from tifffile.tifffile import OmeXml, OmeXmlError, imagej_description

    depth, height, width = volume.shape
    about: dict[str, Any] = {"Name": stem_of(path)}
    if _is_measured(volume):
        for axis, size in zip("ZYX", volume.spacing):
            about[f"PhysicalSize{axis}"] = size
            about[f"PhysicalSize{axis}Unit"] = "µm" if volume.unit == "um" else volume.unit
    ome, texts = OmeXml(), []
    with suppress(OmeXmlError):  # OME has no 64-bit integers and no 16-bit floats, which TIFF has
        ome.addimage(volume.voxels.dtype, volume.shape, (depth, 1, 1, height, width, 1), axes="ZYX", **about)
        texts.append(ome.tostring(declaration=True))
    if _is_measured(volume):
        texts.append(imagej_description(volume.shape, axes="ZYX", spacing=volume.spacing[0], unit=volume.unit))
    return [text.encode() + b"\0" for text in texts]


def _pages(voxels: LazyArray) -> Iterator[np.ndarray]:
    for slab in slabs(voxels):
        piece = np.ascontiguousarray(voxels[slab])
        yield from piece
        del piece  # before the next is read


FORMAT = Format((".ome.tiff", ".ome.tif", ".tiff", ".tif"), _open_tiff, _write_tiff, ".tiff")
