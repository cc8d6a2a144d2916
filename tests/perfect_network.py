"""What a perfect network would say of a label volume's slices: to test what comes after the network."""

from collections.abc import Iterator

import numpy as np

from planewise.inference.gathering import SliceOutputs
from planewise.models.panoptic_loss import panoptic_targets
from planewise.slices import Plane, as_stack, pad_to_factor


def perfect_outputs(labels: np.ndarray, plane: Plane, scale: int = 1) -> Iterator[SliceOutputs]:
    """Yield the outputs for every slice of ``labels`` (z, y, x), for inputs shrunk by ``scale``."""
    for slice_ in as_stack(labels, plane):
        padded = pad_to_factor(slice_, 16 * scale)
        heatmap, offsets = panoptic_targets(padded)
        cells = (slice(None), slice(None, None, 4 * scale), slice(None, None, 4 * scale))
        yield SliceOutputs(
            np.where(padded > 0, 4.0, -4.0).astype(np.float32),
            np.ascontiguousarray(heatmap[cells][0]),
            np.ascontiguousarray(offsets[cells] / scale),
        )
