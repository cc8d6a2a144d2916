"""Segment one volume from store to store, never in memory as a whole, by this process or by many."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from planewise.apps.mito_options import MitoPredict
from planewise.apps.mito_predict import choose_planes, intensity_rule
from planewise.data.case import cases_in, channel_within
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.gathering import GroupingOptions
from planewise.inference.out_of_core.job import Job, begin_work, identity_of, plan_block, plan_slabs
from planewise.inference.out_of_core.segment import Here, segment
from planewise.inference.out_of_core.workers import Cluster
from planewise.inference.planes import SliceOptions
from planewise.inference.processes import NetworkSource
from planewise.models.model_file import ModelFile, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.progress import progress, say
from planewise.report.tables import conclude
from planewise.volumes.files import open_volume
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.formats.ome_zarr import CHUNK, blocks, missing_chunks
from planewise.volumes.slices import AXIS, Plane
from planewise.volumes.volume import Volume


def predict_store(options: MitoPredict) -> int:
    """Segment ``options.input`` into the OME-Zarr ``options.output``. Returns the exit code.

    Raises PlanewiseError, before any work, for options or an input that cannot be used, and if another run is at it.
    """
    images, problems = cases_in(options.input, options.channel, options.sequence)
    if [options.input] != list(images.values()):
        told = "; ".join(problem.what for problem in problems) or f"holds {len(images)} volumes"
        raise PlanewiseError(f"--input {options.input}: is no volume ({told}); one volume goes to one store")
    channel = channel_within(options.input, options.channel)
    if options.devices > 1:
        raise PlanewiseError(f"--devices {options.devices}: from store to store it is --workers {options.devices}")
    volume = open_volume(options.input, channel)
    if min(volume.shape) == 0:
        raise PlanewiseError(f"--input {options.input}: is empty, {volume.shape}")
    device = choose_device(options.device)
    model = read_model_file(options.trained_model)
    weights = locate_weights(model, options.trained_model)
    inference_network(weights, model.architecture, "cpu")  # so that bad weights are refused
    newer = options.output.exists() and options.output.stat().st_mtime >= weights.stat().st_mtime
    if newer and not options.overwrite:
        say(f"{options.output}: done already; --overwrite predicts it again")
        return 0
    work = options.output.with_name(f"{options.output.name}.unfinished")
    with ExitStack() as running:
        running.enter_context(_alone(work, options.output))
        half = choose_precision(options.precision, device, predicting=True) == "bf16"
        threads = max(1, (os.cpu_count() or 1) // max(1, options.workers))
        source = NetworkSource(weights, model.architecture, device, half, threads)
        job = _job(options, volume, model, source, work)
        stamps = {"input": _stamp(options.input), "channel": channel, "model": _stamp(weights)}
        identity = identity_of(job) | {"bf16": half} | stamps
        begin_work(work, identity, options.overwrite)
        workers: Here | Cluster = Here()
        at_once = 1
        if options.workers or options.scheduler:
            workers = running.enter_context(Cluster(options.scheduler, options.workers))
            at_once = workers.size() + 1
        try:
            count = _with_progress(job, volume, workers, at_once)
            _deliver(job, options.output)
        except Exception as error:  # a damaged store fails in its codec's own way
            problem = Problem.of(options.input, error)
            kept = f"{problem.what}; what is finished is kept in {work}: run the same command again to go on"
            return conclude([Problem(problem.where, kept)])
    shutil.rmtree(work)
    say(f"{options.input.name}: {count} objects, {options.output}")
    return 0


def _stamp(path: Path) -> str:
    return f"{path.resolve()}, {path.stat().st_mtime}"


def _job(options: MitoPredict, volume: Volume, model: ModelFile, predictor: NetworkSource, work: Path) -> Job:
    grouping = GroupingOptions(
        confidence=options.confidence_thr, centre_threshold=options.center_confidence_thr,
        centre_kernel=options.min_distance_object_centers, median_kernel=options.median_kernel,
        scale=options.downsampling, min_size=options.min_size, min_extent=options.min_extent,
    )  # fmt: skip
    _tell_missing(volume, options.input)
    chunks = getattr(volume.voxels, "chunks", (CHUNK,) * 3)
    memory = options.memory_bytes() // 2  # the rest is the network's, and Python's
    slabs: dict[Plane, int] = {}
    axes, why = choose_planes(volume, model, options.axes)
    for plane in axes:
        axis = AXIS[plane]
        slabs[plane] = plan_slabs(
            volume.shape, chunks[axis], axis, options.batch_size, memory, options.median_kernel // 2
        )
        if slabs[plane] < min(chunks[axis], volume.shape[axis]):
            say(f"--memory {options.memory}: in {plane}, {slabs[plane]} slices at a time, so chunks are read again")
    range_, seen, _ = intensity_rule(model, options).range_of(volume, options.input)
    say(f"{options.input.name}: {seen}; {why}")
    slices = SliceOptions(range_, model.norms.mean, model.norms.std, model.padding_factor, options.downsampling)
    return Job(
        options.input.resolve(), work.resolve(), volume.shape, slices, grouping, options.batch_size,
        options.pixel_vote_thr, slabs, plan_block(volume.shape, memory), predictor,
        channel_within(options.input, options.channel),
    )  # fmt: skip


def _tell_missing(volume: Volume, path: Path) -> None:
    if hasattr(volume.voxels, "nchunks_initialized"):
        missing, count = missing_chunks(volume.voxels)
        if missing:
            value = getattr(volume.voxels, "fill_value", 0)
            say(f"WARNING: {path}: {missing} of {count} chunks are not stored, and read as {value}")


def _with_progress(job: Job, volume: Volume, workers: Here | Cluster, at_once: int) -> int:
    """Segment, with a bar for every plane and every pass over the blocks."""
    every = sum(1 for _ in blocks(job.shape, job.block))
    totals = {str(plane): job.shape[AXIS[plane]] for plane in job.axes} | {"labels": every, "consensus": every}
    shown: dict[str, Any] = {}
    with ExitStack() as bars:

        def advance(what: str, count: int) -> None:
            if what not in shown:
                bars.close()  # that of what came before
                unit = "slices" if what in job.axes else "blocks"
                shown[what] = bars.enter_context(progress(f"{job.source.name} {what}", totals[what], unit=unit))
            shown[what](count)

        return segment(job, volume, workers, at_once, advance)


def _deliver(job: Job, output: Path) -> None:
    """Move the finished stores to where they belong: the planes' first, the result last."""
    targets = {job.plane_store(p): output.with_name(f"{stem_of(output)}_{p}{ending_of(output)}") for p in job.axes}
    for store, target in (targets | {job.final_store(): output}).items():
        if store.exists():  # it may have been moved before a run was stopped
            if target.exists():
                shutil.rmtree(target)
            store.rename(target)


@contextmanager
def _alone(work: Path, output: Path) -> Iterator[None]:
    """Hold the work folder. Raises PlanewiseError if another run does, or if it cannot be written."""
    import fcntl  # which not every system has

    with ExitStack() as closing:
        try:
            work.mkdir(parents=True, exist_ok=True)
            file = closing.enter_context((work / "lock").open("a+"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        except BlockingIOError as error:
            file.seek(0)
            raise PlanewiseError(f"--output {output}: another run is at it ({file.read().strip()})") from error
        except OSError as error:
            raise PlanewiseError(f"--output {output}: cannot be written ({error.strerror})") from error
        try:
            yield
        finally:
            if [item.name for item in work.glob("*")] == ["lock"]:  # it was refused before it began
                shutil.rmtree(work)
