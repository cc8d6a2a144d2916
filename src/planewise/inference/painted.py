"""Label volumes that are painted when they are read, and never held as a whole."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from planewise.inference.ahead import even_parts, in_threads
from planewise.volumes.labels import label_dtype
from planewise.volumes.machine import machine_cores
from planewise.volumes.volume import ReadWhenIndexed

Corner = tuple[int, int, int]
LEAST_PIXELS = 2**20  # that are worth a thread


class Painted(ReadWhenIndexed, ABC):
    """A volume of labels (z, y, x), 0 to ``count``, in the smallest type that holds them: a ``LazyArray``."""

    shape: tuple[int, int, int]

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of objects; each occurs."""

    @abstractmethod
    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """Write the labels into ``window`` (z, y, x), which is all background and begins at ``corner``."""

    @property
    def dtype(self) -> np.dtype:
        """The type of the labels."""
        return label_dtype(self.count)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the labels at ``index``: whole numbers and slices without steps, or ``...`` for all."""
        given = index if isinstance(index, tuple) else () if index is Ellipsis else (index,)
        spans = [range(side)[part] for side, part in zip(self.shape, (*given, *[slice(None)] * (3 - len(given))))]
        z, y, x = (range(span, span + 1) if isinstance(span, int) else span for span in spans)
        if {z.step, y.step, x.step} != {1}:
            raise ValueError(f"labels are painted at every voxel of a window, not at {index}")
        window = np.zeros((len(z), len(y), len(x)), self.dtype)
        self.paint(window, (z.start, y.start, x.start))
        return window[tuple(0 if isinstance(span, int) else slice(None) for span in spans)]


def by_layers(paint: Callable[[np.ndarray, Corner], None], window: np.ndarray, corner: Corner) -> None:
    """Call ``paint`` for some layers at a time of a ``window`` (z, y, x) that begins at ``corner``, in threads.

    ``paint`` takes the layers and their corner; it must release Python's lock.
    """
    threads = max(1, min(machine_cores(), window.size // LEAST_PIXELS))
    z, y, x = corner

    def paint_part(part: tuple[int, int]) -> None:
        first, stop = part
        paint(window[first:stop], (z + first, y, x))

    list(in_threads(paint_part, even_parts(len(window), threads), threads))


def place_of(window: np.ndarray, corner: Corner) -> tuple[slice, ...]:
    """Return the index, in its volume, of a ``window`` (z, y, x) that begins at ``corner``."""
    return tuple(slice(first, first + side) for first, side in zip(corner, window.shape))
