"""Which slices to paint next: those that stand for most of what the planes of a prediction disagree on.

The share p of the planes that have an object at a voxel says how likely foreground is there, p (1 - p) how far they
disagree; a voxel's doubt is their product. A painted slice tells of its neighbours too, the less the further they are:
slices are chosen one by one, each as the one that tells most of the doubt that is left. So they spread, and evenly
where all is in equal doubt. (The objective is that of facility location, for which a greedy choice reaches 63 % of the
best at least: Nemhauser et al. 1978, doi:10.1007/BF01588971.)
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planewise.volumes.slices import AXIS, Plane
from planewise.volumes.volume import SLAB_BYTES, LazyArray

LEAST_DOUBT = 1e-9  # of any voxel, so that slices spread where there is none


@dataclass(frozen=True)
class ChosenSlice:
    """A slice of a ``case``; ``share``: of all doubt, what it tells beside those chosen before."""

    case: str
    index: int
    share: float


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
    """Return up to ``count`` slices of all cases, the most telling first; none of those that are ``known``.

    ``doubts``: the mean doubt in each slice, by case. A slice tells of those nearer than the distance that all known
    and chosen ones would have if they were spread evenly, of each the less the further it is.
    """
    slices = sum(len(profile) for profile in doubts.values())
    reach = max(1.0, slices / (sum(len(set(places)) for places in known.values()) + count))
    weight = {case: profile + LEAST_DOUBT for case, profile in doubts.items()}
    whole = sum(float(profile.sum()) for profile in weight.values())
    told = {case: np.zeros(len(profile)) for case, profile in doubts.items()}  # 0 to 1, of each slice
    free = {case: np.ones(len(profile), bool) for case, profile in doubts.items()}
    for case, places in known.items():
        for index in places:
            told[case] = np.maximum(told[case], _tells(index, len(told[case]), reach))
            free[case][index] = False
    chosen: list[ChosenSlice] = []
    for _ in range(min(count, sum(int(of.sum()) for of in free.values()))):
        case, index, gain = max(
            (_best(case, weight[case], told[case], free[case], reach) for case in doubts), key=lambda best: best[2]
        )
        told[case] = np.maximum(told[case], _tells(index, len(told[case]), reach))
        free[case][index] = False
        chosen.append(ChosenSlice(case, index, gain / whole))
    return chosen


def _tells(index: int, slices: int, reach: float) -> np.ndarray:
    """Return how much slice ``index`` tells of each of the ``slices``: of itself all, at ``reach`` nothing."""
    return np.maximum(0.0, 1 - np.abs(np.arange(slices) - index) / reach)


def _best(case: str, weight: np.ndarray, told: np.ndarray, free: np.ndarray, reach: float) -> tuple[str, int, float]:
    """Return the case, its slice that tells most, of equals the least known, and how much; -1 if none is free."""
    gains = np.array([
        (weight * np.maximum(0.0, _tells(index, len(weight), reach) - told)).sum() if free[index] else -1.0
        for index in range(len(weight))
    ])  # fmt: skip
    equal = np.flatnonzero(gains >= gains.max() * (1 - 1e-9))
    index = int(equal[np.argmin(told[equal])]) if len(equal) else int(gains.argmax())
    return case, index, float(gains[index])
