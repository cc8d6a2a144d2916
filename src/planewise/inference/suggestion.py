"""Chooses the slices to paint next: where the planes of a prediction disagree and foreground is likely, spread out.

At a voxel, the share p of planes with an object measures how likely foreground is, and p (1 - p) how much the planes
disagree; a voxel's doubt is the product of both. Slices are chosen one by one, each with the largest doubt, which
counts less near known or already chosen slices, because neighbours show nearly the same.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planewise.volumes.slices import AXIS, Plane
from planewise.volumes.volume import SLAB_BYTES, LazyArray

LEAST_DOUBT = 1e-9  # added for all voxels, so that slices spread where there is no doubt


@dataclass(frozen=True)
class ChosenSlice:
    """A slice of a ``case``; ``score``: its mean doubt, reduced in proportion to its nearness to others."""

    case: str
    index: int
    score: float


def voxel_doubt(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the doubt, float32 in 0 to 4 / 27, of voxels with these labels in each of the planes (any shape)."""
    share = np.mean([labels > 0 for labels in planes], axis=0, dtype=np.float32)
    return np.asarray(share * share * (1 - share))


def slice_doubts(planes: Sequence[LazyArray], plane: Plane, advance: Callable[[int], None]) -> np.ndarray:
    """Return the mean doubt, (slices,), in the slices of ``plane``, by the labels (z, y, x) of each of ``planes``.

    They are read slab by slab of z; ``advance`` is called with the layers that are done.
    """
    depth, height, width = planes[0].shape
    axis = AXIS[plane]
    thick = max(1, SLAB_BYTES // (height * width))
    sums = np.zeros(planes[0].shape[axis])
    for first in range(0, depth, thick):
        doubt = voxel_doubt([np.asarray(labels[first : first + thick]) for labels in planes])
        of_slab = doubt.sum(axis=tuple(other for other in range(3) if other != axis), dtype=np.float64)
        sums[slice(first, first + thick) if axis == 0 else slice(None)] += of_slab
        advance(len(doubt))
    return sums * (len(sums) / (depth * height * width))


def choose_slices(
    doubts: Mapping[str, np.ndarray], known: Mapping[str, Collection[int]], count: int
) -> list[ChosenSlice]:
    """Return up to ``count`` slices of all cases, most useful first, without those that are ``known``.

    ``doubts``: the mean doubt in each slice, by case. It counts in full beyond a certain distance from known and chosen
    slices, half of their distance if they were spread evenly, and proportionally less nearer to them.
    """
    slices = sum(len(profile) for profile in doubts.values())
    apart = slices / (sum(len(set(places)) for places in known.values()) + count) / 2
    taken = {case: set(known.get(case, ())) for case in doubts}
    chosen: list[ChosenSlice] = []
    for _ in range(min(count, slices - sum(map(len, taken.values())))):
        worth = {
            case: (profile + LEAST_DOUBT) * np.minimum(1, _distance(len(profile), taken[case]) / apart)
            for case, profile in doubts.items()
        }
        case = max(worth, key=lambda name: worth[name].max())
        index = int(worth[case].argmax())
        taken[case].add(index)
        chosen.append(ChosenSlice(case, index, float(worth[case][index])))
    return chosen


def _distance(slices: int, taken: Collection[int]) -> np.ndarray:
    """Return how far each of the ``slices`` is from the nearest of those ``taken``; infinite if there is none."""
    if not taken:
        return np.full(slices, np.inf)
    return np.abs(np.arange(slices)[:, None] - np.array(sorted(taken))).min(axis=1).astype(float)
