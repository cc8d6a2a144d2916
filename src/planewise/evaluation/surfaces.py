"""Distances between surfaces, in the unit of the spacing. Masks are cropped to what they touch first."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances from each surface voxel of one mask to the nearest surface voxel of the other, both ways."""

    truth_to_prediction: np.ndarray
    prediction_to_truth: np.ndarray

    @property
    def hd95(self) -> float:
        """The larger of the two directed 95th percentiles (Hausdorff distance without the farthest 5 %).

        NaN if either mask is empty.
        """
        if len(self.truth_to_prediction) == 0 or len(self.prediction_to_truth) == 0:
            return float("nan")
        return float(max(np.percentile(d, 95) for d in (self.truth_to_prediction, self.prediction_to_truth)))

    def surface_dice(self, tolerance: float) -> float:
        """Share of both surfaces that lies within ``tolerance`` of the other (Nikolov et al. 2021, doi:10.2196/26151).

        Every surface voxel counts alike. NaN if both masks are empty, 0 if one is.
        """
        total = len(self.truth_to_prediction) + len(self.prediction_to_truth)
        if total == 0:
            return float("nan")
        return sum(int((d <= tolerance).sum()) for d in (self.truth_to_prediction, self.prediction_to_truth)) / total


def surface_distances(
    truth: np.ndarray, predicted: np.ndarray, spacing: tuple[float, float, float]
) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks (z, y, x) with ``spacing`` (z, y, x).

    A surface voxel is one of the mask with a face neighbour outside it; beyond the volume is outside. Where the other
    mask is empty, distances are infinite.
    """
    either = truth | predicted
    if not either.any():
        return SurfaceDistances(np.zeros(0), np.zeros(0))
    box = tuple(slice(a.start, a.stop) for a in ndimage.find_objects(either.astype(np.uint8))[0])
    surfaces = []
    for mask in (truth, predicted):
        padded = np.pad(mask[box], 1)
        surfaces.append((padded & ~ndimage.binary_erosion(padded))[1:-1, 1:-1, 1:-1])
    found = []
    for own, other in (surfaces, surfaces[::-1]):
        if not other.any():
            found.append(np.full(int(own.sum()), np.inf))
            continue
        found.append(ndimage.distance_transform_edt(~other, spacing)[own])
    return SurfaceDistances(*found)
