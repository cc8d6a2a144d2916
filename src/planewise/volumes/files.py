"""Volumes on disk: opened lazily and written atomically, whatever the format. ``formats/`` holds one file for each."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.options import printable
from planewise.progress import say_once
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats import ending_of, endings, formats, stem_of
from planewise.volumes.formats.dicom import Series, open_dicom, open_series
from planewise.volumes.formats.image_sequence import images_in, open_sequence
from planewise.volumes.indexing import check_memory
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume


def volumes_in(folder: Path) -> list[Path]:
    """Return the files of ``folder`` with a volume's ending, by name; hidden files are skipped.

    Pictures of the volumes are skipped too: ``{name}.png`` beside ``{name}`` in another format.

    Raises PlanewiseError if it is not a folder.
    """
    if not folder.exists():
        raise PlanewiseError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        raise PlanewiseError(f"{folder}: is neither a folder nor a volume; volumes end in {endings()}")
    files = sorted(path for path in folder.iterdir() if ending_of(path) and not path.name.startswith("."))
    volumes = {stem_of(path) for path in files if ending_of(path) != ".png"}
    return [path for path in files if ending_of(path) != ".png" or stem_of(path) not in volumes]


def open_volume(path: str | os.PathLike[str] | Series, channel: int | None = None) -> Volume:
    """Open the volume at ``path``, or a DICOM series; voxels are read when indexed, where the format allows it.

    A folder is a DICOM series or a sequence of 2D images. ``channel``: the channel to open, counted from 0; it may
    be None if there is only one. Raises PlanewiseError, naming the file, if it is missing, damaged, of an unknown
    format, not a 3D or 2D image of numbers at one time point, or has no such channel.
    """
    if isinstance(path, Series):
        _refuse_other_channels(path, channel)
        return open_series(path)
    path = Path(path)
    if not path.exists():
        raise PlanewiseError(f"{path}: no such file")
    if (shown := printable(str(path))) != str(path):  # it would end the process in a reader that is not Python's
        raise PlanewiseError(f"{shown}: its name is no UTF-8, which readers of volumes need; rename it")
    ending = ending_of(path)
    if not ending and not path.is_dir():
        raise PlanewiseError(f"{path}: unknown format; volumes end in {endings()}")
    try:
        volume = formats()[ending].open(path, channel) if ending else _open_folder(path, channel)
    except PlanewiseError:
        raise
    except Exception as error:  # a damaged file fails in its reader's own way
        raise PlanewiseError(f"{path}: cannot be read ({first_line(error)}); is the file complete?") from error
    check_volume(path, volume)
    if not volume.has_z_spacing and volume.shape[0] > 1 and volume.unit != PIXEL:
        say_once(
            f"{path}: does not state the distance of its slices: {volume.spacing[2]:.4g} {volume.unit} is taken, as "
            'along x; a {case}.json beside it, {"spacing": [z, y, x]}, says another'
        )
    return volume


def _open_folder(folder: Path, channel: int | None) -> Volume:
    if images_in(folder):
        return open_sequence(images_in(folder), channel)
    _refuse_other_channels(folder, channel)
    return open_dicom(folder)


def _refuse_other_channels(path: Path | Series, channel: int | None) -> None:
    if channel:
        raise PlanewiseError(f"{path}: a DICOM series has 1 channel, which is 0; there is no --channel {channel}")


def check_volume(path: Path | Series, volume: Volume) -> None:
    """Raise PlanewiseError if a volume, opened from ``path``, has impossible properties."""
    if volume.voxels.dtype.kind not in "uifb":
        raise PlanewiseError(f"{path}: holds {volume.voxels.dtype}; a volume holds integers or real numbers")
    if 0 in volume.shape:
        raise PlanewiseError(f"{path}: is empty, {volume.shape}")
    if not all(0 < size < np.inf for size in volume.spacing):
        listed = ", ".join(f"{size:g}" for size in volume.spacing)
        raise PlanewiseError(f"{path}: its spacing (z, y, x) is {listed}; it must be three positive numbers")
    if not np.isfinite(volume.origin).all() or not np.isfinite(volume.direction).all():
        raise PlanewiseError(f"{path}: its origin {volume.origin} or direction {volume.direction} is not finite")


def read_voxels(volume: Volume, path: Path | Series, index: Any = ...) -> np.ndarray:
    """Read the voxels of ``volume`` at ``index``, all if none is given; ``path`` is where it was opened from.

    Raises PlanewiseError if the file is damaged or the voxels do not fit in memory.
    """
    try:
        check_memory(volume.shape, volume.voxels.dtype, index)
    except PlanewiseError as error:
        raise PlanewiseError(f"{path}: {error}") from error
    try:
        voxels = np.asarray(volume.voxels[index])
        return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    except PlanewiseError:
        raise
    except MemoryError as error:
        raise PlanewiseError(f"{path}: {volume.shape} voxels do not fit in memory") from error
    except Exception as error:
        raise PlanewiseError(f"{path}: cannot be read ({first_line(error)}); is the file complete?") from error


def write_volume(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write ``volume`` as TIFF (zlib), NIfTI, NRRD, MHA or OME-Zarr 0.5, by the ending of ``path``.

    Voxels are read piece by piece, so those of a ``LazyArray`` need not fit in memory, except in ITK's formats. The
    file appears whole or not at all. Raises PlanewiseError if the ending is unknown or writing fails.
    """
    path = Path(path)
    ending = ending_of(path)
    write = formats()[ending].write if ending and formats()[ending].writes(ending) else None
    if write is None:
        raise PlanewiseError(f"{path}: is in no format that can be written; those end in {endings(written=True)}")
    with atomic_path(path) as temporary:
        write(temporary, volume)
