"""The calibration of a model's scores on held-out patients, stored beside its class tokens.

A logistic curve for each class, see ``platt``, whose prior matters, since few patients are held out. A curve of
presence is kept only if it is better than the score itself on patients that it was not fitted to.
"""

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from planewise.models.platt import Platt, Prior, fit

LEAST = 5  # slices with a class, and slices without it, that are needed to calibrate its presence
LEAST_PATIENTS = 3  # calibrated on one patient, scores became worse on others
RAW = Platt(slope=1.0, offset=0.0)  # no curve: the score itself is the logit


class Gain(BaseModel):
    """How much lower the Brier score of curves is than that of the raw score, on patients that they were not fitted to.

    ``mean`` over the patients, and its standard error ``se``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: FiniteFloat
    se: FiniteFloat

    @property
    def is_clear(self) -> bool:
        """Whether the gain is larger than its standard error.

        This is the 1 SE rule (Breiman, Friedman, Olshen and Stone 1984, "Classification and regression trees", section
        3.4.3): of two models take the simpler one, here the raw score, unless the other is better by more than that.
        """
        return self.mean > self.se


class ClassReliability(BaseModel):
    """The calibration of a class's scores: the object score gives the probability that the class is in a slice; the
    predicted IoU gives the Dice to be expected of its mask where it is.

    ``presence`` is ``RAW`` if its curve had no clear ``gain``; None is the gain of files from before it was judged.
    ``with_class``, ``without``: numbers of slices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    presence: Platt
    dice: Platt
    with_class: int
    without: int
    gain: Gain | None = None


AS_TRAINED = Prior(1.0, 0.5, 0.0, 1.0)  # of presence, whose score was trained by cross entropy as a logit
AS_PREDICTED = Prior(4.0, 4.0, -1.3, 3.0)  # of Dice, which is 2 IoU / (1 + IoU); the IoU head may be untrained


def reliability_of(
    scores: np.ndarray, ious: np.ndarray, there: np.ndarray, dices: np.ndarray, patients: np.ndarray
) -> ClassReliability | None:
    """Return the calibration of a class's scores from held-out slices (n,); None if there are too few, or of too few
    patients.

    ``there``: whether the class is in them; ``dices``: those of its mask in slices where it is; ``patients``: the
    number of the patient that each is of. Slices of which the network gave no finite number do not count.
    """
    finite = np.isfinite(scores) & np.isfinite(ious)
    scores, ious, there, dices, patients = (values[finite] for values in (scores, ious, there, dices, patients))
    with_class, without = int(there.sum()), int((~there).sum())
    if min(with_class, without) < LEAST or len(np.unique(patients)) < LEAST_PATIENTS:
        return None
    gain = gain_of_curves(scores, there, patients)
    presence = presence_curve(scores, there) if gain.is_clear else RAW
    dice = fit(ious[there], dices[there], AS_PREDICTED)
    return ClassReliability(presence=presence, dice=dice, with_class=with_class, without=without, gain=gain)


def presence_curve(scores: np.ndarray, there: np.ndarray) -> Platt:
    """Return the curve of presence, ``there`` (n,) bool, against object ``scores`` (n,)."""
    return fit(scores, there.astype(np.float64), AS_TRAINED)


def gain_of_curves(scores: np.ndarray, there: np.ndarray, patients: np.ndarray) -> Gain:
    """Return the gain of curves of presence, by cross-validation over the ``patients`` (n,), of which it needs two.

    Each patient is left out in turn, and a curve is fitted to the others. Its gain is the difference of two Brier
    scores (Brier 1950, the mean squared difference of probability and truth) over the patient's slices, that of the raw
    score minus that of the curve. The slices and scans of a patient are alike, so patients are the unit of the mean and
    its standard error.
    """
    gains = []
    for patient in np.unique(patients):
        left_out = patients == patient
        curve = presence_curve(scores[~left_out], there[~left_out])
        raw, fitted = (brier(known, scores[left_out], there[left_out]) for known in (RAW, curve))
        gains.append(raw - fitted)
    return Gain(mean=float(np.mean(gains)), se=float(np.std(gains, ddof=1)) / math.sqrt(len(gains)))


def brier(curve: Platt, scores: np.ndarray, there: np.ndarray) -> float:
    """Return the Brier score of the curve's probabilities at ``scores`` (n,), of what is ``there`` (n,) bool."""
    return float(np.mean((np.array([curve.share(score) for score in scores.tolist()]) - there) ** 2))
