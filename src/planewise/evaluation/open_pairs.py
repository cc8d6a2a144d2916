"""Opens a case's truth and prediction together: in one space, without ignored voxels, read slab by slab."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from planewise.data.classes import LabelDefinition
from planewise.data.space import filled_around, laid_on
from planewise.errors import PlanewiseError
from planewise.evaluation.object_classes import class_doubts, class_of_objects
from planewise.evaluation.overlap import MAX_LABEL, OverlapCounter
from planewise.evaluation.pairs import MISSING, OK, OfClass, Pair
from planewise.volumes.chunk_layers import slabs_with_halo
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import count_values, open_labels
from planewise.volumes.volume import ReadWhenIndexed, Volume

KEPT_BYTES = 2**29  # of the volumes of a case, in memory until it is scored and drawn


class Ignored(NamedTuple):
    """The voxels of ``labels`` that are ``value`` are not scored."""

    labels: Volume
    value: int


class Truth(NamedTuple):
    """A case's truth as stored, and ``labels`` in the canonical orientation."""

    stored: Volume
    labels: Volume
    ignored: Ignored | None = None

    @property
    def scored(self) -> Volume:
        """The labels as they are scored, for pictures: 0 where they are ignored."""
        if self.ignored is None:
            return self.labels
        marked, value = self.ignored
        scored = _Masked(self.labels, lambda index, _: np.asarray(marked.voxels[index]) != value)
        return self.labels.with_voxels(scored)


class OpenPair(NamedTuple):
    """A case's label volumes, in one space and in the canonical orientation; a missing prediction is empty.

    ``notes``: what a reader must know of the two, such as which predicted objects lie in several classes.
    """

    truth: Volume
    predicted: Volume
    status: str
    ignored: Ignored | None = None
    notes: tuple[str, ...] = ()


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


Counts = dict[Path, dict[int, int]]  # how many voxels of a volume have each value, by its file


class Kept:
    """Holds volumes in memory that are read more than once, as long as all of them need less than ``KEPT_BYTES``."""

    def __init__(self) -> None:
        self._left = KEPT_BYTES

    def read(self, volume: Volume) -> Volume:
        """Return the volume with its voxels in memory; as it is, to be read slab by slab, where they do not fit.

        Raises PlanewiseError if the file is damaged.
        """
        size = math.prod(volume.shape) * volume.voxels.dtype.itemsize
        if size >= self._left:
            return volume
        read = volume.with_voxels(np.asarray(volume.voxels[...]))
        self._left -= size
        return read


def open_truth(
    pair: Pair, kept: Kept | None = None, predictions: Iterable[Path] = (), counted: Counts | None = None
) -> Truth:
    """Open a case's truth, into memory if there is room in ``kept``; ``predictions``: those that it is compared with.

    ``counted``: the voxel counts of semantic volumes counted before, to which those of this truth are added.

    Raises PlanewiseError if it cannot be read, or holds values that have no name.
    """
    if pair.truth is None or pair.truth_problem:
        raise PlanewiseError(pair.truth_problem or pair.problem or "no truth")
    stored = open_labels(pair.truth)
    if stored.sparse and not pair.ignore_geometry:
        stored = filled_around(stored, pair.truth, _that_can_be_opened(predictions))
    labels = to_canonical(stored, labels=True)
    labels = labels if kept is None else kept.read(labels)
    if pair.semantic is not None:
        path, definition = pair.semantic
        refuse_unnamed(labels if path == pair.truth else open_labels(path), path, definition, counted)
    if pair.of_class is not None:
        labels = _within(labels, pair.of_class.truth, pair.of_class.value, stored, pair, kept)
    if pair.ignored is None:
        return Truth(stored, labels)
    path, value = pair.ignored
    if path == pair.truth:
        return Truth(stored, labels, Ignored(labels, value))
    beside = to_canonical(laid_on(open_labels(path), path, stored, pair.truth, pair.ignore_geometry), labels=True)
    return Truth(stored, labels, Ignored(beside if kept is None else kept.read(beside), value))


def refuse_unnamed(labels: Volume, path: Path, definition: LabelDefinition, counted: Counts | None = None) -> None:
    """Raise PlanewiseError if semantic ``labels`` at ``path`` hold values that ``definition`` does not name.

    ``counted``: see ``open_truth``.
    """
    counted = {} if counted is None else counted
    if path not in counted:
        counted[path] = count_values(labels)
    if unnamed := definition.unnamed(counted[path]):
        raise PlanewiseError(f"{path}: {unnamed}")


def _that_can_be_opened(predictions: Iterable[Path]) -> Iterator[tuple[Path, Volume]]:
    for path in predictions:
        try:
            yield path, open_labels(path)
        except PlanewiseError:  # open_prediction reports it
            continue


def open_prediction(pair: Pair, truth: Truth, kept: Kept | None = None) -> OpenPair:
    """Open a case's prediction beside its truth. Raises PlanewiseError if it cannot be opened or lies elsewhere."""
    if pair.problem or pair.truth is None:
        raise PlanewiseError(pair.problem or "no truth")
    if pair.prediction is None:
        return nothing_predicted(truth, MISSING)
    placed = laid_on(open_labels(pair.prediction), pair.prediction, truth.stored, pair.truth, pair.ignore_geometry)
    predicted = to_canonical(placed, labels=True)
    predicted = predicted if kept is None else kept.read(predicted)
    notes: tuple[str, ...] = ()
    if pair.of_class is not None:
        predicted, notes = _objects_of_class(predicted, pair.of_class, truth.stored, pair, kept)
    return OpenPair(truth.labels, predicted, OK, truth.ignored, notes)


