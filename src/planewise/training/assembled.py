"""Reassembles validation slices into the volumes that they were cut from, to score predictions object by object.

Slices say little about objects: a network that is better pixel by pixel may detect more false objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from scipy import ndimage

from planewise.data.intensity import IntensityRange
from planewise.evaluation.instances import instance_scores
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.voxels import pooled
from planewise.inference.class_grouping import fuse_classes
from planewise.inference.gathering import GroupingOptions, gather_classes
from planewise.inference.painted import Painted
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.planes import SliceOptions, SlicePredictor, plane_outputs
from planewise.training.slice_folder import SlicePair, case_of, index_of, planes_of, read_pair
from planewise.volumes.slices import AXIS, PLANES, Plane, from_stack

VOXELS = 8_000_000  # approximate total of all volumes; of larger ones only the middle is used
BATCH = 4  # slices predicted at once
IOU = 0.5  # from which on an object counts as detected
VOTE = 2  # planes that must agree on a voxel, if there are several
AS_SHARES = IntensityRange(0.0, 1.0)

Read = Callable[[SlicePair], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class AssembledVolume:
    """A part of a case: its ``image``, float32 in 0..1, and its instance ids, int32, both (z, y, x)."""

    image: np.ndarray
    labels: np.ndarray


def assemble(pairs: list[SlicePair], read: Read = read_pair) -> list[AssembledVolume]:
    """Return the volumes that ``pairs`` were cut from, in the order of their names; none if names contain no planes.

    ``read``: as ``read_pair``, of slices that were perhaps read before.

    A completely cut case is reassembled from one plane. Of a partly painted case, each stretch of slices without a gap
    is a volume, in each plane: single painted slices are volumes of one slice.
    """
    if planes_of(pairs) is None:
        return []
    stacks = {
        source: list(slices)
        for source, slices in groupby(sorted(pairs, key=lambda pair: pair.image.name), lambda pair: pair.source)
    }
    of_case: dict[str, list[list[SlicePair]]] = {}
    for slices in stacks.values():
        whole = of_case.setdefault(case_of(slices[0]), [])  # its stacks that are needed
        if not (whole and _without_gap(whole[0])):
            whole.append(slices)
    return [
        part
        for stacks in of_case.values()
        for slices in stacks
        for part in _stacked(slices, VOXELS // len(of_case), read)
    ]


def _without_gap(slices: list[SlicePair]) -> bool:
    return len(slices) > 1 and index_of(slices[-1]) - index_of(slices[0]) == len(slices) - 1


def _stacked(slices: list[SlicePair], most: int, read: Read) -> list[AssembledVolume]:
    plane = next(plane for plane in PLANES if slices[0].source.endswith(plane))
    height, width = read(slices[0])[0].shape
    count = max(1, min(len(slices), most // (height * width)))
    first = (len(slices) - count) // 2
    chosen = slices[first : first + count]
    gaps = np.flatnonzero(np.diff([index_of(pair) for pair in chosen]) != 1) + 1
    volumes = []
    for start, stop in pairwise([0, *gaps.tolist(), count]):
        images, labels = zip(*(read(pair) for pair in chosen[start:stop]))
        stacks = (np.ascontiguousarray(from_stack(np.stack(stack), plane)) for stack in (images, labels))
        volumes.append(AssembledVolume(*stacks))
    return volumes


def panoptic_quality(
    predictor: SlicePredictor,
    volumes: list[AssembledVolume],
    planes: tuple[Plane, ...],
    slices: SliceOptions,
    grouping: GroupingOptions,
) -> float | None:
    """Return the panoptic quality of the prediction in ``volumes``, over all objects; None if there are none.

    They are predicted in those ``planes`` in which their slices are not just lines, and the planes are fused. Panoptic
    quality is F1 at IoU 0.5 times the mean IoU of the matches (Kirillov et al. 2019, arXiv:1801.00868). Ignored voxels
    belong to no object.
    """
    scores = []
    for volume in volumes:
        for predicted in objects_in(predictor, volume.image, planes, slices, grouping):
            sections, _ = in_sections(predicted[...], volume.labels)
            scores.append(instance_scores(overlap_table(np.maximum(volume.labels, 0), sections), IOU))
    return pooled(scores).pq if any(score.tp + score.fn for score in scores) else None


def in_sections(predicted: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``predicted`` ids (z, y, x), 0 where ``labels`` ignore a voxel, and the id of which each is a section.

    Ids of painted slices are valid in their slice only, where an object that goes through several has an id in each.
    So if no true object lies in two of the stretches of known voxels, which do not touch, a predicted object is cut
    into its sections with them: ids 1 to n, of the objects ``of`` (n + 1,). Else each object is one section.
    """
    known = labels >= 0
    predicted = np.where(known, predicted, 0)
    stretches, count = ndimage.label(known)
    if count > 1:
        pairs = np.unique(np.stack([labels[labels > 0], stretches[labels > 0]]), axis=1)
        if len(np.unique(pairs[0])) == pairs.shape[1]:
            keys = np.where(predicted > 0, predicted.astype(np.int64) * (count + 1) + stretches, 0)
            of_sections, sections = np.unique(keys, return_inverse=True)  # the first is 0: some voxels are ignored
            return sections.reshape(predicted.shape), of_sections // (count + 1)
    return predicted, np.arange(int(predicted.max(initial=0)) + 1)


def objects_in(
    predictor: SlicePredictor,
    image: np.ndarray,
    planes: tuple[Plane, ...],
    slices: SliceOptions,
    grouping: GroupingOptions,
) -> list[Painted]:
    """Return the predicted objects of each class in ``image``, (z, y, x), from those ``planes`` in which its slices are
    not just lines; none if they are in all planes.

    In a single slice the smallest size is that of the section of an object of the smallest volume.
    """
    if 1 in image.shape:
        grouping = replace(grouping, min_size=round(grouping.min_size ** (2 / 3)))
    objects = objects_of_planes(predictor, image, planes, slices, grouping)
    return fuse_classes(objects, VOTE, grouping) if objects else []


def objects_of_planes(
    predictor: SlicePredictor,
    image: np.ndarray,
    planes: tuple[Plane, ...],
    slices: SliceOptions,
    grouping: GroupingOptions,
) -> list[list[PlaneObjects]]:
    """Return the objects of each class of ``image`` (z, y, x), in each of the ``planes`` in which it is no line."""
    shape = image.shape
    objects = []
    for plane in planes:
        if all(shape[axis] > 1 for axis in range(3) if axis != AXIS[plane]):
            outputs = plane_outputs(predictor, image, plane, slices, BATCH, lambda count: None)
            objects.append(gather_classes(outputs, shape, plane, grouping))
    return objects
