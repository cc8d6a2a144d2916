"""One plane: from the network's outputs, slice by slice, to 3D objects."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numba
import numpy as np

from planewise.evaluation.overlap import overlap_table
from planewise.inference.grouping import SliceObjects, group_slice, least_logit
from planewise.inference.linking import ChainBuilder, PlaneObjects, plane_objects
from planewise.slices import Plane, as_stack, crop

WRITE_SLICES = 16  # slices written to the volume at once: across the x axis single ones would thrash the cache


@dataclass(frozen=True)
class SliceOutputs:
    """What the network says of one slice.

    ``logits`` (H, W) float32, at least as large as the slice; ``heatmap`` (h, w) and ``offsets`` (2, h, w) float32
    on the coarse grid, (dy, dx) in pixels of the network's input.
    """

    logits: np.ndarray
    heatmap: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class GroupingOptions:
    """How slices become objects; the defaults are the published ones."""

    confidence: float = 0.5  # least probability of foreground
    centre_threshold: float = 0.1  # least height of a centre in the heatmap
    centre_kernel: int = 3  # cells; a centre is the maximum of this neighbourhood
    median_kernel: int = 3  # slices; odd
    scale: int = 1  # by which the network's input was shrunk
    min_size: int = 500  # voxels
    min_extent: int = 5  # voxels


def median_filter(outputs: Iterable[SliceOutputs], kernel: int) -> Iterator[SliceOutputs]:
    """Replace every slice's logits by the median over the ``kernel`` slices around it.

    The result is stored back: later medians see filtered slices. The first and last ``kernel // 2`` slices pass as
    they are, so does a stack of fewer than ``kernel``. (A median of logits is the logit of the median.)
    """
    half = kernel // 2
    window: deque[SliceOutputs] = deque()
    for index, output in enumerate(outputs):
        window.append(output)
        if len(window) == kernel:
            stack = [np.ascontiguousarray(item.logits, dtype=np.float32) for item in window]
            middle = window[half]
            window[half] = SliceOutputs(_median(tuple(stack)), middle.heatmap, middle.offsets)
            yield window[half]
            window.popleft()
        elif index < half:
            yield output
    yield from list(window)[min(half, len(window)) :]  # those before have been yielded


@numba.njit(nogil=True, cache=True)
def _median(stack: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the pixel-wise median of an odd number of (H, W) float32 slices."""
    height, width = stack[0].shape
    result = np.empty((height, width), np.float32)
    count = len(stack)
    values = np.empty(count, np.float32)
    for y in range(height):
        for x in range(width):
            if count == 3:
                a, b, c = stack[0][y, x], stack[1][y, x], stack[2][y, x]
                result[y, x] = max(min(a, b), min(max(a, b), c))
                continue
            for k in range(count):
                value = stack[k][y, x]
                place = k
                while place > 0 and values[place - 1] > value:
                    values[place] = values[place - 1]
                    place -= 1
                values[place] = value
            result[y, x] = values[count // 2]
    return result


def gather_plane(
    outputs: Iterable[SliceOutputs], shape: tuple[int, int, int], plane: Plane, options: GroupingOptions
) -> PlaneObjects:
    """Return the linked and filtered objects of a volume of ``shape`` (z, y, x) from its plane's slices, in order."""
    height, width = (side for axis, side in zip("zyx", shape) if axis in ("zy" if plane == "yz" else plane))
    least = least_logit(options.confidence)

    def objects() -> Iterator[SliceObjects]:
        for output in median_filter(outputs, options.median_kernel):
            yield group_slice(
                crop(output.logits, height, width), output.heatmap, output.offsets,
                options.scale, least, options.centre_threshold, options.centre_kernel,
            )  # fmt: skip

    return gather_objects(objects(), shape, plane, options.min_size, options.min_extent)


def gather_objects(
    objects: Iterable[SliceObjects], shape: tuple[int, int, int], plane: Plane, min_size: int, min_extent: int
) -> PlaneObjects:
    """Link the objects of a plane's slices, in order, and drop small ones; see ``linking.plane_objects``."""
    components = np.zeros(shape, np.int32)
    stack = as_stack(components, plane)
    pending = np.zeros((min(WRITE_SLICES, len(stack)), *stack.shape[1:]), np.int32)
    builder = ChainBuilder()
    before: SliceObjects | None = None
    index = 0
    for current in objects:
        overlap = None if before is None else overlap_table(before.labels, current.labels)
        start = builder.add(current, overlap)
        _offset_labels(current.labels, start, pending[index % len(pending)])
        before = current
        index += 1
        if index % len(pending) == 0:
            stack[index - len(pending) : index] = pending
    if index != len(stack):
        raise ValueError(f"{index} slices were given for plane {plane} of a volume of shape {shape}")
    rest = index % len(pending)
    stack[index - rest : index] = pending[:rest]
    return plane_objects(components, builder.chain(), min_size, min_extent)


@numba.njit(nogil=True, cache=True)
def _offset_labels(labels: np.ndarray, start: int, target: np.ndarray) -> None:
    """Write ``labels`` + ``start`` where they are above 0, else 0, into ``target``."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            target[y, x] = labels[y, x] + start if labels[y, x] != 0 else 0
