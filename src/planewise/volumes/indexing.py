"""Which part of an array on disk an index needs, and whether that part fits in memory."""

import math
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.machine import machine_memory

Part = int | slice


def split_index(index: Any, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[Part, ...]]:
    """Return forward slices of the part of an array that ``index`` needs, and the index into that part.

    An index may have integers, slices and ``...``. Raises IndexError for others, and beyond the array.
    """
    parts = expanded(index, len(shape))
    needed: list[slice] = []
    within: list[Part] = []
    for part, side in zip(parts, shape):
        if isinstance(part, slice):
            steps = range(side)[part]
            backwards = steps.step < 0
            steps = steps[::-1] if backwards else steps
            needed.append(slice(steps[0], steps[-1] + 1, steps.step) if steps else slice(0, 0))
            within.append(slice(None, None, -1 if backwards else 1))
        elif isinstance(part, int | np.integer):
            place = range(side)[part]
            needed.append(slice(place, place + 1))
            within.append(0)
        else:
            raise IndexError(f"{part!r} is no whole number and no slice")
    return tuple(needed), tuple(within)


def expanded(index: Any, axes: int) -> list[Any]:
    """Return an index expanded to one part for each of ``axes`` axes. Raises IndexError if it has more."""
    parts = list(index) if isinstance(index, tuple) else [index]
    gap = next((place for place, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[gap : gap + 1] = [slice(None)] * (axes - len(parts) + (gap < len(parts)))
    if len(parts) != axes:
        raise IndexError(f"{index} has more parts than {axes} axes")
    return parts


def check_memory(shape: tuple[int, ...], dtype: np.dtype, index: Any = ...) -> None:
    """Raise PlanewiseError if reading ``index`` of an array needs more than the memory of this machine."""
    sides = [len(range(side)[part]) for part, side in zip(split_index(index, shape)[0], shape)]
    size, memory = math.prod(sides) * np.dtype(dtype).itemsize, machine_memory()
    if size > memory:
        raise PlanewiseError(
            f"{' x '.join(map(str, sides))} voxels of {dtype} do not fit in memory: "
            f"they are {size / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB"
        )
