"""Thins a mask to lines with the same topology, by distance from the surface, so that they are central at any spacing.

Voxels are removed in the order of this distance (Pudney 1998, doi:10.1006/cviu.1998.0680), until none is left that is
simple (Bertrand and Malandain 1994, doi:10.1016/0167-8655(94)90046-9) and not the end of a line. They are removed one
at a time. Removing many at once, as scikit-image's ``skeletonize`` does after Lee et al. 1994, loses arms that are two
voxels thick: one of 16 Y-shaped tubes with a radius of 3 voxels lost one.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np


def _neighbourhoods() -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return sets of the 3 x 3 x 3 voxels as bits: for each voxel those that touch it, for each voxel those of the 18
    nearest to the middle that share a face with it, these 18, and the 6 that share a face with the middle."""
    places = np.stack(np.unravel_index(np.arange(27), (3, 3, 3)), axis=1)
    apart = np.abs(places[:, None] - places[None])
    around = np.abs(places - 1).sum(axis=1)
    near = (around > 0) & (around <= 2)
    bits = np.int64(1) << np.arange(27)
    touching = ((apart.max(axis=2) == 1) & (around > 0)) @ bits
    facing = ((apart.sum(axis=2) == 1) & near) @ bits
    return touching, facing, int(near @ bits), int((around == 1) @ bits)


TOUCHING, FACING, NEAR, FACES = _neighbourhoods()


def thinned(mask: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the lines of ``mask`` (z, y, x) bool, empty on the array's faces; ``depth``: distance from the surface."""
    line = mask.copy()
    voxels = np.flatnonzero(line)
    voxels = voxels[np.argsort(depth.ravel()[voxels], kind="stable")]
    _thin(line, voxels)
    return line


@numba.njit(nogil=True, cache=True)
def _thin(line: np.ndarray, voxels: np.ndarray) -> None:
    _, height, width = line.shape
    flat = line.ravel()
    left = voxels.size
    changed = True
    while changed:
        changed = False
        kept = 0
        for i in range(left):
            voxel = voxels[i]
            around, count, bit = np.int64(0), 0, np.int64(1)
            for z in range(-1, 2):
                for y in range(-1, 2):
                    for x in range(-1, 2):
                        if flat[voxel + (z * height + y) * width + x] and bit != 1 << 13:
                            around |= bit
                            count += 1
                        bit <<= 1
            if count > 1 and _is_simple(around):
                flat[voxel] = False
                changed = True
            else:
                voxels[kept] = voxel
                kept += 1
        left = kept


@numba.njit(nogil=True, cache=True)
def _is_simple(around: int) -> bool:
    """Whether removing a voxel keeps the topology; ``around``: which of its neighbours are in the mask, as bits."""
    piece = _piece(around & -around, around, TOUCHING)
    if piece != around:
        return False
    gaps = ~around & NEAR
    beside = gaps & FACES
    if beside == 0:
        return False
    return beside & ~_piece(beside & -beside, gaps, FACING) == 0


@numba.njit(nogil=True, cache=True)
def _piece(start: int, within: int, neighbours: np.ndarray) -> int:
    """Return the part of ``within`` that is connected with ``start``, all as bits."""
    piece = new = start
    while new:
        grown = np.int64(0)
        i = 0
        while new:
            if new & 1:
                grown |= neighbours[i]
            new >>= 1
            i += 1
        new = grown & within & ~piece
        piece |= new
    return piece
