"""Thinning of a mask to lines that have its topology, by distance from the surface: in the middle of whatever spacing.

Voxels are taken away from the outside in, as far as each is simple (Bertrand and Malandain 1994,
doi:10.1016/0167-8655(94)90046-9) and no end of a line, until none can be (Pudney 1998, doi:10.1006/cviu.1998.0680).
One voxel goes at a time: to take away many at once, as scikit-image's ``skeletonize`` does after Lee et al. 1994, loses
arms that are two voxels thick: one of 16 Y-shaped tubes of 3 voxels radius lost one.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np


def _neighbourhoods() -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return of each of 27 voxels, as bits, those that touch it, and of the 18 nearest those that share a face; and
    which are the 18, and the 6, around the middle one."""
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
    """Return the lines of ``mask`` (z, y, x) bool, which leaves the array's faces free; ``depth``: to the surface."""
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
    """Whether a voxel can go without a change of topology; ``around``: which of its neighbours are there, as bits."""
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
    """Return what hangs together with ``start`` in ``within``, all as bits."""
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
