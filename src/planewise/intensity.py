"""Intensities: from a volume's own range to what the network was trained on."""

import numpy as np


def full_scale(voxels: np.ndarray) -> float:
    """Return what a volume's intensities are divided by to lie in 0..1, where the model's mean and std are given.

    An integer type's maximum; for real numbers 1 if none exceeds 1, else 255 (as published for MitoNet).
    """
    if voxels.dtype.kind == "b":
        return 1.0
    if voxels.dtype.kind in "ui":
        return float(np.iinfo(voxels.dtype).max)
    return 1.0 if voxels.size == 0 or float(voxels.max()) <= 1 else 255.0


def normalise(slices: np.ndarray, scale: float, mean: float, std: float) -> np.ndarray:
    """Return (slices / scale - mean) / std as float32."""
    factor = np.float32(1 / (scale * std))
    return slices.astype(np.float32) * factor - np.float32(mean / std)
