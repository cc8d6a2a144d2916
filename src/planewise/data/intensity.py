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


def apply_window(voxels: np.ndarray, level: float, width: float) -> np.ndarray:
    """Return intensities from level - width/2 (black, 0) to level + width/2 (white, 255), as uint8.

    Scaled by the window's bounds, never by the data's, so that contrast is the same in every volume.
    """
    low = level - width / 2
    return np.clip(np.rint((voxels.astype(np.float32) - low) * (255 / width)), 0, 255).astype(np.uint8)


def saturated_share(voxels: np.ndarray, level: float, width: float) -> float:
    """Return the share of ``voxels`` that the window makes black or white; NaN if there are none."""
    if voxels.size == 0:
        return float("nan")
    return float(np.mean((voxels <= level - width / 2) | (voxels >= level + width / 2)))
