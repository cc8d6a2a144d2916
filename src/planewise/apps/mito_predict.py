"""mito predict: predict each case in memory or streamed, into a folder of results, with those of the planes."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.mito_case import (
    Results,
    VolumeToPredict,
    decisive,
    grouping_of,
    settled,
    things_text,
    write_class_names,
    write_confidence,
)
from planewise.apps.mito_options import MitoPredict
from planewise.apps.mito_store import predict_store, remove_work, segment_out_of_core
from planewise.data.case import cases_in, refuse_names_of_planes
from planewise.data.manifest import MANIFEST
from planewise.data.panoptic import PanopticClasses
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.averaging import averaged_classes, averaging_bytes
from planewise.inference.class_grouping import fuse_classes
from planewise.inference.executor import ThisProcess, executor
from planewise.inference.fused import FusedObjects
from planewise.inference.gathering import SliceOutputs, gather_classes
from planewise.inference.memory import Need, need_in_memory
from planewise.inference.painted import Painted
from planewise.inference.panoptic_result import AllThings, ClassMap, joined_votes
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.planes import (
    NetworkPredictor,
    NetworkSource,
    SharedPredictor,
    SliceOptions,
    SlicePredictor,
    plane_outputs,
)
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights, refuse_other_classes
from planewise.progress import progress, say
from planewise.report.tables import report_problems
from planewise.volumes.atomic import write_again
from planewise.volumes.files import read_voxels, write_volume
from planewise.volumes.formats import ending_of, ome_zarr, result_ending
from planewise.volumes.machine import machine_cores, machine_memory
from planewise.volumes.slices import AXIS, Plane

THREADS = min(4, machine_cores())  # of post-processing; more do not help
WORTH_SAYING = 10**9  # bytes; what a case needs is printed from here on


def predict_mito(options: MitoPredict) -> int:
    """Segment a volume or a folder of volumes. Returns the exit code; see ``predict_cases`` for errors."""
    if not options.input.exists():
        raise PlanewiseError(f"--input {options.input}: no such file or folder")
    if ending_of(options.output) in ome_zarr.FORMAT.endings:
        return predict_store(options)
    if options.workers or options.scheduler:
        raise PlanewiseError("--workers and --scheduler go with an --output that ends in .ome.zarr; see --devices")
    cases, problems = cases_in(options.input, options.channel, options.sequence)
    if not cases and not problems:
        raise PlanewiseError(f"--input {options.input}: holds no volumes (.tiff, .nii.gz, .nrrd, .mha, .ome.zarr)")
    predict_cases(list(cases.items()), options, problems)
    return report_problems(problems)


def predict_cases(
    cases: list[tuple[str, Path]], options: MitoPredict, problems: list[Problem], renewed: bool = False
) -> dict[str, Results]:
    """Predict each case that is not done; a case that fails becomes a problem and does not stop the others.

    Returns the results of the finished cases, by case. ``renewed``: the model was just trained, so that results of the
    previous model in its file are made again. Raises PlanewiseError, before any work, if the output folder holds
    results made in another way.
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
    done: dict[str, Results] = {}
    for name, path in apart.items():
        try:
            case = VolumeToPredict.open(path, model, options)
            results = case.results(options.output, name, result_ending(path), options)
            if run.is_done(name, [path]):
                say(f"{name}: done already, by the same model from the same data ({results.final})")
                remove_work(results)
                done[name] = results
            else:
                waiting.append((name, path, results))
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
    if not waiting:
        return done
    # Loaded here even if other processes predict, so that bad weights are refused.
    network = inference_network(weights, model.architecture, device if options.devices == 1 else "cpu")
    refuse_other_classes(network, model, model_path)
    if model.several is not None:
        write_class_names(waiting[0][2], model.several, replace=options.overwrite or renewed)
    with executor(NetworkSource(weights, model.architecture, half), device, options.devices) as workers:
        predictor = SharedPredictor(workers) if workers.size else NetworkPredictor(network, half)
        for name, path, results in waiting:
            try:
                with run.making(name, [path], results.files, results.work) as decided:
                    case = VolumeToPredict.open(path, model, options)  # again, to hold one case's voxels at a time
                    slices, seen = case.slice_options(model, options)
                    say(f"{name}: {seen}; {case.why}")
                    sized = case.sized(model, options)
                    for note in case.notes(name, sized, model):
                        say(note)
                    count = predict_case(name, case, slices, results, predictor, sized, run.identity(name))
                    one, what = ("class", "classes") if options.fuse == "probabilities" else ("object", "objects")
                    decided |= {"intensities": seen, "planes": case.why, "min_size": sized.min_size, what: count}
                done[name] = results
                remove_work(results)
                say(f"{name}: {count} {one if count == 1 else what}, {results.final}")
            except Exception as error:  # no failure of one case may stop the others
                problems.append(Problem.of(path, error))
    return done


