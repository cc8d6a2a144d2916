"""The geometry of volumes: canonical orientation and back, whether two lie in one space, which planes are sharp."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from planewise.volumes.slices import AXIS, PLANES, Plane
from planewise.volumes.tilt import tilted_again, upright, without_tilt
from planewise.volumes.units import PIXEL, convert
from planewise.volumes.volume import Volume

SPACING_TOLERANCE = 1e-3  # of a voxel: rounding in files
ORIGIN_TOLERANCE = 1e-2  # of a voxel
DIRECTION_TOLERANCE = 1e-3  # of a unit vector's parts


def canonical_axes(volume: Volume) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return (order, signs): which array axis points along each of patient z, y, x, and whether it runs backwards.

    Canonical is superior, posterior, left along increasing z, y, x: ITK's own LPS. Oblique axes go to the nearest.
    """
    direction = np.asarray(volume.direction)
    order: list[int] = []
    for patient_axis in range(3):
        strength = np.abs(direction[patient_axis])
        strength[order] = -1
        order.append(int(strength.argmax()))
    signs = [1 if direction[patient_axis, axis] >= 0 else -1 for patient_axis, axis in enumerate(order)]
    return (order[0], order[1], order[2]), (signs[0], signs[1], signs[2])


def to_canonical(volume: Volume, labels: bool = False) -> Volume:
    """Return the volume with its axes permuted and flipped into the canonical orientation.

    Only volumes from a tilted gantry are resampled (see ``upright``), ``labels`` to the nearest voxel. The voxels of a
    volume that is already canonical stay where they are, on disk or in memory.
    """
    volume = upright(volume, labels)
    order, signs = canonical_axes(volume)
    if order == (0, 1, 2) and signs == (1, 1, 1):
        return volume
    voxels = np.transpose(volume.read(), order)[tuple(slice(None, None, sign) for sign in signs)]
    direction = np.asarray(volume.direction)
    columns = np.stack([direction[:, axis] * sign for axis, sign in zip(order, signs)], axis=1)
    origin = np.asarray(volume.origin, float)
    for axis, sign in zip(order, signs):
        if sign < 0:  # the last voxel becomes the first
            origin = origin + direction[:, axis] * volume.spacing[axis] * (volume.shape[axis] - 1)
    z, y, x = (volume.spacing[axis] for axis in order)
    oz, oy, ox = origin.tolist()
    rows = tuple(tuple(row) for row in columns.tolist())
    return replace(volume, voxels=voxels, spacing=(z, y, x), origin=(oz, oy, ox), direction=rows)


def from_canonical(voxels: np.ndarray, original: Volume) -> Volume:
    """Return canonical ``voxels`` in the geometry of ``original``: the inverse of ``to_canonical``."""
    order, signs = canonical_axes(original)
    flipped = voxels[tuple(slice(None, None, sign) for sign in signs)]
    return original.with_voxels(tilted_again(np.transpose(flipped, np.argsort(order)), original))


def place_from_canonical(place: tuple[int, int, int], original: Volume) -> tuple[int, int, int]:
    """Return the index in the array of ``original`` of the voxel at ``place`` (z, y, x) in
    ``to_canonical(original)``."""
    order, signs = canonical_axes(original)
    within = [0, 0, 0]
    for at, axis, sign in zip(place, order, signs):
        within[axis] = at if sign > 0 else original.shape[axis] - 1 - at
    return within[0], within[1], within[2]


