"""A volume in numbers: the number of objects, their volume fraction, and the distributions of their measures.

Objects that the border cuts are neither all counted nor all left out, since it cuts large ones more often than small.

- The *counting frame* is the volume without its outermost voxels at five faces, all but that at the end of z. An object
  counts if its first voxel, by z, then y, then x, lies in it. Frames side by side count each convex object once (Sterio
  1984, doi:10.1111/j.1365-2818.1984.tb02501.x): if the first voxel lies beyond a side face, the visible part of the
  object begins on the outermost voxels.
- Distributions are over the objects that touch no face. Each is weighted by 1 over the probability that a box of its
  size lies in the volume without touching a face (Miles 1974, Lantuejoul 1978). Objects as long as the volume are never
  whole.
"""

import math
from dataclasses import dataclass

import numpy as np

from planewise.measurement.columns import DISTRIBUTED
from planewise.measurement.contacts import Contacts
from planewise.measurement.objects import Objects
from planewise.volumes.volume import Spacing

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Distribution:
    """The weighted distribution of a measure over the ``n`` whole objects; NaN if there are none. See the module."""

    n: int
    mean: float
    sd: float
    quantiles: tuple[float, ...]


def counted(objects: Objects) -> np.ndarray:
    """Return whether each object counts, (n,) bool: whether its first voxel lies in the counting frame."""
    low, high = _frame(objects.shape)
    inside: np.ndarray = (objects.tips >= low) & (objects.tips < high)
    return np.asarray(inside.all(axis=1))


def frame_voxels(shape: tuple[int, int, int]) -> int:
    """Return how many voxels the counting frame of a volume has."""
    low, high = _frame(shape)
    return int(np.prod(np.maximum(high - low, 0)))


def weights(objects: Objects) -> np.ndarray:
    """Return each object's weight in distributions (n,): 0 if it touches the border."""
    sides = objects.boxes[:, 1] - objects.boxes[:, 0] + 1
    several = np.array(objects.shape) > 1
    inner = np.array(objects.shape) - 2 * several  # sides of the part in which an object touches no face
    places = np.where(several, inner - sides + 1, 1)
    whole = ~objects.touches_border
    share = np.prod(np.where(several, np.maximum(places, 1) / np.maximum(inner, 1), 1.0), axis=1)
    return np.where(whole, 1 / share, 0.0)


def distribution(values: np.ndarray, weight: np.ndarray) -> Distribution:
    """Return the weighted distribution of ``values`` (n,), without those of weight 0 and those that are NaN."""
    keep = (weight > 0) & np.isfinite(values)
    values, weight = values[keep], weight[keep]
    if len(values) == 0:
        return Distribution(0, math.nan, math.nan, (math.nan,) * len(QUANTILES))
    mean = float(np.average(values, weights=weight))
    sd = math.sqrt(float(np.average((values - mean) ** 2, weights=weight))) if len(values) > 1 else math.nan
    order = np.argsort(values)
    values, weight = values[order], weight[order]
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    return Distribution(len(values), mean, sd, tuple(np.interp(QUANTILES, middle, values).tolist()))


def summary(objects: Objects, spacing: Spacing, contacts: Contacts) -> dict[str, float]:
    """Return the measures of the volume as a whole; ``contacts``: each pair once."""
    voxel, size = math.prod(spacing), math.prod(objects.shape)
    frame, inside = frame_voxels(objects.shape) * voxel, int(counted(objects).sum())
    return {
        "objects": len(objects),
        "touching_border": int(objects.touches_border.sum()),
        "volume": size * voxel,
        "object_volume": int(objects.voxels.sum()) * voxel,
        "volume_fraction": int(objects.voxels.sum()) / size,
        "frame_count": inside,
        "frame_volume": frame,
        "number_density": inside / frame if frame else math.nan,
        "contacts": len(contacts.first),
        "contact_area": float(contacts.area.sum()),
    }


def distributions(columns: dict[str, np.ndarray]) -> dict[str, Distribution]:
    """Return the distribution of every measure that has one; ``columns``: the values of the objects, by key."""
    return {key: distribution(columns[key], columns["weight"]) for key in DISTRIBUTED if key in columns}


def _frame(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the end index of the counting frame; it contains an axis of one voxel entirely."""
    several = np.array(shape) > 1
    return several * 1, np.array(shape) - several * np.array([0, 1, 1])
