"""Checks a dataset or a volume for everything on which a command would fail, before it runs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planewise.data.case import Case
from planewise.data.classes import IGNORE, LabelDefinition, semantic_beside
from planewise.data.intensity_profile import IntensityProfile, measure_intensities
from planewise.data.intensity_rule import refuse_what_has_no_range
from planewise.data.painted_slices import is_painted
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.input_checks import ignore_mark, unnumbered
from planewise.evaluation.open_pairs import open_truth
from planewise.evaluation.pairs import Pair, with_labels
from planewise.volumes.files import open_volume
from planewise.volumes.formats.image_sequence import images_in
from planewise.volumes.formats.sidecar import UNIT_RULE
from planewise.volumes.geometry import sharp_planes
from planewise.volumes.labels import count_values, open_labels
from planewise.volumes.parts import connected_parts
from planewise.volumes.slices import Plane
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

LEAST_NM = 0.05  # shortest plausible side of a voxel: atoms are further apart
MOST_EM_NM = 10_000.0  # longest plausible side of a voxel in EM, with room: sections are hundreds of times thinner
COMPONENT_VOXELS = 2**28  # largest semantic truth whose objects are counted, which needs all of it in memory


@dataclass(frozen=True)
class CheckedImage:
    """An image: ``volume`` as it was opened from ``path``, its intensities, and the planes that its spacing allows."""

    path: Path
    volume: Volume
    intensities: IntensityProfile
    planes: tuple[Plane, ...]


@dataclass(frozen=True)
class CheckedClass:
    """A class in one case's truth: its voxels, their share of the volume, and its objects.

    ``objects``: instances, or 26-connected components; None if the volume was too large to count them.
    """

    voxels: int
    share: float
    objects: int | None


@dataclass
class CheckedCase:
    """A case of a dataset, or a single volume. ``part``: Tr, Ts, or empty; ``image``: None if it cannot be used."""

    name: str
    part: str
    image: CheckedImage | None = None
    classes: dict[str, CheckedClass] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_image(path: Path, channel: int | None = None) -> CheckedImage:
    """Read the image at ``path`` once and describe it. Raises PlanewiseError if it cannot be used."""
    volume = open_volume(path, channel)
    intensities = measure_intensities(volume, path)
    refuse_what_has_no_range(intensities, path)
    return CheckedImage(path, volume, intensities, sharp_planes(volume.spacing, volume.shape))


def impossible_size(image: CheckedImage) -> str:
    """Return why an image's voxels have a wrong unit, whatever it shows: they are smaller than atoms; "" if not."""
    if image.volume.unit == PIXEL or min(image.volume.spacing_in("nm")) >= LEAST_NM:
        return ""
    return _wrong_size(image, "smaller than atoms")


def too_large_for_em(image: CheckedImage) -> str:
    """Return why an image's voxels have a wrong unit, in case it is EM; "" if they may have the right one."""
    if image.volume.unit == PIXEL or min(image.volume.spacing_in("nm")) <= MOST_EM_NM:
        return ""
    return _wrong_size(image, "far too large for EM")


def _wrong_size(image: CheckedImage, what: str) -> str:
    sides = " x ".join(f"{size:.4g}" for size in image.volume.spacing)
    return f"its voxels (z, y, x) are {sides} {image.volume.unit}, {what}: is the unit wrong? {UNIT_RULE}"


def check_cases(
    cases: Iterable[tuple[Case, str]], labels: LabelDefinition, advance: Callable[[str], None]
) -> tuple[list[CheckedCase], list[Problem]]:
    """Return what each case (with its part, Tr or Ts) holds, and the problems."""
    checked, problems = [], []
    for case, part in cases:
        entry = CheckedCase(case.name, part)
        checked.append(entry)
        try:
            entry.image = check_image(case.image, case.channel)
            if why := impossible_size(entry.image):
                problems.append(Problem(str(case.image), why))
        except PlanewiseError as error:
            problems.append(Problem.of(case.image, error))
        if case.truth is not None:
            try:
                problems += check_truth(case, labels, entry)
            except PlanewiseError as error:
                problems.append(Problem.of(case.truth, error))
        advance(case.name)
    return checked, problems


def check_truth(case: Case, labels: LabelDefinition, entry: CheckedCase) -> list[Problem]:
    """Return the problems of a case's truth; its contents by class, and notes, go into ``entry``.

    Raises PlanewiseError if it cannot be read.
    """
    assert case.truth is not None
    if is_painted(case.truth):
        entry.classes = _of_painted_slices(case.truth)
        return []
    truth = open_labels(case.truth)
    counts = count_values(truth)
    if case.instances:
        entry.notes += doubts_of_ids(truth, case.truth, counts, labels)
        is_read = labels.ignore is not None or len(labels.classes) > 1  # by mito evaluate, the latter for its --things
        problems = check_beside(case, labels, is_read, entry.notes)
        known = counts if problems or labels.ignore is None else _not_ignored(case, labels)
        of_objects = [count for value, count in known.items() if value]
        voxels = sum(of_objects)
        entry.classes = {"objects": CheckedClass(voxels, voxels / sum(counts.values()), len(of_objects))}
        return problems
    entry.classes = _of_classes(truth, counts, labels)
    unnamed = labels.unnamed(counts)
    return [Problem(str(case.truth), unnamed)] * bool(unnamed)


