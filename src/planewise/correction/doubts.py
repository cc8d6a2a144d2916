"""Finds where the planes of a fused result disagree: its doubtful objects, and objects that it may have missed.

No truth is used. An object on which all planes agree is likely right; one that is only in the result is likely wrong;
one that is only in planes was likely missed. With equal agreement, a smaller object is more doubtful: an outline that
is off by the usual distance changes a larger share of it.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.correction.objects import Objects, find_objects, index_of
from planewise.correction.worklist import Item
from planewise.evaluation.overlap import overlap_table
from planewise.volumes.formats import ending_of
from planewise.volumes.labels import read_labels
from planewise.volumes.slices import PLANES

LEAST = 500  # smallest size in voxels of an object that may have been missed, as in prediction
LEAST_USUAL = 0.01  # usual agreement is at least this, so that doubts differ even if most objects are in no plane
OUTSIDE = 0.75  # share of a plane's object that must lie outside of the result, to count as missed


@dataclass(frozen=True)
class Doubt:
    """A place to look at: ``doubt`` from 0 to 1; the object's ``label``, 0 if it may have been missed.

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
    """Return all objects of ``labels`` (z, y, x), and those that it may have missed, most doubtful first.

    ``planes``: the labels of each plane by its name, of the same shape. An object's best IoU (intersection over union)
    with an object of a plane, averaged over the planes, is a. The doubt of an object that may have been missed is a:
    the more planes contain it, the likelier it exists. The doubt of an object of ``labels`` is 1 - sqrt(a u), where u
    is the a of an object of its size whose outline is off by the usual distance in this volume. It uses u too, because
    three planes say little about a single outline. For a ball of radius R whose outline is off by a distance d, the IoU
    is about exp(-3 d / R), so u is the median of a to the power r / R, r the radius of a ball of the median size.
    """
    missed = _not_in(labels, planes)
    doubtful = []
    for volume, absent in ((labels, False), (missed, True)):
        objects = find_objects(volume)
        ious = {name: _best_iou(volume, plane) for name, plane in planes.items()}
        means = {label: sum(of.get(label, 0.0) for of in ious.values()) / len(ious) for label in objects}
        usual = max(LEAST_USUAL, statistics.median(means.values())) if means else 1.0
        size = statistics.median(record.voxels for record in objects.values()) if objects else 1.0
        for label, record in objects.items():
            agreement = {name: ious[name].get(label, 0.0) for name in planes}
            doubt = means[label] if absent else 1 - math.sqrt(means[label] * usual ** (size / record.voxels) ** (1 / 3))
            place = _inside(volume, label, objects)
            doubtful.append(Doubt(doubt, 0 if absent else label, place, record.voxels, agreement))
    return sorted(doubtful, key=lambda one: (-one.doubt, one.label, one.place))


def planes_of(case: str, path: Path) -> dict[str, np.ndarray]:
    """Return the labels of each plane that lie beside a case's, as ``{case}_xy``, by the plane's name."""
    files = {plane: path.with_name(f"{case}_{plane}{ending_of(path)}") for plane in PLANES}
    return {str(plane): np.asarray(read_labels(file).voxels) for plane, file in files.items() if file.exists()}


def doubtful_items(case: str, doubtful: list[Doubt]) -> list[tuple[float, Item]]:
    """Return doubts as items of a work list, each with the size of its doubt."""
    items = []
    for doubt in doubtful:
        about = f"object {doubt.label}" if doubt.label else f"missed at {' '.join(map(str, doubt.place))}"
        labels = (doubt.label,) if doubt.label else ()
        items.append((doubt.doubt, Item(f"{case}: {about}", case, str(doubt), labels, doubt.place)))
    return items


def _not_in(labels: np.ndarray, planes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the objects of the planes that lie outside of the result; one that several planes have is listed once."""
    missed = np.zeros(labels.shape, np.int32)
    number = 0
    for plane in planes.values():
        within = overlap_table((labels > 0) | (missed > 0), plane)
        ids, sizes = within.second_sizes()
        outside = dict(zip(within.second[within.first == 0].tolist(), within.count[within.first == 0].tolist()))
        new = [
            label
            for label, size in zip(ids.tolist(), sizes.tolist())
            if size >= LEAST and outside.get(label, 0) >= OUTSIDE * size
        ]
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
