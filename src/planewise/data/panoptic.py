"""Classes of two kinds in one volume (Kirillov et al. 2019, arXiv:1801.00868): things, which have countable objects,
such as mitochondria and nuclei; and stuff, which only has an amount, such as the endoplasmic reticulum.

A voxel has one number, its panoptic value: class * ``DIVISOR`` + id of the object, with id 0 for stuff; 0 for
background, -1 for unknown.
"""

from dataclasses import dataclass

import numpy as np

from planewise.data.case import Case
from planewise.data.classes import DATASET_FILE, LabelDefinition, semantic_beside
from planewise.data.painted_slices import is_painted
from planewise.data.space import labels_on
from planewise.errors import PlanewiseError
from planewise.progress import counted, say
from planewise.volumes.files import open_volume
from planewise.volumes.parts import connected_parts

DIVISOR = 1_000_000  # label_divisor in empanada: more than the objects of a class in a volume
MOST_CLASSES = 2000  # panoptic values of more would not fit 32 bits
IGNORED = -1  # in masks of slices too: pixels that are excluded from all losses and scores
NO_THINGS = "none"
CLASSES = "classes"  # the folder, beside instance ids, with volumes of the class of each voxel


@dataclass(frozen=True)
class PanopticClasses:
    """Several classes, numbered 1 to n, some of them ``things``; ``ignore``: the value of ignored voxels.

    nnU-Net demands that numbers have no gaps; so do the channels of a network's semantic head.
    """

    names: dict[int, str]
    things: tuple[int, ...]
    ignore: int | None = None

    @property
    def kinds(self) -> tuple[bool, ...]:
        """Whether each class is a class of things, in order."""
        return tuple(value in self.things for value in self.names)

    def named(self, things: bool) -> str:
        """Return the names of the things, or of the stuff, as text."""
        listed = [f"{name} ({value})" for value, name in self.names.items() if (value in self.things) is things]
        return ", ".join(listed) or "none"

    def __str__(self) -> str:
        ignored = "" if self.ignore is None else f"; ignored: ignore ({self.ignore})"
        return f"things, with separate objects: {self.named(True)}; stuff: {self.named(False)}{ignored}"


def panoptic_classes(labels: LabelDefinition, things: tuple[str, ...], option: str) -> PanopticClasses:
    """Return the classes of a dataset.json; those in ``things`` are things; ``option``: the option that named them.

    ``NO_THINGS`` alone names none, unless a class has that name.
    Raises PlanewiseError if one is not a class, if there are not several classes, or if their numbers have gaps.
    """
    names, source = labels.class_names(), labels.source or DATASET_FILE
    if len(names) < 2:
        raise PlanewiseError(
            f"{option}: is for several classes, and {source} names {', '.join(names.values()) or 'none'}; leave it out"
        )
    if list(names) != list(range(1, len(names) + 1)) or len(names) > MOST_CLASSES:
        raise PlanewiseError(
            f"{source}: labels: the classes' values are {', '.join(map(str, names))}; several classes must be 1 to "
            f"{len(names)}, without gaps, as nnU-Net demands too"
        )
    value_of = {name: value for value, name in names.items()}
    if things == (NO_THINGS,) and NO_THINGS not in value_of:
        things = ()
    if unknown := [name for name in things if name not in value_of]:
        raise PlanewiseError(f"{option}: {', '.join(unknown)}: no such class; there are {', '.join(value_of)}")
    return PanopticClasses(names, tuple(sorted({value_of[name] for name in things})), labels.ignore)


def class_of(values: np.ndarray) -> np.ndarray:
    """Return the class of panoptic values; -1 for unknown."""
    return values // DIVISOR


