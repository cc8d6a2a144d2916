"""NIfTI, NRRD and MHA, through SimpleITK."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.axes import as_zyx
from planewise.volumes.formats import Format
from planewise.volumes.formats.mapped import too_short
from planewise.volumes.formats.nifti_header import check_nifti_header, check_nifti_voxels
from planewise.volumes.volume import ReadWhenIndexed, Volume, slabs


class _ItkVoxels(ReadWhenIndexed):
    """Voxels behind SimpleITK: the header is read at once, the voxels at the first index."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._read: np.ndarray | None = None

    def __getitem__(self, index: Any) -> np.ndarray:
        import SimpleITK

        if self._read is None:
            if self.path.name.lower().endswith((".nii", ".nii.gz")):
                check_nifti_voxels(self.path)
            self._read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(self.path))).reshape(self.shape)
        return self._read[index]


def open_itk(path: Path, channel: int | None) -> Volume:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # to the terminal, from C++
    if path.name.lower().endswith((".nii", ".nii.gz")):
        needed = check_nifti_header(path)
        if path.suffix.lower() == ".nii" and (size := path.stat().st_size) < needed:
            raise PlanewiseError(too_short(path, size, needed))
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise
        raise PlanewiseError(
            f"{path}: its axes are not perpendicular, as dcm2niix leaves the slices of a tilted gantry; give the "
            "folder of its DICOM files, whose tilt is corrected here, or resample it onto perpendicular axes (dcm2niix "
            "writes such a file too, with _Tilt in its name)"
        ) from error
    sides, channels = reader.GetSize()[::-1], reader.GetNumberOfComponents()
    axes = len(sides)
    letters = "zyx"[-axes:] if axes <= 3 else "i" * (axes - 4) + "czyx"  # a fourth axis is channels or time
    dtype = SimpleITK.GetArrayFromImage(SimpleITK.Image([1] * 2, reader.GetPixelID(), channels)).dtype
    shape = sides
    if channels > 1:
        letters, shape = f"{letters}c", (*sides, channels)
    voxels = as_zyx(path, _ItkVoxels(path, shape, dtype), letters, channel)
    direction = np.eye(3)
    directed = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3][::-1, ::-1]  # into z, y, x order
    direction[-len(directed) :, -len(directed) :] = directed
    z, y, x = [1.0, *reader.GetSpacing()[2::-1]][-3:]  # a 2D image has none along z
    oz, oy, ox = [0.0, *reader.GetOrigin()[2::-1]][-3:]
    return Volume(voxels, (z, y, x), "mm", (oz, oy, ox), tuple(tuple(row) for row in direction.tolist()))


def write_itk(path: Path, volume: Volume, about: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write a volume in millimetres, the unit of these formats; ``about``: more entries for the header of an NRRD."""
    import SimpleITK

    volume = volume.in_unit("mm")
    voxels = volume.voxels
    one = SimpleITK.GetImageFromArray(np.zeros((1, 1, 1), voxels.dtype))
    image = SimpleITK.Image(volume.shape[::-1], one.GetPixelID())  # which ITK writes as a whole
    for slab in slabs(voxels):
        piece = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels[slab]))
        image[:, :, slab.start : slab.stop] = piece
    for key, value in about.items():
        image.SetMetaData(key, value)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin[::-1])
    image.SetDirection(np.asarray(volume.direction)[::-1, ::-1].ravel().tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:  # ITK's error when writing fails
        raise OSError(None, first_line(error)) from error


FORMAT = Format(
    (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"),
    open_itk,
    write_itk,
    {".mhd": ".mha", ".nhdr": ".nrrd"},  # of two files, which do not appear at once
)
