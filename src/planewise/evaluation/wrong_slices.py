"""Where a volume is wrong: the number of wrong voxels in each slice of each plane."""

# mypy: disable-error-code="arg-type, assignment"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np

from planewise.evaluation.open_pairs import OpenPair, read_slabs
from planewise.evaluation.overlap import EMPTY, add_count, find_place, new_table


def wrong_voxels(pair: OpenPair, right: set[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the number of wrong voxels in each slice along z, along y and along x, int64.

    A voxel is right if its labels (truth, predicted) are both background or in ``right``.
    """
    depth, height, width = pair.truth.shape
    counts = np.zeros(depth, np.int64), np.zeros(height, np.int64), np.zeros(width + 1, np.int64)
    size = 1 << (2 * len(right) + 1).bit_length()
    keys, _ = table = new_table(size)
    for truth, predicted in right:
        add_count(*table, (truth << 32) | predicted, 1)
    for slab in read_slabs(pair):
        _count_wrong(slab.truth, slab.predicted, slab.start, keys, *counts)
    return counts[0], counts[1], np.cumsum(counts[2])[:-1]


@numba.njit(nogil=True, cache=True)
def _count_wrong(
    truth: np.ndarray,
    predicted: np.ndarray,
    start: int,
    right: np.ndarray,
    along_z: np.ndarray,
    along_y: np.ndarray,
    steps_x: np.ndarray,
) -> None:
    """Add to the counts; ``steps_x`` gets the difference between each slice's count and the one before."""
    depth, height, width = truth.shape
    for z in range(depth):
        for y in range(height):
            run, first, wrong = np.int64(0), 0, False
            for x in range(width + 1):
                key = (np.int64(truth[z, y, x]) << 32) | np.int64(predicted[z, y, x]) if x < width else np.int64(-1)
                if key == run:
                    continue
                if wrong:
                    along_z[start + z] += x - first
                    along_y[y] += x - first
                    steps_x[first] += 1
                    steps_x[x] -= 1
                run, first = key, x
                wrong = key > 0 and right[find_place(right, key)] == EMPTY
