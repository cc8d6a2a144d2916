"""Classes without objects: the planes' probabilities are averaged, and give the class of each voxel.

Averaging probabilities uses what voting loses: the certainty of each plane. All probabilities are held in memory.
"""

from collections.abc import Iterable

import numpy as np

from planewise.inference.gathering import SliceOutputs
from planewise.volumes.labels import label_dtype
from planewise.volumes.slices import AXIS, Plane, as_stack, crop

PROBABILITY = np.dtype(np.float16)  # sums up to 3, exact to three digits


def averaging_bytes(voxels: int, classes: int) -> int:
    """Return the bytes that averaging holds for so many voxels and classes; background has a probability too."""
    return voxels * ((1 + classes) * PROBABILITY.itemsize + 1)


def averaged_classes(
    planes: Iterable[tuple[Plane, Iterable[SliceOutputs]]], shape: tuple[int, int, int], classes: int, confidence: float
) -> np.ndarray:
    """Return the class of each voxel of a volume of ``shape`` (z, y, x), 1 to ``classes``; 0 is background.

    ``planes``: the slices' outputs of each, in order, whose logits (1 + classes, H, W) begin with background's. A voxel
    is foreground if the probability of all classes together is at least ``confidence``, and then has the likeliest
    class.
    """
    sums = np.zeros((1 + classes, *shape), PROBABILITY)
    count = 0
    for plane, outputs in planes:
        height, width = (side for axis, side in enumerate(shape) if axis != AXIS[plane])
        stacks = [as_stack(of_class, plane) for of_class in sums]
        for index, output in enumerate(outputs):
            for stack, probability in zip(stacks, _softmax(crop(output.logits, height, width))):
                stack[index] += probability.astype(PROBABILITY)
        count += 1
    labels = np.empty(shape, label_dtype(classes))
    for z in range(shape[0]):
        foreground = sums[0, z] <= PROBABILITY.type(count * (1 - confidence))
        labels[z] = np.where(foreground, 1 + sums[1:, z].argmax(axis=0), 0)
    return labels


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=0))
    return np.asarray(shifted / shifted.sum(axis=0))