def _not_ignored(case: Case, labels: LabelDefinition) -> dict[int, int]:
    """Return how many voxels each instance has that are trained on and scored: the others are the ignore label's."""
    pair = Pair(case.name, None, case.truth, ignore_geometry=case.ignore_geometry)
    (pair,) = with_labels([pair], labels, instances=True)
    return count_values(open_truth(pair).scored)


def _of_painted_slices(folder: Path) -> dict[str, CheckedClass]:
    sections = painted = size = 0
    for file in images_in(folder):
        counts = count_values(volume := open_labels(file))
        sections += _components(volume, tuple(counts.keys() - {0}))
        painted += sum(count for value, count in counts.items() if value)
        size += sum(counts.values())
    return {"objects": CheckedClass(painted, painted / max(1, size), sections)}


def _of_classes(volume: Volume, counts: dict[int, int], labels: LabelDefinition) -> dict[str, CheckedClass]:
    whole = sum(counts.values())
    named = {name: (value,) for value, name in labels.classes.items()} | labels.regions
    if labels.ignore is not None:
        named[IGNORE] = (labels.ignore,)
    classes = {}
    for name, values in named.items():
        voxels = sum(counts.get(value, 0) for value in values)
        counted = voxels > 0 and whole <= COMPONENT_VOXELS and name != IGNORE
        objects = _components(volume, values) if counted else None if voxels else 0
        classes[name] = CheckedClass(voxels, voxels / whole, objects)
    return classes


def check_training_truths(
    cases: list[Case], labels: LabelDefinition, advance: Callable[[str], None], several: bool = False
) -> tuple[list[Case], list[Problem], list[str]]:
    """Return the cases whose truth can be trained on, the problems of the others, and notes on instances.

    A semantic truth with a value above 0 that dataset.json does not name cannot be used: its meaning is unknown, and
    training it as background would teach the wrong thing. The same holds for instances beside such a truth, if it is
    read for the ignore label or for ``several`` classes.
    """
    usable, problems, notes = [], [], []
    for case in cases:
        try:
            if case.truth is not None and is_painted(case.truth):
                for file in images_in(case.truth):
                    count_values(open_labels(file))
            elif case.truth is not None:
                counts = count_values(truth := open_labels(case.truth))
                if case.instances:
                    notes += doubts_of_ids(truth, case.truth, counts, labels)
                    if wrong := check_beside(case, labels, several or labels.ignore is not None, notes):
                        problems += wrong
                        continue
                elif unnamed := labels.unnamed(counts):
                    problems.append(Problem(str(case.truth), unnamed))
                    continue
            usable.append(case)
        except PlanewiseError as error:
            problems.append(Problem.of(case.truth, error))
        finally:
            advance(case.name)
    return usable, problems, notes


def doubts_of_ids(truth: Volume, path: Path, counts: dict[int, int], labels: LabelDefinition) -> list[str]:
    """Return notes on a truth of instances; ``counts``: the voxels of each value."""
    of_objects = {value: count for value, count in counts.items() if value}
    notes = [unnumbered(truth, path, len(of_objects))]
    if mark := ignore_mark(truth, of_objects):
        named = {*labels.classes, *(value for values in labels.regions.values() for value in values)}
        ignore = max(named, default=0) + 1 if labels.ignore is None else labels.ignore
        notes.append(
            f"{path}: {mark}. If it marks unlabelled voxels, it would be learned and counted as an object: such "
            f'voxels are 0 in instancesTr, and have the ignore label, "{IGNORE}": {ignore} under labels in '
            "dataset.json, in the file of that name in labelsTr"
        )
    return [note for note in notes if note]


def check_beside(case: Case, labels: LabelDefinition, is_read: bool, notes: list[str]) -> list[Problem]:
    """Return a problem if a semantic truth beside instances has unnamed values; only a note unless it ``is_read``.

    Raises PlanewiseError if it must be read and cannot be.
    """
    assert case.truth is not None
    path = case.truth
    try:
        semantic = semantic_beside(case.truth, case.name)
        path = semantic or path
        unnamed = "" if semantic is None else labels.unnamed(count_values(open_labels(semantic)))
    except PlanewiseError:
        if is_read:
            raise
        return []
    if unnamed and not is_read:
        notes.append(f"{path}: {unnamed}")
    return [Problem(str(path), unnamed)] if unnamed and is_read else []


def _components(volume: Volume, values: tuple[int, ...]) -> int:
    return int(connected_parts(np.isin(volume.read(), values), 26).max())
