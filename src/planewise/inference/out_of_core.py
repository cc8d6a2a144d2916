"""Segment a volume that does not fit in memory: slabs of each plane, then blocks of the volume, by a store on disk.

::

    for each plane:  read a slab -> network -> foreground bits, centres, offsets
                     -> median across slices -> objects of each slice ("components"), written as chunks
                     -> their sizes and overlaps, all that linking reads: from them a label for every component
    for each block:  components -> the planes' labels, written; how they combine, counted
    for each block:  labels -> the final labels, written

All steps are functions of files in the work folder, so any process can do them, in any order that the arrows allow, and
what is done when a run stops is not done again. The result is the one of ``gathering`` and ``consensus``, voxel for
voxel: both depend on the same tables alone.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from planewise.errors import PlanewiseError
from planewise.inference.blocks import Found, Verdict, apply_verdict, count_block, decide, join_found
from planewise.inference.gathering import GroupingOptions
from planewise.inference.linking import Chain, linked_components
from planewise.inference.planes import SliceOptions, SlicePredictor, plane_outputs
from planewise.inference.runs import Runs
from planewise.inference.slabs import (
    SlabObjects,
    SlabOutputs,
    filter_slab,
    group_slab,
    join_slabs,
    paint_rows,
    slab_objects,
    slab_outputs,
)
from planewise.ome_zarr import CHUNK, add_pyramid, blocks, create
from planewise.slices import AXIS, Plane, as_stack
from planewise.volume import Volume, atomic_path, open_volume, read_voxels

BYTES_A_SLAB_VOXEL = 3  # two slabs' bits and offsets, the one being read, the bands that are written
BYTES_A_BLOCK_VOXEL = 24  # three planes' components and labels, and the result
Index = tuple[slice, slice, slice]


class PredictorSource(Protocol):
    """What a process gets its predictor from; it travels to other processes."""

    def __call__(self) -> SlicePredictor: ...


@dataclass(frozen=True)
class Job:
    """All that a task must know. Paths are seen alike by all processes.

    ``slabs``: for each plane, how many slices are worked on at a time; ``block``: the shape of a block, which is also
    that of the results' files.
    """

    source: Path
    work: Path
    shape: tuple[int, int, int]
    slices: SliceOptions
    grouping: GroupingOptions
    batch_size: int
    vote: int
    slabs: dict[Plane, int]
    block: tuple[int, int, int]
    predictor: PredictorSource

    @property
    def axes(self) -> tuple[Plane, ...]:
        """The planes, in order."""
        return tuple(self.slabs)

    def starts(self, plane: Plane) -> range:
        """The first slice of every slab of a plane."""
        return range(0, self.shape[AXIS[plane]], self.slabs[plane])

    def slab(self, plane: Plane, start: int) -> slice:
        return slice(start, min(start + self.slabs[plane], self.shape[AXIS[plane]]))

    def plane_store(self, plane: Plane) -> Path:
        return self.work / f"{plane}.ome.zarr"

    def final_store(self) -> Path:
        return self.work / "final.ome.zarr"


class Workers(Protocol):
    """Who does the tasks: this process at once, or others in the background. Results can be given to other tasks."""

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """Have a task done and return its result, or what stands for it."""
        ...

    def wait(self, results: list[Any], most: int) -> list[Any]:
        """Return the results that are not there yet, when they are at most ``most``. Raises what a task raised."""
        ...


class Here:
    """This process does every task when it is submitted."""

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """See ``Workers``."""
        return task(*arguments)

    def wait(self, results: list[Any], most: int) -> list[Any]:
        """See ``Workers``."""
        return []


def plan_slabs(shape: tuple[int, int, int], chunk: int, axis: int, batch_size: int, memory: int, half: int) -> int:
    """Return how many slices of a plane are worked on at a time, within ``memory`` bytes.

    A chunk's thickness ``chunk``, in whole batches as the network sees them in memory, so that each chunk is
    decompressed once; fewer slices if they do not fit. Raises PlanewiseError if not even a batch does.
    """
    pixels = int(np.prod(shape)) // max(1, shape[axis])
    fitting = memory // (BYTES_A_SLAB_VOXEL * max(1, pixels))
    least = -(-max(half, 1) // batch_size) * batch_size
    if fitting < least:
        needed = least * BYTES_A_SLAB_VOXEL * pixels / 1e9
        raise PlanewiseError(f"--memory: {least} slices of {pixels} pixels need {needed:.2g} GB beside the network")
    wanted = int(np.lcm(chunk, batch_size))
    return max(least, min(max(wanted, least), fitting // batch_size * batch_size))


def plan_block(shape: tuple[int, int, int], memory: int) -> tuple[int, int, int]:
    """Return the shape of the blocks that fit in ``memory`` bytes: whole chunks, at least one, at most 4 x 4."""
    side = 4
    while side > 1 and BYTES_A_BLOCK_VOXEL * CHUNK**3 * side**2 > memory:
        side -= 1
    z, y, x = (min(CHUNK * count, max(CHUNK, whole)) for count, whole in zip((1, side, side), shape))
    return z, y // CHUNK * CHUNK, x // CHUNK * CHUNK


def segment(job: Job, like: Volume, workers: Workers, at_once: int, advance: Callable[[str, int], None]) -> int:
    """Segment a volume into ``job.plane_store`` of each plane and ``job.final_store``; return the number of objects.

    ``like``: the volume's geometry; ``at_once``: how many tasks wait or are done at a time; ``advance`` is called with
    what is going on and how many slices, or blocks, of it are done. What was finished before is not done again.
    """
    for plane in job.axes:
        if not _lookup_file(job, plane).exists():
            _segment_plane(job, plane, workers, at_once, advance)
            link_plane(job, plane)
    every = list(blocks(job.shape, job.block))
    of_planes = [job.plane_store(plane) for plane in job.axes]
    _each_block(job, like, every, label_block, _count_file, of_planes, "labels", workers, at_once, advance)
    verdict_file = job.work / "verdict.npz"
    if not verdict_file.exists():
        sizes = [np.load(_lookup_file(job, plane))["sizes"] for plane in job.axes]
        found = join_found([Found(**_arrays(_count_file(job, block))) for block in every])
        verdict = decide(found, sizes, job.vote, job.grouping.min_size, job.grouping.min_extent)
        _save(verdict_file, keys=verdict.keys, labels=verdict.labels, objects=verdict.objects)
    _each_block(job, like, every, fuse_block, _done_file, [job.final_store()], "consensus", workers, at_once, advance)
    if job.final_store().exists():  # else it was delivered before the run was stopped
        add_pyramid(job.final_store(), job.block)
    return int(np.load(verdict_file)["objects"])


def _each_block(
    job: Job, like: Volume, every: list[Index], task: Callable[[Job, Index], None], file: Callable[[Job, Index], Path],
    stores: list[Path], what: str, workers: Workers, at_once: int, advance: Callable[[str, int], None],
) -> None:  # fmt: skip
    """Do a task, which writes to ``stores``, for every block that it was not done for: whose ``file`` is not there."""
    done = [file(job, block).exists() for block in every]
    if not all(done):
        for store in stores:
            _make_store(store, job, like)
    waiting: list[Any] = []
    for block, before in zip(every, done):
        if not before:
            waiting = workers.wait([*waiting, workers.submit(task, job, block)], at_once - 1)
        advance(what, 1)
    workers.wait(waiting, 0)


def _segment_plane(job: Job, plane: Plane, workers: Workers, at_once: int, advance: Callable[[str, int], None]) -> None:
    """Find the components of every slab of a plane.

    A slab's median needs filtered slices of the slab before and plain ones of the slab after; both are handed on.
    """
    _make_components(job, plane)
    starts = list(job.starts(plane))
    done = {start: _slab_file(job, plane, start).exists() for start in starts}
    outputs: dict[int, Any] = {}
    waiting: list[Any] = []
    before = workers.submit(no_slices)

    def outputs_of(start: int) -> Any:
        if start not in outputs:
            outputs[start] = workers.submit(predict_slab, job, plane, start)
        return outputs[start]

    for start, following in zip(starts, [*starts[1:], None]):
        if done[start]:
            before = workers.submit(last_slices, job, plane, start)
        else:
            if following is None:
                after = workers.submit(no_slices)
            elif done[following]:
                after = workers.submit(first_slices, job, plane, following)
            else:
                after = workers.submit(first_of, outputs_of(following), job.grouping.median_kernel // 2)
            filtered = workers.submit(filter_outputs, job, plane, start, outputs_of(start), before, after)
            before = workers.submit(last_of, filtered, before, job.grouping.median_kernel // 2)
            finished = workers.submit(finish_slab, job, plane, start, outputs_of(start), filtered, before)
            waiting = workers.wait([*waiting, finished], at_once - 1)
            del outputs[start], filtered, finished
        slab = job.slab(plane, start)
        advance(plane, slab.stop - slab.start)
    workers.wait(waiting, 0)


# ---- the tasks on slabs


def predict_slab(job: Job, plane: Plane, start: int) -> SlabOutputs:
    """Return what the network says of the slab of ``plane`` that begins with slice ``start``."""
    slab, axis = job.slab(plane, start), AXIS[plane]
    index = tuple(slab if i == axis else slice(None) for i in range(3))
    voxels = read_voxels(open_volume(job.source), job.source, index)
    height, width = as_stack(voxels, plane).shape[1:]
    found = plane_outputs(job.predictor(), voxels, plane, job.slices, job.batch_size, lambda count: None)
    return slab_outputs(found, height, width, job.grouping)


def filter_outputs(
    job: Job, plane: Plane, start: int, outputs: SlabOutputs, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Return the slab's foreground after the median; see ``slabs.filter_slab``."""
    shape = outputs.foreground.shape[1:]
    before, after = (neighbours.reshape(-1, *shape) for neighbours in (before, after))
    count = job.shape[AXIS[plane]]
    return filter_slab(outputs.foreground, start, count, before, after, job.grouping.median_kernel)


