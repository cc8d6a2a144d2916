"""The two lungs and their regions: left and right, thirds from apex to base, centre and periphery.

Arrays are (z, y, x) in canonical orientation: z points upwards, x to the patient's left, whatever the files' order.
"""

# mypy: disable-error-code="assignment"
# (a kernel's numbers are numba's)

from typing import NamedTuple

import numba
import numpy as np
from scipy import ndimage

from planewise.measurement.regions import LEFT, RIGHT, ZoneRule
from planewise.volumes.parts import connected_parts
from planewise.volumes.volume import Spacing

LARGE_PART = 0.05  # of the lungs; smaller parts are assigned to the nearest lung
BOTH_LUNGS = 0.6  # of the body's width; a wider part contains both lungs
CORE_DEPTHS_MM = (0.0, 2.5, 5.0, 8.0, 12.0)
NEAR_THE_MIDDLE = 0.15  # of the body's width; a plane between the lungs is searched within it
OF_ONE_SIDE = 0.9  # share of a number's voxels that must lie on one side if the number is one lung
MOST_OF_A_PART = 0.95


class LungRegions(NamedTuple):
    """The regions of the lungs, canonical: where each voxel of ``spacing_mm`` (z, y, x) lies.

    ``sides`` (z, y, x) uint8: 1 left, 2 right, 0 outside; ``zone_of_slice`` (z,) uint8: see ``zones``; ``rim``
    (z, y, x) bool: see ``periphery``.
    """

    sides: np.ndarray
    zone_of_slice: np.ndarray
    rim: np.ndarray
    spacing_mm: Spacing

    @classmethod
    def of(
        cls, sides: np.ndarray, spacing_mm: Spacing, rule: ZoneRule = "height", periphery_mm: float | None = None
    ) -> "LungRegions":
        """Return the regions of lungs with known ``sides``; without ``periphery_mm`` they have no rim."""
        no_rim = np.broadcast_to(False, sides.shape)
        rim = no_rim if periphery_mm is None else periphery(sides, periphery_mm, spacing_mm)
        return cls(sides, zones(sides, rule), rim, spacing_mm)

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / 1000


def cut_off(lungs: np.ndarray) -> tuple[str, ...]:
    """Return the ends of a scan, "top" or "bottom", at which the lungs (z, y, x) reach the outermost slice."""
    return tuple(end for end, slice_ in (("top", lungs[-1]), ("bottom", lungs[0])) if slice_.any())


# ---- sides


def sides_by_number(mask: np.ndarray) -> np.ndarray | None:
    """Return the sides, uint8, that a mask gives by two numbers, one for each lung in either order.

    None if it does not have two numbers, or if they are not on either side of a plane between them. Their position
    decides which is left.
    """
    numbers = np.unique(mask[mask > 0])
    if len(numbers) != 2:
        return None
    along = [np.count_nonzero(mask == number, axis=(0, 1)) for number in numbers]
    columns = np.arange(mask.shape[2])
    centres = [float((columns * count).sum() / count.sum()) for count in along]
    right, left = np.argsort(centres)
    beyond = columns > sum(centres) / 2
    shares = [along[left][beyond].sum() / along[left].sum(), along[right][~beyond].sum() / along[right].sum()]
    if min(shares) < OF_ONE_SIDE or min(along[0].sum(), along[1].sum()) < LARGE_PART * (along[0] + along[1]).sum():
        return None
    return np.where(mask == numbers[left], LEFT, np.where(mask == numbers[right], RIGHT, 0)).astype(np.uint8)


