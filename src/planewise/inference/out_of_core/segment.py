"""The order of the tasks: every plane's slabs, its linking, then the blocks twice; by this process or by others."""

from collections.abc import Callable
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from planewise.inference.combinations import CombinationTable, join_tables
from planewise.inference.consensus import final_labels
from planewise.inference.dropped import NONE_DROPPED, Dropped
from planewise.inference.executor import Executor
from planewise.inference.out_of_core.job import (
    Job,
    arrays,
    count_file,
    done_file,
    final_label_files,
    lookup_file,
    make_store,
    save,
    save_array,
    slab_file,
)
from planewise.inference.out_of_core.tasks import (
    filter_outputs,
    final_count,
    finish_slab,
    first_of,
    first_slices,
    fuse_block,
    join_block,
    label_block,
    last_of,
    last_slices,
    link_plane,
    no_slices,
    plane_count,
    predict_slab,
    read_slab,
)
from planewise.inference.panoptic_result import joined_votes
from planewise.inference.votes import ObjectVotes
from planewise.volumes.formats.ome_zarr import Index, add_pyramid, blocks
from planewise.volumes.slices import Plane
from planewise.volumes.volume import Volume


def segment(job: Job, like: Volume, workers: Executor, advance: Callable[[str, int], None]) -> int:
    """Segment a volume into ``job.plane_store`` of each plane and ``job.final_store``; return the number of objects.

    Several classes go into ``job.class_store`` too.

    ``like``: the volume's geometry; ``workers``: what their source makes is a ``SlicePredictor``; ``advance`` is called
    with what is going on and how many slices, or blocks, of it are done. What was finished before is not done again.
    """
    parts = job.parts()
    linked: list[Any] = []
    for plane in job.axes:
        if not all(lookup_file(part, plane).exists() for part in parts):
            finished = _segment_plane(job, plane, workers, advance)
            linked += [workers.submit(link_plane, part, plane, *finished) for part in parts]
    workers.wait(linked, 0)
    all_blocks = list(blocks(job.shape, job.block))
    for part in parts:
        of_planes = {part.plane_store(plane): plane_count(part, plane) for plane in job.axes}
        _each_block(part, like, all_blocks, label_block, count_file, of_planes, "labels", workers, advance)
    for part in parts if len(job.axes) > 1 else ():
        final = {part.final_store(): _vote(part, all_blocks)}
        _each_block(part, like, all_blocks, fuse_block, done_file, final, "consensus", workers, advance)
    if len(parts) > 1:
        _join(job, like, all_blocks, workers, advance)
    for store in (job.final_store(), job.class_store()):
        if store.exists():  # else it was delivered before the run was stopped, or there is one class
            add_pyramid(store, job.block)
    return sum(counts_of(job))


def _join(
    job: Job, like: Volume, all_blocks: list[Index], workers: Executor, advance: Callable[[str, int], None]
) -> None:
    """Write the classes' results as those of the whole."""
    things = [part for part, is_thing in zip(job.parts(), job.grouping.things) if is_thing]
    stores = {job.plane_store(plane): sum(plane_count(part, plane) for part in things) for plane in job.axes}
    stores |= {job.final_store(): sum(counts_of(job)), job.class_store(): len(job.grouping.things)}
    _each_block(job, like, all_blocks, join_block, done_file, stores, "classes", workers, advance)


def counts_of(job: Job) -> list[int]:
    """Return the number of objects of a volume that was segmented, of each class; of stuff it is 0."""
    return [0 if part.grouping.stuff else final_count(part) for part in job.parts()]


