"""How the planes agree on each object of a consensus: counts, which add up over the parts of a volume."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ObjectVotes:
    """For each object, (objects,) in the order of labels from 1: its voxels, and which planes have them.

    ``voxels`` int64; ``planes`` int64: the number of planes with an object that lies mostly in it; ``by_all``: the
    share of its voxels that all planes have; ``alone``: voxels outside it that such a plane's object has and too few
    others do, as a share of ``voxels``; ``cut_from`` int64: the object that it was cut from (see
    ``repair.cut_merged``), or 0; ``added`` int64: the voxels that it was extended by, see ``extension``, which count
    in none of the others.
    """

    voxels: np.ndarray
    planes: np.ndarray
    by_all: np.ndarray
    alone: np.ndarray
    cut_from: np.ndarray
    added: np.ndarray

    def of(self, kept: np.ndarray) -> "ObjectVotes":
        """Return those of some objects, given by their places (kept,)."""
        return ObjectVotes(**{name: values[kept] for name, values in vars(self).items()})

    @property
    def depth(self) -> np.ndarray:
        """The voxels on which planes disagree, expressed as the thickness of a layer on a ball of the object's size."""
        disputed = (1 - self.by_all + self.alone) * self.voxels
        return np.asarray(disputed / (np.pi * 36 * self.voxels.astype(float) ** 2) ** (1 / 3))


def object_votes(objects: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> ObjectVotes:
    """Return the votes on the ``objects`` (n,), 1 to m or 0, of combinations of ``labels`` (n, planes).

    ``counts`` (n,): the voxels that carry each combination. Every object has voxels.
    """
    count = int(objects.max(initial=0))
    voxels = np.bincount(objects, counts, count + 1)
    shared = np.bincount(objects, counts * (labels > 0).all(axis=1), count + 1)
    planes, alone = np.zeros(count + 1, np.int64), np.zeros(count + 1)
    for of_plane in labels.T:
        belongs, _ = largest_overlap(of_plane, objects, counts)
        planes += np.bincount(np.unique(belongs[belongs > 0]), minlength=count + 1)
        beside = (objects == 0) & (of_plane > 0)
        alone += np.bincount(belongs[of_plane[beside]], counts[beside], count + 1)
    whole = np.maximum(voxels[1:], 1)
    none = np.zeros(count, np.int64)
    return ObjectVotes(voxels[1:].astype(np.int64), planes[1:], shared[1:] / whole, alone[1:] / whole, none, none)


def largest_overlap(of_plane: np.ndarray, objects: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the object that shares most voxels with each label of a plane, 0 if none does, and how many they share.

    Both (labels + 1,), by label. ``of_plane``, ``objects``, ``counts`` (n,): see ``object_votes``.
    """
    both = (of_plane > 0) & (objects > 0)
    pairs, row = np.unique(np.stack([of_plane[both], objects[both]]), axis=1, return_inverse=True)
    overlap = np.bincount(row.ravel(), counts[both], pairs.shape[1])
    size = int(of_plane.max(initial=0)) + 1
    owner, shared = np.zeros(size, np.int64), np.zeros(size)
    order = np.argsort(overlap, kind="stable")
    owner[pairs[0, order]], shared[pairs[0, order]] = pairs[1, order], overlap[order]  # the largest is written last
    return owner, shared
