"""The calibration of a model's scores on held-out patients, stored beside its class tokens.

A logistic curve for each class, see ``platt``, whose prior matters, since few patients are held out.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict

from planewise.models.platt import Platt, Prior, fit

LEAST = 5  # slices with a class, and slices without it, that are needed to calibrate its presence


class ClassReliability(BaseModel):
    """The calibration of a class's scores: the object score gives the probability that the class is in a slice; the
    predicted IoU gives the Dice to be expected of its mask where it is. ``with_class``, ``without``: numbers of slices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    presence: Platt
    dice: Platt
    with_class: int
    without: int


AS_TRAINED = Prior(1.0, 0.5, 0.0, 1.0)  # of presence, whose score was trained by cross entropy as a logit
AS_PREDICTED = Prior(4.0, 4.0, -1.3, 3.0)  # of Dice, which is 2 IoU / (1 + IoU); the IoU head may be untrained


def reliability_of(
    scores: np.ndarray, ious: np.ndarray, there: np.ndarray, dices: np.ndarray
) -> ClassReliability | None:
    """Return the calibration of a class's scores from held-out slices (n,); None if there are too few.

    ``there``: whether the class is in them; ``dices``: those of its mask in slices where it is. Slices of which the
    network gave no finite number do not count.
    """
    finite = np.isfinite(scores) & np.isfinite(ious)
    scores, ious, there, dices = (values[finite] for values in (scores, ious, there, dices))
    with_class, without = int(there.sum()), int((~there).sum())
    if min(with_class, without) < LEAST:
        return None
    presence = fit(scores, there.astype(np.float64), AS_TRAINED)
    dice = fit(ious[there], dices[there], AS_PREDICTED)
    return ClassReliability(presence=presence, dice=dice, with_class=with_class, without=without)
