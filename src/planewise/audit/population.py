"""Measures the masks in all units of a case: each slice, box or object. Volumes are read once, slab by slab.

An object belongs to the box in which its first voxel lies, in the order z, y, x: so each object has one box, as in the
disector (Sterio 1984, doi:10.1111/j.1365-2818.1984.tb02501.x; Gundersen 1986, doi:10.1111/j.1365-2818.1986.tb02764.x).
"""

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from planewise.data.space import laid_on, with_spacing_of
from planewise.errors import PlanewiseError
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.overlap import MAX_LABEL
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels, slab_starts
from planewise.volumes.tilt import without_tilt
from planewise.volumes.volume import Volume

Kind = Literal["slice", "box", "object", "missed"]
Box = tuple[slice, slice, slice]
OBJECTS, VOXELS = "objects", "voxels"
OBJECTS_A_BOX = 3  # on average, if there are enough of both
BOXES_AN_ITEM = 3  # at least, so that at most one box in three is drawn

Classes = dict[str, tuple[int, ...] | None]  # values by name; None: every value above 0


@dataclass(frozen=True)
class Source:
    """A case's volumes, canonical and in one space. Only voxels where ``within`` is above 0 count."""

    labels: Volume
    image: Volume | None
    within: Volume | None

    def reference(self, index: Any) -> np.ndarray | None:
        """Return where voxels count at ``index``; None: everywhere."""
        return None if self.within is None else np.asarray(self.within.voxels[index]) > 0


def open_source(
    labels: Path, image: Path | None, within: Path | None, channel: int | None = None, ignore_geometry: bool = False
) -> Source:
    """Open a case. Raises PlanewiseError if a file cannot be used, or does not lie where the labels do."""
    stored = open_labels(labels)

    def placed(path: Path | None, opened: Volume | None) -> Volume | None:
        if path is None or opened is None:
            return None
        return to_canonical(laid_on(opened, path, stored, labels, ignore_geometry), labels=path == within)

    canonical = with_spacing_of(to_canonical(without_tilt(stored), labels=True), image)
    return Source(
        canonical,
        placed(image, None if image is None else open_volume(image, channel)),
        placed(within, None if within is None else open_labels(within)),
    )


@dataclass(frozen=True)
class Population:
    """The units of one kind of a case, in the order in which strata are cut.

    ``places``: the box of each unit in the volume. ``masks``: by variable, the masks' value for each unit (n,);
    ``most``: the largest value possible in a unit (n,). ``labels``: the ids of objects.
    """

    kind: Kind
    places: list[Box]
    masks: dict[str, np.ndarray]
    most: dict[str, np.ndarray]
    labels: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.places)

    @property
    def weights(self) -> np.ndarray:
        """Return the weight of each unit for stratification: for a box, its number of objects plus that of a mean
        box."""
        if self.kind != "box" or not self.masks[OBJECTS].any():
            return np.ones(self.size)
        return self.masks[OBJECTS] + self.masks[OBJECTS].mean()


def class_voxels(labels: np.ndarray, reference: np.ndarray | None, classes: Classes) -> dict[str, int]:
    """Return how many voxels of each class there are where it counts."""
    counted = labels if reference is None else labels * reference
    return {
        name: int(np.count_nonzero(counted if values is None else np.isin(counted, values)))
        for name, values in classes.items()
    }


def slices_of(source: Source, classes: Classes) -> tuple[Population, float]:
    """Return the slices along z, and the number of voxels that count."""
    depth, height, width = source.labels.shape
    masks = {name: np.zeros(depth) for name in classes}
    most = np.full(depth, float(height * width))
    for planes in slab_starts(source.labels.shape):
        slab, reference = np.asarray(source.labels.voxels[planes]), source.reference(planes)
        for z in range(len(slab)):
            layer = None if reference is None else reference[z]
            if layer is not None:
                most[planes.start + z] = np.count_nonzero(layer)
            for name, count in class_voxels(slab[z], layer, classes).items():
                masks[name][planes.start + z] = count
    places = [(slice(z, z + 1), slice(0, height), slice(0, width)) for z in range(depth)]
    return Population("slice", places, masks, dict.fromkeys(classes, most)), float(most.sum())


@dataclass(frozen=True)
class Objects:
    """The predicted objects of a case: ids, sizes in voxels, ``first`` voxels (n, 3), boxes ``lower`` to ``upper``."""

    labels: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def objects_of(source: Source) -> Objects:
    """Find the objects of a case. Raises PlanewiseError for labels above 2**31 - 1."""
    counter, first = LocatedCounter(), dict[int, tuple[int, ...]]()
    for planes in slab_starts(source.labels.shape):
        slab = np.asarray(source.labels.voxels[planes])
        if slab.dtype.itemsize >= 4 and slab.size and slab.max() > MAX_LABEL:
            raise PlanewiseError(f"labels reach {slab.max()}; at most {MAX_LABEL} is supported: renumber them")
        counter.add(slab, np.zeros_like(slab), planes.start)
        for label, place in first_voxels(slab).items():
            first.setdefault(label, (place[0] + planes.start, *place[1:]))
    table = counter.table()
    ordered = np.array([first[label] for label in table.first.tolist()], int).reshape(-1, 3)
    return Objects(table.first, table.count, ordered, table.lower, table.upper)


