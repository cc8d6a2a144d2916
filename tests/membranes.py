"""An image with membranes, for tests of contrast."""

import numpy as np
from scipy import ndimage


def membranes(shape=(24, 160, 160), seed=0):
    """Dark sheets in a noisy bright ground, uint8."""
    rng = np.random.default_rng(seed)
    folds = ndimage.gaussian_filter(rng.standard_normal(shape), (4, 9, 9))
    image = np.where(np.abs(folds) < 0.08 * folds.std(), 60.0, 160.0)
    return np.clip(ndimage.gaussian_filter(image, 0.7) + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)
