"""Scores several classes in the validation volumes: the objects of things, the voxels of stuff."""

import math

import numpy as np

from planewise.data.panoptic import DIVISOR, class_of
from planewise.evaluation.instances import InstanceScores, instance_scores
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.voxels import VoxelScores, mean_of_defined, pooled, voxel_scores
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions, SlicePredictor
from planewise.training.assembled import IOU, AssembledVolume, in_sections, objects_in
from planewise.volumes.slices import Plane


def class_quality(
    predictor: SlicePredictor,
    volumes: list[AssembledVolume],
    planes: tuple[Plane, ...],
    slices: SliceOptions,
    grouping: GroupingOptions,
) -> list[float]:
    """Return the quality of each class of ``grouping.things`` in ``volumes``, whose labels are panoptic values.

    For things it is the panoptic quality over all objects, for stuff the IoU over all voxels; NaN if neither truth nor
    prediction has the class. See ``assembled.panoptic_quality``.
    """
    objects: list[list[InstanceScores]] = [[] for _ in grouping.things]
    voxels: list[list[VoxelScores]] = [[] for _ in grouping.things]
    for volume in volumes:
        classes = class_of(volume.labels)
        known = classes >= 0
        for place, of_class in enumerate(objects_in(predictor, volume.image, planes, slices, grouping)):
            truth = np.where(classes == place + 1, volume.labels - (place + 1) * DIVISOR, 0)
            truth = truth if grouping.things[place] else (classes == place + 1).astype(np.int32)
            predicted = np.where(known, of_class[...], 0)
            if grouping.things[place]:
                predicted, _ = in_sections(predicted, np.where(known, truth, classes))
            overlap = overlap_table(truth, predicted)
            objects[place].append(instance_scores(overlap, IOU))
            voxels[place].append(voxel_scores(overlap))
    if not objects[0]:
        return [math.nan] * len(grouping.things)
    return [
        pooled(of_things).pq if is_thing else pooled(of_voxels).iou
        for is_thing, of_things, of_voxels in zip(grouping.things, objects, voxels)
    ]


def mean_quality(qualities: list[float]) -> float | None:
    """Return the mean over the classes that have a quality; None if none has."""
    mean = mean_of_defined(qualities)
    return None if np.isnan(mean) else mean