def first_voxels(labels: np.ndarray) -> dict[int, tuple[int, int, int]]:
    """Return the first voxel (z, y, x) of each label above 0, in the order z, y, x."""
    flat = np.flatnonzero(labels)
    present, index = np.unique(labels.ravel()[flat], return_index=True)
    places = np.unravel_index(flat[index], labels.shape)
    return {int(label): (int(z), int(y), int(x)) for label, z, y, x in zip(present, *places)}


def box_edges(
    volume: Volume, items: int, objects: int, sides: tuple[int, int, int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges along z, y, x that cut a volume into boxes of about ``sides`` voxels.

    By default they are nearly cubes, so many that they hold ``OBJECTS_A_BOX`` objects on average, but at least
    ``BOXES_AN_ITEM`` for each item.
    """
    wanted = max(BOXES_AN_ITEM * items, objects / OBJECTS_A_BOX)
    extents = [side * spacing for side, spacing in zip(volume.shape, volume.spacing)]
    side = (math.prod(extents) / wanted) ** (1 / 3)
    counts = [
        max(1, min(shape, round(shape / given if given else extent / side)))
        for shape, extent, given in zip(volume.shape, extents, sides or (0, 0, 0))
    ]
    if sides is None:  # rounding may leave too few
        while math.prod(counts) < wanted and any(c < s for c, s in zip(counts, volume.shape)):
            longest = max(range(3), key=lambda axis: extents[axis] / counts[axis] * (counts[axis] < volume.shape[axis]))
            counts[longest] += 1
    z, y, x = (np.linspace(0, shape, count + 1).round().astype(int) for shape, count in zip(volume.shape, counts))
    return z, y, x


def boxes_of(source: Source, objects: Objects, edges: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Population:
    """Return the boxes that fill the volume, back and forth through it, so that neighbours follow each other."""
    counts = tuple(len(along) - 1 for along in edges)
    voxels = np.zeros(counts)
    for planes in slab_starts(source.labels.shape):
        slab = np.asarray(source.labels.voxels[planes]) > 0
        along_x = np.add.reduceat(slab, edges[2][:-1], axis=2, dtype=np.int64)
        along_yx = np.add.reduceat(along_x, edges[1][:-1], axis=1)
        rows = np.searchsorted(edges[0], np.arange(planes.start, planes.stop), side="right") - 1
        np.add.at(voxels, rows, along_yx)
    starts = np.zeros(counts)
    which = [np.searchsorted(along, objects.first[:, axis], side="right") - 1 for axis, along in enumerate(edges)]
    np.add.at(starts, tuple(which), 1)
    order = _back_and_forth(*counts)
    cut = [[slice(int(a), int(b)) for a, b in pairwise(along)] for along in edges]
    places = [(cut[0][z], cut[1][y], cut[2][x]) for z, y, x in order]
    volumes = np.array([math.prod(part.stop - part.start for part in place) for place in places], float)
    index = tuple(np.array(order).T)
    return Population(
        "box", places, {OBJECTS: starts[index], VOXELS: voxels[index]}, {OBJECTS: volumes, VOXELS: volumes}
    )


def _back_and_forth(depth: int, height: int, width: int) -> list[tuple[int, int, int]]:
    order = []
    for z in range(depth):
        for y in range(height)[:: 1 if z % 2 == 0 else -1]:
            order += [(z, y, x) for x in range(width)[:: 1 if (z * height + y) % 2 == 0 else -1]]
    return order


def by_content(boxes: Population) -> tuple[Population, np.ndarray]:
    """Return the boxes sorted by their number of objects, and their former positions (n,); the sort is stable."""
    order = np.argsort(boxes.masks[OBJECTS], kind="stable")
    masks, most = ({name: values[order] for name, values in of.items()} for of in (boxes.masks, boxes.most))
    return replace(boxes, places=[boxes.places[i] for i in order], masks=masks, most=most), order


def missed_in(boxes: Population) -> Population:
    """Return the boxes as units for missed objects, of which the masks' value is 0."""
    nothing = {variable: np.zeros(boxes.size) for variable in boxes.masks}
    return Population("missed", boxes.places, nothing, boxes.most)


def objects_in_order(objects: Objects, confidence: dict[int, float], shape: tuple[int, int, int]) -> Population:
    """Return the predicted objects by thirds of certainty, least certain first, and by increasing size within them.

    Objects without a confidence are placed with the most certain ones.
    """
    certain = np.array([confidence.get(label, math.inf) for label in objects.labels.tolist()])
    known = certain[np.isfinite(certain)]
    thirds = np.searchsorted(np.quantile(known, [1 / 3, 2 / 3]), certain) if known.size else np.zeros(len(certain))
    order = np.lexsort((objects.labels, objects.sizes, thirds))
    cut = [[slice(int(a), int(b)) for a, b in zip(objects.lower[i], objects.upper[i])] for i in order]
    places = [(z, y, x) for z, y, x in cut]
    most = np.full(len(order), float(math.prod(shape)))
    masks = {OBJECTS: np.ones(len(order)), VOXELS: objects.sizes[order].astype(float)}
    return Population("object", places, masks, {OBJECTS: most, VOXELS: most}, objects.labels[order].tolist())