def finish_slab(
    job: Job, plane: Plane, start: int, outputs: SlabOutputs, filtered: np.ndarray, last: np.ndarray
) -> None:
    """Write a slab's components, and what linking and the neighbours need of it; ``last``: its last filtered slices."""
    import zarr

    slices = group_slab(outputs, filtered, job.grouping.scale)
    found = slab_objects(slices)
    components = zarr.open_array(_components(job, plane), mode="r+")
    slab, axis = job.slab(plane, start), AXIS[plane]
    height = outputs.foreground.shape[1]
    for top in range(0, height, CHUNK):
        rows = slice(top, min(top + CHUNK, height))
        index: list[slice] = [rows, slice(None)]
        index.insert(axis, slab)
        components[tuple(index)] = np.moveaxis(paint_rows(slices, rows, outputs.width), 0, axis)
    half = job.grouping.median_kernel // 2
    ends = {
        f"{name}_{field}": getattr(runs, field)
        for name, runs in (("first", found.first), ("last", found.last))
        for field in Runs.__dataclass_fields__
    }
    _save(
        _slab_file(job, plane, start),
        **{name: getattr(found.chain, name) for name in Chain.__dataclass_fields__},
        **ends,
        filtered=last,
        plain=outputs.foreground[:half],
    )


def no_slices() -> np.ndarray:
    """Return what lies beyond the stack."""
    return np.zeros((0, 0, 0), np.uint8)


