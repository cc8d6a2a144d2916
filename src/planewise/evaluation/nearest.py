"""Exact distances from points to the nearest of other points.

Surfaces are thin: their points fit in memory where a distance map of the volume would not, and searching them costs far
less than computing one. Near points, as on most of a good prediction's surface, are found in the surrounding voxels,
nearest first. Other points are found in a tree: they are sorted along a Morton curve (Morton 1966), so that neighbours
in the list are neighbours in space; ``FANOUT`` points share a box, and ``FANOUT`` boxes a larger box.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from functools import lru_cache

import numba
import numpy as np

FANOUT = 8  # as many are tested at a time as a vector register holds
NOWHERE = 2**20  # farther off than any volume is wide
REACH = 5  # voxels around a point that are looked at
MOST_CELLS = 2**28  # of the box around the others in which voxels are looked up; beyond it there is the tree alone


def nearest_distances(points: np.ndarray, others: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return the distance from each of ``points`` (n, 3) to the nearest of ``others`` (m, 3), float64 (n,).

    Both hold voxel indices (z, y, x), uint16; distances are in the unit of ``spacing`` (z, y, x). Infinite if there are
    no others.
    """
    if len(points) == 0 or len(others) == 0:
        return np.full(len(points), np.inf)
    steps = np.asarray(spacing, float)
    origin = np.minimum(_bounds(points)[0], _bounds(others)[0])
    order = np.argsort(_morton_codes(points, origin, steps / steps.min()))
    distances = _distances_nearby(points, order, others, steps)
    order = order[np.isinf(distances[order])]
    if len(order) == 0:
        return distances
    others = others[np.argsort(_morton_codes(others, origin, steps / steps.min()))]
    levels = _levels(others)
    starts = np.cumsum([0, *(len(level) for level in levels[1:])])
    boxes = np.concatenate(levels[1:]) if len(levels) > 1 else np.zeros((0, 6, FANOUT), np.int32)
    _search(points, order, levels[0], boxes, starts, steps, distances)
    return distances


@numba.njit(nogil=True, cache=True)
def _morton_codes(points: np.ndarray, origin: np.ndarray, scale: np.ndarray) -> np.ndarray:
    codes = np.empty(len(points), np.uint64)
    for i in range(len(points)):
        code = np.uint64(0)
        for axis in range(3):
            bits = np.uint64((np.int64(points[i, axis]) - np.int64(origin[axis])) * scale[axis]) & np.uint64(0x1FFFFF)
            # Two zeros between each bit and the next.
            bits = (bits | (bits << np.uint64(32))) & np.uint64(0x1F00000000FFFF)
            bits = (bits | (bits << np.uint64(16))) & np.uint64(0x1F0000FF0000FF)
            bits = (bits | (bits << np.uint64(8))) & np.uint64(0x100F00F00F00F00F)
            bits = (bits | (bits << np.uint64(4))) & np.uint64(0x10C30C30C30C30C3)
            bits = (bits | (bits << np.uint64(2))) & np.uint64(0x1249249249249249)
            code |= bits << np.uint64(axis)
        codes[i] = code
    return codes


