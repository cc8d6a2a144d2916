"""NIfTI, NRRD and MHA, through SimpleITK."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.formats import Format
from planewise.volumes.volume import Volume, count_beyond, slabs


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
    if len(size) < 3 or count_beyond(size, 3) or any(side != 1 for side in size[3:]):
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

    voxels = volume.voxels
    one = SimpleITK.GetImageFromArray(np.zeros((1, 1, 1), voxels.dtype))
    image = SimpleITK.Image(volume.shape[::-1], one.GetPixelID())  # which ITK writes as a whole
    for slab in slabs(voxels):
        piece = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels[slab]))
        image[:, :, slab.start : slab.stop] = piece
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin[::-1])
    image.SetDirection(np.asarray(volume.direction)[::-1, ::-1].ravel().tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:  # what ITK makes of a refused write
        raise OSError(None, first_line(error)) from error


FORMAT = Format((".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"), _open_itk, _write_itk)
