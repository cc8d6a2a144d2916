"""Extends the objects of a consensus into voxels that only one plane gives them.

A consensus keeps the voxels that at least two planes give an object. Networks trained on few data draw objects too
small, each plane in other places, so that these voxels are fewer than any plane's. Once objects are decided on, voxels
that only one plane gives them are added: each object of a plane belongs to the object of the consensus that shares most
voxels with it, if that is a quarter of its voxels at least, and so do its other voxels. No object is added, and none
are merged.
"""

import numpy as np

from planewise.inference.votes import largest_overlap

LEAST_SHARE = 0.25  # of a plane's object, in the object of the consensus that it belongs to


def extended(
    objects: np.ndarray, labels: np.ndarray, counts: np.ndarray, cut_from: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Return the ``objects`` (n,), 1 to m or 0, of combinations of ``labels`` (n, planes), extended.

    ``counts`` (n,): the voxels of each combination; ``cut_from`` (m,): see ``repair.cut_merged``; ``free`` (n,) bool:
    which may be added, since they were not voted into an object that was dropped. The parts of an object that was cut
    have together what the object would have. Where planes give a voxel to different objects, the plane decides whose
    own object lies in one of them with the largest share of its voxels.
    """
    whole = np.concatenate([[0], np.where(cut_from > 0, cut_from, np.arange(1, len(cut_from) + 1))])
    best, largest = np.zeros(len(objects), np.int64), np.zeros(len(objects))
    for of_plane in labels.T:
        size = np.bincount(of_plane, counts)
        owner, shared = largest_overlap(of_plane, whole[objects], counts)
        part, _ = largest_overlap(of_plane, np.where(whole[objects] == owner[of_plane], objects, 0), counts)
        share = (shared / np.maximum(size, 1))[of_plane]
        better = (part[of_plane] > 0) & (share >= LEAST_SHARE) & (share > largest)
        best[better], largest[better] = part[of_plane[better]], share[better]
    return np.where(free & (objects == 0), best, objects)
