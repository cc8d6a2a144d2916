"""Varied runs of voxels along x: chosen by their hash, and counted where two volumes have the same."""

# mypy: disable-error-code="index, arg-type, assignment"
# (a kernel's integers are numba's machine integers)

import numba
import numpy as np

RUN = 32  # voxels along x that are hashed together
DISTINCT, TURNS = 8, 6  # a run with fewer values, or fewer changes between rising and falling, is padding or a gradient
BASE = np.uint64(0x9E3779B97F4A7C15)
LEAVING = np.uint64(pow(int(BASE), RUN, 2**64))  # the weight of the voxel that leaves the window


@numba.njit(nogil=True, cache=True)
def choose_runs(voxels: np.ndarray, bits: np.ndarray, thinning: int, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes and first voxels of the chosen runs of a slab (z, y, x) float32, at most ``capacity``.

    ``bits``: the voxels as uint32. A run is chosen where the top ``thinning`` bits of its mixed hash are 0.
    """
    hashes, places = np.empty(capacity, np.uint64), np.empty((capacity, 3), np.int32)
    count = 0
    shift = np.uint64(64 - thinning)
    for z in range(voxels.shape[0]):
        for y in range(voxels.shape[1]):
            row = bits[z, y]
            rolling = np.uint64(0)
            for x in range(len(row)):
                rolling = rolling * BASE + _spread(row[x])
                if x >= RUN:
                    rolling -= LEAVING * _spread(row[x - RUN])
                mixed = (rolling ^ (rolling >> np.uint64(32))) * BASE
                if mixed >> shift == 0 and x >= RUN - 1 and count < capacity:
                    start = x - RUN + 1
                    if _is_varied(voxels[z, y, start : x + 1]):
                        hashes[count] = rolling
                        places[count, 0], places[count, 1], places[count, 2] = z, y, start
                        count += 1
    return hashes[:count].copy(), places[:count].copy()


@numba.njit(nogil=True, cache=True, inline="always")
def _spread(bits: np.uint32) -> np.uint64:
    """Return the mixed bits of a float32: the low bits, which are 0 in small whole numbers, then differ too."""
    wide = np.uint64(bits)
    return wide ^ (wide >> np.uint64(16))


@numba.njit(nogil=True, cache=True)
def _is_varied(run: np.ndarray) -> bool:
    """Whether a run (RUN,) has enough distinct values and turns; see ``DISTINCT``."""
    turns, direction = 0, 0
    for i in range(1, RUN):
        step = int(run[i] > run[i - 1]) - int(run[i] < run[i - 1])
        turns += step * direction < 0
        direction = step if step != 0 else direction
    if turns < TURNS:
        return False
    distinct = 0
    for i in range(RUN):
        new = True
        for j in range(i):
            new = new and run[i] != run[j]
        distinct += new
        if distinct == DISTINCT:
            return True
    return False


@numba.njit(nogil=True, cache=True)
def count_in_same_runs(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Return the number of equal voxels of two boxes (z, y, x), in varied rows of at least RUN."""
    total = 0
    for z in range(ours.shape[0]):
        for y in range(ours.shape[1]):
            start = 0
            for x in range(ours.shape[2] + 1):
                if x < ours.shape[2] and ours[z, y, x] == theirs[z, y, x]:
                    continue
                for first in range(start, x - RUN + 1, RUN):
                    if _is_varied(ours[z, y, first : first + RUN]):
                        total += x - start
                        break
                start = x + 1
    return total