def _vote(job: Job, all_blocks: list[Index]) -> int:
    """Decide on the combinations of all blocks, if that was not done; return the number of objects."""
    voted_file, keys_file, final_file = final_label_files(job)
    if not voted_file.exists():
        table = join_tables([CombinationTable(**arrays(count_file(job, block))) for block in all_blocks])
        sizes = [np.load(lookup_file(job, plane))["sizes"] for plane in job.axes]
        final, votes = final_labels(table, sizes, job.shape, job.grouping.fusion(job.vote))
        save_array(keys_file, final.keys)
        save_array(final_file, final.labels)
        save(voted_file, objects=final.objects, dropped=astuple(final.dropped), **vars(votes))
    return int(np.load(voted_file)["objects"])


def sizes_of(job: Job, plane: Plane) -> np.ndarray:
    """Return the sizes of the objects of a plane of a volume that was segmented, (objects,) in voxels."""
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *(np.load(lookup_file(part, plane))["sizes"][1:] for part in _of_things(job))])


def votes_of(job: Job) -> ObjectVotes | None:
    """Return the votes on the objects of a volume that was segmented; None of one plane."""
    if len(job.axes) == 1:
        return None
    stored = [arrays(final_label_files(part)[0]) for part in _of_things(job)]
    return joined_votes([ObjectVotes(**{field.name: of[field.name] for field in fields(ObjectVotes)}) for of in stored])


def dropped_of(job: Job) -> tuple[Dropped, Dropped]:
    """Return what the limits left out in the planes of a volume that was segmented, and in their consensus."""
    planes = [Dropped(*np.load(lookup_file(part, plane))["dropped"]) for part in _of_things(job) for plane in job.axes]
    voted = [final_label_files(part)[0] for part in _of_things(job)] if len(job.axes) > 1 else []
    return sum(planes, NONE_DROPPED), sum((Dropped(*np.load(file)["dropped"]) for file in voted), NONE_DROPPED)


def _of_things(job: Job) -> list[Job]:
    return [part for part in job.parts() if not part.grouping.stuff]


def _each_block(
    job: Job,
    like: Volume,
    all_blocks: list[Index],
    task: Callable[[Job, Index], None],
    file: Callable[[Job, Index], Path],
    stores: dict[Path, int],
    what: str,
    workers: Executor,
    advance: Callable[[str, int], None],
) -> None:
    """Do a task, for every block that it was not done for: whose ``file`` is not there.

    ``stores``: those that it writes to, with the number of objects in each.
    """
    done = [file(job, block).exists() for block in all_blocks]
    if not all(done):
        for store, objects in stores.items():
            make_store(store, job, like, objects)
    waiting: list[Any] = []
    for block, before in zip(all_blocks, done):
        if not before:
            waiting = workers.wait([*waiting, workers.submit(task, job, block)], workers.size)
        advance(what, 1)
    workers.wait(waiting, 0)


def _segment_plane(job: Job, plane: Plane, workers: Executor, advance: Callable[[str, int], None]) -> list[Any]:
    """Submit the work that finds the components of each slab of a plane; return what may not be done yet.

    A slab's median needs filtered slices of the slab before and plain ones of the slab after; both are handed on.
    """
    starts = list(job.starts(plane))
    last_written = job.parts()[-1]
    done = {start: slab_file(last_written, plane, start).exists() for start in starts}
    outputs: dict[int, Any] = {}
    reading: dict[int, Any] = {}
    waiting: list[Any] = []
    all_finished: list[Any] = []
    before = workers.submit(no_slices)

    def outputs_of(start: int) -> Any:
        if start not in outputs:
            if workers.in_this_process:  # threads read a slab ahead; other processes read for themselves
                for each in (start, start + job.slabs[plane]):
                    if not done.get(each, True) and each not in reading | outputs:
                        reading[each] = workers.submit(read_slab, job, plane, each)
            outputs[start] = workers.submit_loaded(predict_slab, job, plane, start, reading.pop(start, None))
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
            all_finished.append(finished)
            waiting = workers.wait([*waiting, finished], workers.size)
            del outputs[start], filtered, finished
        slab = job.slab(plane, start)
        advance(plane, slab.stop - slab.start)
    return all_finished
