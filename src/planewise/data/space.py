"""Aligns labels with their image, or a prediction with the truth: by their geometry or, on request, voxel by voxel."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np

from planewise.data.case import Case
from planewise.data.manifest import manifest_of
from planewise.errors import PlanewiseError
from planewise.progress import WARNING, say, say_once
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import from_canonical, same_space, to_canonical, with_stated_unit
from planewise.volumes.labels import open_labels
from planewise.volumes.sub_grid import grid_of_both, laid_into
from planewise.volumes.tilt import without_tilt
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume


def laid_on(
    volume: Volume, path: Path, other: Volume, other_path: Path | Series, ignore_geometry: bool = False
) -> Volume:
    """Return ``volume`` aligned with ``other``: in canonical orientation, both then match voxel by voxel.

    With ``ignore_geometry``, or if one file does not state the direction of its axes, the stored arrays are matched
    voxel by voxel: ``volume`` gets the geometry of ``other``. Labels of slices from a tilted gantry are stored as an
    upright stack: they get the tilt of ``other``; an image beside such labels loses its tilt. Labels whose file omits
    empty slices (``sparse``) are placed into the grid of ``other``, surrounded by zeros, with a message. Voxels are
    only read for labels that get a tilt or are placed into a larger grid.

    Raises PlanewiseError, naming the file at ``path``, if the two do not lie in one space or, when matched voxel by
    voxel, if their shapes differ.
    """
    if ignore_geometry and volume.shape != other.shape:
        raise PlanewiseError(
            f"{path}: has shape {volume.shape} as it is stored, {other_path} {other.shape}; with "
            f"--ignore_geometry they must agree{_in_another_order(volume, other)}"
        )
    different = "" if ignore_geometry else same_space(volume, other)
    whole = laid_into(volume, other) if different and volume.sparse else None
    if whole is not None:
        _say_covered(volume, path, whole, f"{other_path}, on its grid")
        return whole
    if different:
        remedy = ""
        if volume.sparse or other.sparse:
            remedy = (
                ", or a DICOM segmentation that omits empty slices must lie on voxels of the other, and within "
                "it: write it with all slices of its series (highdicom: omit_empty_frames=False)"
            )
        elif volume.shape == other.shape:
            remedy = "; --ignore_geometry takes them voxel by voxel as the arrays lie, if you know that they fit"
        else:
            remedy = _in_another_order(volume, other)
        raise PlanewiseError(
            f"{path}: does not lie in the space of {other_path} ({different}); they must agree{remedy}"
        )
    _say_other_order(volume, path, other, other_path)
    if ignore_geometry or not (volume.has_direction and other.has_direction):
        return other.with_voxels(volume.voxels)
    stack = without_tilt(volume)
    if not any(other.tilt):
        return stack
    return other.with_voxels(from_canonical(to_canonical(stack).read(), without_tilt(other)).voxels)


def _in_another_order(volume: Volume, other: Volume) -> str:
    """Return the hint that permuting the axes of ``volume`` would give the shape of ``other``; "" if it would not."""
    shape = volume.shape
    orders = [order for order in permutations(range(3)) if tuple(shape[axis] for axis in order) == other.shape]
    if shape == other.shape or not orders:
        return ""
    order = max(orders)  # x, y, z before others
    runs = ", ".join("zyx"[order.index(axis)] for axis in range(3))
    return (
        f". Its axes seem to run {runs}, with which the shapes would agree; no option does that, as it is a guess: "
        f"save it with its axes z, y, x, in Python by array.transpose({', '.join(map(str, order))})"
    )


def _say_other_order(volume: Volume, path: Path, other: Volume, other_path: Path | Series) -> None:
    """Warn if the files state different orders of axes and their shapes cannot show which is wrong.

    A file that states none counts as z, y, x. Of a result of planewise, which is always written z, y, x, the file that
    counts is the image it was made from.
    """
    if (volume.stored_axes or "zyx") == (other.stored_axes or "zyx"):
        return
    stated = [_stated(each, where) for each, where in ((volume, path), (other, other_path))]
    orders = [axes or "zyx" for axes, _ in stated]
    sides = [[each.shape["zyx".index(axis)] for axis in order] for each, order in zip((volume, other), orders)]
    if orders[0] == orders[1] or sides[0] != sides[1]:
        return
    said = [
        f"{where} {'says that it stores its axes as' if axes else 'does not say so, and is read as'} {', '.join(order)}"
        for (axes, where), order in zip(stated, orders)
    ]
    say_once(
        f"{WARNING}{said[0]}; {said[1]}. Each is read so, and as sides are equal the shapes do not show whether it is "
        "right: look at both with planewise view"
    )


def _stated(volume: Volume, path: Path | Series) -> tuple[str, str]:
    """Return the order of axes that counts for a file, and which file states it, as text."""
    for image in _made_from(path) if isinstance(path, Path) else ():
        with suppress(PlanewiseError):  # the image is not there any more, or it is no volume but boxes, or a mask
            return open_volume(image, 0).stored_axes, f"{path} was made from {image}, which"
    return volume.stored_axes, str(path)


def _made_from(result: Path) -> list[Path]:
    """Return the files that a manifest says ``result`` was made from; none without a manifest that can be read."""
    manifest = None
    with suppress(PlanewiseError):
        manifest = manifest_of(result)
    records = [] if manifest is None else manifest.cases.values()
    return [Path(name) for record in records if result.name in record.outputs for name in record.inputs]


def filled_around(labels: Volume, path: Path, others: Iterable[tuple[Path, Volume]]) -> Volume:
    """Return ``labels`` whose file omits empty slices on a grid that holds the ``others`` too, surrounded by zeros.

    That is the grid of a volume that omits nothing, else the smallest grid that holds all; it is printed. Labels are
    returned unchanged if they are not ``sparse``, or if the others do not lie on their voxels; see ``laid_into``.
    """
    for other_path, other in sorted(others, key=lambda each: (each[1].sparse, -each[1].shape[0])):
        if not labels.sparse or not same_space(labels, other):
            continue
        fewer, more = sorted((labels, other), key=lambda each: each.shape[0])  # one slice says nothing of a tilt
        grid = grid_of_both(fewer, more) if other.sparse else other
        whole = None if grid is None or grid.shape == labels.shape else laid_into(labels, grid)
        if whole is not None:
            grid_of = f"a grid that holds {other_path} too" if other.sparse else f"{other_path}, on its grid"
            _say_covered(labels, path, whole, grid_of)
            labels = replace(whole, sparse=other.sparse)
    return labels


def _say_covered(labels: Volume, path: Path, whole: Volume, grid_of: str) -> None:
    say(f"{path}: covers {_by(labels)} of the {_by(whole)} voxels of {grid_of}; around them it is taken as empty")


def _by(volume: Volume) -> str:
    return " x ".join(map(str, volume.shape))


def labels_on(image: Volume, case: Case, path: Path) -> np.ndarray:
    """Return the labels at ``path`` (z, y, x) in the axes of the case's ``image``; for errors see ``laid_on``."""
    placed = laid_on(open_labels(path), path, image, case.image, case.ignore_geometry)
    return np.asarray(from_canonical(to_canonical(placed, labels=True).read(), image).voxels)


def with_spacing_of(labels: Volume, image: Path | None) -> Volume:
    """Return ``labels`` with their image's spacing if their file states none, as with TIFFs whose images have sidecars.

    ``labels`` are canonical; if their file does not state the direction of its axes, they have that of the image. If
    only the unit of their spacing is not stated, they get that of the image if their numbers fit it, in the assumed
    unit or in the image's, see ``with_stated_unit``. Unchanged if there is no image, or it cannot be read or has
    another shape.
    """
    if image is None or not (labels.unit == PIXEL or labels.unit_assumed_in):
        return labels
    try:
        return in_place_of(labels, open_volume(image))
    except PlanewiseError:
        return labels


def in_place_of(labels: Volume, image: Volume) -> Volume:
    """Return ``labels`` whose file does not state all of their spacing with what their ``image`` states; see
    ``with_spacing_of``."""
    in_place = without_tilt(image)
    in_place = to_canonical(in_place) if labels.has_direction else in_place
    if in_place.shape != labels.shape:
        return labels
    if labels.unit == PIXEL:
        return in_place.with_voxels(labels.voxels)
    return labels if same_space(labels, in_place) else with_stated_unit(labels, in_place)
