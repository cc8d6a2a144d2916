"""What a model's own scores are worth: calibrated on patients that were held out, and stored beside its class tokens.

Platt 1999, "Probabilistic outputs for support vector machines": a logistic curve of the score, one for each class.
"""

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

LEAST = 5  # slices with a class, and without it, fewer of which say nothing of its presence
LARGEST = 30.0  # log odds


class Platt(BaseModel):
    """A share in 0..1 by a score: its log odds are ``offset`` + ``slope`` * score."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slope: float = Field(ge=0, allow_inf_nan=False)
    offset: FiniteFloat

    def log_odds(self, score: float) -> float:
        """Return the log odds at a score; -inf at -inf, whatever the slope: where nothing was asked."""
        return score if score == -math.inf else min(max(self.offset + self.slope * score, -LARGEST), LARGEST)

    def share(self, score: float) -> float:
        """Return the share in 0..1; NaN at NaN."""
        return 1 / (1 + math.exp(-odds)) if (odds := self.log_odds(score)) != -math.inf else 0.0


class ClassReliability(BaseModel):
    """What the scores of a class are worth: the probability that it is in a slice by the object score, and the Dice to
    be expected of its mask, where it is, by the predicted IoU; from so many slices ``with_class`` and ``without``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    presence: Platt
    dice: Platt
    with_class: int
    without: int


def fit(scores: np.ndarray, shares: np.ndarray) -> Platt:
    """Return the curve that makes ``shares`` (n,), in 0..1, likeliest by ``scores`` (n,).

    As Platt does, targets are drawn in by as much as one more of each kind would, so that a score that separates what
    was held out does not become certain. A larger score never means less: a slope below 0 becomes 0.
    """
    sure = shares.sum(), (1 - shares).sum()
    high, low = (sure[0] + 1) / (sure[0] + 2), 1 / (sure[1] + 2)
    targets = low + (high - low) * shares
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / spread, np.ones_like(scores)], axis=1).astype(np.float64)
    found = np.array([0.0, math.log(targets.mean() / (1 - targets.mean()))])
    for _ in range(100):  # Newton's steps of a convex loss in two unknowns
        likely = 1 / (1 + np.exp(-np.clip(design @ found, -LARGEST, LARGEST)))
        curvature = (design * (likely * (1 - likely))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (targets - likely))
        found += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    slope, offset = found.tolist()
    if slope < 0:  # then it says nothing, and all are as likely
        return Platt(slope=0.0, offset=math.log(targets.mean() / (1 - targets.mean())))
    return Platt(slope=slope / spread, offset=offset - slope * centre / spread)


def reliability_of(
    scores: np.ndarray, ious: np.ndarray, there: np.ndarray, dices: np.ndarray
) -> ClassReliability | None:
    """Return what a class's scores are worth, by slices (n,) that were held out; None if they are too few to say.

    ``there``: whether the class is in them; ``dices``: of its mask where it is.
    """
    with_class, without = int(there.sum()), int((~there).sum())
    if min(with_class, without) < LEAST:
        return None
    presence, dice = fit(scores, there.astype(np.float64)), fit(ious[there], dices[there])
    return ClassReliability(presence=presence, dice=dice, with_class=with_class, without=without)
