"""The objects of a label volume and their places: searched once, then updated by the journal."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from planewise.correction.journal import Box, Entry, ObjectRecord
from planewise.errors import PlanewiseError
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats.ome_zarr import blocks
from planewise.volumes.volume import LazyArray

SIDE = 256  # voxels along each side of the blocks that are searched one after the other

Objects = dict[int, ObjectRecord]


def pieces(box: Box, side: tuple[int, ...] = (SIDE, SIDE, SIDE)) -> list[Box]:
    """Return the parts of a box that lie in one block each, of the blocks of ``side`` that a volume is made of."""
    shape = tuple(-(-stop // part) - start // part for (start, stop), part in zip(box, side))
    boxes = []
    for block in blocks(shape, (1, 1, 1)):
        corner = [(start // part + index.start) * part for (start, _), part, index in zip(box, side, block)]
        z, y, x = ((max(low, start), min(low + part, stop)) for low, part, (start, stop) in zip(corner, side, box))
        boxes.append((z, y, x))
    return boxes


def find_objects(labels: LazyArray, advance: Callable[[int], None] = lambda count: None) -> Objects:
    """Return the objects of a label volume (z, y, x), read block by block; ``advance`` is called for each block."""
    objects: Objects = {}
    z, y, x = ((0, side) for side in labels.shape)
    for box in pieces((z, y, x)):
        block = np.asarray(labels[index_of(box)])
        for label, record in objects_in(block, box).items():
            objects[label] = record if label not in objects else joined(objects[label], record)
        advance(1)
    return objects


def objects_in(block: np.ndarray, box: Box) -> Objects:
    """Return the objects of one ``block`` (z, y, x) of labels, which lies at ``box``."""
    places = np.nonzero(block)
    if not len(places[0]):
        return {}
    values, inverse = np.unique(block[places], return_inverse=True)
    counts = np.bincount(inverse)
    lows, highs = np.empty((3, len(values)), np.int64), np.empty((3, len(values)), np.int64)
    for axis, along in enumerate(places):
        lows[axis], highs[axis] = block.shape[axis], -1
        np.minimum.at(lows[axis], inverse, along)
        np.maximum.at(highs[axis], inverse, along)
    objects = {}
    for i, label in enumerate(values.tolist()):
        z, y, x = ((start + int(lows[axis, i]), start + int(highs[axis, i]) + 1) for axis, (start, _) in enumerate(box))
        objects[int(label)] = ObjectRecord(int(counts[i]), (z, y, x))
    return objects


def joined(a: ObjectRecord, b: ObjectRecord) -> ObjectRecord:
    """Return two parts of one object as one."""
    z, y, x = ((min(p[0], q[0]), max(p[1], q[1])) for p, q in zip(a.box, b.box))
    return ObjectRecord(a.voxels + b.voxels, (z, y, x))


def folded(objects: Objects, entries: Iterable[Entry]) -> Objects:
    """Return the objects after the actions ``entries``, all of which are in effect."""
    now = dict(objects)
    for entry in entries:
        for label, record in entry.objects.items():
            if record is None:
                now.pop(label, None)
            else:
                now[label] = record
    return now


def index_of(box: Box) -> tuple[slice, slice, slice]:
    """Return a box as an index."""
    z, y, x = (slice(start, stop) for start, stop in box)
    return z, y, x


def write_objects(path: Path, objects: Objects) -> None:
    """Write a table of objects: ``label, voxels, box`` in each row."""
    rows = [[label, record.voxels, *(end for side in record.box for end in side)] for label, record in objects.items()]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.array(rows, np.int64).reshape(-1, 8), allow_pickle=False)


def read_objects(path: Path) -> Objects:
    """Return what ``write_objects`` wrote. Raises PlanewiseError if it is missing or damaged."""
    try:
        rows = np.load(path, allow_pickle=False).reshape(-1, 8).tolist()
    except (OSError, ValueError, EOFError) as error:
        raise PlanewiseError(
            f"{path}: is missing or damaged, and the corrections need it; put it back from a copy, or move the folder "
            "of the corrections away to start again with the volume as it is"
        ) from error
    return {label: ObjectRecord(voxels, ((a, b), (c, d), (e, f))) for label, voxels, a, b, c, d, e, f in rows}
