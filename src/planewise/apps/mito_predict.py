"""Predict cases of mito, each in memory or streamed: a folder of results, with those of the planes."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from planewise.apps.mito_options import MitoPredict
from planewise.apps.mito_store import Results, grouping_of, segment_out_of_core, stamp
from planewise.data.intensity import full_scale
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.consensus import consensus
from planewise.inference.gathering import gather_plane
from planewise.inference.memory import machine_memory, need_in_memory
from planewise.inference.planes import NetworkPredictor, SliceOptions, SlicePredictor, plane_outputs
from planewise.inference.processes import DevicePool, PoolPredictor, WorkerDied, load_predictor
from planewise.models.model_file import ModelFile, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.progress import progress, say
from planewise.volumes.atomic import write_again
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats import result_ending
from planewise.volumes.slices import AXIS
from planewise.volumes.volume import Volume

THREADS = min(4, os.cpu_count() or 1)  # of post-processing; more gain nothing
WORTH_SAYING = 10**9  # bytes that a case needs


def predict_cases(cases: list[tuple[str, Path]], options: MitoPredict, problems: list[Problem]) -> None:
    """Predict every case that is not done; one that fails becomes a problem and does not stop the others."""
    device = choose_device(options.device)
    model = read_model_file(options.trained_model)
    weights = locate_weights(model, options.trained_model)
    waiting = []
    for name, path in cases:
        results = _results(name, path, options)
        if not options.overwrite and all(
            _is_newer(file, weights) for file in (results.final, *results.planes.values())
        ):
            say(f"{name}: done already ({results.final}); --overwrite predicts it again")
        else:
            waiting.append((name, path))
    if not waiting:
        return
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    # Where other processes predict, it is loaded here too, so that bad weights are refused.
    network = inference_network(weights, model.architecture, device if options.devices == 1 else "cpu")
    with ExitStack() as running:
        pool: DevicePool | None = None
        for name, path in waiting:
            predictor: SlicePredictor = NetworkPredictor(network, half)
            if options.devices > 1:
                if pool is None:
                    start = DevicePool(options.devices, device, load_predictor, weights, model.architecture, half)
                    pool = running.enter_context(start)
                predictor = PoolPredictor(pool)
            try:
                predict_case(name, path, predictor, model, options, {"bf16": half, "model": stamp(weights)})
            except Exception as error:  # whatever one case does to us, the others are still wanted
                problems.append(Problem.of(path, error))
                if isinstance(error, WorkerDied) or isinstance(error.__cause__, WorkerDied):
                    pool = None  # the next case gets new workers


def _is_newer(file: Path, weights: Path) -> bool:
    """Whether a result exists and was not made with older weights than these."""
    return file.exists() and file.stat().st_mtime >= weights.stat().st_mtime


def _results(name: str, image: Path, options: MitoPredict) -> Results:
    """Return where a case's result goes, and its planes' results: in the image's format, TIFFs as .tiff."""
    ending = result_ending(image)
    planes = {plane: options.output / f"{name}_{plane}{ending}" for plane in options.axes}
    return Results(options.output / f"{name}{ending}", planes, options.output / f"{name}.unfinished")


def predict_case(
    name: str, path: Path, predictor: SlicePredictor, model: ModelFile, options: MitoPredict,
    made_with: dict[str, Any],
) -> None:  # fmt: skip
    """Segment a volume in memory, or by way of stores if it does not fit; for errors see ``segment_out_of_core``."""
    volume = open_volume(path)
    need = need_in_memory(volume, options.axes, options.batch_size, options.downsampling, choose_device(options.device))
    limit = options.memory_bytes() or machine_memory() // 2
    results = _results(name, path, options)
    streamed = need.beside_network > limit
    if streamed:
        say(f"{name}: would need {need}, beside the network more than {_allowed(options, limit)}: it is streamed")
    elif need.total > WORTH_SAYING:
        say(f"{name}: needs {need}")
    if (need.network if streamed else need.total) > machine_memory():
        say(f"WARNING: {name}: that is more memory than there is; a smaller --batch_size takes less for the network")
    if streamed:
        del volume  # some formats hold voxels as soon as they are open
        count = segment_out_of_core(path, results, lambda: predictor, model, options, made_with)
    else:
        count = _segment_in_memory(name, path, volume, results, predictor, model, options)
        if results.work.exists():
            say(f"{name}: {results.work} is left of a streamed run that was stopped; it is of no use now, delete it")
    say(f"{name}: {count} objects, {results.final}")


def _allowed(options: MitoPredict, limit: int) -> str:
    if options.memory_bytes() is None:
        return f"half of this machine's memory ({limit / 1e9:.2g} GB; --memory sets another limit)"
    return f"--memory {options.memory}"


def _segment_in_memory(
    name: str, path: Path, volume: Volume, results: Results, predictor: SlicePredictor, model: ModelFile,
    options: MitoPredict,
) -> int:  # fmt: skip
    """Write a volume's results; return the number of objects. Labels are painted when they are written."""
    voxels = read_voxels(volume, path)
    if voxels.size == 0:
        raise PlanewiseError(f"{path}: is empty, {voxels.shape}")
    norms = model.norms
    slices = SliceOptions(full_scale(voxels), norms.mean, norms.std, model.padding_factor, options.downsampling)
    planes = []
    with ThreadPoolExecutor(1) as writer:  # compressing a plane's result takes as long as predicting it on a GPU
        written = []
        for plane in options.axes:
            with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
                outputs = plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)
                planes.append(gather_plane(outputs, voxels.shape, plane, grouping_of(options), THREADS))
            written.append(writer.submit(write_volume, results.planes[plane], volume.with_voxels(planes[-1])))
        fused = consensus(planes, options.pixel_vote_thr, options.min_size, options.min_extent, THREADS)
        for writing in written:
            writing.result()
    if len(planes) == 1:
        write_again(results.final, results.planes[options.axes[0]])
    else:
        write_volume(results.final, volume.with_voxels(fused))
    return fused.count
