"""A truth made of a few painted slices of a volume, each a 2D image whose name gives its position.

::

    paintedTr/{case}/z0012.tif    slice 12 along z, from 0: (y, x)
                     y0100.png    slice 100 along y: (z, x)
                     x0007.tif    slice 7 along x: (z, y)

Axes and indices are those of the image's array, whatever its geometry. A slice must be painted completely: 0 is
background, and each connected region of another value is an object; all other voxels are unknown. Ids are valid within
their slice only, so a mask of 0 and 255 suffices if objects do not touch.
"""

import re
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.formats import stem_of
from planewise.volumes.formats.image_sequence import SLICES, images_in
from planewise.volumes.labels import open_labels
from planewise.volumes.slices import AXIS, PLANES, as_stack

PAINTED = "paintedTr"
NAME = re.compile(r"([zyx])0*(\d+)")
AXES = {"zyx"[AXIS[plane]]: plane for plane in PLANES}

Slices = dict[tuple[str, int], Path]


def is_painted(truth: Path) -> bool:
    """Whether a case's truth is a folder of painted slices."""
    return truth.parent.name == PAINTED


def painted_slices(folder: Path, shape: tuple[int, ...]) -> Slices:
    """Return the painted slices of a volume of ``shape`` (z, y, x), sorted by axis and index.

    Raises PlanewiseError if there are none, or if one has a wrong name or shape, or the place of another.
    """
    slices: Slices = {}
    for path in images_in(folder) if folder.is_dir() else []:
        named = NAME.fullmatch(stem_of(path))
        if named is None:
            raise PlanewiseError(f"{path}: must be named by its axis and index, such as z0012{path.suffix}, from 0")
        place = named[1], int(named[2])
        if place in slices:
            raise PlanewiseError(f"{path}: shows the same slice as {slices[place].name}; keep one of the two")
        plane = AXES[place[0]]
        size = shape[AXIS[plane]]
        if place[1] >= size:
            raise PlanewiseError(f"{path}: the image has {size} slices along {place[0]}, 0 to {size - 1}")
        shape_there, wanted = open_labels(path).shape, tuple(s for axis, s in enumerate(shape) if axis != AXIS[plane])
        if shape_there != (1, *wanted):
            raise PlanewiseError(
                f"{path}: has shape {shape_there[1:]}, and a slice along {place[0]} of the image {wanted} "
                f"({', '.join(letter for letter in 'zyx' if letter != place[0])})"
            )
        slices[place] = path
    if not slices:
        raise PlanewiseError(f"{folder}: holds no painted slices, such as z0012.tif ({', '.join(SLICES)})")
    return dict(sorted(slices.items(), key=lambda item: ("zyx".index(item[0][0]), item[0][1])))


def read_painted(folder: Path, shape: tuple[int, ...], ignore: int | None, unknown: int) -> np.ndarray:
    """Return the labels (z, y, x) int32 of a volume with painted slices; the rest is ``unknown``.

    Voxels with the value ``ignore`` are unknown too, and those that crossing slices paint both as object and
    background. Crossing objects get the id of the slice that comes first in ``painted_slices``.
    """
    import cc3d

    labels = np.full(shape, unknown, np.int32)
    disputed = np.zeros(shape, bool)
    count = 0
    for (axis, index), path in painted_slices(folder, shape).items():
        values = open_labels(path).read()[0]
        plane = AXES[axis]
        slice_, dispute = as_stack(labels, plane)[index], as_stack(disputed, plane)[index]
        ids = cc3d.connected_components(values, connectivity=8).astype(np.int32)
        highest = int(ids.max(initial=0))
        new = np.where(ids > 0, ids + count, 0)
        if ignore is not None:
            new[values == ignore] = unknown
        count += highest
        painted = (slice_ != unknown) & (new != unknown)
        dispute |= painted & ((slice_ > 0) != (new > 0))
        slice_[...] = np.where(slice_ == unknown, new, slice_)
    labels[disputed] = unknown
    return labels


def painted_text(folder: Path, shape: tuple[int, ...]) -> str:
    """Return which slices are painted, as text."""
    places = list(painted_slices(folder, shape))
    return ", ".join(f"{axis} {' '.join(str(i) for a, i in places if a == axis)}" for axis in dict(places))
