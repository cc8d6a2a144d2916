"""How far a patient is from the model's training patients: by the organ's intensities, and by embeddings."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from planewise.inference.encoder import Encoder
from planewise.models.seen_data import SeenData
from planewise.volumes.slices import evenly

SLICES = 16  # slices of a patient that are compared, evenly among those that show enough of the organ
LEAST_SHARE = 0.25  # smallest section of the organ that is compared, as a share of its largest
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FARTHEST_THICKNESS = 1.5  # times above the largest, or below the smallest, distance of slices in the training
LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # Immerkaer 1996, doi:10.1006/cviu.1996.0060
LAPLACE_NORM = 6.0  # root of the sum of its squares
LEAST_INTENSITY_STD, LEAST_EMBEDDING_STD = 0.02, 0.01


@dataclass(frozen=True)
class Novelty:
    """A patient's distance from the training, 1 being the limit: ``intensities``, ``embedding``; and the distances of
    slices in mm, the patient's and those of the training.
    """

    intensities: float
    embedding: float
    thickness_mm: float
    seen_mm: tuple[float, float]

    def warnings(self) -> list[str]:
        """Return what is far from the training, as text; an empty list if nothing is."""
        reasons = [
            f"{what} are {ratio:.2f} times as far from it as the limit"
            for what, ratio in (("intensities", self.intensities), ("embeddings", self.embedding))
            if ratio > 1
        ]
        low, high = self.seen_mm
        if not low / FARTHEST_THICKNESS <= self.thickness_mm <= high * FARTHEST_THICKNESS:
            seen = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            reasons.append(f"slices are {self.thickness_mm:g} mm apart, in the training {seen} mm")
        return reasons


def novelty_of(encoder: Encoder, organ: np.ndarray, thickness_mm: float, seen: SeenData) -> Novelty | None:
    """Return how far the slices of ``encoder``, with ``organ`` (N, H, W), are from what was ``seen``; None without it.

    ``thickness_mm``: from slice to slice.
    """
    if not organ.any():
        return None
    intensities, embedding = features_of(encoder, organ)
    return Novelty(
        seen.intensities.novelty(intensities), seen.embedding.novelty(embedding), thickness_mm, seen.thickness_mm
    )


@torch.inference_mode()
def features_of(encoder: Encoder, organ: np.ndarray, slices: int = SLICES) -> tuple[np.ndarray, np.ndarray]:
    """Return features of intensities and pooled embeddings (slices, F) of some slices that show the ``organ``."""
    chosen = slices_with(organ, slices)
    intensities = np.stack([intensity_features(encoder.images[z], organ[z] > 0) for z in chosen])
    embedding = np.stack([encoder(z)[-1][0].float().mean((1, 2)).cpu().numpy() for z in chosen])
    return intensities, embedding.astype(np.float64)


def slices_with(organ: np.ndarray, count: int) -> list[int]:
    """Return at most ``count`` slices of ``organ`` (N, H, W), evenly among those that show enough of it."""
    area = (organ > 0).sum(axis=(1, 2))
    return evenly(np.flatnonzero(area >= max(1, LEAST_SHARE * area.max())).tolist(), count)


def intensity_features(image: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """Return (6,): quantiles of ``image`` (H, W) uint8 within ``organ``, in 0..1, and the logarithm of its noise.

    Noise is the standard deviation that explains the median response to ``LAPLACE``; texture in less than half of the
    pixels does not change it.
    """
    values = image[organ] / 255
    response = ndimage.convolve(image.astype(np.float32), LAPLACE)[organ]
    noise = 1.4826 * float(np.median(np.abs(response))) / LAPLACE_NORM
    return np.array([*np.quantile(values, QUANTILES), np.log(noise + 0.5)])  # half a grey value, of rounding
