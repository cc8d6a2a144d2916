"""Connected parts of masks."""

from typing import Literal

import numpy as np


def connected_parts(mask: np.ndarray, connectivity: Literal[6, 8, 26]) -> np.ndarray:
    """Return the parts of a ``mask`` bool, numbered from 1 without gaps; 0 elsewhere.

    ``connectivity``: 8 in a slice (H, W); 6 or 26 in a volume (z, y, x).
    cc3d (4.1.1) takes another way for boolean images, in which some parts of a slice fall into pieces, and which breaks
    off at some volumes of one slice; so it is given bytes.
    """
    import cc3d

    return cc3d.connected_components(mask.view(np.uint8), connectivity=connectivity)
