"""The known part of a corrected volume: confirmed or corrected objects, and regions marked as background.

All else is unknown: an object that was not reviewed may be right or wrong, and so may background far from known ones.
"""

from dataclasses import dataclass

import numpy as np

from planewise.correction.actions import Confirm, Labels, Paint, Segment, read_action
from planewise.correction.canvas import whole
from planewise.correction.journal import Box, Entry
from planewise.correction.objects import index_of
from planewise.correction.session import Corrections
from planewise.errors import PlanewiseError
from planewise.volumes.orientation import Orientation


@dataclass(frozen=True)
class KnownLabels:
    """Labels (z, y, x) of the objects that are right, 0 elsewhere; and where that is ``known``."""

    labels: np.ndarray
    known: np.ndarray
    objects: tuple[int, ...]


def right_objects(entries: list[Entry]) -> list[int]:
    """Return the objects that were confirmed, merged, split or painted, and not changed in another way since."""
    right: dict[int, None] = {}
    for entry in entries:
        for label in entry.objects:
            right.pop(label, None)
        right |= dict.fromkeys(entry.right)
    return list(right)


def known_labels(corrections: Corrections, margin: int) -> KnownLabels:
    """Return what is known of a volume, which is read whole.

    Known are the voxels of right objects; background within ``margin`` voxels of them (along x; as far along the other
    axes in the volume's unit); what was deleted or erased and is background still; and all in a box that was confirmed.
    An outline that is right says that the object ends there. Raises PlanewiseError if no object is known.
    """
    from scipy.ndimage import distance_transform_edt

    canvas, shape = corrections.canvas, corrections.canvas.shape
    volume = canvas.read(whole(canvas))
    known = np.zeros(shape, bool)
    objects = [label for label in right_objects(corrections.actions) if label in corrections.objects]
    spacing = np.array(canvas.volume.spacing) / canvas.volume.spacing[2]
    for label in objects:
        box = _widened(corrections.objects[label].box, np.ceil(margin / spacing).astype(int).tolist(), shape)
        part = volume[index_of(box)]
        inside = part == label
        if inside.any():
            near = distance_transform_edt(~inside, sampling=spacing) <= margin
            known[index_of(box)] |= inside | (near & (part == 0))
    for entry in corrections.actions:
        if entry.action == "delete" or entry.arguments.get("label", -1) == 0:
            for change in corrections.changes_of(entry):
                known[index_of(change.box)] |= change.mask & (volume[index_of(change.box)] == 0)
    boxes = [entry.arguments["box"] for entry in corrections.actions if entry.arguments.get("action") == "confirm"]
    confirmed = np.zeros(shape, bool)
    for sides in boxes:
        if sides is not None:
            confirmed[tuple(slice(max(start, 0), stop) for start, stop in sides)] = True
    labels = np.where(np.isin(volume, objects) | confirmed, volume, 0)
    if not labels.any():
        raise PlanewiseError(f"{corrections.result}: no object was confirmed or corrected: nothing can be learned")
    return KnownLabels(labels, known | confirmed, tuple(objects))


def known_classes(corrections: Corrections, margin_mm: float) -> KnownLabels:
    """Return what is known of a volume of classes (z, y, x), canonical, which is read whole.

    Known is what was painted, segmented or changed and is so still; classes that were confirmed as a whole; all in a
    box, such as a slice, that was confirmed. Background of the same slice within ``margin_mm`` of a known class is
    known too: an outline that is right says that the class ends there. Raises PlanewiseError if no class is known.
    """
    from scipy.ndimage import distance_transform_edt

    canvas = corrections.canvas
    stored = canvas.read(whole(canvas))
    known = np.zeros(canvas.shape, bool)
    confirmed = np.zeros(canvas.shape, bool)
    spacing = canvas.volume.spacing
    for entry in corrections.actions:
        for change in corrections.changes_of(entry):
            part = known[index_of(change.box)]
            part[change.mask] |= stored[index_of(change.box)][change.mask] == change.after
        action = read_action(entry.arguments) if entry.arguments else None
        if isinstance(action, Paint | Segment):  # voxels that had this class before count as right too
            box = Labels(canvas, corrections.objects, 0).within(action.where.box(spacing))
            known[index_of(box)] |= action.where.mask(box, spacing) & (stored[index_of(box)] == action.label)
        if isinstance(action, Confirm):
            known |= np.isin(stored, action.labels)
            if action.box is not None:
                confirmed[tuple(slice(max(start, 0), stop) for start, stop in action.box)] = True
    orientation = Orientation.of(canvas.volume)
    labels, known, confirmed = (orientation.view(voxels) for voxels in (stored, known, confirmed))
    in_plane = [canvas.volume.spacing_in("mm")[axis] for axis in orientation.order[1:]]
    for value, near, corrected in zip(labels, known, known & (labels > 0)):
        if corrected.any():
            near |= (value == 0) & (distance_transform_edt(~corrected, sampling=in_plane) <= margin_mm)
    known = known | confirmed
    right = np.where(known, labels, 0)
    if not right.any():
        raise PlanewiseError(f"{corrections.result}: no class was confirmed or corrected: nothing can be learned")
    return KnownLabels(right, known, tuple(np.unique(right[right > 0]).tolist()))


def _widened(box: Box, by: list[int], shape: tuple[int, int, int]) -> Box:
    z, y, x = ((max(a - more, 0), min(b + more, side)) for (a, b), more, side in zip(box, by, shape))
    return z, y, x
