"""A DICOM series: a folder of slices."""

import locale
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.volume import Volume


def open_dicom(folder: Path) -> Volume:
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
        raise PlanewiseError(f"{folder}: its DICOM series cannot be read ({first_line(error)})") from error
    finally:
        locale.setlocale(locale.LC_ALL, before)  # which GDCM changes, and with it the encoding of every text file
    x, y, z = image.GetSpacing()
    ox, oy, oz = image.GetOrigin()
    direction = np.reshape(image.GetDirection(), (3, 3))[::-1, ::-1]
    rows = tuple(tuple(float(value) for value in row) for row in direction)
    return Volume(SimpleITK.GetArrayFromImage(image), (z, y, x), "mm", (oz, oy, ox), rows)
