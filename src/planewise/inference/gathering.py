"""One plane: from the network's outputs, slice by slice, to 3D objects."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from planewise.inference.ahead import in_threads
from planewise.inference.class_grouping import class_bits, group_classes
from planewise.inference.consensus import FusionOptions
from planewise.inference.grouping import find_centres, group_slice, least_logit
from planewise.inference.linking import plane_objects
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.runs import SliceObjects
from planewise.volumes.slices import AXIS, Plane, crop


@dataclass(frozen=True)
class SliceOutputs:
    """The network's outputs for one slice.

    ``logits`` (H, W) float32, at least as large as the slice; for several classes (1 + classes, H, W), background
    first; ``heatmap`` (h, w) and ``offsets`` (2, h, w) float32 on the coarse grid, (dy, dx) in pixels of the network's
    input.
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
    min_agreement: float = 0.0  # share of an object's voxels on which all planes agree
    repair: bool = False  # cut objects that two planes have in the same parts
    extend: bool = False  # give objects the voxels too that one plane gives them
    things: tuple[bool, ...] = ()  # for several classes, whether each is a class of things; (): one class, of things

    @property
    def stuff(self) -> bool:
        """Whether the only class is stuff, without objects; see ``of_class``."""
        return self.things == (False,)

    def of_class(self, place: int) -> "GroupingOptions":
        """Return the options for the class at ``place`` alone. Stuff has no objects, so nothing is too small or cut."""
        if not self.things:
            return self
        if self.things[place]:
            return replace(self, things=(True,))
        return replace(self, things=(False,), min_size=0, min_extent=0, min_agreement=0.0, repair=False, extend=False)

    def fusion(self, vote: int) -> FusionOptions:
        """Return the fusion options for one class; a voxel needs ``vote`` planes."""
        return FusionOptions(
            vote, self.min_size, self.min_extent, self.min_agreement, self.repair, self.extend, self.stuff
        )

    @property
    def classes(self) -> int:
        """The number of classes."""
        return max(1, len(self.things))


@dataclass(frozen=True)
class SliceParts:
    """What grouping needs of one slice's outputs.

    ``foreground`` (H, ceil(width / 8)) uint8: bits along the rows, as ``np.packbits`` makes them, of several classes
    one below the other, (classes * H, ...); ``width``: of the slice; ``centres`` (n, 2) int64, (row, column) on the
    coarse grid; ``offsets`` (2, h, w) float32.
    """

    foreground: np.ndarray
    width: int
    centres: np.ndarray
    offsets: np.ndarray


def slice_parts(output: SliceOutputs, height: int, width: int, least: float, options: GroupingOptions) -> SliceParts:
    """Return what grouping needs of a slice of ``height`` x ``width``; ``least``: see ``grouping.least_logit``."""
    logits = crop(output.logits, height, width)
    return SliceParts(
        class_bits(logits, options.confidence) if options.things else np.packbits(logits >= np.float32(least), axis=1),
        width,
        find_centres(output.heatmap, options.centre_threshold, options.centre_kernel),
        output.offsets.astype(np.float32, copy=False),
    )


def group_parts(parts: SliceParts, options: GroupingOptions) -> list[SliceObjects]:
    """Return the objects of each class in one slice."""
    if options.things:
        return group_classes(parts, options)
    return [group_slice(parts.foreground, parts.width, parts.centres, parts.offsets, options.scale)]


def median_filter(slices: Iterable[SliceParts], kernel: int) -> Iterator[SliceParts]:
    """Replace each slice's foreground by that of the median over the ``kernel`` slices around it.

    The result is stored back: later medians use filtered slices. The first and last ``kernel // 2`` slices are
    unchanged, as is a stack of fewer than ``kernel``. (A median of logits is above the threshold where most slices are:
    so the median of bits is enough, with a 32nd of the memory.)
    """
    half = kernel // 2
    window: deque[SliceParts] = deque()
    for index, parts in enumerate(slices):
        window.append(parts)
        if len(window) == kernel:
            bits = majority(np.stack([item.foreground for item in window]))
            window[half] = replace(window[half], foreground=bits)
            yield window[half]
            window.popleft()
        elif index < half:
            yield parts
    yield from list(window)[min(half, len(window)) :]  # those before have been yielded


def majority(bits: np.ndarray) -> np.ndarray:
    """Return the bits (H, bytes) that more than half of an odd number of slices (n, H, bytes) have."""
    if len(bits) == 3:
        a, b, c = bits
        return (a & b) | (b & c) | (a & c)
    counts = np.zeros((bits.shape[1], 8 * bits.shape[2]), np.uint8)
    for slice_ in bits:
        counts += np.unpackbits(slice_, axis=1)
    return np.packbits(counts > len(bits) // 2, axis=1)


def gather_classes(
    outputs: Iterable[SliceOutputs],
    shape: tuple[int, int, int],
    plane: Plane,
    options: GroupingOptions,
    threads: int = 1,
) -> list[PlaneObjects]:
    """Return the linked and filtered objects of each class in one plane of a volume of ``shape`` (z, y, x).

    ``outputs``: of the plane's slices, in order; ``threads``: slices that are grouped at a time.
    """
    height, width = (side for axis, side in enumerate(shape) if axis != AXIS[plane])
    least = least_logit(options.confidence)
    parts = (slice_parts(output, height, width, least, options) for output in outputs)
    filtered = median_filter(parts, options.median_kernel)
    slices = list(in_threads(lambda parts: group_parts(parts, options), filtered, threads))
    planes = []
    for place in range(options.classes):
        how = options.of_class(place)
        of_class = [objects[place] for objects in slices]
        planes.append(plane_objects(of_class, shape, plane, how.min_size, how.min_extent))
    return planes
