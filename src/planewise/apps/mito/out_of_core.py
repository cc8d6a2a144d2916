"""Segment one volume through stores on disk, never as a whole in memory, in this process or in several."""

import math
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from planewise.apps.mito.case import Results, VolumeToPredict, things_text, write_confidence
from planewise.apps.mito.left_out import left_out
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict_settings import grouping_of
from planewise.errors import PlanewiseError, Problem
from planewise.inference.executor import Executor
from planewise.inference.out_of_core.job import (
    LOCK,
    Job,
    begin_work,
    clear_work,
    identity_of,
    is_begun,
    plan_block,
    plan_slabs,
)
from planewise.inference.out_of_core.segment import counts_of, dropped_of, segment, sizes_of, votes_of
from planewise.inference.planes import SliceOptions
from planewise.locks import alone
from planewise.progress import progress, say, warn
from planewise.volumes.atomic import DiskFull, atomic_path, write_again
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats import ending_of, itk, ome_zarr, result_ending, stem_of
from planewise.volumes.formats.ome_zarr import CHUNK, blocks, create, missing_chunks
from planewise.volumes.machine import machine_memory
from planewise.volumes.slices import AXIS, Plane
from planewise.volumes.volume import Volume, access

LABEL_BYTES = 4  # of a voxel, where there are more than 65,535 objects
STREAMING_MEMORY = 4 * 10**9  # bytes; the default limit of a process


class Unfinished(PlanewiseError):
    """A run that stopped before its end; its finished parts are kept."""


def segment_out_of_core(
    case: VolumeToPredict,
    slices: SliceOptions,
    results: Results,
    workers: Executor,
    options: MitoPredict,
    made_with: dict[str, Any],
    name: str,
) -> int:
    """Segment the volume of the case ``name`` through stores in a folder; return the number of objects.

    ``workers``: their source must make a ``SlicePredictor``. ``made_with``: what identifies the run, with the
    fingerprints of its ``inputs``; a run of another identity does not continue this work. The work folder is kept: call
    ``remove_work`` once the manifest lists the results. Raises PlanewiseError if the run cannot start, or another run
    uses the folder, and ``Unfinished`` if it stops before its end.
    """
    _tell_missing(case.volume, case.path)
    with _alone(results.work, results.final):
        if options.overwrite or not is_begun(results.work):
            clear_work(results.work)
        job, volume = _job(case, slices, results, options, zlib.crc32(str(made_with["inputs"]).encode()), name)
        begin_work(results.work, identity_of(job) | made_with)
        try:
            count = _with_progress(job, name, volume, workers)
            _deliver(job, volume, results, name)
            _write_tables(job, case, results, name)
            things = case.several is None or case.several.things
            if things and (text := left_out(case, options, *dropped_of(job), count)):
                say(f"{name}: {text}")
        except DiskFull as error:
            need = math.prod(job.shape) * (len(job.axes) + 1) * LABEL_BYTES
            raise Unfinished(
                f"the disk of {results.final.parent} is full: {error}. All results take at most {need / 1e9:.2g} GB "
                f"uncompressed, mostly far less. Make room there; finished parts are kept in {results.work}: run the "
                "same command again to continue"
            ) from error
        except Exception as error:  # each codec raises errors of its own type for a damaged store
            problem = Problem.of(case.path, error).what
            raise Unfinished(
                f"{case.path}: {problem}; finished parts are kept in {results.work}: run the same command again to "
                "continue"
            ) from error
    return count


