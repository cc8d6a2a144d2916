"""Labels and their image, or prediction and truth, lie in one space; or are said to fit as their arrays lie."""

from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.volumes.geometry import same_space
from planewise.volumes.volume import Volume


def laid_on(volume: Volume, path: Path, other: Volume, other_path: Path, ignore_geometry: bool = False) -> Volume:
    """Return ``volume`` where it lies beside ``other``: in the canonical orientation both then fit voxel by voxel.

    With ``ignore_geometry``, or where one of the two files does not say how its axes run, the arrays fit as they lie in
    the files: ``volume`` is given the place of ``other``. No voxels are read.

    Raises PlanewiseError, naming the file at ``path``, if the two do not lie in one space, or, of arrays that are to
    fit as they lie, if their shapes differ.
    """
    if ignore_geometry and volume.shape != other.shape:
        raise PlanewiseError(
            f"{path}: has shape {volume.shape} as it is stored, {other_path.name} {other.shape}; with "
            "--ignore_geometry they must agree"
        )
    different = "" if ignore_geometry else same_space(volume, other)
    if different:
        remedy = ""
        if volume.shape == other.shape:
            remedy = "; --ignore_geometry takes them voxel by voxel as the arrays lie, if you know that they fit"
        raise PlanewiseError(
            f"{path}: does not lie in the space of {other_path} ({different}); they must agree{remedy}"
        )
    if ignore_geometry or not (volume.has_direction and other.has_direction):
        return other.with_voxels(volume.voxels)
    return volume
