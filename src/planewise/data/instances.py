"""The instance ids of a case: those of its truth, or the components of a class of a semantic truth."""

import numpy as np

from planewise.data.case import Case
from planewise.data.classes import Target, semantic_beside
from planewise.data.painted_slices import is_painted, read_painted
from planewise.data.panoptic import IGNORED
from planewise.data.space import labels_on
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume
from planewise.volumes.parts import connected_parts


def read_instances(case: Case, target: Target) -> np.ndarray:
    """Return a case's instance ids (z, y, x) int32, 0 for background and ``IGNORED``.

    For a semantic truth, the voxels of ``target`` are split into 26-connected components; instances keep their ids. The
    ignored voxels come from the semantic truth, which for instances is the one beside them. Raises PlanewiseError if a
    file cannot be read, if labels do not lie in the image's space, or if there is no object.
    """
    if case.truth is None:
        raise PlanewiseError(f"{case.image}: has no truth to train on")
    volume = open_volume(case.image, case.channel)
    if is_painted(case.truth):
        ids = read_painted(case.truth, volume.shape, target.ignore, IGNORED)
        if not (ids > 0).any():
            raise PlanewiseError(f"{case.truth}: holds no object to learn from; only background is painted")
        return ids
    truth = labels_on(volume, case, case.truth)
    if case.instances:
        ids = as_int32(truth)
        semantic = None if target.ignore is None else semantic_beside(case.truth, case.name)
        known = None if semantic is None else labels_on(volume, case, semantic)
        wanted = "instance"
    else:
        ids = connected_parts(np.isin(truth, target.values), 26).astype(np.int32, copy=False)
        known = truth
        wanted = f"voxel of {target.name} ({', '.join(map(str, target.values))})"
    there = (ids > 0).any()
    if known is not None and target.ignore is not None:
        ids[known == target.ignore] = IGNORED
    if there and not (ids > 0).any():
        raise PlanewiseError(
            f"{case.truth}: holds no {wanted} to learn from: all that it has lies in voxels of the ignore label "
            f"({target.ignore}) in labelsTr"
        )
    if not there:
        values = ", ".join(map(str, np.unique(truth)[:10].tolist()))
        raise PlanewiseError(f"{case.truth}: holds no {wanted} to learn from; its values are {values}")
    return ids


def as_int32(ids: np.ndarray) -> np.ndarray:
    """Return instance ids as int32; if the largest does not fit, all are renumbered from 1."""
    if ids.size and ids.max() > np.iinfo(np.int32).max:
        values, places = np.unique(ids, return_inverse=True)
        numbers = np.cumsum(values > 0, dtype=np.int32)
        numbers[values < 0] = IGNORED
        return numbers[places].reshape(ids.shape)
    return ids.astype(np.int32)
