"""One plane: from the network's outputs, slice by slice, to 3D objects."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numba
import numpy as np

from planewise.inference.ahead import in_threads
from planewise.inference.grouping import group_slice, least_logit
from planewise.inference.linking import PlaneObjects, plane_objects
from planewise.inference.runs import SliceObjects
from planewise.volumes.slices import AXIS, Plane, crop


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
    min_agreement: float = 0.0  # share of an object's voxels that all planes gave


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
            window[half] = SliceOutputs(_median(stack), middle.heatmap, middle.offsets)
            yield window[half]
            window.popleft()
        elif index < half:
            yield output
    yield from list(window)[min(half, len(window)) :]  # those before have been yielded


@numba.njit(nogil=True, cache=True)
def _median_of_three(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the pixel-wise median of three (H, W) float32 slices; written so that it is vectorised."""
    result = np.empty(a.shape, np.float32)
    for y in range(a.shape[0]):
        row_a, row_b, row_c, row = a[y], b[y], c[y], result[y]
        for x in range(a.shape[1]):
            low = row_a[x] if row_a[x] < row_b[x] else row_b[x]
            high = row_b[x] if row_a[x] < row_b[x] else row_a[x]
            top = high if high < row_c[x] else row_c[x]
            row[x] = top if low < top else low
    return result


def _median(stack: list[np.ndarray]) -> np.ndarray:
    """Return the pixel-wise median of an odd number of (H, W) float32 slices."""
    return _median_of_three(*stack) if len(stack) == 3 else np.median(np.stack(stack), axis=0)


def gather_plane(
    outputs: Iterable[SliceOutputs], shape: tuple[int, int, int], plane: Plane, options: GroupingOptions,
    threads: int = 1,
) -> PlaneObjects:  # fmt: skip
    """Return the linked and filtered objects of a volume of ``shape`` (z, y, x) from its plane's slices, in order.

    ``threads``: slices that are grouped at a time.
    """
    height, width = (side for axis, side in enumerate(shape) if axis != AXIS[plane])
    least = least_logit(options.confidence)

    def group(output: SliceOutputs) -> SliceObjects:
        return group_slice(
            crop(output.logits, height, width), output.heatmap, output.offsets,
            options.scale, least, options.centre_threshold, options.centre_kernel,
        )  # fmt: skip

    slices = list(in_threads(group, median_filter(outputs, options.median_kernel), threads))
    return plane_objects(slices, shape, plane, options.min_size, options.min_extent)
