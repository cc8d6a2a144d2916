"""Validation slices put together to the volumes they were cut from: what is found there is scored object by object.

Slices say little about objects: a network that is better pixel by pixel may find more that is not there.
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from planewise.data.intensity import IntensityRange
from planewise.evaluation.instances import instance_scores
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.voxels import ratio
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, gather_plane
from planewise.inference.planes import SliceOptions, SlicePredictor, plane_outputs
from planewise.training.slice_folder import SlicePair, case_of, planes_of, read_pair
from planewise.volumes.slices import AXIS, Plane, from_stack

VOXELS = 8_000_000  # of all volumes together, about; of larger ones the middle stands for all
BATCH = 4  # slices predicted at once
IOU = 0.5  # from which on an object is found
VOTE = 2  # planes that must agree on a voxel, of several
AS_SHARES = IntensityRange(0.0, 1.0)


@dataclass(frozen=True)
class AssembledVolume:
    """A part of a case: its ``image``, float32 in 0..1, and its instance ids, int32, both (z, y, x)."""

    image: np.ndarray
    labels: np.ndarray


def assemble(pairs: list[SlicePair]) -> list[AssembledVolume]:
    """Return the volumes that ``pairs`` were cut from, in the order of their names; none if names say no planes."""
    planes = planes_of(pairs)
    if planes is None:
        return []
    along = planes[0]
    of_plane = [pair for pair in pairs if pair.source.endswith(f"_{along}")]
    cases = [list(slices) for _, slices in groupby(sorted(of_plane, key=lambda pair: pair.image.name), case_of)]
    return [_stacked(slices, along, VOXELS // len(cases)) for slices in cases]


def _stacked(slices: list[SlicePair], plane: Plane, most: int) -> AssembledVolume:
    height, width = read_pair(slices[0])[0].shape
    count = max(1, min(len(slices), most // (height * width)))
    first = (len(slices) - count) // 2
    images, labels = zip(*(read_pair(pair) for pair in slices[first : first + count]))
    return AssembledVolume(*(np.ascontiguousarray(from_stack(np.stack(stack), plane)) for stack in (images, labels)))


def panoptic_quality(
    predictor: SlicePredictor, volumes: list[AssembledVolume], planes: tuple[Plane, ...], slices: SliceOptions,
    grouping: GroupingOptions,
) -> float | None:  # fmt: skip
    """Return the panoptic quality of what is found in ``volumes``, of all objects together; None if there are none.

    They are predicted in ``planes``, as far as they are no lines there, and the planes fused. It is F1
    at IoU 0.5, the number of objects that are found, times how well they are drawn (Kirillov et al. 2019,
    arXiv:1801.00868). Ignored voxels belong to nothing.
    """
    scores = []
    for volume in volumes:
        shape = volume.image.shape
        objects = []
        for plane in planes:
            if any(shape[axis] == 1 for axis in range(3) if axis != AXIS[plane]):
                continue
            outputs = plane_outputs(predictor, volume.image, plane, slices, BATCH, lambda count: None)
            objects.append(gather_plane(outputs, shape, plane, grouping))
        if not objects:
            continue
        fused = consensus(objects, VOTE, grouping.min_size, grouping.min_extent, 1, grouping.min_agreement)
        found = fused[...]
        truth = np.maximum(volume.labels, 0)
        scores.append(instance_scores(overlap_table(truth, np.where(volume.labels < 0, 0, found)), IOU))
    if not any(score.tp + score.fn for score in scores):
        return None
    wrong = sum(score.fp + score.fn for score in scores)
    return ratio(sum(score.iou_sum for score in scores), sum(score.tp for score in scores) + wrong / 2)
