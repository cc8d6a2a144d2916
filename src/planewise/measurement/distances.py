"""The distances of objects from the labels of another volume."""

import math

import numpy as np
from scipy.spatial import cKDTree

from planewise.evaluation.surfaces import SurfaceParts
from planewise.measurement.objects import Objects
from planewise.measurement.slabs import bordered
from planewise.volumes.volume import Spacing, Volume


def distances(labels: Volume, reference: Volume, objects: Objects, spacing: Spacing) -> np.ndarray:
    """Return each object's smallest distance from the reference (n,), between voxel centres; NaN without reference.

    Only surfaces are compared: the whole surface of the reference, and that of the objects slab by slab.
    """
    parts = SurfaceParts()
    for slab, start in bordered(reference):
        parts.add((slab > 0).astype(np.uint8), start)
    surface = parts.joined().points
    least = np.full(len(objects), math.inf)
    if len(surface) == 0:
        return np.full(len(objects), math.nan)
    tree = cKDTree(surface * np.array(spacing))
    for (slab, start), (other, _) in zip(bordered(labels), bordered(reference), strict=True):
        parts = SurfaceParts()
        parts.add(slab, start)
        of_slab = parts.joined()
        near, _ = tree.query(of_slab.points * np.array(spacing))
        np.minimum.at(least, np.searchsorted(objects.labels, of_slab.labels), near)
        inside = slab[1:-1][(other[1:-1] > 0) & (slab[1:-1] > 0)]
        least[np.searchsorted(objects.labels, np.unique(inside))] = 0
    return least