def same_space(a: Volume, b: Volume) -> str:
    """Return how the geometries of two volumes differ, as text; "" if they agree.

    Shape, spacing, origin and direction are compared, in the canonical orientation and in one unit, as far as both
    files state them: only the shape if one has no unit, and no spacing along an axis of one voxel. A unit that is only
    assumed gives way to one that is stated. Slices from a tilted gantry are compared as an upright stack, as their
    labels are stored.
    """
    if a.has_direction and b.has_direction:
        nothing = (volume.with_voxels(np.broadcast_to(np.uint8(0), volume.shape)) for volume in (a, b))
        a, b = (to_canonical(without_tilt(volume)) for volume in nothing)
    if a.shape != b.shape:
        return f"shape {a.shape} and {b.shape}"
    if PIXEL in (a.unit, b.unit):
        return ""
    differences = []
    a, b = with_stated_unit(a, b), with_stated_unit(b, a)
    b = b.in_unit(a.unit)
    spacings, origins = np.array([a.spacing, b.spacing]), np.array([a.origin, b.origin])
    several = np.array(a.shape) > 1
    if (np.abs(spacings[0] - spacings[1]) > SPACING_TOLERANCE * spacings.min(axis=0))[several].any():
        differences.append(f"spacing {_listed(spacings[0])} and {_listed(spacings[1])} {a.unit}")
    if a.has_origin and b.has_origin and (np.abs(origins[0] - origins[1]) > ORIGIN_TOLERANCE * spacings.min()).any():
        differences.append(f"origin {_listed(origins[0])} and {_listed(origins[1])} {a.unit}")
    if a.has_direction and b.has_direction:
        axes = [np.asarray(volume.direction) for volume in (a, b)]
        if np.abs(axes[0] - axes[1]).max() > DIRECTION_TOLERANCE:
            differences.append(" and ".join(["direction " + _listed(axes[0].ravel()), _listed(axes[1].ravel())]))
    return "; ".join(differences)


def with_stated_unit(volume: Volume, other: Volume) -> Volume:
    """Return ``volume``, if its unit is only assumed, in the one that ``other`` states, unless the assumed one fits."""
    if not volume.unit_assumed_in or other.unit_assumed_in or other.unit == PIXEL:
        return volume
    assumed = replace(volume, unit_assumed_in="")
    fits = np.allclose(assumed.spacing_in(other.unit), other.spacing, rtol=SPACING_TOLERANCE, atol=0)
    return assumed if fits else replace(assumed, unit=other.unit)


def _listed(numbers: np.ndarray) -> str:
    return "(" + ", ".join(f"{number:.6g}" for number in numbers + 0.0) + ")"  # -0.0 + 0.0 is 0.0


def sharp_planes(
    spacing: tuple[float, float, float], shape: tuple[int, int, int] | None = None, tolerance: float = 1.2
) -> tuple[Plane, ...]:
    """Return the planes with both spacings within ``tolerance`` of the smallest: for an isotropic volume, all planes.

    If there is none, the plane with the smallest pixels is returned. If an axis of ``shape`` is one voxel long, its
    spacing does not count, and planes along it are excluded.
    """
    real = [plane for plane in PLANES if shape is None or all(shape[axis] > 1 for axis in _axes_of(plane))] or PLANES
    smallest = min(spacing[axis] for plane in real for axis in _axes_of(plane))
    sharp = tuple(plane for plane in real if all(spacing[axis] <= tolerance * smallest for axis in _axes_of(plane)))
    return sharp or (min(real, key=lambda plane: np.prod([spacing[axis] for axis in _axes_of(plane)])),)


def planes_sharp_in_all(volumes: Iterable[Volume]) -> tuple[Plane, ...]:
    """Return the planes in which all ``volumes`` are sharp (see ``sharp_planes``); there may be none."""
    sharp = [sharp_planes(volume.spacing, volume.shape) for volume in volumes]
    return tuple(plane for plane in PLANES if all(plane in of_volume for of_volume in sharp))


def _axes_of(plane: Plane) -> list[int]:
    return [axis for axis in range(3) if axis != AXIS[plane]]


def voxel_um3(volume: Volume) -> float | None:
    """Return the volume of a voxel in um^3; None if the unit of the spacing is unknown."""
    if volume.unit == PIXEL:
        return None
    return math.prod(convert(side, volume.unit, "um") for side in volume.spacing)


def pixel_sides_nm(volumes: Iterable[Volume], planes: tuple[Plane, ...]) -> tuple[float, float] | None:
    """Return the smallest and the largest side, in nm, of a pixel in these planes of the volumes.

    None if the unit of a volume's spacing is unknown, or if there are no volumes.
    """
    axes = {axis for plane in planes for axis in _axes_of(plane)}
    given = [(volume.spacing[axis], volume.unit) for volume in volumes for axis in axes]
    if not given or any(unit == PIXEL for _, unit in given):
        return None
    sides = [convert(side, unit, "nm") for side, unit in given]
    return min(sides), max(sides)
