"""What is done with one slab, or one block: functions of the files in the work folder, for any process to call."""

from dataclasses import astuple
from pathlib import Path

import numpy as np

from planewise.inference.combinations import count_combinations
from planewise.inference.fused import FinalLabels, FusedObjects
from planewise.inference.linking import Chain, linked_components
from planewise.inference.out_of_core.job import (
    Job,
    arrays,
    count_file,
    done_file,
    final_label_files,
    labels_file,
    lookup_file,
    runs_file,
    save,
    save_array,
    slab_file,
)
from planewise.inference.out_of_core.slabs import (
    SlabObjects,
    SlabOutputs,
    SlabRuns,
    filter_slab,
    group_slab,
    join_slabs,
    runs_in_window,
    slab_objects,
    slab_outputs,
    slab_runs,
)
from planewise.inference.painted import Corner, Painted, place_of
from planewise.inference.panoptic_result import AllThings, ClassMap
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.planes import SlicePredictor, plane_outputs
from planewise.inference.runs import Runs
from planewise.progress import of_another_process
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats.ome_zarr import Index, fill_block, open_to_fill
from planewise.volumes.machine import machine_cores
from planewise.volumes.slices import AXIS, Plane, as_stack


def read_slab(job: Job, plane: Plane, start: int) -> np.ndarray:
    """Return the voxels (z, y, x) of the slab of ``plane`` that begins with slice ``start``."""
    slab, axis = job.slab(plane, start), AXIS[plane]
    index = tuple(slab if i == axis else slice(None) for i in range(3))
    with of_another_process():
        return read_voxels(open_volume(job.source, job.channel), job.source, index)


