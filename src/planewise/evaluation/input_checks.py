"""Detects wrong inputs of scoring: an image as labels, a mask as instances, the truth as its prediction.

An image is refused, since grey values are not labels. The others are scored, with a note on the meaning of the scores.
"""

from pathlib import Path

import numpy as np

from planewise.data.preparation import fingerprint
from planewise.errors import PlanewiseError
from planewise.evaluation.open_pairs import KEPT_BYTES
from planewise.evaluation.overlap import Overlap
from planewise.progress import counted
from planewise.volumes.labels import open_labels, slab_starts
from planewise.volumes.parts import connected_parts
from planewise.volumes.volume import Volume

SAMPLES = 3  # planes that are checked
FEWEST_IDS, FEWEST_PAIRS = 32, 4096  # with fewer, an image cannot be recognised
IMAGE, DOUBTFUL = 0.5, 0.25  # share of neighbours in an object that are of another: objects are 2, 4 voxels thick then
FEW_IDS = 8  # a map of classes may have up to this number
RESERVED = (255, 65_535)  # the highest values of image types, with which programs mark unknown voxels
MARK_SHARE, MARK_PIECES = 0.8, 3  # of all labelled voxels, in so many pieces: a mark of unlabelled ones


def refuse_image(labels: Volume, path: Path, image: Path | None = None) -> str:
    """Return a note if ``labels`` (z, y, x) may be grey values; "" if they may not.

    Grey values change from voxel to voxel, labels from object to object. Raises PlanewiseError if they are grey values,
    or if ``path`` is the case's ``image``, byte by byte.
    """
    if image is not None and _same_file(path, image):
        raise PlanewiseError(f"{path}: is the image {image}, not a prediction; give the label volumes")
    depth = labels.shape[0]
    sampled = sorted({depth * (2 * i + 1) // (2 * SAMPLES) for i in range(SAMPLES)})
    planes = [np.asarray(labels.voxels[z : z + 1])[0] for z in sampled]
    differing = pairs = 0
    for plane in planes:
        for first, second in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            inside = (first != 0) & (second != 0)
            pairs += int(inside.sum())
            differing += int((inside & (first != second)).sum())
    ids = len(np.unique(np.concatenate([plane.ravel() for plane in planes])))
    if pairs < FEWEST_PAIRS or ids < FEWEST_IDS or differing < DOUBTFUL * pairs:
        return ""
    seen = f"{ids} values, and {differing / pairs:.0%} of neighbouring voxels differ, as grey values do"
    if differing > IMAGE * pairs:
        raise PlanewiseError(f"{path}: is an image, not labels ({seen}); give the label volumes")
    return f"{path} may be an image rather than labels ({seen}): if it is one, its scores mean nothing"


def truth_itself(prediction: Path, truth: Path) -> str:
    """Return a note if a prediction's file is the truth, or a copy of it; "" if not.

    A file without labels does not count as a copy: any correct prediction of an empty case looks the same.
    """
    if not _same_file(prediction, truth) or not (prediction.samefile(truth) or _holds_labels(prediction)):
        return ""
    return f"{prediction} is the truth itself ({truth}): its scores say nothing about a method"


def is_copy(overlap: Overlap) -> bool:
    """Whether there are several objects with exactly the true voxels and ids, which no method reproduces."""
    return len(np.unique(overlap.first)) > 1 and np.array_equal(overlap.first, overlap.second)


def unnumbered(labels: Volume, path: Path, n_ids: int) -> str:
    """Return a note if a few instance ids are in many pieces each, like the values of a mask; "" if not.

    ``n_ids``: their number. Volumes that do not fit in memory are not checked.
    """
    import cc3d

    if not 0 < n_ids <= FEW_IDS or np.prod(labels.shape) * labels.voxels.dtype.itemsize > KEPT_BYTES:
        return ""
    pieces = int(cc3d.connected_components(labels.read(), connectivity=26, return_N=True)[1])
    if pieces <= (1 if n_ids == 1 else 2 * n_ids):
        return ""
    ids = "one id" if n_ids == 1 else f"{n_ids} ids"
    return (
        f"{path} has {ids} for {pieces} separate pieces, counted as {counted(n_ids, 'object')}; if it is a mask "
        "or a map of classes, give each object a different id (a map of classes belongs in labelsTr or labelsTs)"
    )


def ignore_mark(labels: Volume, counts: dict[int, int]) -> str:
    """Return why one of the true objects seems to be a mark of unlabelled voxels; "" if none does.

    ``counts``: the voxels of each object. A mark is the highest value of an image's type, far above the other ids; or
    it has nearly all labelled voxels, in many pieces. Volumes that do not fit in memory are not checked for pieces.
    """
    if len(counts) < 2:
        return ""
    largest, whole = max(counts, key=lambda value: counts[value]), sum(counts.values())
    for value in (each for each in RESERVED if each in counts):
        others = sorted(counts.keys() - {value})
        far = value == max(counts) and value > 2 * others[-1]
        if far and (2 * counts[value] > whole or others == list(range(1, len(others) + 1))):
            held = f"value {value}, the highest of its type, holds {counts[value] / whole:.0%} of all labelled voxels"
            return f"{held}, and the other ids end at {others[-1]}"
    if counts[largest] < MARK_SHARE * whole or np.prod(labels.shape) * labels.voxels.dtype.itemsize > KEPT_BYTES:
        return ""
    pieces = int(connected_parts(labels.read() == largest, 26).max())
    if pieces < MARK_PIECES:
        return ""
    return f"value {largest} holds {counts[largest] / whole:.0%} of all labelled voxels, in {pieces} unconnected pieces"


def _holds_labels(path: Path) -> bool:
    labels = open_labels(path)
    return any(np.any(labels.voxels[planes]) for planes in slab_starts(labels.shape))


def _same_file(first: Path, second: Path) -> bool:
    if first.samefile(second):
        return True
    same_kind = first.is_file() and second.is_file() and first.stat().st_size == second.stat().st_size
    return same_kind and fingerprint(first) == fingerprint(second)