def predict_case(
    name: str,
    case: VolumeToPredict,
    slices: SliceOptions,
    results: Results,
    predictor: SlicePredictor,
    options: MitoPredict,
    made_with: dict[str, Any],
) -> int:
    """Segment a volume in memory, or through stores if it does not fit; return the number of objects.

    For errors see ``segment_out_of_core``.
    """
    need, limit = memory_for(case, options)
    streamed = need.beside_network > limit
    if options.fuse == "probabilities":
        if streamed:
            raise PlanewiseError(
                f"averaging probabilities would need {need}, of which the part beside the network exceeds "
                f"{_allowed(options, limit)}; allow more, or give --fuse votes, which is streamed"
            )
        return _write_classes(name, case, results, classes_in_memory(name, case, slices, predictor, options))
    if streamed:
        say(f"{name}: would need {need}, beside the network more than {_allowed(options, limit)}: it is streamed")
    elif need.total > WORTH_SAYING:
        say(f"{name}: needs {need}")
    if (need.network if streamed else need.total) > machine_memory():
        say(f"WARNING: {name}: that is more memory than there is; a smaller --batch_size takes less for the network")
    if streamed:
        return segment_out_of_core(
            case, slices, results, ThisProcess(lambda device: predictor), options, made_with, name
        )
    return _segment_in_memory(name, case, slices, results, predictor, options)


def memory_for(case: VolumeToPredict, options: MitoPredict) -> tuple[Need, int]:
    """Return what segmenting a volume in memory needs, and the limit of what it may need beside the network, in
    bytes."""
    device = choose_device(options.device)
    outputs = 1 if case.several is None else 1 + len(case.several.names)
    need = need_in_memory(case.volume, case.planes, options.batch_size, options.downsampling, device, outputs)
    if options.fuse == "probabilities":
        need = replace(need, objects=averaging_bytes(math.prod(case.volume.shape), outputs - 1))
    return need, options.memory_bytes() or machine_memory() // 2


def _allowed(options: MitoPredict, limit: int) -> str:
    if options.memory_bytes() is None:
        return f"half of this machine's memory ({limit / 1e9:.2g} GB; --memory sets another limit)"
    return f"--memory {options.memory}"


def _segment_in_memory(
    name: str,
    case: VolumeToPredict,
    slices: SliceOptions,
    results: Results,
    predictor: SlicePredictor,
    options: MitoPredict,
) -> int:
    """Write a volume's results; return the number of objects. Labels are painted when they are written."""
    several, as_labels = case.several, case.volume.as_labels()
    with ThreadPoolExecutor(1) as writer:  # compressing a plane's result takes as long as predicting it on a GPU
        written, planes = [], []

        def write(plane: Plane, classes: list[PlaneObjects]) -> None:
            planes.append(classes)
            objects = _things_of(classes, several)
            written.append(writer.submit(write_volume, results.planes[plane], as_labels.with_voxels(objects)))

        fused = segment_in_memory(name, case, slices, predictor, options, write)
        for writing in written:
            writing.result()
    things = _things_of(fused, several)
    if len(case.planes) == 1:
        write_again(results.final, results.planes[case.planes[0]], linked=False)
    else:
        write_volume(results.final, as_labels.with_voxels(things))
    kinds = (True,) if several is None else several.kinds
    of_things = [objects for objects, is_thing in zip(fused, kinds) if is_thing]
    votes = [objects.votes for objects in of_things if isinstance(objects, FusedObjects) and objects.votes is not None]
    sizes = [objects.sizes[1:] for objects, is_thing in zip(planes[0], kinds) if is_thing]
    classes = None
    if several is not None and results.classes is not None:
        write_volume(results.classes, case.volume.as_labels(several.names).with_voxels(ClassMap(fused)))
        classes = [several.names[value] for value in several.things for _ in range(fused[value - 1].count)]
        say(f"{name}: {things_text(several, [objects.count for objects in fused])}")
    voxels = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
    write_confidence(case, results, joined_votes(votes) if votes else None, voxels, classes)
    return things.count


def classes_in_memory(
    name: str, case: VolumeToPredict, slices: SliceOptions, predictor: SlicePredictor, options: MitoPredict
) -> np.ndarray:
    """Return the class of each voxel of a volume, without objects, from the planes' mean probabilities."""
    assert case.several is not None
    voxels = read_voxels(case.volume, case.path)

    def outputs() -> Iterator[tuple[Plane, Iterator[SliceOutputs]]]:
        for plane in case.planes:
            with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
                yield plane, plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)

    return averaged_classes(outputs(), voxels.shape, len(case.several.names), options.confidence_thr)


def _write_classes(name: str, case: VolumeToPredict, results: Results, labels: np.ndarray) -> int:
    """Write the class of each voxel; return how many classes occur."""
    assert case.several is not None
    names = case.several.names
    write_volume(results.final, case.volume.as_labels(names).with_voxels(labels))
    counts = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:].tolist()
    say(f"{name}: voxels of {', '.join(f'{what} {count:,}' for what, count in zip(names.values(), counts))}")
    return sum(count > 0 for count in counts)


def _things_of(classes: Sequence[Painted], several: PanopticClasses | None) -> Painted:
    """Return the objects of all classes of things, or those of the only class."""
    return classes[0] if several is None else AllThings(classes, several.kinds)


def segment_in_memory(
    name: str,
    case: VolumeToPredict,
    slices: SliceOptions,
    predictor: SlicePredictor,
    options: MitoPredict,
    keep: Callable[[Plane, list[PlaneObjects]], None] = lambda plane, classes: None,
) -> list[Painted]:
    """Return the objects of each class of a volume; voxels are painted when they are read.

    ``keep`` is called for each plane with the objects of each class.
    """
    voxels, how = read_voxels(case.volume, case.path), grouping_of(options, case.several)
    planes = []
    for plane in case.planes:
        with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
            outputs = plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)
            planes.append(gather_classes(outputs, voxels.shape, plane, how, THREADS))
        keep(plane, planes[-1])
    return fuse_classes(planes, options.pixel_vote_thr, how, THREADS)
