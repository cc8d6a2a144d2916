"""A slab: consecutive slices of a plane, grouped into objects without the rest of the volume.

The median across slices sees filtered slices behind it and unfiltered ones ahead, and it is one of bits: see
``gathering.median_filter``. So all that slabs hand over to each other is a few slices of bits: the filtered ones before
a slab, the plain ones after it.

::

    slab k - 1 ... f f | p p p p p p p | p p ... slab k + 1       f filtered, p as predicted, kernel 5
                   before               after
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np

from planewise.inference.gathering import (
    GroupingOptions,
    SliceOutputs,
    SliceParts,
    group_parts,
    majority,
    slice_parts,
)
from planewise.inference.grouping import least_logit
from planewise.inference.linking import Chain, make_chain
from planewise.inference.runs import Runs, SliceObjects, shared_pixels


@dataclass(frozen=True)
class SlabOutputs:
    """What the network says of a slab, as much as grouping needs.

    ``foreground`` (slices, H, ceil(W / 8)) uint8: bits along the rows; ``centres``: of each slice, (n, 2) int64;
    ``offsets`` (slices, 2, h, w) float32 on the coarse grid; ``width``: W.
    """

    foreground: np.ndarray
    centres: list[np.ndarray]
    offsets: np.ndarray
    width: int


@dataclass(frozen=True)
class SlabObjects:
    """The objects of a slab: their sizes, boxes and overlaps, and the runs that its neighbours need.

    ``chain``: with slices counted from the slab's first; ``first``, ``last``: the runs of its first and last slice.
    """

    chain: Chain
    first: Runs
    last: Runs


@dataclass(frozen=True)
class SlabRuns:
    """The runs of a slab's slices: what its objects look like.

    ``row_starts`` (slices, rows + 1) int64: the first run of each row of each slice; ``start``, ``stop`` (runs,) uint16
    where they fit, else int32: columns, half open; ``component`` (runs,) int32, through the slab from 0.
    """

    row_starts: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    component: np.ndarray


def slab_outputs(outputs: Iterable[SliceOutputs], height: int, width: int, options: GroupingOptions) -> SlabOutputs:
    """Return a slab's outputs, of slices of ``height`` x ``width``; the logits are let go one by one."""
    least = least_logit(options.confidence)
    parts = [slice_parts(output, height, width, least, options) for output in outputs]
    return SlabOutputs(
        np.stack([slice_.foreground for slice_ in parts]),
        [slice_.centres for slice_ in parts],
        np.stack([slice_.offsets for slice_ in parts]),
        width,
    )


def filter_slab(
    foreground: np.ndarray, start: int, slices: int, before: np.ndarray, after: np.ndarray, kernel: int
) -> np.ndarray:
    """Return the median across slices of a slab's bits, as ``gathering.median_filter`` does for a whole stack.

    ``foreground`` (n, H, bytes) of the slices from ``start`` of a stack of ``slices``; ``before``: the filtered
    slices right before it and ``after``: the plain ones right after it, ``kernel // 2`` of each, or all that there are.
    """
    half = kernel // 2
    stack = np.concatenate([before, foreground, after])
    if slices >= kernel:
        for place in range(len(before), len(before) + len(foreground)):
            index = start + place - len(before)
            if half <= index < slices - half:
                stack[place] = majority(stack[place - half : place + half + 1])
    return stack[len(before) : len(before) + len(foreground)]


def group_slab(outputs: SlabOutputs, filtered: np.ndarray, options: GroupingOptions) -> list[list[SliceObjects]]:
    """Return the connected objects of a slab's slices, of each class; ``filtered``: see ``filter_slab``."""
    slices = [
        group_parts(SliceParts(bits, outputs.width, centres, offsets), options)
        for bits, centres, offsets in zip(filtered, outputs.centres, outputs.offsets)
    ]
    return [list(of_class) for of_class in zip(*slices)]


def slab_objects(slices: list[SliceObjects]) -> SlabObjects:
    """Return what linking needs of a slab's slices."""
    return SlabObjects(make_chain(slices), slices[0].runs, slices[-1].runs)


