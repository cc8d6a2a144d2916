"""Labels and their image, or prediction and truth, lie in one space; or are said to fit as their arrays lie."""

from pathlib import Path

import numpy as np

from planewise.data.case import Case
from planewise.errors import PlanewiseError
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import from_canonical, same_space, to_canonical
from planewise.volumes.labels import open_labels
from planewise.volumes.tilt import without_tilt
from planewise.volumes.volume import Volume


def laid_on(
    volume: Volume, path: Path, other: Volume, other_path: Path | Series, ignore_geometry: bool = False
) -> Volume:
    """Return ``volume`` where it lies beside ``other``: in the canonical orientation both then fit voxel by voxel.

    With ``ignore_geometry``, or where one of the two files does not say how its axes run, the arrays fit as they lie in
    the files: ``volume`` is given the place of ``other``. Labels of a tilted gantry's slices, which stand in their file
    as an upright stack, get the tilt of ``other``; an image beside such labels loses its own. No voxels are read, but
    those of labels that get a tilt.

    Raises PlanewiseError, naming the file at ``path``, if the two do not lie in one space, or, of arrays that are to
    fit as they lie, if their shapes differ.
    """
    if ignore_geometry and volume.shape != other.shape:
        raise PlanewiseError(
            f"{path}: has shape {volume.shape} as it is stored, {other_path} {other.shape}; with "
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
    stack = without_tilt(volume)
    if not any(other.tilt):
        return stack
    return other.with_voxels(from_canonical(to_canonical(stack).read(), without_tilt(other)).voxels)


def labels_on(image: Volume, case: Case, path: Path) -> np.ndarray:
    """Return the labels at ``path`` (z, y, x) as the array of the case's ``image`` lies; for errors see ``laid_on``."""
    placed = laid_on(open_labels(path), path, image, case.image, case.ignore_geometry)
    return np.asarray(from_canonical(to_canonical(placed, labels=True).read(), image).voxels)
