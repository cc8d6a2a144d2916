"""A case's truth and prediction on disk: paired by name, opened together, read slab by slab."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from planewise.data.case import case_name, volumes_in
from planewise.errors import PlanewiseError
from planewise.evaluation.overlap import MAX_LABEL
from planewise.volumes.files import open_volume
from planewise.volumes.formats import ending_of
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels, slab_starts
from planewise.volumes.slices import PLANES
from planewise.volumes.tilt import as_stack
from planewise.volumes.volume import Volume

OK = "ok"
MISSING = "prediction missing: counted as found nothing"


@dataclass(frozen=True)
class Pair:
    """A case's files; either may be missing. ``problem``: why the case cannot be scored, if so."""

    case: str
    prediction: Path | None
    truth: Path | None
    problem: str = ""


class OpenPair(NamedTuple):
    """A case's label volumes, of one shape and in the canonical orientation; a missing prediction is empty."""

    truth: Volume
    predicted: Volume
    status: str


class Slab(NamedTuple):
    """Planes of both volumes from z = ``start``, uint32, and one more on either side: zeros beyond the volume."""

    start: int
    truth_with_border: np.ndarray
    predicted_with_border: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """The planes without their borders (z, y, x)."""
        return self.truth_with_border[1:-1]

    @property
    def predicted(self) -> np.ndarray:
        """The planes without their borders (z, y, x)."""
        return self.predicted_with_border[1:-1]


def open_pair(pair: Pair) -> OpenPair:
    """Open a case's volumes. Raises PlanewiseError if one cannot be opened or their shapes differ."""
    if pair.problem or pair.truth is None:
        raise PlanewiseError(pair.problem or "no truth")
    truth = to_canonical(open_labels(pair.truth))
    if pair.prediction is None:
        return OpenPair(truth, truth.with_voxels(np.broadcast_to(np.uint8(0), truth.shape)), MISSING)
    predicted = to_canonical(open_labels(pair.prediction))
    if truth.shape != predicted.shape:
        raise PlanewiseError(f"{pair.prediction} has shape {predicted.shape}, its truth {truth.shape}; they must agree")
    return OpenPair(truth, predicted, OK)


@dataclass(frozen=True)
class _OneClass:
    """Voxels of which every label above 0 is read as ``value``."""

    labels: Volume
    value: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint32)

    def __getitem__(self, index: Any) -> np.ndarray:
        return (np.asarray(self.labels.voxels[index]) > 0) * np.uint32(self.value)


def as_one_class(labels: Volume, value: int) -> Volume:
    """Return ``labels``, of whatever ids, as a map of the one class ``value``; read when it is indexed."""
    return labels.with_voxels(_OneClass(labels, value))


def with_spacing_of(labels: Volume, image: Path | None) -> Volume:
    """Return ``labels`` with their image's spacing if their own file does not say any, as TIFFs beside sidecars do not.

    Unchanged if there is no image, or it cannot be read or has another shape.
    """
    if labels.unit != "pixel" or image is None:
        return labels
    try:
        found = to_canonical(as_stack(open_volume(image)))
    except PlanewiseError:
        return labels
    return found.with_voxels(labels.voxels) if found.shape == labels.shape else labels


def read_slabs(pair: OpenPair) -> Iterator[Slab]:
    """Yield both volumes slab by slab.

    Raises PlanewiseError if a file turns out to be damaged or holds labels above 2**31 - 1.
    """
    for planes in slab_starts(pair.truth.shape):
        yield Slab(
            planes.start, _with_border("truth", pair.truth, planes), _with_border("prediction", pair.predicted, planes)
        )


def _with_border(what: str, volume: Volume, planes: slice) -> np.ndarray:
    first, stop = max(planes.start - 1, 0), min(planes.stop + 1, volume.shape[0])
    found = np.asarray(volume.voxels[first:stop])
    if found.dtype.itemsize >= 4 and found.size and found.max() > MAX_LABEL:
        raise PlanewiseError(
            f"the {what}'s labels reach {found.max()}; at most {MAX_LABEL} is supported: number them anew"
        )
    slab = np.zeros((planes.stop - planes.start + 2, *volume.shape[1:]), np.uint32)
    slab[first - planes.start + 1 : stop - planes.start + 1] = found
    return slab


def pair_files(predictions: Path, truths: Path) -> list[Pair]:
    """Return the cases of two folders, or of two files, paired by name.

    ``{case}`` and ``{case}_0000`` are one case, in any volume format. The planes' own files beside a prediction
    (``{case}_xy`` ...) are passed over. Raises PlanewiseError if either path is missing, if one is a folder and the
    other a file, or if there is no truth at all.
    """
    for path in (predictions, truths):
        if not path.exists():
            raise PlanewiseError(f"{path}: no such file or folder")
    volumes = [path for path in (predictions, truths) if ending_of(path)]  # an OME-Zarr volume is a folder too
    if len(volumes) == 1:
        raise PlanewiseError(f"{predictions} and {truths}: give two volumes or two folders")
    if volumes:
        return [Pair(case_name(truths), predictions, truths)]
    found = [_group_by_case(folder) for folder in (predictions, truths)]
    if not found[1]:
        raise PlanewiseError(f"{truths}: holds no volumes; truth is {{case}}.tiff, .nii.gz, ...")
    pairs = []
    for case in sorted(found[0].keys() | found[1].keys()):
        prediction, truth = (group.get(case, []) for group in found)
        of_a_plane = re.sub(rf"_({'|'.join(PLANES)})$", "", case)
        if not truth and of_a_plane != case and of_a_plane in found[0]:
            continue
        several = next((paths for paths in (prediction, truth) if len(paths) > 1), None)
        problem = ""
        if several:
            problem = f"several files for one case: {', '.join(path.name for path in several)}"
        elif not truth:
            problem = f"no truth {truths / case}.*"
        pairs.append(Pair(case, next(iter(prediction), None), truth[0] if len(truth) == 1 else None, problem))
    return pairs


def _group_by_case(folder: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in volumes_in(folder):
        groups.setdefault(case_name(path), []).append(path)
    return groups
