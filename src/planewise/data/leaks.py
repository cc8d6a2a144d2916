"""Leaks: voxels of a test volume that are also in a training volume, at any offset and under any file name.

Runs of voxels are hashed, and a few of them are chosen by their content. Runs that two volumes share give the offset
at which the voxels themselves are compared: Schleimer et al. 2003, doi:10.1145/872757.872770.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from planewise.data.case import channel_within
from planewise.data.voxel_runs import RUN, choose_runs, count_in_same_runs
from planewise.errors import PlanewiseError
from planewise.progress import WARNING, progress, say_once, warn
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.geometry import canonical_axes, to_canonical
from planewise.volumes.labels import slab_starts
from planewise.volumes.tilt import without_tilt
from planewise.volumes.volume import Volume

MOST_ANCHORS = 2**20  # of all training volumes, in memory: for larger volumes fewer runs are chosen
LEAST_THINNING = 6  # one run in 2**6 is chosen in small volumes
REPEATS = 4  # a run that occurs more often in a volume is a pattern, which does not locate anything
MATCHES = 3  # shared runs needed at an offset before voxels are compared there
LEAST_VOXELS = 1000  # equal voxels that are reported
OFFSETS = 8  # most offsets of two volumes at which voxels are compared
CANONICAL = ((0, 1, 2), (1, 1, 1))


@dataclass(frozen=True)
class Leak:
    """Voxels that ``test`` shares with ``train``.

    ``voxels``: those in rows of at least ``RUN`` along x that are equal and varied, so that rows of padding do not
    count; ``share``: of all voxels of the test volume. ``offset`` (z, y, x): voxel i of the test volume is voxel i +
    offset of the training volume, both in canonical orientation.
    """

    train: str
    test: str
    voxels: int
    share: float
    offset: tuple[int, int, int]

    def __str__(self) -> str:
        return (
            f"{self.test}: {100 * self.share:.3g} % of its voxels ({self.voxels:,}) are those of {self.train} at an "
            f"offset of {self.offset} (z, y, x)"
        )


class _Anchors(NamedTuple):
    """Chosen runs: their hashes (n,) uint64, their first voxels (n, 3) int32, and their volumes (n,) int32."""

    hashes: np.ndarray
    places: np.ndarray
    owners: np.ndarray


@dataclass(frozen=True)
class _Floats:
    """A volume in canonical orientation, read as float32, so that a value is the same in all types of files."""

    path: Path
    volume: Volume

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        with np.errstate(over="ignore"):  # a float64 may be out of range
            voxels = read_voxels(self.volume, self.path, index).astype(np.float32)
        voxels += 0  # turns -0 into 0, which has other bits
        return np.ascontiguousarray(voxels)


class _Image(NamedTuple):
    """A case's image, not yet open: only one of many is held in memory."""

    case: str
    path: Path
    channel: int | None

    def open(self) -> Volume:
        return open_volume(self.path, channel_within(self.path, self.channel))

    def floats(self) -> _Floats:
        volume = without_tilt(self.open())
        if canonical_axes(volume) != CANONICAL:  # turning it needs all its voxels
            volume = to_canonical(volume.with_voxels(read_voxels(volume, self.path)))
        return _Floats(self.path, volume)

    def size(self) -> int:
        try:
            return int(np.prod(self.open().shape))
        except PlanewiseError:
            return 0  # reported when its voxels are read


def warn_of_leaks(
    train: dict[str, Path],
    valid: dict[str, Path],
    test: dict[str, Path],
    channel: int | None = None,
    parts_validate: bool = False,
) -> list[Leak]:
    """Print a warning for each leak between two parts of a split, given as images by case; see ``shared_voxels``.

    ``parts_validate``: parts of each training case are used for validation, so shared voxels are in both parts.
    """
    sides = {"training": train, "validation": valid, "test": test}
    training, validation, tests = (
        {f"{side} case {case}": path for case, path in images.items()} for side, images in sides.items()
    )
    leaks = shared_voxels(training, validation | tests, channel) + shared_voxels(validation, tests, channel)
    if parts_validate:
        cases = list(training)
        for place, case in enumerate(cases[1:], 1):
            others = {other: training[other] for other in cases[:place]}
            leaks += shared_voxels(others, {case: training[case]}, channel)
    for leak in leaks:
        warn(f"{leak}: its scores do not show how good the model is on new data")
    return leaks


