"""Volumes on disk: voxels with their spacing, unit and orientation, opened lazily and written atomically.

Arrays are (z, y, x) whatever the format; so are spacing and origin. TIFF: spacing from a sidecar (``{case}.json``,
nnU-Net's convention), else from OME or ImageJ metadata. NIfTI, NRRD, MHA: through SimpleITK. OME-Zarr: 0.4 and 0.5.
HDF5 and N5: read only.
"""

import gzip
import json
import locale
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from planewise.containers import open_hdf5, open_n5
from planewise.errors import PlanewiseError
from planewise.ome_zarr import add_pyramid, blocks, create

TIFF_ENDINGS = (".tiff", ".tif")
ITK_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
ZARR_ENDINGS = (".ome.zarr", ".zarr")
CONTAINER_ENDINGS = (".h5", ".hdf5", ".n5")  # read, not written
ENDINGS = (".ome.tiff", ".ome.tif", *TIFF_ENDINGS, *ITK_ENDINGS, *ZARR_ENDINGS, *CONTAINER_ENDINGS)

UNITS = {  # what files call a unit -> what we call it
    "nm": "nm", "nanometer": "nm", "nanometre": "nm",
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um",
    "micrometre": "um",
    "mm": "mm", "millimeter": "mm", "millimetre": "mm",
}  # fmt: skip


class LazyArray(Protocol):
    """What voxels must offer: an array, or something on disk that is read when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class Volume:
    """Voxels (z, y, x) with their geometry.

    ``spacing`` (z, y, x) in ``unit`` ("nm", "um", "mm", or "pixel" where the file does not say); ``origin`` (z, y, x)
    of the first voxel's centre; ``direction`` (3, 3): column i is the direction of array axis i in patient space
    (z, y, x order, towards superior, posterior, left).
    """

    voxels: LazyArray
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = "pixel"
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.voxels.shape
        return depth, height, width

    def read(self) -> np.ndarray:
        """Return all voxels in memory."""
        return np.asarray(self.voxels[...])

    def with_voxels(self, voxels: LazyArray) -> "Volume":
        """Return other voxels of the same shape in this volume's place."""
        if tuple(voxels.shape) != tuple(self.voxels.shape):
            raise ValueError(f"voxels of shape {tuple(voxels.shape)} cannot stand for {tuple(self.voxels.shape)}")
        return replace(self, voxels=voxels)


def ending_of(path: Path) -> str:
    """Return the volume ending of ``path``, or an empty string if it has none that is read here."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def stem_of(path: Path) -> str:
    """Return the file's name without its volume ending."""
    return path.name[: len(path.name) - len(ending_of(path))]


def open_volume(path: Path) -> Volume:
    """Open the volume at ``path``; voxels are read when they are indexed, where the format allows it.

    Raises PlanewiseError, naming the file, if it is missing, damaged, of an unknown format, or not a 3D image of
    numbers (one channel, one time point).
    """
    if not path.exists():
        raise PlanewiseError(f"{path}: no such file")
    ending = ending_of(path)
    if not ending and path.is_dir():
        return _open_dicom(path)
    if not ending:
        raise PlanewiseError(f"{path}: unknown format; volumes end in {', '.join(ENDINGS)}")
    readers: dict[tuple[str, ...], Callable[[Path], Volume]] = {
        ZARR_ENDINGS: _open_zarr,
        ITK_ENDINGS: _open_itk,
        CONTAINER_ENDINGS: _open_container,
    }
    open_ = next((reader for endings, reader in readers.items() if ending in endings), _open_tiff)
    try:
        volume = open_(path)
        if volume.voxels.dtype.kind not in "uifb":
            raise PlanewiseError(f"{path}: holds {volume.voxels.dtype}; a volume holds integers or real numbers")
    except PlanewiseError:
        raise
    except Exception as error:  # a damaged file fails in its reader's own way
        raise PlanewiseError(f"{path}: cannot be read ({_first_line(error)}); is the file complete?") from error
    return volume