def first_of(outputs: SlabOutputs, count: int) -> np.ndarray:
    """Return the first plain slices of a slab."""
    return outputs.foreground[:count]


def last_of(filtered: np.ndarray, before: np.ndarray, count: int) -> np.ndarray:
    """Return the last filtered slices up to the end of a slab, of those before it too if it is too thin."""
    return np.concatenate([before.reshape(-1, *filtered.shape[1:]), filtered])[-count:] if count else filtered[:0]


def first_slices(job: Job, plane: Plane, start: int) -> np.ndarray:
    """Return the first plain slices of a slab that is finished."""
    return np.load(_slab_file(job, plane, start))["plain"]


def last_slices(job: Job, plane: Plane, start: int) -> np.ndarray:
    """Return the last filtered slices of a slab that is finished."""
    return np.load(_slab_file(job, plane, start))["filtered"]


def link_plane(job: Job, plane: Plane) -> None:
    """Link a plane's components and write the label of each, slab by slab."""
    slabs = []
    for start in job.starts(plane):
        found = _arrays(_slab_file(job, plane, start))
        first, last = (Runs(**{f: found[f"{end}_{f}"] for f in Runs.__dataclass_fields__}) for end in ("first", "last"))
        slabs.append(SlabObjects(Chain(**{name: found[name] for name in Chain.__dataclass_fields__}), first, last))
    labels, sizes = linked_components(join_slabs(slabs), job.grouping.min_size, job.grouping.min_extent)
    first_component = np.cumsum([0, *(len(slab.chain.sizes) for slab in slabs)])
    _save(_lookup_file(job, plane), labels=labels, sizes=sizes, first_component=first_component)


# ---- the tasks on blocks


