"""What a model's own scores are worth: calibrated on patients that were held out, and stored beside its class tokens.

Platt 1999, "Probabilistic outputs for support vector machines": a logistic curve of the score, one for each class;
with a prior, since few patients are held out.
"""

import math
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Prior:
    """What a curve is before anything was held out: normal distributions of its slope and offset."""

    slope: float
    slope_sd: float
    offset: float
    offset_sd: float


AS_TRAINED = Prior(1.0, 0.5, 0.0, 1.0)  # of presence: cross entropy made the score a logit, of the training's patients
AS_PREDICTED = Prior(4.0, 4.0, -1.3, 3.0)  # of Dice, which is 2 IoU / (1 + IoU); the head of IoU may be untrained


def fit(scores: np.ndarray, shares: np.ndarray, before: Prior) -> Platt:
    """Return the curve that is likeliest by ``shares`` (n,), in 0..1, at ``scores`` (n,), and by what was known before.

    The likeliest of both (maximum a posteriori), so that a few slices of one patient, which a good score separates,
    make nothing certain. A larger score never means less: a slope below 0 becomes 0.
    """
    design = np.stack([scores, np.ones(len(scores))], axis=1).astype(np.float64)
    prior, held = np.array([before.slope, before.offset]), np.diag(1 / np.square([before.slope_sd, before.offset_sd]))
    found = prior.copy()
    for _ in range(100):  # Newton's steps, held short, of a convex loss in two unknowns
        likely = 1 / (1 + np.exp(-np.clip(design @ found, -LARGEST, LARGEST)))
        curvature = (design * (likely * (1 - likely))[:, None]).T @ design + held
        step = np.linalg.solve(curvature, design.T @ (shares - likely) - held @ (found - prior))
        found += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    if found[0] < 0:  # then the score says nothing, and all are as likely
        return fit(np.zeros_like(scores), shares, replace(before, slope=0.0))
    slope, offset = found.tolist()
    return Platt(slope=slope, offset=offset)


def reliability_of(
    scores: np.ndarray, ious: np.ndarray, there: np.ndarray, dices: np.ndarray
) -> ClassReliability | None:
    """Return what a class's scores are worth, by slices (n,) that were held out; None if they are too few to say.

    ``there``: whether the class is in them; ``dices``: of its mask where it is.
    """
    with_class, without = int(there.sum()), int((~there).sum())
    if min(with_class, without) < LEAST:
        return None
    presence = fit(scores, there.astype(np.float64), AS_TRAINED)
    dice = fit(ious[there], dices[there], AS_PREDICTED)
    return ClassReliability(presence=presence, dice=dice, with_class=with_class, without=without)
