"""The slab of a case that is kept for validation if there are too few cases to keep a whole one."""

from dataclasses import dataclass

import numpy as np

from planewise.progress import say

VALIDATION_SHARE = 0.2  # of an axis, in such a slab
GAP_SHARE = 0.05  # of an axis, between the slab and the training part


@dataclass(frozen=True)
class Slab:
    """A part of a volume (z, y, x) that is kept for validation: ``length`` voxels at an end of an axis.

    Beyond ``gap`` voxels the rest is trained on, so that neighbours are not on both sides.
    """

    shape: tuple[int, ...]
    axis: int
    length: int
    gap: int
    at_end: bool

    @property
    def validation(self) -> tuple[slice, ...]:
        """The index of the part to validate on."""
        side = self.shape[self.axis]
        return self._along(slice(side - self.length, side) if self.at_end else slice(0, self.length))

    @property
    def training(self) -> tuple[slice, ...]:
        """The index of the part to train on."""
        side, first = self.shape[self.axis], self.length + self.gap
        return self._along(slice(0, side - first) if self.at_end else slice(first, side))

    def _along(self, part: slice) -> tuple[slice, ...]:
        return tuple(part if axis == self.axis else slice(None) for axis in range(len(self.shape)))

    def __str__(self) -> str:
        part = self.validation[self.axis]
        return f"{'zyx'[self.axis]} {part.start} to {part.stop - 1} of {self.shape[self.axis]}"


def split_slab(labels: np.ndarray, name: str) -> Slab | None:
    """Return the slab of a case, with instance ids ``labels`` (z, y, x), that is kept for validation.

    It is the last fifth of the longest axis or, if that holds no object or all of them, the first end of an axis,
    longest axis first, with objects on both sides; else an end without objects. None, with a message, if no end leaves
    objects to train on.
    """
    ends = []
    for axis in sorted(range(labels.ndim), key=lambda axis: -labels.shape[axis]):
        length = labels.shape[axis]
        held, gap = max(1, round(length * VALIDATION_SHARE)), max(1, round(length * GAP_SHARE))
        if length - held - gap >= 1:
            ends += [Slab(labels.shape, axis, held, gap, at_end) for at_end in (True, False)]
    trainable = [slab for slab in ends if (labels[slab.training] > 0).any()]
    for slab in trainable:
        if (labels[slab.validation] > 0).any():
            return slab
    if not trainable:
        say(f"{name}: no slab is kept for validation: of shape {labels.shape}, none leaves an object to train on")
    return trainable[0] if trainable else None