def label_block(job: Job, block: Index) -> None:
    """Write the planes' labels in a block, and count how they combine."""
    import zarr

    planes = np.zeros((3, *(part.stop - part.start for part in block)), np.int32)
    for labels, plane in zip(planes, job.axes):
        labels[:] = _labels(job, plane, block)
        zarr.open_array(job.plane_store(plane) / "0", mode="r+")[block] = labels
    found = count_block(planes, (block[0].start, block[1].start, block[2].start))
    _save(_count_file(job, block), keys=found.keys, counts=found.counts, boxes=found.boxes)


def _labels(job: Job, plane: Plane, block: Index) -> np.ndarray:
    """Return a plane's labels in a block: each component's, looked up in the table of its slab."""
    import zarr

    lookup = _arrays(_lookup_file(job, plane))
    axis, thickness = AXIS[plane], job.slabs[plane]
    components = zarr.open_array(_components(job, plane), mode="r")[block]
    first = block[axis].start
    for number in range(first // thickness, -(-block[axis].stop // thickness)):
        start, stop = (max(0, edge * thickness - first) for edge in (number, number + 1))
        part = np.moveaxis(components, axis, 0)[start:stop]
        own = lookup["labels"][lookup["first_component"][number] : lookup["first_component"][number + 1]]
        part[...] = np.concatenate([[0], own]).astype(np.int32)[part]
    return components


def fuse_block(job: Job, block: Index) -> None:
    """Write the final labels in a block."""
    import zarr

    planes = np.zeros((3, *(part.stop - part.start for part in block)), np.int32)
    for labels, plane in zip(planes, job.axes):
        labels[:] = zarr.open_array(job.plane_store(plane) / "0", mode="r")[block]
    found = _arrays(job.work / "verdict.npz")
    result = apply_verdict(planes, Verdict(found["keys"], found["labels"], int(found["objects"])))
    zarr.open_array(job.final_store() / "0", mode="r+")[block] = result
    _save(_done_file(job, block))


# ---- the work folder


def begin_work(work: Path, identity: dict[str, Any], overwrite: bool) -> None:
    """Make the work folder of a run, or go on with that of one that stopped.

    ``identity``: what makes the run what it is. Raises PlanewiseError if the folder is another run's.
    """
    file, told = work / "run.json", json.loads(json.dumps(identity, default=str))
    if overwrite:
        for item in work.iterdir() if work.is_dir() else ():
            if item.is_dir():
                shutil.rmtree(item)
    elif file.exists():
        before = json.loads(file.read_text("utf-8"))
        other = [name for name in told if before.get(name) != told[name]]
        if other:
            raise PlanewiseError(
                f"{work}: holds the unfinished work of a run with {other[0]} {before.get(other[0])}, not "
                f"{told[other[0]]}; finish it as it was begun, or start again with --overwrite"
            )
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(told, indent=1), "utf-8")


def identity_of(job: Job) -> dict[str, Any]:
    """Return what makes a run what it is, as far as the job says: another of these, and its parts do not fit."""
    told = asdict(job)
    return {name: told[name] for name in ("shape", "slices", "grouping", "batch_size", "vote", "slabs", "block")}


def _make_components(job: Job, plane: Plane) -> None:
    import zarr

    path, axis = _components(job, plane), AXIS[plane]
    if not path.exists():
        chunks = [min(CHUNK, side) for side in job.shape]
        chunks[axis] = min(job.slabs[plane], job.shape[axis])
        with atomic_path(path) as temporary:
            zarr.create_array(temporary, shape=job.shape, chunks=tuple(chunks), dtype=np.int32, fill_value=0)


def _make_store(path: Path, job: Job, like: Volume) -> None:
    if not path.exists():
        with atomic_path(path) as temporary:
            create(temporary, job.shape, np.int32, like.spacing, like.unit, like.origin, job.block)


def _components(job: Job, plane: Plane) -> Path:
    return job.work / plane / "components.zarr"


def _slab_file(job: Job, plane: Plane, start: int) -> Path:
    return job.work / plane / f"slab_{start:08d}.npz"


def _lookup_file(job: Job, plane: Plane) -> Path:
    return job.work / plane / "lookup.npz"


def _count_file(job: Job, block: Index) -> Path:
    return job.work / "counts" / f"{_corner(block)}.npz"


def _done_file(job: Job, block: Index) -> Path:
    return job.work / "fused" / f"{_corner(block)}.npz"


def _corner(block: Index) -> str:
    return "_".join(f"{part.start:08d}" for part in block)


def _save(path: Path, **arrays: Any) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}
