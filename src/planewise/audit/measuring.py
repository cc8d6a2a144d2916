"""Measures the labels of one item, drawn or corrected, by the same rules."""

from dataclasses import dataclass

import numpy as np

from planewise.audit.population import OBJECTS, VOXELS, Box, first_voxels

Values = dict[str, float]  # numbers by variable


@dataclass(frozen=True)
class Crop:
    """The position of an item in its crop. ``place``: the item; ``open``: by axis, whether the volume continues before
    and behind the crop."""

    place: Box
    open: tuple[tuple[bool, bool], ...]


def starts_in(labels: np.ndarray, crop: Crop) -> list[int]:
    """Return the ids whose first voxel, of those in the crop (z, y, x), lies in the item."""
    inside = [(part.start, part.stop) for part in crop.place]
    return [
        label
        for label, place in first_voxels(labels).items()
        if all(start <= at < stop for at, (start, stop) in zip(place, inside))
    ]


def reaches_out(labels: np.ndarray, crop: Crop, ids: list[int]) -> list[int]:
    """Return the ``ids`` of objects that reach a face of the crop beyond which the volume continues."""
    faces = [
        np.take(labels, 0 if end == 0 else -1, axis=axis).ravel()
        for axis, goes_on in enumerate(crop.open)
        for end in (0, 1)
        if goes_on[end]
    ]
    touching = set(np.unique(np.concatenate(faces)).tolist()) if faces else set()
    return [label for label in ids if label in touching]


def measure_box(labels: np.ndarray, crop: Crop, elsewhere: list[int]) -> Values:
    """Return the objects that begin in the item, except those that begin ``elsewhere``, and the voxels in it."""
    begins = [label for label in starts_in(labels, crop) if label not in elsewhere]
    return {OBJECTS: float(len(begins)), VOXELS: float(np.count_nonzero(labels[crop.place]))}


def measure_object(labels: np.ndarray, drawn: np.ndarray, label: int) -> Values:
    """Return how many objects belong to the predicted one, and their voxels.

    An object belongs to the predicted one of which it has most voxels; in a tie, to the one with the lowest id.
    """
    inside = (labels > 0) & (drawn > 0)
    pairs, counts = np.unique(np.stack([labels[inside], drawn[inside]]), axis=1, return_counts=True)
    best: dict[int, tuple[int, int]] = {}
    for (true, predicted), count in zip(pairs.T.tolist(), counts.tolist()):
        if true not in best or (-count, predicted) < best[true]:
            best[true] = (-count, predicted)
    belonging = [true for true, (_, predicted) in best.items() if predicted == label]
    return {OBJECTS: float(len(belonging)), VOXELS: float(np.isin(labels, belonging).sum())}


def measure_missed(labels: np.ndarray, drawn: np.ndarray, crop: Crop) -> Values:
    """Return the objects that begin in the item and share no voxel with a predicted one, and their voxels."""
    seen = set(np.unique(labels[drawn > 0]).tolist())
    missed = [label for label in starts_in(labels, crop) if label not in seen]
    return {OBJECTS: float(len(missed)), VOXELS: float(np.isin(labels, missed).sum())}
