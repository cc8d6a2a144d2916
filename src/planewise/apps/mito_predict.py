"""Predict cases of mito, each in memory or streamed: a folder of results, with those of the planes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from planewise.apps.mito_case import Results, VolumeToPredict, decisive, grouping_of, settled, write_confidence
from planewise.apps.mito_options import MitoPredict
from planewise.apps.mito_store import segment_out_of_core
from planewise.data.case import refuse_names_of_planes
from planewise.data.run import MANIFEST, Run, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.consensus import FusedObjects, consensus
from planewise.inference.executor import ThisProcess, executor
from planewise.inference.gathering import gather_plane
from planewise.inference.linking import PlaneObjects
from planewise.inference.memory import Need, need_in_memory
from planewise.inference.painted import Painted
from planewise.inference.planes import (
    NetworkPredictor,
    NetworkSource,
    SharedPredictor,
    SliceOptions,
    SlicePredictor,
    plane_outputs,
)
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.progress import progress, say
from planewise.volumes.atomic import write_again
from planewise.volumes.files import read_voxels, write_volume
from planewise.volumes.formats import result_ending
from planewise.volumes.machine import machine_cores, machine_memory
from planewise.volumes.slices import AXIS, Plane

THREADS = min(4, machine_cores())  # of post-processing; more gain nothing
WORTH_SAYING = 10**9  # bytes that a case needs


def predict_cases(
    cases: list[tuple[str, Path]], options: MitoPredict, problems: list[Problem], renewed: bool = False
) -> None:
    """Predict every case that is not done; one that fails becomes a problem and does not stop the others.

    ``renewed``: the model was trained just now, so that what its file made before is made again.
    Raises PlanewiseError, before any work, if the output folder holds what was made otherwise.
    """
    device = choose_device(options.device)
    model_path = find_model_file(options.trained_model)
    model = read_model_file(model_path)
    options = settled(options, model)
    weights = locate_weights(model, model_path)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    apart, clashing = refuse_names_of_planes(dict(cases))
    problems += clashing
    refuse_folder_of_inputs(apart.values(), options.output, "--output")
    run = Run.begin(
        options.output / MANIFEST,
        "mito predict",
        decisive(options, model, half),
        weights,
        apart,
        options.overwrite,
        renewed,
    )
    waiting: list[tuple[str, Path, Results]] = []
    for name, path in apart.items():
        try:
            case = VolumeToPredict.open(path, model, options)
            results = case.results(options.output, name, result_ending(path), options)
            if run.is_done(name, [path]):
                say(f"{name}: done already, by the same model from the same data ({results.final})")
            else:
                waiting.append((name, path, results))
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
    if not waiting:
        return
    # Where other processes predict, it is loaded here too, so that bad weights are refused.
    network = inference_network(weights, model.architecture, device if options.devices == 1 else "cpu")
    with executor(NetworkSource(weights, model.architecture, half), device, options.devices) as workers:
        predictor = SharedPredictor(workers) if workers.size else NetworkPredictor(network, half)
        for name, path, results in waiting:
            try:
                with run.making(name, [path], results.files) as decided:
                    case = VolumeToPredict.open(path, model, options)  # anew, so that one's voxels are held at a time
                    slices, seen = case.slice_options(model, options)
                    say(f"{name}: {seen}; {case.why}")
                    for note in case.notes(name, options, model):
                        say(note)
                    count = predict_case(name, case, slices, results, predictor, options, run.identity(name))
                    decided |= {"intensities": seen, "planes": case.why, "objects": count}
                say(f"{name}: {count} objects, {results.final}")
            except Exception as error:  # whatever one case does to us, the others are still wanted
                problems.append(Problem.of(path, error))


def predict_case(
    name: str, case: VolumeToPredict, slices: SliceOptions, results: Results, predictor: SlicePredictor,
    options: MitoPredict, made_with: dict[str, Any],
) -> int:  # fmt: skip
    """Segment a volume in memory, or by way of stores if it does not fit; return the number of objects.

    For errors see ``segment_out_of_core``.
    """
    need, limit = memory_for(case, options)
    streamed = need.beside_network > limit
    if streamed:
        say(f"{name}: would need {need}, beside the network more than {_allowed(options, limit)}: it is streamed")
    elif need.total > WORTH_SAYING:
        say(f"{name}: needs {need}")
    if (need.network if streamed else need.total) > machine_memory():
        say(f"WARNING: {name}: that is more memory than there is; a smaller --batch_size takes less for the network")
    if streamed:
        return segment_out_of_core(case, slices, results, ThisProcess(lambda device: predictor), options, made_with)
    count = _segment_in_memory(name, case, slices, results, predictor, options)
    if results.work.exists():
        say(f"{name}: {results.work} is left of a streamed run that was stopped; it is of no use now, delete it")
    return count


def memory_for(case: VolumeToPredict, options: MitoPredict) -> tuple[Need, int]:
    """Return what segmenting a volume in memory needs, and what it may need beside the network, in bytes."""
    device = choose_device(options.device)
    need = need_in_memory(case.volume, case.planes, options.batch_size, options.downsampling, device)
    return need, options.memory_bytes() or machine_memory() // 2


def _allowed(options: MitoPredict, limit: int) -> str:
    if options.memory_bytes() is None:
        return f"half of this machine's memory ({limit / 1e9:.2g} GB; --memory sets another limit)"
    return f"--memory {options.memory}"


def _segment_in_memory(
    name: str, case: VolumeToPredict, slices: SliceOptions, results: Results, predictor: SlicePredictor,
    options: MitoPredict,
) -> int:  # fmt: skip
    """Write a volume's results; return the number of objects. Labels are painted when they are written."""
    with ThreadPoolExecutor(1) as writer:  # compressing a plane's result takes as long as predicting it on a GPU
        written, planes = [], []

        def write(plane: Plane, objects: PlaneObjects) -> None:
            planes.append(objects)
            written.append(
                writer.submit(write_volume, results.planes[plane], case.volume.as_labels().with_voxels(objects))
            )

        labels = segment_in_memory(name, case, slices, predictor, options, write)
        for writing in written:
            writing.result()
    if len(case.planes) == 1:
        write_again(results.final, results.planes[case.planes[0]])
    else:
        write_volume(results.final, case.volume.as_labels().with_voxels(labels))
    votes = labels.votes if isinstance(labels, FusedObjects) else None
    write_confidence(case, results, votes, planes[0].sizes[1:])
    return labels.count


def segment_in_memory(
    name: str, case: VolumeToPredict, slices: SliceOptions, predictor: SlicePredictor, options: MitoPredict,
    keep: Callable[[Plane, PlaneObjects], None] = lambda plane, objects: None,
) -> Painted:  # fmt: skip
    """Return the objects of a volume, painted when they are looked at.

    ``keep`` is called with the objects of every plane.
    """
    voxels, how = read_voxels(case.volume, case.path), grouping_of(options)
    planes = []
    for plane in case.planes:
        with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
            outputs = plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)
            planes.append(gather_plane(outputs, voxels.shape, plane, how, THREADS))
        keep(plane, planes[-1])
    vote = options.pixel_vote_thr
    return consensus(planes, vote, how.min_size, how.min_extent, THREADS, how.min_agreement)
