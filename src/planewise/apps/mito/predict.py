"""mito predict: predict each case in memory or streamed, into a folder of results, with those of the planes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.apps.mito.case import Results, VolumeToPredict, say_notes, write_class_names
from planewise.apps.mito.in_memory import classes_in_memory, memory_for, segment_into_files, write_classes
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.out_of_core import remove_work, segment_out_of_core
from planewise.apps.mito.predict_settings import UNSAID, decisive, settled, stated_by_model
from planewise.apps.mito.store import predict_store
from planewise.data.input_images import images_to_segment, refuse_names_of_planes
from planewise.data.manifest import MANIFEST
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.executor import ThisProcess, executor
from planewise.inference.planes import NetworkPredictor, NetworkSource, SharedPredictor, SliceOptions, SlicePredictor
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights, refuse_other_classes
from planewise.progress import counted, each_once, say, warn
from planewise.report.tables import report_problems
from planewise.volumes.formats import ending_of, ome_zarr, result_ending
from planewise.volumes.machine import machine_memory

WORTH_SAYING = 10**9  # bytes that a case needs


@dataclass(frozen=True)
class Waiting:
    """A case that is to be predicted, where its results go, and what is to be printed about it before."""

    name: str
    path: Path
    results: Results
    notes: tuple[str, ...]


def predict_mito(options: MitoPredict) -> int:
    """Segment a volume or a folder of volumes. Returns the exit code; see ``predict_cases`` for errors."""
    if not options.input.exists():
        raise PlanewiseError(f"--input {options.input}: no such file or folder")
    if ending_of(options.output) in ome_zarr.FORMAT.endings:
        return predict_store(options)
    if options.workers or options.scheduler:
        raise PlanewiseError(
            "--workers and --scheduler share out one large volume, and need an --output that ends in .ome.zarr; a "
            "folder of volumes is shared out among GPUs by --devices"
        )
    cases, problems = images_to_segment(options.input, options.channel, options.sequence)
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
    of_model, options = stated_by_model(options), settled(options, model)
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
        unsaid=UNSAID,
        kind=MitoPredict,
        of_model=of_model,
    )
    done, waiting = _done_and_waiting(apart, run, model, options, problems)
    if not waiting:
        return done
    # Loaded here even if other processes predict, so that bad weights are refused.
    network = inference_network(weights, model.architecture, device if options.devices == 1 else "cpu")
    refuse_other_classes(network, model, model_path)
    if model.several is not None:
        write_class_names(waiting[0].results, model.several, replace=options.overwrite or renewed)
    say_notes({case.name: case.notes for case in waiting})
    tell = each_once()
    with executor(NetworkSource(weights, model.architecture, half), device, options.devices) as workers:
        predictor = NetworkPredictor(network, half) if workers.in_this_process else SharedPredictor(workers)
        for case in waiting:
            try:
                made = _predict_waiting(case, model, predictor, options, run, tell)
                done[case.name] = case.results
                remove_work(case.results)
                say(f"{case.name}: {made}, {case.results.final}")
            except Exception as error:  # whatever goes wrong with one case, the others are still wanted
                problems.append(Problem.of(case.path, error))
    return done


def _done_and_waiting(
    cases: dict[str, Path], run: Run, model: ModelFile, options: MitoPredict, problems: list[Problem]
) -> tuple[dict[str, Results], list[Waiting]]:
    """Return the results of the cases that are done already, and the others.

    Cases that cannot be opened join ``problems``.
    """
    done: dict[str, Results] = {}
    waiting: list[Waiting] = []
    for name, path in cases.items():
        try:
            case = VolumeToPredict.open(path, model, options)
            results = case.results(options.output, name, result_ending(path), options)
            if run.is_done(name, [path]):
                say(f"{name}: done already, by the same model from the same data ({results.final})")
                remove_work(results)
                done[name] = results
            else:
                notes = tuple(case.notes(case.sized(model, options), model))
                waiting.append(Waiting(name, path, results, notes))
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
    return done, waiting


def _predict_waiting(
    waiting: Waiting,
    model: ModelFile,
    predictor: SlicePredictor,
    options: MitoPredict,
    run: Run,
    tell: Callable[[str], None],
) -> str:
    """Predict a case; return how many objects, or classes, it has, to read.

    What was decided for it is noted in ``run``. ``tell``: see ``VolumeToPredict.slice_options``.
    """
    name, path, results = waiting.name, waiting.path, waiting.results
    with run.making(name, [path], results.files, results.work) as decided:
        case = VolumeToPredict.open(path, model, options)  # again, so that only one case's voxels are in memory
        slices, seen = case.slice_options(model, options, tell)
        say(f"{name}: {seen}")
        sized = case.sized(model, options)
        count = predict_case(name, case, slices, results, predictor, sized, run.identity(name))
        what = "classes" if options.fuse == "probabilities" else "objects"
        decided |= {"intensities": seen, "planes": case.why, "min_size": sized.min_size, what: count}
    return counted(count, "object" if what == "objects" else "class")


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
        return write_classes(name, case, results, classes_in_memory(name, case, slices, predictor, options))
    if streamed:
        say(f"{name}: would need {need}, beside the network more than {_allowed(options, limit)}: it is streamed")
    elif need.total > WORTH_SAYING:
        say(f"{name}: needs {need}")
    if (need.network if streamed else need.total) > machine_memory():
        warn(f"{name}: that is more memory than there is; a smaller --batch_size takes less for the network")
    if streamed:
        with ThisProcess(lambda device: predictor) as workers:
            return segment_out_of_core(case, slices, results, workers, options, made_with, name)
    return segment_into_files(name, case, slices, results, predictor, options)


def _allowed(options: MitoPredict, limit: int) -> str:
    if options.memory_bytes() is None:
        return f"half of this machine's memory ({limit / 1e9:.2g} GB; --memory sets another limit)"
    return f"--memory {options.memory}"
