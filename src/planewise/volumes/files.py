"""Volumes on disk: opened lazily and written atomically, whatever the format. ``formats/`` holds one file for each."""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats import ending_of, endings, formats
from planewise.volumes.formats.dicom import Series, open_dicom, open_series
from planewise.volumes.volume import Volume


def open_volume(path: Path | Series) -> Volume:
    """Open the volume at ``path``, or a DICOM series; voxels are read when indexed, where the format allows it.

    Raises PlanewiseError, naming the file, if it is missing, damaged, of an unknown format, or not a 3D image of
    numbers (one channel, one time point).
    """
    if isinstance(path, Series):
        return open_series(path)
    if not path.exists():
        raise PlanewiseError(f"{path}: no such file")
    ending = ending_of(path)
    if not ending and path.is_dir():
        return open_dicom(path)
    if not ending:
        raise PlanewiseError(f"{path}: unknown format; volumes end in {endings()}")
    try:
        volume = formats()[ending].open(path)
        if volume.voxels.dtype.kind not in "uifb":
            raise PlanewiseError(f"{path}: holds {volume.voxels.dtype}; a volume holds integers or real numbers")
    except PlanewiseError:
        raise
    except Exception as error:  # a damaged file fails in its reader's own way
        raise PlanewiseError(f"{path}: cannot be read ({first_line(error)}); is the file complete?") from error
    return volume


def read_voxels(volume: Volume, path: Path | Series, index: Any = ...) -> np.ndarray:
    """Read the voxels of ``volume`` at ``index``, all if none is given; ``path`` is where it was opened from.

    Raises PlanewiseError if the file is damaged or the voxels do not fit in memory.
    """
    try:
        return np.asarray(volume.voxels[index])
    except PlanewiseError:
        raise
    except MemoryError as error:
        raise PlanewiseError(f"{path}: {volume.shape} voxels do not fit in memory") from error
    except Exception as error:
        raise PlanewiseError(f"{path}: cannot be read ({first_line(error)}); is the file complete?") from error


def write_volume(path: Path, volume: Volume) -> None:
    """Write ``volume`` as TIFF (zlib), NIfTI, NRRD, MHA or OME-Zarr 0.5, by the ending of ``path``.

    The file appears whole or not at all. Raises PlanewiseError if the ending is unknown or the disk refuses.
    """
    write = formats()[ending].write if (ending := ending_of(path)) else None
    if write is None:
        raise PlanewiseError(f"{path}: is of no format that is written; those end in {endings(written=True)}")
    with atomic_path(path) as temporary:
        write(temporary, volume)