def _distances_nearby(points: np.ndarray, order: np.ndarray, others: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the distances that are at most ``REACH`` of the shortest side of a voxel; infinite where they are more."""
    lower, upper = _bounds(others)
    shape = upper - lower + 1 + 2 * REACH
    distances = np.full(len(points), np.inf)
    if np.prod(shape) > MOST_CELLS:
        return distances
    occupied = np.zeros(shape, bool)
    _mark(occupied, others, lower - REACH)
    offsets, away = _voxels_around(*steps.tolist())
    _look_around(points, order, occupied, lower - REACH, offsets, away, steps, distances)
    return distances


@numba.njit(nogil=True, cache=True)
def _bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest coordinates of points (n, 3), int64; many times faster than numpy's."""
    lower, upper = points[0].astype(np.int64), points[0].astype(np.int64)
    for i in range(len(points)):
        for axis in range(3):
            lower[axis] = min(lower[axis], points[i, axis])
            upper[axis] = max(upper[axis], points[i, axis])
    return lower, upper


@numba.njit(nogil=True, cache=True)
def _mark(occupied: np.ndarray, others: np.ndarray, origin: np.ndarray) -> None:
    for i in range(len(others)):
        occupied[others[i, 0] - origin[0], others[i, 1] - origin[1], others[i, 2] - origin[2]] = True


@lru_cache(maxsize=8)
def _voxels_around(*steps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets (n, 3) to all voxels within ``REACH`` of the shortest side, nearest first, and how far."""
    offsets = np.stack(np.meshgrid(*[np.arange(-REACH, REACH + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    away = np.linalg.norm(offsets * np.array(steps), axis=1)
    nearest_first = np.argsort(away, kind="stable")
    nearest_first = nearest_first[away[nearest_first] <= REACH * min(steps)]
    return offsets[nearest_first], away[nearest_first]


@numba.njit(nogil=True, cache=True)
def _look_around(
    points: np.ndarray,
    order: np.ndarray,
    occupied: np.ndarray,
    origin: np.ndarray,
    offsets: np.ndarray,
    away: np.ndarray,
    steps: np.ndarray,
    distances: np.ndarray,
) -> None:
    """Fill in the distances of points that have an occupied voxel at one of ``offsets``, which are nearest first."""
    depth, height, width = occupied.shape
    last, least = order[0], 0.0  # the last point, and what its distance is at least
    for i in order:
        moved = 0.0
        for axis in range(3):
            moved += ((np.float64(points[i, axis]) - np.float64(points[last, axis])) * steps[axis]) ** 2
        # A distance changes at most by what the point has moved: nearer voxels need not be looked at.
        least = max(0.0, least - np.sqrt(moved) * (1 + 1e-9))
        k = np.searchsorted(away, least * (1 - 1e-9))
        z, y, x = points[i, 0] - origin[0], points[i, 1] - origin[1], points[i, 2] - origin[2]
        least = away[-1]
        while k < len(offsets):
            a, b, c = z + offsets[k, 0], y + offsets[k, 1], x + offsets[k, 2]
            if 0 <= a < depth and 0 <= b < height and 0 <= c < width and occupied[a, b, c]:
                least = distances[i] = away[k]
                break
            k += 1
        last = i


def _levels(points: np.ndarray) -> list[np.ndarray]:
    """Return the tree, lowest level first, in groups of ``FANOUT``: points (groups, 3, FANOUT), then boxes (.., 6, ..).

    A box is its inclusive bounds, (z, y, x) from and to. A level's member i bounds group i of the level below; the last
    level is one group. Groups are filled up with what is nowhere.
    """
    lower = upper = points.astype(np.int32)
    levels = [_grouped(lower)]
    while len(lower) > FANOUT:
        firsts = np.arange(0, len(lower), FANOUT)
        lower, upper = np.minimum.reduceat(lower, firsts), np.maximum.reduceat(upper, firsts)
        levels.append(_grouped(np.hstack([lower, upper])))
    return levels


def _grouped(members: np.ndarray) -> np.ndarray:
    filled = np.full((-(-len(members) // FANOUT) * FANOUT, members.shape[1]), NOWHERE, np.int32)
    filled[: len(members)] = members
    return np.ascontiguousarray(filled.reshape(-1, FANOUT, members.shape[1]).swapaxes(1, 2))


@numba.njit(nogil=True, cache=True)
def _search(
    points: np.ndarray,
    order: np.ndarray,
    others: np.ndarray,
    boxes: np.ndarray,
    starts: np.ndarray,
    steps: np.ndarray,
    distances: np.ndarray,
) -> None:
    """Fill in the distances of the points in ``order``."""
    stack = np.empty((FANOUT * len(starts), 2), np.int64)  # (level, group in it) of the groups still to open
    bounds = np.empty(FANOUT * len(starts))  # and how near what is in them can be
    squared = np.empty(FANOUT)
    sz, sy, sx = steps[0] * steps[0], steps[1] * steps[1], steps[2] * steps[2]
    group, member = 0, 0  # of the last point's nearest: it is a neighbour, so this bounds its distance from the start
    for i in order:
        z, y, x = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        a, b, c = others[group, 0, member] - z, others[group, 1, member] - y, others[group, 2, member] - x
        best = sz * (a * a) + sy * (b * b) + sx * (c * c)
        stack[0] = len(starts) - 1, 0
        bounds[0] = 0.0
        height = 1
        while height > 0:
            height -= 1
            if bounds[height] >= best:
                continue
            level, here = stack[height]
            if level == 0:
                for k in range(FANOUT):
                    dz, dy, dx = others[here, 0, k] - z, others[here, 1, k] - y, others[here, 2, k] - x
                    squared[k] = sz * dz * dz + sy * dy * dy + sx * dx * dx
                for k in range(FANOUT):
                    if squared[k] < best:
                        best, group, member = squared[k], here, k
                continue
            box = starts[level - 1] + here
            for k in range(FANOUT):
                dz = _outside(boxes[box, 0, k] - z, z - boxes[box, 3, k])
                dy = _outside(boxes[box, 1, k] - y, y - boxes[box, 4, k])
                dx = _outside(boxes[box, 2, k] - x, x - boxes[box, 5, k])
                squared[k] = sz * dz * dz + sy * dy * dy + sx * dx * dx
            for k in range(FANOUT):
                if squared[k] < best:
                    stack[height] = level - 1, FANOUT * here + k
                    bounds[height] = squared[k]
                    height += 1
        distances[i] = np.sqrt(best)


@numba.njit(nogil=True, cache=True, inline="always")
def _outside(before: float, after: float) -> float:
    """Return how far a coordinate lies outside an interval; written so that it is vectorised."""
    largest = before if before > after else after
    return largest if largest > 0.0 else 0.0