def _within(labels: Volume, path: Path, value: int, stored: Volume, pair: Pair, kept: Kept | None) -> Volume:
    """Return canonical ``labels``, 0 where the class volume at ``path`` is not ``value``; ``stored``: the truth."""
    classes = _class_volume(path, stored, pair, kept)
    return labels.with_voxels(_Masked(labels, lambda index, _: np.asarray(classes.voxels[index]) == value))


def _class_volume(path: Path, stored: Volume, pair: Pair, kept: Kept | None) -> Volume:
    assert pair.truth is not None
    classes = to_canonical(laid_on(open_labels(path), path, stored, pair.truth, pair.ignore_geometry), labels=True)
    return classes if kept is None else kept.read(classes)


def _objects_of_class(
    labels: Volume, of_class: OfClass, stored: Volume, pair: Pair, kept: Kept | None
) -> tuple[Volume, tuple[str, ...]]:
    """Return canonical, predicted ``labels``, 0 where the object is not of the class, and which objects are doubtful.

    A class is assigned to whole objects, so that an object merged with one of another class, or drawn after the classes
    were made, is scored as it is. An object in no class of things is scored with each of them.
    """
    if of_class.prediction is None:
        raise PlanewiseError(f"{pair.prediction}: no volume gives the class of its objects")
    volume, classes = _class_volume(of_class.prediction, stored, pair, kept), of_class.classes
    counter = OverlapCounter()
    for (_, ids), (_, values) in zip(_bordered("prediction", labels), _bordered("prediction", volume), strict=True):
        counter.add(ids[1:-1], values[1:-1])
    overlap = counter.table()
    objects, _ = overlap.first_sizes()
    classes_of = class_of_objects(objects, overlap, classes.things)
    chosen = objects[(classes_of == of_class.value) | (classes_of == 0)]
    without = "they count in each class of things, so that they are false objects in all of them but one at least"
    doubts = class_doubts(overlap, classes.names, classes.things, without)
    notes = tuple(f"{pair.prediction}: by {of_class.prediction}, {doubt}" for doubt in doubts)
    return labels.with_voxels(_Masked(labels, lambda _, ids: np.isin(ids, chosen))), notes


def nothing_predicted(truth: Truth, status: str) -> OpenPair:
    """Return a pair with an empty prediction, for the reason that ``status`` says."""
    empty = truth.labels.with_voxels(np.broadcast_to(np.uint8(0), truth.labels.shape))
    return OpenPair(truth.labels, empty, status, truth.ignored)


@dataclass(frozen=True)
class _Masked(ReadWhenIndexed):
    """Voxels of ``labels``, 0 where they do not count; ``counts``: of an index, and the voxels there, which ones do."""

    labels: Volume
    counts: Callable[[Any, np.ndarray], np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def dtype(self) -> np.dtype:
        return self.labels.voxels.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        values = np.asarray(self.labels.voxels[index])
        return values * self.counts(index, values)


@dataclass(frozen=True)
class _OneClass(ReadWhenIndexed):
    """Voxels of which the labels ``members``, with None every label above 0, are read as ``value``, others as 0."""

    labels: Volume
    value: int
    members: tuple[int, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint32)

    def __getitem__(self, index: Any) -> np.ndarray:
        values = np.asarray(self.labels.voxels[index])
        return (values > 0 if self.members is None else np.isin(values, self.members)) * np.uint32(self.value)


def as_one_class(labels: Volume, value: int, members: tuple[int, ...] | None = None) -> Volume:
    """Return ``labels``, of ``members`` or of whatever ids, as a map of the one class ``value``; read when indexed."""
    return labels.with_voxels(_OneClass(labels, value, members))


def read_slabs(pair: OpenPair) -> Iterator[Slab]:
    """Yield both volumes slab by slab, 0 in both where the truth is the ignore label: such voxels count nowhere.

    Raises PlanewiseError if a file turns out to be damaged or holds labels above 2**31 - 1.
    """
    beside = None
    if pair.ignored is not None and pair.ignored.labels is not pair.truth:
        beside = _bordered("labels", pair.ignored.labels)
    pairs = zip(_bordered("truth", pair.truth), _bordered("prediction", pair.predicted), strict=True)
    for (start, truth), (_, predicted) in pairs:
        if pair.ignored is not None:
            ignored = (truth if beside is None else next(beside)[1]) == pair.ignored.value
            truth[ignored] = predicted[ignored] = 0
        yield Slab(start, truth, predicted)


def _bordered(what: str, volume: Volume) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first plane of each slab, and its labels as in ``Slab``; ``what``: their name in errors."""
    for planes, read, core in slabs_with_halo(volume, 1):
        if read.dtype.itemsize >= 4 and read.size and read.max() > MAX_LABEL:
            raise PlanewiseError(
                f"the {what}'s labels reach {read.max()}; at most {MAX_LABEL} is supported: renumber them"
            )
        slab = np.zeros((planes.stop - planes.start + 2, *volume.shape[1:]), np.uint32)
        slab[1 - core.start :][: len(read)] = read
        yield planes.start, slab
