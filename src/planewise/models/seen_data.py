"""Statistics of a model's training data, to compare another scan with; stored beside its class tokens."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

PERCENTILE = 99.0  # of the distances of slices that were held out; a patient is far whose median slice is farther


class Spread(BaseModel):
    """Mean and standard deviation of features of slices, and the distance beyond which a patient is far (``limit``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: list[FiniteFloat]
    std: list[Annotated[FiniteFloat, Field(gt=0)]]
    limit: FiniteFloat = Field(gt=0)

    @model_validator(mode="after")
    def _of_one_length(self) -> "Spread":
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(f"a mean of {len(self.mean)} features and a spread of {len(self.std)} do not belong")
        return self

    def novelty(self, features: np.ndarray) -> float:
        """Return how far the median of a patient's slices, ``features`` (slices, F), lies, in units of the limit."""
        return float(np.median(distances(features, np.array(self.mean), np.array(self.std)))) / self.limit


class SeenData(BaseModel):
    """The ``patients`` that a model was trained on: intensities of the organ, embeddings, and slices' distances in mm,
    smallest and largest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    patients: int
    intensities: Spread
    embedding: Spread
    thickness_mm: tuple[FiniteFloat, FiniteFloat]


def distances(features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return how far slices (slices, F) lie: Mahalanobis' distance with a diagonal covariance, over the root of F.

    Slices of the training itself are thus about 1 away, however many features there are.
    """
    return np.sqrt((((features - mean) / std) ** 2).mean(axis=1))


def spread_of(trained_on: list[np.ndarray], held_out: list[np.ndarray], least_std: float) -> Spread | None:
    """Return the spread of patients' slices (slices, F); None if no patient was left to say how far one may be.

    The limit is that of the slices that were held out, and of each training patient's by the spread of the others.
    ``least_std``: a feature that varies by less is not looked at more closely.
    """

    def moments(patients: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        features = np.concatenate(patients)
        return features.mean(axis=0), np.maximum(features.std(axis=0), least_std)

    far = [distances(slices, *moments(trained_on)) for slices in held_out]
    if len(trained_on) > 1:
        for place, slices in enumerate(trained_on):
            far.append(distances(slices, *moments(trained_on[:place] + trained_on[place + 1 :])))
    if not far:
        return None
    mean, std = moments(trained_on)
    limit = max(float(np.percentile(np.concatenate(far), PERCENTILE)), 1.0)
    return Spread(mean=mean.tolist(), std=std.tolist(), limit=limit)