def read_panoptic(case: Case, classes: PanopticClasses) -> np.ndarray:
    """Return a case's panoptic values (z, y, x) int32, in the axes of its image's array.

    labelsTr gives the class of a voxel; instancesTr, if it exists, its object. If a class of things has no ids in a
    case, its 26-connected components are the objects, with a message. Raises PlanewiseError if a file cannot be read or
    holds no class, or if the two contradict each other.
    """
    if case.truth is None:
        raise PlanewiseError(f"{case.image}: has no truth to train on")
    if is_painted(case.truth):
        raise PlanewiseError(
            f"{case.truth}: painted slices do not state the class of an object; several classes need labelsTr"
        )
    image = open_volume(case.image, case.channel)
    semantic_path = semantic_beside(case.truth, case.name) if case.instances else case.truth
    if semantic_path is None:
        raise PlanewiseError(
            f"{case.truth}: holds objects, but nothing gives their classes: there is no labelsTr beside it"
        )
    semantic = labels_on(image, case, semantic_path)
    known = (*classes.names, *([] if classes.ignore is None else [classes.ignore]))
    semantic = np.where(np.isin(semantic, known), semantic, 0).astype(np.int32)  # others were reported before
    with_ids = case.instances and classes.things
    ids = labels_on(image, case, case.truth) if with_ids else np.zeros(semantic.shape, np.uint8)
    if not np.isin(semantic, tuple(classes.names)).any():
        raise PlanewiseError(f"{semantic_path}: holds no voxel of {', '.join(classes.names.values())} to learn from")
    _refuse_contradictions(case, semantic, ids, classes)
    values = np.where(semantic == classes.ignore, IGNORED, semantic * DIVISOR) if classes.ignore else semantic * DIVISOR
    for value in classes.things:
        place = semantic == value
        values[place] += _numbered(case, place, ids, classes.names[value])
    return values.astype(np.int32, copy=False)


def _numbered(case: Case, place: np.ndarray, ids: np.ndarray, name: str) -> np.ndarray:
    """Return the objects, from 1, of the voxels in ``place`` (z, y, x), all of one class: (voxels,) int32."""
    if ids[place].any():
        numbers = np.unique(ids[place], return_inverse=True)[1].ravel() + 1
    else:
        if case.instances and place.any():
            say(f"{case.name}: no {name} has an id in instancesTr: their 26-connected components are the objects")
        numbers = connected_parts(place, 26)[place]
    if numbers.max(initial=0) >= DIVISOR:
        raise PlanewiseError(f"{case.truth}: {numbers.max()} objects of {name}; at most {DIVISOR - 1} are supported")
    return np.asarray(numbers, np.int32)


def _refuse_contradictions(case: Case, semantic: np.ndarray, ids: np.ndarray, classes: PanopticClasses) -> None:
    """Refuse ids that lie in two classes, or in no class of things, and things without an id if others have one."""
    inside = (ids > 0) & (semantic != classes.ignore) if classes.ignore else ids > 0
    pairs, counts = np.unique(np.stack([ids[inside].astype(np.int64), semantic[inside]]), axis=1, return_counts=True)
    names = {0: "background"} | classes.names
    of_id: dict[int, dict[int, int]] = {}
    for label, value, count in zip(*pairs.tolist(), counts.tolist()):
        of_id.setdefault(label, {})[value] = count
    wrong = {label: of for label, of in of_id.items() if len(of) > 1 or not of.keys() <= set(classes.things)}
    if wrong:
        listed = [
            f"object {label}: "
            + ", ".join(f"{counted(count, 'voxel')} of {names[value]}" for value, count in of.items())
            for label, of in list(wrong.items())[:5]
        ]
        raise PlanewiseError(
            f"{case.truth}: {len(wrong)} object{'s do' if len(wrong) > 1 else ' does'} not lie in one class of things "
            f"by labelsTr: {'; '.join(listed)}{' ...' * (len(wrong) > 5)}; make the two agree"
        )
    for value in classes.things:
        without = (semantic == value) & (ids == 0)
        if without.any() and ids[semantic == value].any():
            raise PlanewiseError(
                f"{case.truth}: {np.count_nonzero(without):,} voxels of {names[value]} in labelsTr are in no object, "
                "and others are; make the two agree, or mark unknown voxels with the ignore label"
            )