def nearest_side(lungs: np.ndarray, body: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Return for each voxel the side, uint8, of the nearest lung.

    Connected lungs are split where they are thinnest: by the cores that remain after erosion, or, if no depth leaves
    one core on either side, by the sagittal plane near the middle of the ``body`` in which their cross-section is
    smallest.
    """
    columns = np.flatnonzero((body if body.any() else lungs).any(axis=(0, 1)))
    middle, width = float(columns[[0, -1]].mean()), int(np.ptp(columns[[0, -1]]))
    depth = ndimage.distance_transform_edt(lungs, spacing_mm)
    cores = np.zeros(lungs.shape, np.uint8)
    widest = np.inf
    for least in CORE_DEPTHS_MM:
        parts, count = ndimage.label(depth > least)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        sizes[0] = 0
        large = np.flatnonzero(sizes > LARGE_PART * sizes.sum())
        if len(large) == 0:
            break
        side_of = np.zeros(count + 1, np.uint8)
        for part, (_, _, x) in zip(large, ndimage.center_of_mass(parts > 0, parts, large)):
            side_of[part] = LEFT if x > middle else RIGHT
        cores = side_of[parts]
        widest = max(_width(parts == part) for part in large)
        if widest < BOTH_LUNGS * width:  # no part contains both lungs
            break
    if _width(lungs) >= BOTH_LUNGS * width and (widest >= BOTH_LUNGS * width or len(np.unique(cores[cores > 0])) < 2):
        cores = _by_plane(lungs, middle, width)
    nearest = ndimage.distance_transform_edt(cores == 0, spacing_mm, return_distances=False, return_indices=True)
    return cores[tuple(nearest)]


def _width(mask: np.ndarray) -> int:
    return int(np.ptp(np.flatnonzero(mask.any(axis=(0, 1)))[[0, -1]]))


def _by_plane(lungs: np.ndarray, middle: float, width: float) -> np.ndarray:
    """Return the sides of ``lungs`` on either side of the column near the middle with the smallest cross-section."""
    reach = NEAR_THE_MIDDLE * width
    columns = np.arange(lungs.shape[2])
    areas = np.count_nonzero(lungs, axis=(0, 1))
    near = np.flatnonzero(np.abs(columns - middle) <= max(reach, 1.0))
    smallest = near[areas[near] == areas[near].min()]
    plane = smallest[np.abs(smallest - middle).argmin()]
    return np.where(lungs, np.where(columns > plane, LEFT, RIGHT), 0).astype(np.uint8)


def whole_parts(sides: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return ``sides`` in which a part that lies nearly all on one side is assigned to that side as a whole.

    ``parts`` (z, y, x): the number of each voxel's connected part, 0 where ``sides`` become 0.
    """
    left, right = (np.bincount(parts.ravel(), weights=(sides == side).ravel()) for side in (LEFT, RIGHT))
    sizes = np.maximum(left + right, 1)
    of_part = np.where(left >= MOST_OF_A_PART * sizes, LEFT, np.where(right >= MOST_OF_A_PART * sizes, RIGHT, 0))
    return np.where(parts > 0, np.where(of_part[parts] > 0, of_part[parts], sides), 0).astype(np.uint8)


def touching(sides: np.ndarray) -> bool:
    """Whether a voxel of one lung has a voxel of the other among its 26 neighbours: then they are one part."""
    around = ndimage.binary_dilation(sides == LEFT, np.ones((3, 3, 3), bool))
    return bool((around & (sides == RIGHT)).any())


# ---- zones


def zones(sides: np.ndarray, rule: ZoneRule) -> np.ndarray:
    """Return the zone of each slice, uint8 (z,): 1 upper, 2 middle, 3 lower third of both lungs together, else 0.

    ``height``: thirds of the distance from the lowest slice that shows a lung to the highest. ``volume``: thirds of the
    volume of both lungs. A slice belongs to the third in which its middle lies.
    """
    weights = np.count_nonzero(sides, axis=(1, 2))
    shown = np.flatnonzero(weights)
    if len(shown) == 0:
        return np.zeros(len(sides), np.uint8)
    if rule == "height":
        weights = np.zeros(len(sides), int)
        weights[shown[0] : shown[-1] + 1] = 1
    twice_below = 2 * np.cumsum(weights) - weights  # integers, so that rounding cannot move a slice
    third = np.minimum(3 * twice_below // (2 * weights.sum()), 2)
    return np.where(weights > 0, 3 - third, 0).astype(np.uint8)


# ---- centre and periphery


def periphery(sides: np.ndarray, depth_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """Return where the lungs are peripheral, bool: voxels with their centre within ``depth_mm`` of the surface.

    The surface of a lung consists of its voxel faces towards anything outside it: chest wall, mediastinum, or the other
    lung. Holes that the lung encloses and the end of the scan do not count. Distances are exact, in mm, for any
    ``spacing_mm`` (z, y, x).
    """
    rim = np.zeros(sides.shape, bool)
    for side, box in zip((LEFT, RIGHT), ndimage.find_objects(sides, max_label=2)):
        if box is None:
            continue
        wider = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)  # includes the lung's neighbours
        inside = sides[wider] == side
        around = connected_parts(~inside, 6)
        faces = [around[index] for axis in range(3) for index in (_plane(axis, 0), _plane(axis, -1))]
        reached = np.zeros(int(around.max()) + 1, bool)
        for face in faces:
            reached[face] = True
        reached[0] = False  # label 0 is the lung itself
        squared = np.where(reached[around], np.float32(0), np.float32(np.inf))
        for axis, step in enumerate(spacing_mm):
            squared = np.ascontiguousarray(np.moveaxis(squared, axis, 2))
            _sweep(squared, step, depth_mm)
            squared = np.moveaxis(squared, 2, axis)
        rim[wider] |= inside & (squared <= np.float32(depth_mm) ** 2)
    return rim


def _plane(axis: int, place: int) -> tuple[slice | int, ...]:
    return (*(slice(None),) * axis, place)


@numba.njit(nogil=True, cache=True)
def _sweep(squared: np.ndarray, step: float, reach: float) -> None:
    """Lower each value along the last axis to the minimum of others plus the square of the distance to their faces.

    Done for one axis after the other, from 0 outside and infinity inside, it gives the squared distance from each
    voxel's centre to the nearest face of a voxel outside, up to ``reach``.
    """
    length = squared.shape[2]
    line = np.empty(length, np.float32)
    for i in range(squared.shape[0]):
        for j in range(squared.shape[1]):
            line[:] = squared[i, j]
            for k in range(length):
                best = line[k]
                for away in range(1, length):
                    distance = (away - 0.5) * step
                    added = np.float32(distance * distance)
                    if distance > reach or added >= best:
                        break
                    if k >= away:
                        best = min(best, line[k - away] + added)
                    if k + away < length:
                        best = min(best, line[k + away] + added)
                squared[i, j, k] = best
