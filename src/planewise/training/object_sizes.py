"""Measures the sizes of training objects: predictions that are much smaller are not objects."""

from collections.abc import Callable

import numpy as np

from planewise.data.case import Case
from planewise.data.classes import Target
from planewise.data.instances import read_instances
from planewise.data.panoptic import IGNORED
from planewise.errors import PlanewiseError
from planewise.models.model_file import ObjectSizes
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import voxel_um3

LOW = 0.05  # quantile
FEWEST = 5  # whole objects, from which on their quantile is meaningful


def object_sizes(
    cases: list[Case], target: Target, advance: Callable[[str], None] = lambda case: None
) -> ObjectSizes | None:
    """Return the size of the smaller objects of the cases: the ``LOW`` quantile of the volumes of whole objects.

    With fewer than ``FEWEST`` whole objects, as in thin crops, it is the quantile of all, which sets no smallest size.
    An object beside unpainted voxels may continue there, and does not count. None if no object remains. An unreadable
    case is skipped: it is not trained on. ``advance`` is called with each case's name.
    """
    whole: list[tuple[int, float | None]] = []
    cut: list[tuple[int, float | None]] = []
    for case in cases:
        advance(case.name)
        try:
            ids, each = read_instances(case, target), voxel_um3(open_volume(case.image, case.channel))
        except PlanewiseError:
            continue
        labels, counts = np.unique(ids[ids > 0], return_counts=True)  # bincount would be as long as the highest id
        unknown, at_face = _beside_unknown(ids), _at_faces(ids)
        for label, count in zip(labels.tolist(), counts.tolist()):
            if label not in unknown:
                (cut if label in at_face else whole).append((count, None if each is None else count * each))
    sizes = whole if len(whole) >= FEWEST else whole + cut
    if not sizes:
        return None
    volumes = [um3 for _, um3 in sizes if um3 is not None]
    return ObjectSizes(
        voxels=float(np.quantile([voxels for voxels, _ in sizes], LOW)),
        um3=float(np.quantile(volumes, LOW)) if len(volumes) == len(sizes) else None,
        objects=len(sizes),
        whole=len(whole) >= FEWEST,
    )


def _at_faces(ids: np.ndarray) -> set[int]:
    """Return the ids that have a voxel on a face of the volume; an axis of one voxel has no faces."""
    faces = [ids.take(end, axis) for axis, side in enumerate(ids.shape) if side > 1 for end in (0, -1)]
    return set(np.unique(np.concatenate([face.ravel() for face in faces])).tolist()) if faces else set()


def _beside_unknown(ids: np.ndarray) -> set[int]:
    """Return the ids that have a neighbour by a face which is ``IGNORED``."""
    beside = set()
    for axis in range(ids.ndim):
        one, other = np.moveaxis(ids, axis, 0)[:-1], np.moveaxis(ids, axis, 0)[1:]
        beside |= set(np.unique(one[other == IGNORED]).tolist()) | set(np.unique(other[one == IGNORED]).tolist())
    return beside
