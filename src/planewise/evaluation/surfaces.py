"""Surfaces of labels and the distances between them, in the unit of the spacing.

A surface voxel of a label has a face neighbour without it; beyond the volume is outside. Only surface voxels are kept,
so that volumes larger than memory can be measured slab by slab.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from dataclasses import dataclass

import numba
import numpy as np

from planewise.errors import PlanewiseError
from planewise.evaluation.nearest import nearest_distances
from planewise.evaluation.scale import Scale
from planewise.volumes.volume import Spacing

MAX_SIDE = 2**16  # what two bytes of a coordinate hold


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances from each surface voxel of one mask to the nearest surface voxel of the other, both ways."""

    truth_to_prediction: np.ndarray
    prediction_to_truth: np.ndarray

    @property
    def _either_is_empty(self) -> bool:
        return len(self.truth_to_prediction) == 0 or len(self.prediction_to_truth) == 0

    @property
    def hd95(self) -> float:
        """The larger of the two directed 95th percentiles (Hausdorff distance without the farthest 5 %).

        NaN if either mask is empty.
        """
        if self._either_is_empty:
            return float("nan")
        return float(max(np.percentile(d, 95) for d in (self.truth_to_prediction, self.prediction_to_truth)))

    @property
    def mean(self) -> float:
        """Average symmetric surface distance: the mean over the surface voxels of both (Heimann et al. 2009,
        doi:10.1109/TMI.2009.2013851). NaN if either mask is empty."""
        if self._either_is_empty:
            return float("nan")
        total = self.truth_to_prediction.sum() + self.prediction_to_truth.sum()
        return float(total / (len(self.truth_to_prediction) + len(self.prediction_to_truth)))

    def surface_dice(self, tolerance: float) -> float:
        """Share of both surfaces that lies within ``tolerance`` of the other (Nikolov et al. 2021, doi:10.2196/26151).

        Every surface voxel counts alike. NaN if both masks are empty, 0 if one is.
        """
        total = len(self.truth_to_prediction) + len(self.prediction_to_truth)
        if total == 0:
            return float("nan")
        return sum(int((d <= tolerance).sum()) for d in (self.truth_to_prediction, self.prediction_to_truth)) / total


