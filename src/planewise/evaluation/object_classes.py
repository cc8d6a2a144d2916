"""The class of each object of a label volume, from a volume of the class of each voxel."""

from collections.abc import Collection, Mapping

import numpy as np

from planewise.evaluation.overlap import Overlap
from planewise.progress import counted

LISTED = 5  # objects that a note names


def class_of_objects(labels: np.ndarray, overlap: Overlap, things: Collection[int] | None = None) -> np.ndarray:
    """Return the class of most voxels of each of ``labels`` (n,), ascending, 0 if it has none; ``overlap``: of label
    and class volume; ``things``: the classes that an object can be of, None if all."""
    within = (overlap.first > 0) & (overlap.second > 0)
    if things is not None:
        within &= np.isin(overlap.second, list(things))
    place, value, count = np.searchsorted(labels, overlap.first[within]), overlap.second[within], overlap.count[within]
    of_object = np.zeros(len(labels), np.int64)
    order = np.lexsort((-value.astype(np.int64), count))
    of_object[place[order]] = value[order]  # the largest count is written last, of equal ones the lowest class
    return of_object


def class_doubts(overlap: Overlap, names: Mapping[int, str], things: Collection[int] | None, without: str) -> list[str]:
    """Return, as text, which objects lie in several classes, or in no class that an object can have.

    See ``class_of_objects``. ``names``: of classes, others are background; ``without``: what becomes of those in none.
    """
    voxels: dict[int, dict[str, int]] = {}
    for label, value, count in zip(overlap.first.tolist(), overlap.second.tolist(), overlap.count.tolist()):
        if label > 0:
            of_label = voxels.setdefault(label, {})
            name = names.get(value, "background")
            of_label[name] = of_label.get(name, 0) + count
    objects = {names[value] for value in (names if things is None else things)}
    spread = [label for label, of in voxels.items() if len(of) > 1 and of.keys() & objects]
    none = [label for label, of in voxels.items() if not of.keys() & objects]
    kind = "class" if things is None else "class of things"
    notes = []
    if spread:
        notes.append(
            f"in several classes: {_listed(spread, voxels)}; an object gets the {kind} that most of its voxels have"
        )
    if none:
        notes.append(f"in no {kind}: {_listed(none, voxels)}; {without}")
    return notes


def _listed(labels: list[int], voxels: Mapping[int, Mapping[str, int]]) -> str:
    each = []
    for label in labels[:LISTED]:
        counts = [f"{counted(count, 'voxel')} of {name}" for name, count in voxels[label].items()]
        each.append(f"object {label} ({', '.join(counts)})")
    more = len(labels) - LISTED
    return ", ".join(each) + (f" and {more} more" if more > 0 else "")
