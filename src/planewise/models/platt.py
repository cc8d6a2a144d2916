"""A logistic curve that turns a score into a probability.

Platt 1999, "Probabilistic outputs for support vector machines"; with a prior, since there are few held-out data.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

LARGEST = 30.0  # log odds


class Platt(BaseModel):
    """A share in 0..1 as a function of a score: its log odds are ``offset`` + ``slope`` * score."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slope: float = Field(ge=0, allow_inf_nan=False)
    offset: FiniteFloat

    def log_odds(self, score: float) -> float:
        """Return the log odds at a score; -inf at -inf, whatever the slope: such a score means that there is none."""
        return score if score == -math.inf else min(max(self.offset + self.slope * score, -LARGEST), LARGEST)

    def share(self, score: float) -> float:
        """Return the share in 0..1; NaN at NaN."""
        return 1 / (1 + math.exp(-odds)) if (odds := self.log_odds(score)) != -math.inf else 0.0


@dataclass(frozen=True)
class Prior:
    """The prior of a curve, before any held-out data: normal distributions of its slope and offset."""

    slope: float
    slope_sd: float
    offset: float
    offset_sd: float  # infinite: nothing is known of it


def fit(scores: np.ndarray, shares: np.ndarray, before: Prior, weights: np.ndarray | None = None) -> Platt:
    """Return the likeliest curve for ``shares`` (n,), in 0..1, at ``scores`` (n,), given the prior.

    It maximises the posterior, so that a few scores that separate perfectly do not give certainty. The curve never
    falls: a slope below 0 becomes 0. ``weights`` (n,): how much each share counts; None: 1.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    design = np.stack([scores, np.ones(len(scores))], axis=1).astype(np.float64)
    prior, held = np.array([before.slope, before.offset]), np.diag(1 / np.square([before.slope_sd, before.offset_sd]))
    fitted = prior.copy()
    for _ in range(100):  # Newton's method with limited steps, for a convex loss in two unknowns
        likely = 1 / (1 + np.exp(-np.clip(design @ fitted, -LARGEST, LARGEST)))
        curvature = (design * (weights * likely * (1 - likely))[:, None]).T @ design + held
        step = np.linalg.solve(curvature, design.T @ (weights * (shares - likely)) - held @ (fitted - prior))
        fitted += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    if fitted[0] < 0:  # then the score says nothing, and the curve is constant
        return fit(np.zeros_like(scores), shares, replace(before, slope=0.0), weights)
    slope, offset = fitted.tolist()
    return Platt(slope=slope, offset=offset)
