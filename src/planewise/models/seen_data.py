"""Statistics of a model's training data, to compare another scan with; stored beside its class tokens."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

PERCENTILE = 99.0  # of held-out slices' distances; a patient is far if the median slice lies beyond it


class Spread(BaseModel):
    """Mean and standard deviation of features of slices, and the distance beyond which a patient is far (``limit``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: list[FiniteFloat]
    std: list[Annotated[FiniteFloat, Field(gt=0)]]
    limit: FiniteFloat = Field(gt=0)

    @model_validator(mode="after")
    def _of_one_length(self) -> "Spread":
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(f"a mean of {len(self.mean)} features and a spread of {len(self.std)} do not fit")
        return self

    def novelty(self, features: np.ndarray) -> float:
        """Return the distance of a patient's median slice in units of the limit; ``features`` (slices, F)."""
        return float(np.median(distances(features, np.array(self.mean), np.array(self.std)))) / self.limit


class SeenData(BaseModel):
    """The ``patients`` that a model was trained on: intensities of the organ, embeddings, and the smallest and largest
    distance between slices in mm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    patients: int
    intensities: Spread
    embedding: Spread
    thickness_mm: tuple[FiniteFloat, FiniteFloat]


def distances(features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the Mahalanobis distance of slices (slices, F), with a diagonal covariance, divided by the root of F.

    Slices of the training data thus have a distance of about 1, however many features there are.
    """
    return np.sqrt((((features - mean) / std) ** 2).mean(axis=1))


def spread_of(trained_on: list[np.ndarray], held_out: list[np.ndarray], least_std: float) -> Spread | None:
    """Return the spread of patients' slices (slices, F); None if there are too few patients to set the limit.

    The limit comes from the distances of held-out slices, and of each training patient's slices by the spread of the
    other patients. ``least_std``: smallest standard deviation; a feature that varies by less has this one.
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
