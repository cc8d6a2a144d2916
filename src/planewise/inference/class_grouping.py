"""Several classes: the class of each pixel, the class of each object in a slice, and the fusion of planes by class.

As in empanada, things of all classes share centres and offsets, an object has the class of most of its pixels (Cheng et
al. 2020, arXiv:1911.10194, section 3.2), and each class is linked and fused separately: things object by object, stuff
voxel by voxel.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

from typing import TYPE_CHECKING

import numba
import numpy as np

from planewise.inference.consensus import consensus
from planewise.inference.grouping import group_slice
from planewise.inference.painted import Painted
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.runs import Runs, SliceObjects, as_one_object

if TYPE_CHECKING:
    from planewise.inference.gathering import GroupingOptions, SliceParts


def class_bits(logits: np.ndarray, confidence: float) -> np.ndarray:
    """Return where each class is, (classes * H, ceil(W / 8)) uint8: the rows of the first, then of the second ...

    ``logits`` (1 + classes, H, W) float32, background's first. A pixel is foreground if all classes together are at
    least as probable as ``confidence``, and then of the most probable one.
    """
    classes = logits[1:]
    best = classes.argmax(axis=0)
    largest = np.take_along_axis(classes, best[None], axis=0)[0]
    with np.errstate(invalid="ignore"):  # -inf beyond the specimen
        together = largest + np.log(np.exp(classes - largest).sum(axis=0))
        foreground = together - logits[0] >= np.float32(np.log(confidence / (1 - confidence)))
    of_each = (best == np.arange(len(classes))[:, None, None]) & foreground
    return np.packbits(of_each.reshape(-1, logits.shape[2]), axis=1)


def group_classes(parts: "SliceParts", options: "GroupingOptions") -> list[SliceObjects]:
    """Return the objects of each class in one slice; all pixels of stuff are one object."""
    kinds = np.array(options.things)
    bits = parts.foreground.reshape(len(kinds), -1, parts.foreground.shape[1])
    of_things = np.ascontiguousarray(bits[kinds])
    objects = {
        place: as_one_object(np.unpackbits(bits[place], axis=1, count=parts.width))
        for place in np.flatnonzero(~kinds).tolist()
    }
    if len(of_things):
        together = np.bitwise_or.reduce(of_things, axis=0)
        grouped = group_slice(together, parts.width, parts.centres, parts.offsets, options.scale)
        runs = grouped.runs
        counts = np.zeros((len(grouped.sizes), len(of_things)), np.int64)
        _count_bits(runs.row_starts, runs.start, runs.stop, runs.label, of_things, counts)
        winner = counts.argmax(axis=1)
        for number, place in enumerate(np.flatnonzero(kinds).tolist()):
            objects[place] = _chosen(grouped, winner == number)
    return [objects[place] for place in range(len(kinds))]


def _chosen(grouped: SliceObjects, chosen: np.ndarray) -> SliceObjects:
    """Return the objects of a slice that are ``chosen`` (n,), renumbered."""
    runs = grouped.runs
    kept = chosen[runs.label - 1]
    before = np.concatenate([[0], np.cumsum(kept)])
    label = np.cumsum(chosen, dtype=np.int32)[runs.label[kept] - 1]
    return SliceObjects(
        Runs(before[runs.row_starts], runs.start[kept], runs.stop[kept], label),
        grouped.sizes[chosen],
        grouped.boxes[chosen],
    )


@numba.njit(nogil=True, cache=True)
def _count_bits(
    row_starts: np.ndarray, start: np.ndarray, stop: np.ndarray, label: np.ndarray, bits: np.ndarray, counts: np.ndarray
) -> None:
    """Add to ``counts`` (objects, classes) the pixels of each object that have each class's bit in ``bits``."""
    for row in range(row_starts.size - 1):
        for run in range(row_starts[row], row_starts[row + 1]):
            for column in range(start[run], stop[run]):
                for place in range(bits.shape[0]):
                    counts[label[run] - 1, place] += bits[place, row, column >> 3] >> (7 - (column & 7)) & 1


def fuse_classes(
    planes: list[list[PlaneObjects]], vote: int, options: "GroupingOptions", threads: int = 1
) -> list[Painted]:
    """Return each class's fused objects; ``planes``: for each plane, the objects of each class. See ``consensus``."""
    fused = []
    for place in range(options.classes):
        of_class = [of_plane[place] for of_plane in planes]
        fused.append(consensus(of_class, options.of_class(place).fusion(vote), threads))
    return fused
