"""A model's labels of unpainted voxels where its planes agree, for further training.

The planes vote: a voxel belongs to an object if enough planes have it, and if all planes agree on a large enough share
of the object; voxels that no plane has are background; all others are unknown. Painted voxels keep their labels, and
reveal objects that cannot be trusted. (Self-training goes back to Scudder 1965, doi:10.1109/TIT.1965.1053799.)
"""

import numpy as np
from scipy import ndimage

from planewise.data.panoptic import IGNORED
from planewise.inference.class_grouping import fuse_classes
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions, SlicePredictor
from planewise.training.assembled import VOTE, objects_of_planes
from planewise.training.slice_folder import Label, as_shares
from planewise.volumes.slices import Plane

TRUE = 0.5  # smallest share of an object's painted voxels that its painted object must cover, or it is not trusted


def labeller(
    predictor: SlicePredictor, planes: tuple[Plane, ...], slices: SliceOptions, grouping: GroupingOptions
) -> Label:
    """Return a function from an image and its painted labels to labels (z, y, x) int32, ``IGNORED`` where unknown.

    The image is as ``slice_folder.read_case`` returns it. A volume whose slices are just lines in two of the ``planes``
    keeps its painted labels only.
    """

    def label(image: np.ndarray, painted: np.ndarray) -> np.ndarray:
        of_planes = objects_of_planes(predictor, as_shares(image), planes, slices, grouping)
        if len(of_planes) < 2:
            return painted
        (fused,) = fuse_classes(of_planes, VOTE, grouping)
        anything = np.zeros(painted.shape, bool)
        for (objects,) in of_planes:
            anything |= objects[...] > 0
        labels = fused[...].astype(np.int32)
        return with_painted(np.where((labels == 0) & anything, np.int32(IGNORED), labels), painted)

    return label


def with_painted(labels: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Return ``labels`` (z, y, x) int32, replaced by those ``painted`` where these are not ``IGNORED``.

    A painted object is identified with the object of ``labels`` that shares most voxels with it; ids painted in single
    slices may differ from slice to slice. An object is ignored if it is painted as several objects side by side, or if
    painted objects cover less than ``TRUE`` of its painted voxels.
    """
    known = painted >= 0
    ids, old = labels[known], painted[known].astype(np.int64)
    count, most = int(max(labels.max(), 0)), int(max(painted.max(), 0))
    seen = np.bincount(np.maximum(ids, 0), minlength=count + 1)
    both = (ids > 0) & (old > 0)
    pairs, shared = np.unique(np.stack([old[both], ids[both]]), axis=1, return_counts=True)
    partner, common = np.zeros(most + 1, np.int64), np.zeros(most + 1, np.int64)
    order = np.argsort(shared, kind="stable")
    partner[pairs[0, order]] = pairs[1, order]  # the most voxels are written last
    common[pairs[0, order]] = shared[order]
    of_one = np.bincount(partner, common, count + 1)
    believed = of_one >= TRUE * seen
    believed[_painted_as_several(painted, partner)] = False
    believed[0] = True
    new = np.arange(most + 1) + count  # unused ids
    new[0] = 0
    ours = (partner > 0) & believed[partner]
    new[ours] = partner[ours]
    result = np.where(believed[np.maximum(labels, 0)], labels, np.int32(IGNORED))
    result[known] = new[old]
    return np.asarray(result, np.int32)


def _painted_as_several(painted: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Return the objects that are the ``partner`` (by painted id) of several ids in one slice, or in the volume.

    An id that occurs in a single slice, along any axis, counts in that slice; any other id counts in the whole volume.
    """
    places: dict[tuple[int, int, int], int] = {}
    boxes = ndimage.find_objects(np.maximum(painted, 0))
    for label, box in enumerate(boxes, 1):
        if box is not None and partner[label] > 0:
            flat = next((axis for axis, side in enumerate(box) if side.stop - side.start == 1), -1)
            place = (int(partner[label]), flat, box[flat].start if flat >= 0 else -1)
            places[place] = places.get(place, 0) + 1
    return np.array(sorted({place[0] for place, number in places.items() if number > 1}), np.int64)
