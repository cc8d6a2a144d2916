"""Planes of a volume, and the padding and shrinking of slices, each with its inverse.

::

    volume (z, y, x)         xy: slices along z, (y, x)
                             xz: slices along y, (z, x)
                             yz: slices along x, (z, y)
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np

T = TypeVar("T")
Plane = Literal["xy", "xz", "yz"]
PLANES: tuple[Plane, ...] = get_args(Plane)
AXIS: dict[Plane, int] = {"xy": 0, "xz": 1, "yz": 2}  # along which a plane's slices are stacked
TURNED, TURNED_BYTES = 64, 2**26  # slices of yz that are copied together: those that a cache line holds, if they fit


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Return ``count`` of the items, the first and the last among them, at even distances; all if there are fewer."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[i] for i in chosen]


def as_stack(volume: np.ndarray, plane: Plane) -> np.ndarray:
    """Return a view of ``volume`` (z, y, x) with the plane's slices along axis 0: (slices, rows, columns)."""
    return np.moveaxis(volume, AXIS[plane], 0)


def from_stack(stack: np.ndarray, plane: Plane) -> np.ndarray:
    """Return a view of a plane's ``stack`` as a volume (z, y, x): the inverse of ``as_stack``."""
    return np.moveaxis(stack, 0, AXIS[plane])


def in_batches(volume: np.ndarray, plane: Plane, size: int) -> Iterator[np.ndarray]:
    """Yield the plane's slices of ``volume`` (z, y, x) in batches (``size``, rows, columns), contiguous in memory.

    The last may have fewer. Neighbouring slices of yz share cache lines, so many of them are copied together, one
    layer of z after the other; copied batch by batch, they take several times as long.
    """
    stack = as_stack(volume, plane)
    if plane != "yz":
        for start in range(0, len(stack), size):
            yield np.ascontiguousarray(stack[start : start + size])
        return
    fitting = min(TURNED, TURNED_BYTES // max(1, stack[:1].nbytes))
    together = max(1, fitting // size) * size
    for start in range(0, len(stack), together):
        part = stack[start : start + together]
        turned = np.empty(part.shape, part.dtype)
        for z in range(part.shape[1]):
            turned[:, z] = part[:, z]
        for first in range(0, len(part), size):
            yield turned[first : first + size]


def pad_to_factor(slices: np.ndarray, factor: int) -> np.ndarray:
    """Pad the last two axes with zeros at their end to multiples of ``factor``; ``crop`` is the inverse."""
    height, width = slices.shape[-2:]
    widths = [(0, 0)] * (slices.ndim - 2) + [(0, -height % factor), (0, -width % factor)]
    return np.pad(slices, widths) if any(after for _, after in widths) else slices


def crop(slices: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the first ``height`` rows and ``width`` columns: the inverse of padding at the end."""
    return slices[..., :height, :width]


def shrink(slices: np.ndarray, factor: int) -> np.ndarray:
    """Average ``factor`` x ``factor`` pixels of (n, H, W) into one: pixel i of the result covers i * factor onwards.

    Sides that are no multiple are first continued by their last pixel, so the result's sides are rounded up, and
    ``crop`` of the result enlarged by ``factor`` has the original's shape. Returns float32.
    """
    count, height, width = slices.shape
    slices = np.pad(slices, [(0, 0), (0, -height % factor), (0, -width % factor)], mode="edge")
    total = np.zeros((count, slices.shape[1] // factor, slices.shape[2] // factor), np.float32)
    for row in range(factor):  # several times as fast as a mean over two short axes
        for column in range(factor):
            total += slices[:, row::factor, column::factor]
    return total / np.float32(factor**2)
