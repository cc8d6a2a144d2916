"""Voxel-wise scores of foreground against foreground, from the contingency table."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

from planewise.evaluation.overlap import Overlap


def ratio(numerator: float, denominator: float) -> float:
    """Return numerator / denominator, NaN where there is nothing to divide by: the score is not defined then."""
    return numerator / denominator if denominator else float("nan")


def mean_of_defined(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN, NaN if there are none."""
    defined = [value for value in values if not math.isnan(value)]
    return ratio(sum(defined), len(defined))


@dataclass(frozen=True)
class Counts:
    """What was found and is true, found and not true, true and not found."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the prediction that is true, tp / (tp + fp)."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the truth that was found, tp / (tp + fn)."""
        return ratio(self.tp, self.tp + self.fn)


Scores = TypeVar("Scores", bound=Counts)


def pooled(scores: Sequence[Scores]) -> Scores:
    """Return the scores of several volumes, one at least, counted together."""
    return type(scores[0])(*(sum(counts) for counts in zip(*map(astuple, scores))))


@dataclass(frozen=True)
class VoxelScores(Counts):
    """Counts of voxels: in both, in the prediction only, in the truth only.

    Where truth and prediction are both empty every score is NaN: there was nothing to find. Where one is empty, IoU
    and Dice are 0, precision is NaN without a prediction, and recall is NaN without a truth.
    """

    @property
    def iou(self) -> float:
        """Intersection over union, tp / (tp + fp + fn) (Jaccard 1912)."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def dice(self) -> float:
        """2 tp / (2 tp + fp + fn) (Dice 1945, doi:10.2307/1932409)."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def voxel_scores(overlap: Overlap) -> VoxelScores:
    """Score all labels above 0 of the second volume, the prediction, against those of the first, the truth."""
    truth, predicted = overlap.first > 0, overlap.second > 0
    return VoxelScores(
        tp=int(overlap.count[truth & predicted].sum()),
        fp=int(overlap.count[predicted & ~truth].sum()),
        fn=int(overlap.count[truth & ~predicted].sum()),
    )
