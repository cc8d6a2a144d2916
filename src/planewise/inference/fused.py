"""The result of a consensus: labels of voxels, painted from the planes' runs when they are read."""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.evaluation.overlap import find_place, new_table
from planewise.inference.combinations import PADDING, end_of_run, for_kernels, paint_keys
from planewise.inference.dropped import NONE_DROPPED, Dropped
from planewise.inference.painted import Corner, Painted, by_layers
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.votes import ObjectVotes


@dataclass(frozen=True)
class FinalLabels:
    """The final label, 1 to n or 0, of each combination: ``keys`` and ``labels`` (n,) int64; ``objects``: n.

    ``dropped``: how many objects the limits left out, before any were cut.
    """

    keys: np.ndarray
    labels: np.ndarray
    objects: int
    dropped: Dropped = NONE_DROPPED


class FusedObjects(Painted):
    """The objects of several planes' consensus; ``final``: the final labels of the combinations of the planes' labels.

    ``votes``: on each object, if the planes belong to a whole volume; ``dropped``: see ``FinalLabels``.
    """

    def __init__(self, planes: list[PlaneObjects], final: FinalLabels, votes: ObjectVotes | None = None) -> None:
        self.shape = planes[0].shape
        self.votes = votes
        self._count = final.objects
        self.dropped = final.dropped
        self._planes = for_kernels(planes)
        self._table, self._values = new_table(_table_size(len(final.keys)))
        _fill_table(self._table, self._values, final.keys, final.labels)

    @property
    def count(self) -> int:
        """See ``Painted``."""
        return self._count

    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """See ``Painted``."""
        by_layers(lambda part, at: _apply(part, *at, self._planes, self._table, self._values), window, corner)


def _table_size(rows: int) -> int:
    return 1 << max(4, (2 * rows).bit_length())


@numba.njit(nogil=True, cache=True)
def _fill_table(table: np.ndarray, values: np.ndarray, keys: np.ndarray, result: np.ndarray) -> None:
    for i in range(len(keys)):
        place = find_place(table, keys[i])
        table[place], values[place] = keys[i], result[i]


@numba.njit(nogil=True, cache=True)
def _apply(
    window: np.ndarray,
    first: int,
    top: int,
    left: int,
    planes: tuple[tuple, ...],
    table: np.ndarray,
    values: np.ndarray,
) -> None:
    """Write final labels into ``window``, which is all background and begins at (``first``, ``top``, ``left``)."""
    depth, height, width = window.shape
    layer = np.empty((height, width + PADDING), np.int64)
    for z in range(depth):
        paint_keys(layer[:, :width], first + z, top, left, planes)
        for y in range(height):
            _apply_row(layer[y][:width], window[z, y], table, values)


@numba.njit(nogil=True, cache=True)
def _apply_row(row: np.ndarray, result: np.ndarray, table: np.ndarray, values: np.ndarray) -> None:
    """Write the final labels of a row of combinations, all of which are in the table, into ``result``."""
    x = 0
    while x < row.size:
        key, end = row[x], end_of_run(row, x)
        label = values[find_place(table, key)] if key != 0 else np.int64(0)
        if label != 0:
            result[x:end] = label
        x = end
