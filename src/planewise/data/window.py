"""CT windows: the range of HU shown from black to white."""

import numpy as np


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
