"""Calibrates the confidence of objects on the held-out part, predicted as in use and compared with its truth."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from planewise.inference.confidence import calibrate
from planewise.inference.fused import FusedObjects
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions, SlicePredictor
from planewise.models.model_file import Calibration
from planewise.training.assembled import IOU, VOTE, AssembledVolume, in_sections, objects_in
from planewise.volumes.slices import Plane

DARKER, BRIGHTER = (0.8, -0.05), (1.2, 0.05)  # contrast and brightness, as in another imaging session


def calibration_on(
    predictor: SlicePredictor,
    volumes: list[AssembledVolume],
    planes: tuple[Plane, ...],
    slices: SliceOptions,
    grouping: GroupingOptions,
) -> Calibration | None:
    """Return the calibration from the objects in ``volumes``, each predicted in several views; None if planes cannot
    disagree, or if no object is detected.

    Planes cannot disagree if all must agree, or in a volume of one slice. No object is left out for low agreement,
    since the calibration must cover it.
    """
    if len(planes) <= VOTE:
        return None
    shares: list[np.ndarray] = []
    right: list[np.ndarray] = []
    for volume in volumes:
        for view in _views(volume):
            for fused in objects_in(predictor, view.image, planes, slices, replace(grouping, min_agreement=0.0)):
                if not isinstance(fused, FusedObjects):  # of one slice
                    continue
                assert fused.votes is not None
                sections, of_objects = in_sections(fused[...], view.labels)
                of_sections, seen = best_ious(view.labels, sections, len(of_objects) - 1)
                iou, known = np.zeros(fused.count + 1), np.zeros(fused.count + 1, bool)
                np.maximum.at(iou, of_objects[1:], of_sections)  # an object is as right as its best section
                known[of_objects[1:][seen]] = True
                shares.append(fused.votes.by_all[known[1:]])
                right.append(iou[known] >= IOU)
    return calibrate(np.concatenate(shares), np.concatenate(right), planes) if any(map(len, shares)) else None


def _views(volume: AssembledVolume) -> Iterator[AssembledVolume]:
    """Yield ``confidence.VIEWS`` views of a volume: unchanged, rotated, darker and brighter."""
    yield volume
    yield AssembledVolume(*(np.ascontiguousarray(np.flip(array)) for array in (volume.image, volume.labels)))
    for contrast, brightness in (DARKER, BRIGHTER):
        image = np.clip(volume.image * np.float32(contrast) + np.float32(brightness), 0, 1)
        yield AssembledVolume(image, volume.labels)


def best_ious(truth: np.ndarray, predicted: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each predicted object's largest IoU with a true object, (count,), and whether any of its voxels is known.

    ``truth``, ``predicted`` (z, y, x): ids; voxels whose truth is below 0 are unknown and do not count.
    """
    ids, labels = truth[truth >= 0].astype(np.int64), predicted[truth >= 0].astype(np.int64)
    sizes, true_sizes = np.bincount(labels, minlength=count + 1), np.bincount(ids)
    both = (ids > 0) & (labels > 0)
    pairs, shared = np.unique(np.stack([ids[both], labels[both]]), axis=1, return_counts=True)
    iou = np.zeros(count + 1)
    np.maximum.at(iou, pairs[1], shared / (true_sizes[pairs[0]] + sizes[pairs[1]] - shared))
    return iou[1:], sizes[1:] > 0
