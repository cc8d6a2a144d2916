"""DICOM series to read, made from arrays."""

import locale
from pathlib import Path

import numpy as np


def write_dicom(folder: Path, voxels: np.ndarray) -> None:
    """Write ``voxels`` (z, y, x) as one CT series, a file for each slice, 5 x 2.5 x 2.5 mm."""
    import SimpleITK

    before = locale.setlocale(locale.LC_ALL)
    folder.mkdir(parents=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for z, slice_ in enumerate(voxels):
        image = SimpleITK.GetImageFromArray(slice_[None])
        image.SetSpacing((2.5, 2.5, 5.0))
        tags = {"0008|0060": "CT", "0020|000e": "1.2.3.4", "0020|000d": "1.2.3", "0020|0013": str(z),
                "0020|0032": f"0\\0\\{5.0 * z}", "0020|0037": "1\\0\\0\\0\\1\\0", "0008|0018": f"1.2.3.4.{z}",
                "0018|0050": "5.0"}  # fmt: skip
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{z:03d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)  # which GDCM changes when it writes