def join_slabs(slabs: list[SlabObjects]) -> Chain:
    """Return the chain of a whole stack from those of its slabs, in order."""
    components = np.cumsum([0, *(len(slab.chain.sizes) for slab in slabs)])
    depths = np.cumsum([0, *(len(slab.chain.starts) - 1 for slab in slabs)])
    starts, counts, pairs, boxes = [np.zeros(1, np.int64)], [], [], []
    for place, slab in enumerate(slabs):
        chain, offset = slab.chain, components[place]
        if place:  # between the slabs
            above, below = slabs[place - 1], slab
            first, second, shared = shared_pixels(above.last, below.first)
            first_of_last = components[place - 1] + above.chain.starts[-2]
            counts.append(np.array([len(first)]))
            pairs.append(np.stack([first - 1 + first_of_last, second - 1 + offset, shared]))
        starts.append(chain.starts[1:] + offset)
        counts.append(np.diff(chain.pair_starts))
        pairs.append(np.stack([chain.first + offset, chain.second + offset, chain.count]))
        boxes.append(chain.boxes + np.array([depths[place], 0, 0, depths[place], 0, 0]))
    first, second, count = np.concatenate(pairs, axis=1)
    return Chain(
        starts=np.concatenate(starts),
        sizes=np.concatenate([slab.chain.sizes for slab in slabs]),
        boxes=np.concatenate(boxes),
        pair_starts=np.concatenate([[0], np.concatenate(counts).cumsum()]),
        first=first,
        second=second,
        count=count,
    )


def slab_runs(slices: list[SliceObjects], columns: int) -> SlabRuns:
    """Return the runs of a slab, whose slices are ``columns`` wide, in one array of each kind."""
    column = np.uint16 if columns < 2**16 else np.int32
    first_run = np.cumsum([0, *(len(objects.runs.label) for objects in slices)], dtype=np.int64)
    first_component = np.cumsum([0, *(len(objects.sizes) for objects in slices)])
    return SlabRuns(
        np.stack([objects.runs.row_starts + first for objects, first in zip(slices, first_run)]),
        np.concatenate([objects.runs.start for objects in slices]).astype(column),
        np.concatenate([objects.runs.stop for objects in slices]).astype(column),
        np.concatenate([objects.runs.label - 1 + np.int32(first) for objects, first in zip(slices, first_component)]),
    )


def runs_in_window(
    runs: SlabRuns, labels: np.ndarray, corner: tuple[int, int, int], shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what a slab's runs are in a window of it: row_starts, start, stop and label as of ``PlaneObjects``.

    ``labels`` (components,) int32 of the slab's; ``corner``: where the window begins, (slice, row, column) of the slab;
    ``shape``: its slices, rows and columns. Columns are counted from the window's first.
    """
    return _runs_in_window(runs.row_starts, runs.start, runs.stop, runs.component, labels, *corner, *shape)


@numba.njit(nogil=True, cache=True)
def _runs_in_window(
    row_starts: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    component: np.ndarray,
    labels: np.ndarray,
    first: int,
    top: int,
    left: int,
    slices: int,
    rows: int,
    columns: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    most = 0
    for index in range(first, first + slices):
        most += row_starts[index, top + rows] - row_starts[index, top]
    slab_starts = np.empty((slices, rows + 1), np.int64)
    slab_start, slab_stop = np.empty(most, start.dtype), np.empty(most, stop.dtype)
    slab_label = np.empty(most, np.int32)
    count = 0
    for index in range(slices):
        slab_starts[index, 0] = count
        for row in range(rows):
            for run in range(row_starts[first + index, top + row], row_starts[first + index, top + row + 1]):
                begin, end = max(start[run] - left, 0), min(stop[run] - left, columns)
                label = labels[component[run]]
                if begin < end and label > 0:
                    slab_start[count], slab_stop[count], slab_label[count] = begin, end, label
                    count += 1
            slab_starts[index, row + 1] = count
    return slab_starts, slab_start[:count], slab_stop[:count], slab_label[:count]