def surface_distances(truth: np.ndarray, predicted: np.ndarray, spacing: Spacing) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks (z, y, x) with ``spacing`` (z, y, x).

    Where the other mask is empty, distances are infinite.
    """
    points = []
    for mask in (truth, predicted):
        parts = SurfaceParts()
        parts.add(np.pad(mask.view(np.uint8), ((1, 1), (0, 0), (0, 0))), 0)
        points.append(parts.joined().points)
    return distances_between(points[0], points[1], spacing)


def distances_between(truth: np.ndarray, predicted: np.ndarray, spacing: Spacing) -> SurfaceDistances:
    """Return the distances between two sets of surface voxels (n, 3), given by their indices (z, y, x)."""
    return SurfaceDistances(nearest_distances(truth, predicted, spacing), nearest_distances(predicted, truth, spacing))


def boundary_scores(
    truth: np.ndarray, predicted: np.ndarray, scale: Scale, shape: tuple[int, int, int], tolerance: float
) -> dict[str, float]:
    """Return surface Dice, HD95 and the mean distance of two sets of surface voxels of a volume of ``shape``.

    NaN if both are empty. If one is: as far off as two voxels of the image can be, so that to find nothing never pays.
    """
    if bool(len(truth)) != bool(len(predicted)):
        return farthest(scale, shape)
    distances = distances_between(truth, predicted, scale.spacing)
    return {
        "nsd": distances.surface_dice(tolerance),
        f"hd95_{scale.unit}": distances.hd95,
        f"assd_{scale.unit}": distances.mean,
    }


def farthest(scale: Scale, shape: tuple[int, int, int]) -> dict[str, float]:
    """Return the boundary scores of what is missed, or invented."""
    diagonal = scale.diagonal(shape)
    return {"nsd": 0.0, f"hd95_{scale.unit}": diagonal, f"assd_{scale.unit}": diagonal}


@dataclass(frozen=True)
class LabelSurfaces:
    """The surface voxels of all labels of a volume, sorted by label.

    ``points`` (n, 3) uint16, their indices (z, y, x); ``labels`` (n,); ``outer`` (n,) bool: whether the voxel is on the
    surface of the foreground too, all labels taken together.
    """

    points: np.ndarray
    labels: np.ndarray
    outer: np.ndarray

    @property
    def foreground(self) -> np.ndarray:
        """The surface voxels of the foreground (n, 3)."""
        return self.points[self.outer]

    def of(self, label: int) -> np.ndarray:
        """Return the surface voxels of one label (n, 3)."""
        # In the labels' own type: numpy would convert all of them at every call.
        start, stop = np.searchsorted(self.labels, np.array([label, label + 1], self.labels.dtype))
        return self.points[start:stop]


class SurfaceParts:
    """Finds the surfaces of a label volume that comes slab by slab."""

    def __init__(self) -> None:
        self._points = [np.zeros((0, 3), np.uint16)]
        self._labels = [np.zeros(0, np.uint32)]
        self._outer = [np.zeros(0, bool)]

    def add(self, slab: np.ndarray, start: int) -> None:
        """Add a slab (planes, y, x), uint8 or uint32, with one more on either side; its first own plane is ``start``.

        The planes on either side are its neighbours, or zeros beyond the volume. Raises PlanewiseError if a side of
        the volume is longer than 65536.
        """
        if max(start + slab.shape[0] - 2, *slab.shape[1:]) > MAX_SIDE:
            raise PlanewiseError(f"surfaces are measured of volumes of at most {MAX_SIDE} voxels along a side")
        points, labels, outer = _surface_voxels(slab, start)
        self._points.append(points)
        self._labels.append(labels)
        self._outer.append(outer)

    def joined(self) -> LabelSurfaces:
        """Return the surfaces of what was added."""
        points, labels, outer = (np.concatenate(parts) for parts in (self._points, self._labels, self._outer))
        order = np.argsort(labels, kind="stable")
        return LabelSurfaces(points[order], labels[order], outer[order])


@numba.njit(nogil=True, cache=True)
def _surface_voxels(slab: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the surface voxels of all planes but the first and the last, which is one plane more on either side."""
    count = 0
    for z in range(1, slab.shape[0] - 1):
        for y in range(slab.shape[1]):
            for x in range(slab.shape[2]):
                if slab[z, y, x] != 0 and _neighbours(slab, z, y, x) > 0:
                    count += 1
    points, labels, outer = np.empty((count, 3), np.uint16), np.empty(count, np.uint32), np.empty(count, np.bool_)
    i = 0
    for z in range(1, slab.shape[0] - 1):
        for y in range(slab.shape[1]):
            for x in range(slab.shape[2]):
                if slab[z, y, x] == 0:
                    continue
                kind = _neighbours(slab, z, y, x)
                if kind > 0:
                    points[i, 0], points[i, 1], points[i, 2] = start + z - 1, y, x
                    labels[i], outer[i] = slab[z, y, x], kind == 2
                    i += 1
    return points, labels, outer


@numba.njit(nogil=True, cache=True, inline="always")
def _neighbours(slab: np.ndarray, z: int, y: int, x: int) -> int:
    """Return 2 if a face neighbour is background or beyond the volume, else 1 if one has another label, else 0."""
    label = slab[z, y, x]
    before_z, after_z = slab[z - 1, y, x], slab[z + 1, y, x]
    before_y = slab[z, y - 1, x] if y > 0 else label * 0
    after_y = slab[z, y + 1, x] if y + 1 < slab.shape[1] else label * 0
    before_x = slab[z, y, x - 1] if x > 0 else label * 0
    after_x = slab[z, y, x + 1] if x + 1 < slab.shape[2] else label * 0
    if before_z == 0 or after_z == 0 or before_y == 0 or after_y == 0 or before_x == 0 or after_x == 0:
        return 2
    same = before_z == label and after_z == label and before_y == label and after_y == label
    return 0 if same and before_x == label and after_x == label else 1
