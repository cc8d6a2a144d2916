"""Counts of each label, voxel by voxel: volume, box, moments, intensity; from slabs of any thickness, read once.

A label is an object, in one piece or several. Voxels are counted in runs along x. No result depends on the thickness of
the slabs: all sums are of integers, except that over a real-valued image, which is in the order of the voxels.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from planewise.errors import PlanewiseError
from planewise.measurement.rows import Rows, grown
from planewise.volumes.volume import Spacing

MANY_LABELS = 100  # this many values that change at every other voxel are no labels, if they fill the volume
FULL = 0.25  # least share of voxels above 0 with which they fill it, unlike points and thin sheets
FAR = 2**40  # beyond any coordinate


@dataclass(frozen=True)
class Objects:
    """The n objects of a volume of ``shape`` (z, y, x), in ascending order of their labels.

    ``voxels`` int64 (n,); ``boxes`` int64 (n, 2, 3): first and last index along each axis; ``tips`` int64 (n, 3): the
    first voxel in the order of z, then y, then x; ``first_moments`` (n, 3) and ``second_moments`` (n, 3, 3): sums over
    the voxels of their indices and of products of two; ``intensity``: the sum over the voxels of the image, if any.
    """

    shape: tuple[int, int, int]
    labels: np.ndarray
    voxels: np.ndarray
    boxes: np.ndarray
    tips: np.ndarray
    first_moments: np.ndarray
    second_moments: np.ndarray
    intensity: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def centroids(self) -> np.ndarray:
        """The mean index of the voxels along each axis (n, 3)."""
        return self.first_moments / self.voxels[:, None]

    @cached_property
    def touches_border(self) -> np.ndarray:
        """Whether each object has a voxel on a face of the volume (n,); an axis of one voxel has no faces."""
        several = np.array(self.shape) > 1
        at_face = (self.boxes[:, 0] == 0) | (self.boxes[:, 1] == np.array(self.shape) - 1)
        return at_face[:, several].any(axis=1)

    def axes(self, spacing: Spacing) -> np.ndarray:
        """Return the lengths (n, 3) of the axes, longest first, of the ellipsoids with the objects' second moments.

        A homogeneous ellipsoid of half-axis a has the variance a^2 / 5 along it. A voxel is a box, not a point: its
        spacing^2 / 12 is added to the variance of the centres (Sheppard 1897, doi:10.1112/plms/s1-29.1.353).
        """
        means = self.centroids
        outer = means[:, :, None] * means[:, None, :]
        covariance = self.second_moments / self.voxels[:, None, None] - outer + np.eye(3) / 12
        scaled = covariance * np.multiply.outer(spacing, spacing)
        if len(self) == 0:
            return np.zeros((0, 3))
        return 2 * np.sqrt(5 * np.clip(np.linalg.eigvalsh(scaled)[:, ::-1], 0, None))


class ObjectCounter:
    """Counts the objects of a volume of ``shape``, given slab by slab, from the first plane to the last."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape, self._rows = shape, Rows()
        self._sums = np.zeros((16, 10), np.int64)  # voxels, z, y, x, zz, zy, zx, yy, yx, xx
        self._boxes = np.zeros((16, 2, 3), np.int64)
        self._tips = np.zeros((16, 3), np.int64)
        self._intensity = np.zeros(16)
        self._runs = self._voxels = self._seen = 0
        self._with_image = False

    def add(self, slab: np.ndarray, start: int, image: np.ndarray | None = None) -> None:
        """Count ``slab`` (planes, y, x), whose first plane is ``start``; ``image``: the same slab of the image.

        Raises PlanewiseError if the values are those of an image, not labels.
        """
        labels, ends, intensity = _runs(slab, slab if image is None else image)
        z, y, x, stop = (ends[:, i].astype(np.int64) for i in range(4))
        z += start
        before = len(self._rows)
        rows = self._rows.of(labels)
        count = len(self._rows)
        self._runs += len(labels)
        self._voxels += int((stop - x).sum())
        self._seen += slab.size
        if count >= MANY_LABELS and self._voxels < 2 * self._runs and self._voxels > FULL * self._seen:
            raise PlanewiseError(
                f"is an image, not labels: its {count} values above 0 change from voxel to voxel; give the label "
                "volume of a segmentation"
            )
        self._sums, self._intensity = grown(self._sums, count, 0), grown(self._intensity, count, 0)
        self._boxes, self._tips = grown(self._boxes, count, 0), grown(self._tips, count, 0)
        self._boxes[before:count, 0], self._boxes[before:count, 1] = FAR, -1
        n = stop - x
        sum_x = n * (x + stop - 1) // 2
        sum_xx = _squares(stop) - _squares(x)
        parts = (n, n * z, n * y, sum_x, n * z * z, n * z * y, z * sum_x, n * y * y, y * sum_x, sum_xx)
        for column, part in enumerate(parts):
            np.add.at(self._sums[:, column], rows, part)
        for axis, (low, high) in enumerate(((z, z), (y, y), (x, stop - 1))):
            np.minimum.at(self._boxes[:, 0, axis], rows, low)
            np.maximum.at(self._boxes[:, 1, axis], rows, high)
        new, first = np.unique(rows, return_index=True)
        first, new = first[new >= before], new[new >= before]
        self._tips[new] = np.stack([z[first], y[first], x[first]], axis=1)
        if image is not None:
            self._with_image = True
            np.add.at(self._intensity, rows, intensity)

    def objects(self) -> Objects:
        """Return the objects of all slabs added."""
        labels = self._rows.keys
        order = np.argsort(labels)
        sums = self._sums[order]
        zz, zy, zx, yy, yx, xx = (sums[:, i] for i in range(4, 10))
        second = np.stack([zz, zy, zx, zy, yy, yx, zx, yx, xx], axis=1).reshape(-1, 3, 3)
        intensity = self._intensity[order] if self._with_image else None
        return Objects(
            self._shape,
            labels[order],
            sums[:, 0],
            self._boxes[order],
            self._tips[order],
            sums[:, 1:4],
            second,
            intensity,
        )


def _squares(stop: np.ndarray) -> np.ndarray:
    """Return the sum of the squares of all whole numbers from 0 to less than ``stop``."""
    return (stop - 1) * stop * (2 * stop - 1) // 6


@numba.njit(nogil=True, cache=True)
def _runs(slab: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the runs of equal labels above 0 along x: labels (m,), (z, y, x, end of x) (m, 4), sums of the image."""
    count = 0
    for z in range(slab.shape[0]):
        for y in range(slab.shape[1]):
            last = slab[z, y, 0] * 0
            for x in range(slab.shape[2]):
                label = slab[z, y, x]
                if label != 0 and label != last:
                    count += 1
                last = label
    labels, ends, sums = np.empty(count, np.int64), np.empty((count, 4), np.int32), np.zeros(count, np.float64)
    i = -1
    for z in range(slab.shape[0]):
        for y in range(slab.shape[1]):
            last = slab[z, y, 0] * 0
            for x in range(slab.shape[2]):
                label = slab[z, y, x]
                if label != 0:
                    if label != last:
                        i += 1
                        labels[i] = label
                        ends[i, 0], ends[i, 1], ends[i, 2] = z, y, x
                    ends[i, 3] = x + 1
                    sums[i] += image[z, y, x]
                last = label
    return labels, ends, sums