def shared_voxels(train: dict[str, Path], test: dict[str, Path], channel: int | None = None) -> list[Leak]:
    """Return the leaks of the volumes of ``test`` in those of ``train``, both by case, the largest share first.

    ``channel``: for files that have several, as in ``--channel``.

    A crop is detected at any offset, in any type of voxel that holds the same values. A copy that was flipped, scaled
    or resampled is not detected, nor a crop narrower than ``RUN`` along x. Volumes are read in slabs; one that cannot
    be read is skipped with a warning.
    """
    if not (train and test):
        return []
    known_images, images = ([_Image(case, path, channel) for case, path in of.items()] for of in (train, test))
    total = sum(image.size() for image in known_images)
    thinning = max(LEAST_THINNING, int(np.ceil(np.log2(max(1, total / MOST_ANCHORS)))))
    leaks: list[Leak] = []
    with progress("looking for test voxels in the training data", len(train) + len(test), unit="volumes") as advance:
        parts = []
        for owner, image in enumerate(known_images):
            parts.append(_anchors(image, thinning, owner))
            advance(1, image.case)
        known = _sorted(_Anchors(*map(np.concatenate, zip(*parts))))
        for image in images:
            hashes = _sorted(_anchors(image, thinning, 0))
            ours, theirs = _same_hashes(hashes, known)
            offsets = known.places[theirs] - hashes.places[ours]
            for owner in np.unique(known.owners[theirs]).tolist():
                of_owner = known.owners[theirs] == owner
                leaks += _confirmed(known_images[owner], image, ours[of_owner], offsets[of_owner])
            advance(1, image.case)
    return sorted(leaks, key=lambda leak: -leak.share)


def _anchors(image: _Image, thinning: int, owner: int) -> _Anchors:
    """Return one in ``2**thinning`` of a volume's varied runs, without runs that it repeats."""
    hashes, places = [np.zeros(0, np.uint64)], [np.zeros((0, 3), np.int32)]
    try:
        voxels = image.floats()
        if voxels.volume.shape[2] < RUN:
            width = voxels.volume.shape[2]
            raise PlanewiseError(f"{image.path}: is {width} voxels wide, but runs of {RUN} are compared")
        for planes in slab_starts(voxels.volume.shape):
            slab = voxels[planes, :, :]
            capacity = 4 * (slab.size >> thinning) + 1024  # more would be a pattern
            chosen, at = choose_runs(slab, slab.view(np.uint32), thinning, capacity)
            hashes.append(chosen)
            places.append(at + np.array([planes.start, 0, 0], np.int32))
    except PlanewiseError as error:
        what = f"{WARNING}{image.case} is not searched for voxels in both training and test"
        say_once(f"{what}: {error}")  # once, though it is compared with several sides
    joined = np.concatenate(hashes)
    _, index, counts = np.unique(joined, return_inverse=True, return_counts=True)
    few = counts[index] <= REPEATS
    return _Anchors(joined[few], np.concatenate(places)[few], np.full(int(few.sum()), owner, np.int32))


def _sorted(anchors: _Anchors) -> _Anchors:
    order = np.argsort(anchors.hashes, kind="stable")
    return _Anchors(*(column[order] for column in anchors))


def _same_hashes(ours: _Anchors, theirs: _Anchors) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both, sorted by hash, that have equal hashes: all such pairs."""
    first = np.searchsorted(theirs.hashes, ours.hashes, "left")
    count = np.searchsorted(theirs.hashes, ours.hashes, "right") - first
    ends = np.cumsum(count)
    within = np.arange(count.sum()) - np.repeat(ends - count, count)
    return np.repeat(np.arange(len(ours.hashes)), count), np.repeat(first, count) + within


def _confirmed(train: _Image, test: _Image, runs: np.ndarray, offsets: np.ndarray) -> list[Leak]:
    """Return the leaks at the offsets with most matches, by comparing the voxels there.

    ``runs`` (n,): the test volume's run of each match; ``offsets`` (n, 3).
    """
    leaks = []
    for _ in range(OFFSETS):
        unique, which, counts = np.unique(offsets, axis=0, return_inverse=True, return_counts=True)
        if not len(counts) or counts.max() < MATCHES:
            break
        most = int(counts.argmax())
        dz, dy, dx = unique[most].tolist()
        try:
            voxels, share = _count_same(train.floats(), test.floats(), (dz, dy, dx))
        except PlanewiseError:
            break  # reported when its runs were chosen
        if voxels >= LEAST_VOXELS:
            leaks.append(Leak(train.case, test.case, voxels, share, (dz, dy, dx)))
        unexplained = ~np.isin(runs, runs[which.ravel() == most])
        runs, offsets = runs[unexplained], offsets[unexplained]
    return leaks


def _count_same(train: _Floats, test: _Floats, offset: tuple[int, int, int]) -> tuple[int, float]:
    """Return how many voxels are equal at ``offset``, see ``Leak``, and their share of the test volume."""
    shape, other = test.volume.shape, train.volume.shape
    first = [max(0, -shift) for shift in offset]
    stop = [min(side, length - shift) for side, length, shift in zip(shape, other, offset)]
    z, y, x = (end - start for start, end in zip(first, stop))
    count = 0
    for planes in slab_starts((z, y, x)):
        box = [slice(first[0] + planes.start, first[0] + planes.stop), *map(slice, first[1:], stop[1:])]
        there = tuple(slice(part.start + shift, part.stop + shift) for part, shift in zip(box, offset))
        count += int(count_in_same_runs(test[tuple(box)], train[there]))
    return count, count / float(np.prod(shape))
