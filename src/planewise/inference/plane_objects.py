"""The 3D objects of one plane, as runs along the rows of its slices, which can be painted into a window."""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.inference.dropped import NONE_DROPPED, Dropped
from planewise.inference.painted import Corner, Painted, by_layers
from planewise.volumes.slices import AXIS, Plane


@dataclass(frozen=True)
class PlaneObjects(Painted):
    """One plane's 3D objects, as runs along the rows of its slices.

    ``shape`` (z, y, x) of the volume; ``row_starts`` (slices, rows + 1) int64: the first run of each row of each
    slice; ``start``, ``stop`` (runs,) uint16 where they fit, else int32: columns, half open; ``label`` (runs,) int32:
    the object, above 0; ``sizes`` (objects + 1,) in voxels, the background's 0; ``dropped``: how many were too small.
    """

    plane: Plane
    shape: tuple[int, int, int]
    row_starts: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    label: np.ndarray
    sizes: np.ndarray
    dropped: Dropped = NONE_DROPPED

    @property
    def count(self) -> int:
        """See ``Painted``."""
        return len(self.sizes) - 1

    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """See ``Painted``."""
        by_layers(lambda part, at: _paint(part, *at, self.for_kernels()), window, corner)

    def for_kernels(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (axis of the slices, row_starts, start, stop, label): what ``paint_layer`` takes."""
        return AXIS[self.plane], self.row_starts, self.start, self.stop, self.label


@numba.njit(nogil=True, cache=True)
def paint_layer(
    layer: np.ndarray,
    z: int,
    top: int,
    left: int,
    plane: tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    shift: int,
) -> None:
    """Write a plane's labels at ``z`` into the bits of ``layer`` from ``shift`` on, all 0 before.

    ``top``, ``left``: the row and column that ``layer`` begins with. What is background stays as it is.

    ::

        axis 0 (xy): slice z, row y, along x     axis 1 (xz): slice y, row z, along x
        axis 2 (yz): slice x, row z, along y
    """
    axis, row_starts, start, stop, label = plane
    height, width = layer.shape
    if axis == 2:
        for x in range(width):
            for run in range(row_starts[left + x, z], row_starts[left + x, z + 1]):
                value = np.int64(label[run]) << shift
                for y in range(max(start[run] - top, 0), min(stop[run] - top, height)):
                    layer[y, x] |= value
        return
    for y in range(height):
        i, j = (z, top + y) if axis == 0 else (top + y, z)
        for run in range(row_starts[i, j], row_starts[i, j + 1]):
            value = np.int64(label[run]) << shift
            for x in range(max(start[run] - left, 0), min(stop[run] - left, width)):
                layer[y, x] |= value


@numba.njit(nogil=True, cache=True)
def _paint(
    window: np.ndarray, z: int, top: int, left: int, plane: tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> None:
    for i in range(len(window)):
        paint_layer(window[i], z + i, top, left, plane, 0)