def read_voxels(volume: Volume, path: Path, index: Any = ...) -> np.ndarray:
    """Read the voxels of ``volume`` at ``index``, all if none is given; ``path`` is where it was opened from.

    Raises PlanewiseError if the file is damaged or the voxels do not fit in memory.
    """
    try:
        return np.asarray(volume.voxels[index])
    except MemoryError as error:
        raise PlanewiseError(f"{path}: {volume.shape} voxels do not fit in memory") from error
    except Exception as error:
        raise PlanewiseError(f"{path}: cannot be read ({_first_line(error)}); is the file complete?") from error


def write_volume(path: Path, volume: Volume) -> None:
    """Write ``volume`` as TIFF (zlib), NIfTI, NRRD, MHA or OME-Zarr 0.5, by the ending of ``path``.

    The file appears whole or not at all. Raises PlanewiseError if the ending is unknown or the disk refuses.
    """
    ending = ending_of(path)
    if not ending or ending in CONTAINER_ENDINGS:
        written = [known for known in ENDINGS if known not in CONTAINER_ENDINGS]
        raise PlanewiseError(f"{path}: is of no format that is written; those end in {', '.join(written)}")
    write = _write_zarr if ending in ZARR_ENDINGS else _write_itk if ending in ITK_ENDINGS else _write_tiff
    with atomic_path(path) as temporary:
        write(temporary, volume)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it replaces ``path``, else it is removed.

    Folders are made as needed. Raises PlanewiseError, naming ``path``, when the disk is full or forbids writing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    except OSError as error:
        raise PlanewiseError(f"{path}: cannot be written ({error.strerror})") from error
    temporary = holder / path.name
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise PlanewiseError(f"{path}: cannot be written ({reason}); nothing was left there") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


# ---- TIFF


@dataclass(frozen=True)
class _MappedVoxels:
    """Voxels that lie in a file as they are. Mapped only while they are read, so that what was read can be let go."""

    path: Path
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]

    def __getitem__(self, index: Any) -> np.ndarray:
        found = np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[index])
        return found.astype(found.dtype.newbyteorder("="), copy=False)


class _TiffVoxels:
    """Voxels of a compressed TIFF of several pages: only the pages that an index touches are decoded."""

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
        if _count_beyond(shape, 3) or len(shape) < 2:
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
    return Volume(_as_three_axes(voxels), spacing, unit)


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


def _count_beyond(shape: tuple[int, ...], count: int) -> bool:
    """Whether more than ``count`` axes are longer than 1."""
    return sum(side > 1 for side in shape) > count


@dataclass(frozen=True)
class _LastThreeAxes:
    """An array whose axes before the last three are of length 1, without them; read when it is indexed."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape[-3:])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.array.dtype)

    def __getitem__(self, index: Any) -> Any:
        before = (0,) * (len(self.array.shape) - 3)
        return self.array[(*before, *(index if isinstance(index, tuple) else (index,)))]


def _as_three_axes(voxels: LazyArray) -> LazyArray:
    """Bring an array with axes of length 1 beyond the three, or with only two axes, to (z, y, x)."""
    if len(voxels.shape) == 3:
        return voxels
    if all(side == 1 for side in voxels.shape[:-3]) and len(voxels.shape) > 3:
        return _LastThreeAxes(voxels)
    whole = np.asarray(voxels[...])
    if whole.ndim == 2:
        return whole[None]
    while whole.ndim > 3:
        whole = whole.squeeze(next(axis for axis, side in enumerate(whole.shape) if side == 1))
    return whole


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
        raise PlanewiseError(f"{path}: is not a JSON file ({_first_line(error)})") from error
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

    voxels = np.asarray(volume.voxels)
    metadata: dict[str, Any] = {"axes": "ZYX"}
    if volume.unit != "pixel":
        for axis, size in zip("ZYX", volume.spacing):
            metadata[f"PhysicalSize{axis}"] = size
            metadata[f"PhysicalSize{axis}Unit"] = "µm" if volume.unit == "um" else volume.unit
    tifffile.imwrite(
        path,
        voxels,
        ome=True,
        metadata=metadata,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 6},
        bigtiff=voxels.nbytes > 2**31,
        maxworkers=2,
    )


# ---- NIfTI, NRRD, MHA


class _ItkVoxels:
    """Voxels behind SimpleITK: the header is read at once, the voxels at the first index."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._read: np.ndarray | None = None

    def __getitem__(self, index: Any) -> np.ndarray:
        import SimpleITK

        if self._read is None:
            if self.path.name.lower().endswith(".nii.gz"):
                _check_gzip(self.path)
            self._read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(self.path))).reshape(self.shape)
        return self._read[index]