def _job(
    case: VolumeToPredict, slices: SliceOptions, results: Results, options: MitoPredict, read: int, name: str
) -> tuple[Job, Volume]:
    """Return the job and the volume, which is unpacked first if it cannot be read piece by piece.

    ``read``: a number for the voxels, used in the name of the unpacked store.
    """
    memory = (options.memory_bytes() or min(STREAMING_MEMORY, machine_memory() // 2)) // 2  # half is for the network
    volume, source, channel = case.volume, case.path, case.channel
    if not _reads_anywhere(volume, case.planes):
        source = results.work / f"input_{read:08x}.ome.zarr"
        volume, channel = _unpacked(volume, case.path, source, memory, name), None
    job = Job(
        source.resolve(),
        results.work.resolve(),
        volume.shape,
        slices,
        grouping_of(options, case.several),
        options.batch_size,
        options.pixel_vote_thr,
        _slabs(options, volume, case.planes, memory),
        plan_block(volume.shape, memory),
        channel,
        () if case.several is None else tuple(case.several.names.values()),
    )
    return job, volume


def _write_tables(job: Job, case: VolumeToPredict, results: Results, name: str) -> None:
    """Write the table of a finished job's objects and their confidence; print the number of objects of each class."""
    classes = None
    if case.several is not None:
        counts = counts_of(job)
        classes = [each for each, n in zip(case.several.names.values(), counts) for _ in range(n)]
        say(f"{name}: {things_text(case.several, counts)}")
    write_confidence(case, results, votes_of(job), sizes_of(job, job.axes[0]), classes)


def remove_work(results: Results) -> None:
    """Remove the work folder of finished results, if there is one and no other run uses it by now."""
    if results.work.is_dir():  # a stopped run may have left a part of it, without its description
        with suppress(PlanewiseError), _alone(results.work, results.final):
            clear_work(results.work)


def _reads_anywhere(volume: Volume, planes: tuple[Plane, ...]) -> bool:
    """Whether slabs of these planes are read without reading much else; a slab of yz needs a part of each row."""
    how = access(volume.voxels)
    return how == "chunks" or (how == "rows" and "yz" not in planes)


def _unpacked(volume: Volume, path: Path, store: Path, memory: int, name: str) -> Volume:
    """Return ``volume`` with voxels in the OME-Zarr ``store``; they are copied there unless it exists."""
    if not store.exists():
        size = math.prod(volume.shape) * volume.voxels.dtype.itemsize
        if access(volume.voxels) == "whole":
            written = ", and its results are written so" if result_ending(path) in itk.FORMAT.endings else ""
            say(f"{name}: its library reads it as a whole, {size / 1e9:.2g} GB, before it is streamed{written}")
        plane = max(1, size // volume.shape[0])
        thickness = max(1, min(CHUNK, memory // (2 * plane)))
        with atomic_path(store) as temporary, progress(f"{name} unpacking", volume.shape[0], unit="slices") as by:
            dtype, shards = volume.voxels.dtype.newbyteorder("="), (CHUNK,) * 3
            array = create(temporary, volume.shape, dtype, (1.0,) * 3, "pixel", (0.0,) * 3, shards)
            for start in range(0, volume.shape[0], thickness):
                slab = read_voxels(volume, path, slice(start, start + thickness))
                array[start : start + thickness] = slab
                by(len(slab))
    return volume.with_voxels(open_volume(store).voxels)


def _slabs(options: MitoPredict, volume: Volume, planes: tuple[Plane, ...], memory: int) -> dict[Plane, int]:
    """Return how many slices of each plane are processed at a time."""
    chunks = getattr(volume.voxels, "chunks", (CHUNK,) * 3)
    slabs: dict[Plane, int] = {}
    for plane in planes:
        axis = AXIS[plane]
        slabs[plane] = plan_slabs(
            volume.shape, chunks[axis], axis, options.batch_size, memory, options.median_kernel // 2
        )
        if access(volume.voxels) == "chunks" and slabs[plane] < min(chunks[axis], volume.shape[axis]):
            say(f"--memory {options.memory}: {slabs[plane]} slices of {plane} at a time, so chunks are read repeatedly")
    return slabs


def _tell_missing(volume: Volume, path: Path) -> None:
    if hasattr(volume.voxels, "nchunks_initialized"):
        missing, count = missing_chunks(volume.voxels)
        if missing:
            value = getattr(volume.voxels, "fill_value", 0)
            warn(f"{path}: {missing} of {count} chunks are not stored; they are read as {value}")


def _with_progress(job: Job, name: str, volume: Volume, workers: Executor) -> int:
    """Segment, with a progress bar for each plane and each pass over the blocks."""
    n_blocks = sum(1 for _ in blocks(job.shape, job.block))
    passes = {"labels": len(job.parts()), "consensus": len(job.parts()), "classes": 1}
    totals = {str(plane): job.shape[AXIS[plane]] for plane in job.axes}
    totals |= {what: n_blocks * number for what, number in passes.items()}
    shown: dict[str, Any] = {}
    with ExitStack() as bars:

        def advance(what: str, count: int) -> None:
            if what not in shown:
                bars.close()  # the bar of the step before
                unit = "slices" if what in job.axes else "blocks"
                shown[what] = bars.enter_context(progress(f"{name} {what}", totals[what], unit=unit))
            shown[what](count)

        return segment(job, volume, workers, advance)


def _deliver(job: Job, volume: Volume, results: Results, name: str) -> None:
    """Move the finished stores of the case ``name`` to their places: the planes' first, the result last."""
    stores = {job.plane_store(plane): results.planes[plane] for plane in job.axes}
    if len(job.axes) > 1:
        stores[job.final_store()] = results.final
    if results.classes is not None:
        stores[job.class_store()] = results.classes
        results.classes.parent.mkdir(parents=True, exist_ok=True)
    for store, target in stores.items():
        if ending_of(target) not in ome_zarr.FORMAT.endings:
            stored = open_volume(store)
            names = {} if stored.labels is None else stored.labels.names
            write_volume(target, volume.with_voxels(stored.voxels).as_labels(names))
        elif store.exists():  # else it was moved before a run was stopped
            if target.exists():
                shutil.rmtree(target)
            ome_zarr.name_store(store, name + stem_of(target).removeprefix(stem_of(results.final)))
            store.rename(target)
    if len(job.axes) == 1:
        write_again(results.final, results.planes[job.axes[0]], linked=False)


@contextmanager
def _alone(work: Path, output: Path) -> Iterator[None]:
    """Lock the work folder. Raises PlanewiseError if another run holds it, or if it cannot be written."""
    try:
        with ExitStack() as closing:
            try:
                closing.enter_context(alone(work / LOCK, f"--output {output}: is in use by another run"))
            except OSError as error:
                raise PlanewiseError(f"--output {output}: cannot be written ({error.strerror})") from error
            yield
    finally:
        with suppress(OSError):  # not empty, unless the run was refused at its start, or all is done
            work.rmdir()
