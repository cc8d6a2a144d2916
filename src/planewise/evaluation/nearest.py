"""Exact distances from points to the nearest of other points, by a tree of boxes.

Surfaces are thin: their points fit in memory where a distance map of the volume would not, and searching them costs
far less than filling one. Points lie along a Morton curve (Morton 1966), so that neighbours in the list are neighbours
in space; every ``FANOUT`` of them share a box, every ``FANOUT`` boxes a larger one, up to one box around all.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np

FANOUT = 8


def nearest_distances(points: np.ndarray, others: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return the distance from each of ``points`` (n, 3) to the nearest of ``others`` (m, 3), float64 (n,).

    Both hold voxel indices (z, y, x); distances are in the unit of ``spacing`` (z, y, x). Infinite if there are no
    others.
    """
    if len(points) == 0 or len(others) == 0:
        return np.full(len(points), np.inf)
    steps = np.asarray(spacing, float)
    origin = np.minimum(points.min(axis=0), others.min(axis=0))
    order, others_order = (np.argsort(_morton_codes(p, origin, steps / steps.min())) for p in (points, others))
    others = others[others_order]
    boxes, starts = _boxes(others)
    return _search(points, order, others, boxes, starts, steps)


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


def _boxes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (n, 6) of all levels, lowest first, as inclusive bounds, and where each level starts."""
    levels = []
    lower = upper = points.astype(np.int32)
    while True:
        firsts = np.arange(0, len(lower), FANOUT)
        lower, upper = np.minimum.reduceat(lower, firsts), np.maximum.reduceat(upper, firsts)
        levels.append(np.hstack([lower, upper]))
        if len(lower) == 1:
            break
    return np.concatenate(levels), np.cumsum([0, *map(len, levels)])


@numba.njit(nogil=True, cache=True)
def _search(
    points: np.ndarray, order: np.ndarray, others: np.ndarray, boxes: np.ndarray, starts: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    distances = np.empty(len(points))
    stack = np.empty((FANOUT * len(starts), 2), np.int64)  # (level, place in it) of the boxes still to open
    nearest = 0  # that of the last point, a neighbour: it bounds this one's distance from the start
    for i in order:
        z, y, x = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        best = _squared(z, y, x, others, nearest, steps)
        stack[0] = len(starts) - 2, 0
        height = 1
        while height > 0 and best > 0:
            height -= 1
            level, place = stack[height]
            if _squared_to_box(z, y, x, boxes, starts[level] + place, steps) >= best:
                continue
            first = place * FANOUT
            if level == 0:
                for j in range(first, min(first + FANOUT, len(others))):
                    squared = _squared(z, y, x, others, j, steps)
                    if squared < best:
                        best, nearest = squared, j
            else:
                for child in range(first, min(first + FANOUT, starts[level] - starts[level - 1])):
                    if _squared_to_box(z, y, x, boxes, starts[level - 1] + child, steps) < best:
                        stack[height] = level - 1, child
                        height += 1
        distances[i] = np.sqrt(best)
    return distances


@numba.njit(nogil=True, cache=True, inline="always")
def _squared(z: float, y: float, x: float, others: np.ndarray, j: int, steps: np.ndarray) -> float:
    a, b, c = (z - others[j, 0]) * steps[0], (y - others[j, 1]) * steps[1], (x - others[j, 2]) * steps[2]
    return a * a + b * b + c * c


@numba.njit(nogil=True, cache=True, inline="always")
def _squared_to_box(z: float, y: float, x: float, boxes: np.ndarray, b: int, steps: np.ndarray) -> float:
    """Return the squared distance from a point to a box; 0 inside."""
    dz = max(boxes[b, 0] - z, z - boxes[b, 3], 0.0) * steps[0]
    dy = max(boxes[b, 1] - y, y - boxes[b, 4], 0.0) * steps[1]
    dx = max(boxes[b, 2] - x, x - boxes[b, 5], 0.0) * steps[2]
    return dz * dz + dy * dy + dx * dx