def _check_gzip(path: Path) -> None:
    """Raise if a compressed file is cut short: ITK would return zeros for what is missing."""
    with gzip.open(path) as file:
        while file.read(1 << 24):
            pass


def _open_itk(path: Path) -> Volume:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size = reader.GetSize()
    if reader.GetNumberOfComponents() != 1:
        raise PlanewiseError(f"{path}: has {reader.GetNumberOfComponents()} channels; a volume has one")
    if len(size) < 3 or _count_beyond(size, 3) or any(side != 1 for side in size[3:]):
        raise PlanewiseError(f"{path}: has shape {size[::-1]}; a volume has axes z, y, x")
    dtype = SimpleITK.GetArrayFromImage(SimpleITK.Image([1, 1], reader.GetPixelID())).dtype
    if path.suffix.lower() == ".nii" and path.stat().st_size < (needed := int(np.prod(size)) * dtype.itemsize + 352):
        raise PlanewiseError(f"{path}: is truncated ({path.stat().st_size} bytes, at least {needed} expected)")
    axes = len(size)
    direction = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3][::-1, ::-1]
    x, y, z = reader.GetSpacing()[:3]
    ox, oy, oz = reader.GetOrigin()[:3]
    return Volume(
        _ItkVoxels(path, tuple(size[:3][::-1]), dtype),
        (z, y, x),
        "mm",
        (oz, oy, ox),
        tuple(tuple(float(value) for value in row) for row in direction),
    )


def _write_itk(path: Path, volume: Volume) -> None:
    import SimpleITK

    voxels = np.ascontiguousarray(volume.voxels)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin[::-1])
    image.SetDirection(np.asarray(volume.direction)[::-1, ::-1].ravel().tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:  # what ITK makes of a refused write
        raise OSError(None, _first_line(error)) from error


def _open_dicom(folder: Path) -> Volume:
    """Open the one DICOM series in a folder."""
    import SimpleITK

    before = locale.setlocale(locale.LC_ALL)
    try:
        series = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        if len(series) != 1:
            raise PlanewiseError(
                f"{folder}: holds {len(series)} DICOM series; give a folder with one, or a volume file"
            )
        image = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0]))
    except RuntimeError as error:
        raise PlanewiseError(f"{folder}: its DICOM series cannot be read ({_first_line(error)})") from error
    finally:
        locale.setlocale(locale.LC_ALL, before)  # which GDCM changes, and with it the encoding of every text file
    x, y, z = image.GetSpacing()
    ox, oy, oz = image.GetOrigin()
    direction = np.reshape(image.GetDirection(), (3, 3))[::-1, ::-1]
    rows = tuple(tuple(float(value) for value in row) for row in direction)
    return Volume(SimpleITK.GetArrayFromImage(image), (z, y, x), "mm", (oz, oy, ox), rows)


# ---- OME-Zarr


