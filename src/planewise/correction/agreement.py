"""Where the planes that a result was fused from disagree: its doubtful objects, and those that it may have missed.

Nothing of the truth is known here. An object that every plane draws alike is likely right; one that the result has and
the planes have not is likely wrong; one that planes have and the result has not was likely missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planewise.correction.objects import Objects, find_objects, index_of
from planewise.evaluation.overlap import overlap_table

LEAST = 500  # voxels of an object that may have been missed; predict's own least size
OUTSIDE = 0.75  # share of a plane's object that must lie outside of the result, to be one that it has not


@dataclass(frozen=True)
class Doubt:
    """A place to look at: ``doubt`` from 0 to 1; the object's ``label``, 0 of one that may have been missed.

    ``place`` (z, y, x) lies in the object. ``agreement``: the best IoU in each plane, by its name.
    """

    doubt: float
    label: int
    place: tuple[int, int, int]
    voxels: int
    agreement: dict[str, float]

    def __str__(self) -> str:
        planes = ", ".join(f"{plane} {iou:.2f}" for plane, iou in self.agreement.items())
        what = f"object {self.label}" if self.label else "may have been missed"
        return f"{what}: agreement with {planes}; {self.voxels} voxels"


def doubts(labels: np.ndarray, planes: Mapping[str, np.ndarray]) -> list[Doubt]:
    """Return every object of ``labels`` (z, y, x), and those that it may have missed, the most doubtful first.

    ``planes``: the labels of each plane by its name, of the same shape. With a the mean over the planes of the best IoU
    (intersection over union) that one of its objects has: an object's doubt is 1 - a; that of what may have been missed
    is a, for the more planes see it the likelier it is there.
    """
    missed = _not_in(labels, planes)
    found = []
    for volume, absent in ((labels, False), (missed, True)):
        objects = find_objects(volume)
        ious = {name: _best_iou(volume, plane) for name, plane in planes.items()}
        for label, record in objects.items():
            agreement = {name: ious[name].get(label, 0.0) for name in planes}
            mean = sum(agreement.values()) / len(agreement)
            place = _inside(volume, label, objects)
            doubt = mean if absent else 1 - mean
            found.append(Doubt(doubt, 0 if absent else label, place, record.voxels, agreement))
    return sorted(found, key=lambda one: (-one.doubt, one.label, one.place))


def _not_in(labels: np.ndarray, planes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the objects of the planes that lie outside of the result; what several planes have, once."""
    missed = np.zeros(labels.shape, np.int32)
    number = 0
    for plane in planes.values():
        within = overlap_table((labels > 0) | (missed > 0), plane)
        ids, sizes = within.second_sizes()
        outside = dict(zip(within.second[within.first == 0].tolist(), within.count[within.first == 0].tolist()))
        new = [
            label for label, size in zip(ids.tolist(), sizes.tolist())
            if size >= LEAST and outside.get(label, 0) >= OUTSIDE * size
        ]  # fmt: skip
        objects = find_objects(np.where(np.isin(plane, new), plane, 0))
        for label in new:
            index = index_of(objects[label].box)
            number += 1
            missed[index][(plane[index] == label) & (labels[index] == 0) & (missed[index] == 0)] = number
    return missed


def _best_iou(labels: np.ndarray, plane: np.ndarray) -> dict[int, float]:
    """Return the largest IoU that each label has with one of the other volume."""
    table = overlap_table(labels, plane)
    first, second = (
        dict(zip(ids.tolist(), sizes.tolist())) for ids, sizes in (table.first_sizes(), table.second_sizes())
    )
    best: dict[int, float] = {}
    pairs = table.objects
    for a, b, shared in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.count.tolist()):
        best[a] = max(best.get(a, 0.0), shared / (first[a] + second[b] - shared))
    return best


def _inside(volume: np.ndarray, label: int, objects: Objects) -> tuple[int, int, int]:
    """Return the voxel of an object that is closest to its centre."""
    box = objects[label].box
    places = np.argwhere(volume[index_of(box)] == label)
    nearest = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    z, y, x = (int(at) + start for at, (start, _) in zip(nearest, box))
    return z, y, x
