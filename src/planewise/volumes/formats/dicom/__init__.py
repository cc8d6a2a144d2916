"""DICOM: a folder of patients and series, read by their headers, and a series opened as a volume.

::

    headers   one file: its patient, its series, and the position of each slice
    series    a folder: its series, each with its slices
    stack     a series: its slices in order on one grid, or the reason why they form none
    pixels    the values, in HU

All through pydicom and imagecodecs: no library writes to the terminal, and the process's locale is not changed.
"""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.formats.dicom.headers import Slice
from planewise.volumes.formats.dicom.pixels import pixel_dtype, read_pixels
from planewise.volumes.formats.dicom.series import Contents, Series, list_series, listed, read_folder
from planewise.volumes.formats.dicom.stack import stack
from planewise.volumes.volume import ReadWhenIndexed, Volume

__all__ = ["Contents", "Series", "list_series", "listed", "open_dicom", "open_series", "read_folder", "without_series"]


def open_dicom(folder: Path) -> Volume:
    """Open the one DICOM series in a folder and its subfolders.

    Raises PlanewiseError with the list of series if it holds several, or with its contents if it holds none.
    """
    contents = read_folder(folder)
    if not contents.series:
        raise PlanewiseError(without_series(folder, contents))
    if len(contents.series) > 1:
        raise PlanewiseError(
            f"{folder}: holds {len(contents.series)} DICOM series: {listed(contents.series)}. Choose one with --series "
            "where the command has it, or give a folder with one"
        )
    return open_series(contents.series[0])


def open_series(series: Series) -> Volume:
    """Open a series; pixels are read at the first index. Raises PlanewiseError: see ``stack``."""
    stacked = stack(series)
    voxels = _DicomVoxels(stacked.slices)
    return Volume(voxels, stacked.spacing, "mm", stacked.origin, stacked.direction, tilt=stacked.tilt)


def without_series(folder: Path, contents: Contents) -> str:
    """Return why there is no volume in ``folder``."""
    reasons = [f"{problem.where} {problem.what}" for problem in contents.problems]
    reasons += [contents.left_out_text] if contents.left_out else []
    if not any(folder.iterdir()):
        return f"{folder}: is an empty folder"
    if not reasons:
        return f"{folder}: holds neither a DICOM series nor an image sequence, only files of other kinds"
    return f"{folder}: holds no DICOM series that is a volume, only {'; '.join(reasons)}"


class _DicomVoxels(ReadWhenIndexed):
    """Voxels of slices, read at the first index."""

    def __init__(self, slices: tuple[Slice, ...]) -> None:
        self.slices, self.dtype = slices, pixel_dtype(slices)
        self.shape = (len(slices), *slices[0].shape)
        self._read: np.ndarray | None = None

    def __getitem__(self, index: Any) -> np.ndarray:
        if self._read is None:
            self._read = read_pixels(self.slices)
        return self._read[index]