def _open_zarr(path: Path) -> Volume:
    import zarr

    group = zarr.open(path, mode="r")
    if isinstance(group, zarr.Array):
        raise PlanewiseError(f"{path}: is a bare Zarr array; an OME-Zarr image (0.4 or 0.5) says what its axes are")
    attributes = group.attrs.asdict()
    multiscales = attributes.get("ome", attributes).get("multiscales")  # 0.5 keeps it under "ome", 0.4 does not
    if not multiscales:
        raise PlanewiseError(f"{path}: has no multiscales metadata; an OME-Zarr image (0.4 or 0.5) was expected")
    image = multiscales[0]
    full = image["datasets"][0]
    array = group[full["path"]]
    axes = [axis["name"] for axis in image["axes"]]
    if _count_beyond(array.shape, 3) or not {"y", "x"} <= set(axes) <= set("tczyx"):
        raise PlanewiseError(f"{path}: has shape {array.shape} ({', '.join(axes)}); one channel, one time expected")
    scale, translation = dict.fromkeys("zyx", 1.0), dict.fromkeys("zyx", 0.0)
    for transform in [*full.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
        for axis, value in zip(axes, transform.get("scale", [])):
            if axis in scale:
                scale[axis] *= value
                translation[axis] *= value
        for axis, value in zip(axes, transform.get("translation", [])):
            if axis in translation:
                translation[axis] += value
    units = {axis["name"]: UNITS.get(str(axis.get("unit", "")).lower(), "pixel") for axis in image["axes"]}
    return Volume(
        _as_three_axes(array),
        (scale["z"], scale["y"], scale["x"]),
        units["x"],
        (translation["z"], translation["y"], translation["x"]),
    )


def _write_zarr(path: Path, volume: Volume) -> None:
    array = create(path, volume.shape, volume.voxels.dtype, volume.spacing, volume.unit, volume.origin)
    for block in blocks(volume.shape, array.shards):
        array[block] = volume.voxels[block]
    add_pyramid(path)


# ---- HDF5, N5


def _open_container(path: Path) -> Volume:
    voxels, spacing = open_n5(path) if path.name.lower().endswith(".n5") else open_hdf5(path)
    return Volume(voxels) if spacing is None else Volume(voxels, spacing, "nm")


# ---- orientation


def canonical_axes(volume: Volume) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return (order, signs): which array axis points along each of patient z, y, x, and whether it runs backwards.

    Canonical is superior, posterior, left along increasing z, y, x: ITK's own LPS. Oblique axes go to the nearest.
    """
    direction = np.asarray(volume.direction)
    order: list[int] = []
    for patient_axis in range(3):
        strength = np.abs(direction[patient_axis])
        strength[order] = -1
        order.append(int(strength.argmax()))
    signs = [1 if direction[patient_axis, axis] >= 0 else -1 for patient_axis, axis in enumerate(order)]
    return (order[0], order[1], order[2]), (signs[0], signs[1], signs[2])


def to_canonical(volume: Volume) -> Volume:
    """Return the volume with its axes permuted and flipped into the canonical orientation; no resampling.

    Of a volume that is canonical already the voxels stay where they are, on disk or in memory.
    """
    order, signs = canonical_axes(volume)
    if order == (0, 1, 2) and signs == (1, 1, 1):
        return volume
    voxels = np.transpose(volume.read(), order)[tuple(slice(None, None, sign) for sign in signs)]
    direction = np.asarray(volume.direction)
    columns = np.stack([direction[:, axis] * sign for axis, sign in zip(order, signs)], axis=1)
    origin = np.asarray(volume.origin, float)
    for axis, sign in zip(order, signs):
        if sign < 0:  # the last voxel becomes the first
            origin = origin + direction[:, axis] * volume.spacing[axis] * (volume.shape[axis] - 1)
    z, y, x = (volume.spacing[axis] for axis in order)
    oz, oy, ox = origin.tolist()
    return Volume(voxels, (z, y, x), volume.unit, (oz, oy, ox), tuple(tuple(row) for row in columns.tolist()))


def from_canonical(voxels: np.ndarray, original: Volume) -> Volume:
    """Return canonical ``voxels`` in the place and orientation of ``original``: the inverse of ``to_canonical``."""
    order, signs = canonical_axes(original)
    flipped = voxels[tuple(slice(None, None, sign) for sign in signs)]
    return original.with_voxels(np.transpose(flipped, np.argsort(order)))


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines[0].startswith("Exception thrown") else lines[0]