def predict_slab(
    predictor: SlicePredictor, job: Job, plane: Plane, start: int, voxels: np.ndarray | None = None
) -> SlabOutputs:
    """Return what ``predictor`` says of the slab of ``plane`` that begins with slice ``start``.

    ``voxels``: its voxels, if they have been read.
    """
    if voxels is None:
        voxels = read_slab(job, plane, start)
    height, width = as_stack(voxels, plane).shape[1:]
    outputs = plane_outputs(predictor, voxels, plane, job.slices, job.batch_size, lambda count: None)
    return slab_outputs(outputs, height, width, job.grouping)


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
    """Write a slab's runs, and what linking and the neighbours need of it; ``last``: its last filtered slices."""
    half = job.grouping.median_kernel // 2
    for part, slices in zip(job.parts(), group_slab(outputs, filtered, job.grouping), strict=True):
        objects = slab_objects(slices)
        runs_of_all = slab_runs(slices, outputs.width)
        for field in SlabRuns.__dataclass_fields__:
            save_array(runs_file(part, plane, start, field), getattr(runs_of_all, field))
        ends = {
            f"{name}_{field}": getattr(runs, field)
            for name, runs in (("first", objects.first), ("last", objects.last))
            for field in Runs.__dataclass_fields__
        }
        save(
            slab_file(part, plane, start),
            **{name: getattr(objects.chain, name) for name in Chain.__dataclass_fields__},
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
    return np.load(slab_file(job.parts()[0], plane, start))["plain"]


def last_slices(job: Job, plane: Plane, start: int) -> np.ndarray:
    """Return the last filtered slices of a slab that is finished."""
    return np.load(slab_file(job.parts()[0], plane, start))["filtered"]


def link_plane(job: Job, plane: Plane, *finished: None) -> None:
    """Link a plane's components and write the label of each, slab by slab.

    ``finished``: results of ``finish_slab`` for slabs of the plane, given so that these are finished first.
    """
    slabs = []
    for start in job.starts(plane):
        stored = arrays(slab_file(job, plane, start))
        first, last = (
            Runs(**{f: stored[f"{end}_{f}"] for f in Runs.__dataclass_fields__}) for end in ("first", "last")
        )
        slabs.append(SlabObjects(Chain(**{name: stored[name] for name in Chain.__dataclass_fields__}), first, last))
    how = job.grouping
    labels, sizes, dropped = linked_components(join_slabs(slabs), job.shape, how.min_size, how.min_extent)
    first_component = np.cumsum([0, *(len(slab.chain.sizes) for slab in slabs)])
    save_array(labels_file(job, plane), labels)
    save(lookup_file(job, plane), sizes=sizes, first_component=first_component, dropped=astuple(dropped))


# ---- blocks


def label_block(job: Job, block: Index) -> None:
    """Write the planes' labels in a block, and count how they combine."""
    planes = [_plane_objects(job, plane, block) for plane in job.axes]
    for objects in planes:
        fill_block(open_to_fill(job.plane_store(objects.plane)), block, objects[...])
    table = count_combinations(planes, machine_cores())
    corner = np.array([part.start for part in block])
    save(count_file(job, block), keys=table.keys, counts=table.counts, boxes=table.boxes + np.tile(corner, 2))


def fuse_block(job: Job, block: Index) -> None:
    """Write the final labels in a block."""
    voted_file, keys_file, final_file = final_label_files(job)
    keys = arrays(count_file(job, block))["keys"]  # those that occur here
    final = np.load(final_file, mmap_mode="r")[np.searchsorted(np.load(keys_file, mmap_mode="r"), keys)]
    labels = FinalLabels(keys, final, int(np.load(voted_file)["objects"]))
    fused = FusedObjects([_plane_objects(job, plane, block) for plane in job.axes], labels)
    fill_block(open_to_fill(job.final_store()), block, fused[...])
    save(done_file(job, block))


def join_block(job: Job, block: Index) -> None:
    """Write in a block what the classes' own jobs found: ids of all things, and the class of each voxel."""
    parts, kinds = job.parts(), job.grouping.things
    for plane in job.axes:
        of_classes = [_Stored(part.plane_store(plane), plane_count(part, plane)) for part in parts]
        fill_block(open_to_fill(job.plane_store(plane)), block, AllThings(of_classes, kinds)[block])
    of_classes = [_Stored(part.final_store(), final_count(part)) for part in parts]
    if len(job.axes) > 1:
        fill_block(open_to_fill(job.final_store()), block, AllThings(of_classes, kinds)[block])
    fill_block(open_to_fill(job.class_store()), block, ClassMap(of_classes)[block])
    save(done_file(job, block))


def plane_count(job: Job, plane: Plane) -> int:
    """Return the number of objects of a plane that is linked."""
    return len(np.load(lookup_file(job, plane))["sizes"]) - 1


def final_count(job: Job) -> int:
    """Return the number of objects of a job that is fused."""
    return int(np.load(final_label_files(job)[0])["objects"]) if len(job.axes) > 1 else plane_count(job, job.axes[0])


class _Stored(Painted):
    """The labels in a store, 0 to ``count``."""

    def __init__(self, store: Path, count: int) -> None:
        self._voxels, self._count = open_volume(store).voxels, count
        z, y, x = self._voxels.shape
        self.shape = (z, y, x)

    @property
    def count(self) -> int:
        """See ``Painted``."""
        return self._count

    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """See ``Painted``."""
        window[...] = self._voxels[place_of(window, corner)]


def _plane_objects(job: Job, plane: Plane, block: Index) -> PlaneObjects:
    """Return a plane's objects as they are in a block: each run's component, looked up in its slab's table."""
    axis, thickness = AXIS[plane], job.slabs[plane]
    labels = np.load(labels_file(job, plane), mmap_mode="r")
    lookup = arrays(lookup_file(job, plane))
    z, y, x = (part.stop - part.start for part in block)
    first, stop = block[axis].start, block[axis].stop
    top, left = (part.start for other, part in enumerate(block) if other != axis)
    rows, columns = (side for other, side in enumerate((z, y, x)) if other != axis)
    row_starts, pieces, count = [], [], 0
    for number in range(first // thickness, -(-stop // thickness)):
        start = number * thickness
        begin, end = max(first, start), min(stop, start + thickness)
        of_slab = labels[lookup["first_component"][number] : lookup["first_component"][number + 1]]
        runs = SlabRuns(*(_mapped(runs_file(job, plane, start, field)) for field in SlabRuns.__dataclass_fields__))
        starts, *piece = runs_in_window(runs, of_slab, (begin - start, top, left), (end - begin, rows, columns))
        row_starts.append(starts + count)
        pieces.append(piece)
        count += len(piece[0])
    start_of, stop_of, label_of = (np.concatenate(parts) for parts in zip(*pieces))
    return PlaneObjects(plane, (z, y, x), np.concatenate(row_starts), start_of, stop_of, label_of, lookup["sizes"])


def _mapped(path: Path) -> np.ndarray:
    """Return an array of which only what is looked at is read."""
    return np.asarray(np.load(path, mmap_mode="r"))
