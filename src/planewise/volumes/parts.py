"""Connected parts of masks."""

from typing import Literal

import numpy as np


def connected_parts(mask: np.ndarray, connectivity: Literal[6, 8, 26]) -> np.ndarray:
    """Return the parts of a ``mask`` bool, numbered from 1 without gaps; 0 elsewhere.

    ``connectivity``: 8 in a slice (H, W); 6 or 26 in a volume (z, y, x). cc3d (4.1.1) has a separate algorithm for
    boolean images, which splits some parts of a slice and fails for some volumes of one slice; therefore it is given
    bytes.
    """
    import cc3d

    return cc3d.connected_components(mask.view(np.uint8), connectivity=connectivity)
