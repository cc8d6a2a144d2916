"""mito predict from one volume of any size to one OME-Zarr store."""

from planewise.apps.mito.case import VolumeToPredict, say_notes, write_class_names
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.out_of_core import Unfinished, remove_work, segment_out_of_core
from planewise.apps.mito.predict_settings import UNSAID, decisive, settled, stated_by_model
from planewise.data.case import case_name, is_volume
from planewise.data.input_images import images_to_segment, refuse_result
from planewise.data.manifest import MANIFEST
from planewise.data.run import Run
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.executor import executor
from planewise.inference.planes import NetworkSource
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights, refuse_other_classes
from planewise.progress import counted, say
from planewise.report.tables import report_problems
from planewise.volumes.formats import ending_of, stem_of


def predict_store(options: MitoPredict) -> int:
    """Segment ``options.input`` into the OME-Zarr ``options.output``. Returns the exit code; see ``segment_store``."""
    try:
        segment_store(options)
    except Unfinished as error:
        return report_problems([Problem.of(options.input, error)])
    return 0


def segment_store(options: MitoPredict) -> None:
    """Segment ``options.input`` into the OME-Zarr ``options.output``, unless that is done already.

    Raises PlanewiseError, before any work, for options or an input that cannot be used, and if another run uses the
    output; ``Unfinished`` if it stops before its end.
    """
    name = _only_case(options)
    if options.devices > 1:
        raise PlanewiseError(f"--devices {options.devices}: from store to store give --workers {options.devices}")
    device = choose_device(options.device)
    model_path = find_model_file(options.trained_model)
    model = read_model_file(model_path)
    of_model, options = stated_by_model(options), settled(options, model)
    weights = locate_weights(model, model_path)
    case = VolumeToPredict.open(options.input, model, options)
    network = inference_network(weights, model.architecture, "cpu")  # loaded here to refuse unusable weights
    refuse_other_classes(network, model, model_path)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    stored = stem_of(options.output)
    results = case.results(options.output.parent, stored, ending_of(options.output), options)
    manifest = options.output.with_name(f"{stored}.{MANIFEST}")
    how, made_by = decisive(options, model, half), "mito predict"
    run = Run.begin(
        manifest, made_by, how, weights, [stored], options.overwrite,
        store=options.output, unsaid=UNSAID, kind=MitoPredict, of_model=of_model,
    )  # fmt: skip
    if run.is_done(stored, [options.input]):
        say(f"{options.output}: done already, by the same model from the same data; --overwrite predicts it again")
        remove_work(results)
        return
    options = case.sized(model, options)
    say_notes({name: case.notes(options, model)})
    if case.several is not None:
        write_class_names(results, case.several, replace=options.overwrite)
    # An absolute path, so that all processes use the same file, whatever their working folder.
    source = NetworkSource(weights.resolve(), model.architecture, half)
    with run.making(stored, [options.input], results.files, results.work) as decided:
        try:
            slices, seen = case.slice_options(model, options)
        except PlanewiseError as error:
            raise Unfinished(str(error)) from error
        say(f"{name}: {seen}")
        with executor(source, device, workers=options.workers, scheduler=options.scheduler) as workers:
            count = segment_out_of_core(case, slices, results, workers, options, run.identity(stored), name)
        decided |= {"intensities": seen, "planes": case.why, "min_size": options.min_size, "objects": count}
    remove_work(results)
    say(f"{name}: {counted(count, 'object')}, {options.output}")


def _only_case(options: MitoPredict) -> str:
    """Return the name of the case that ``options.input`` is. Raises PlanewiseError if it is not one volume."""
    if is_volume(options.input, "--input"):
        refuse_result(options.input)
        return case_name(options.input)
    images, problems = images_to_segment(options.input, options.channel, options.sequence)
    if [options.input] != list(images.values()):
        if problems or not images:
            there = "; ".join(problem.what for problem in problems) or "it holds none"
            raise PlanewiseError(f"--input {options.input}: is not a volume ({there}); a store takes one volume")
        raise PlanewiseError(
            f"--input {options.input}: is a folder of {counted(len(images), 'volume')}, but a store takes one volume: "
            f"give --input {next(iter(images.values()))}, or a folder as --output"
        )
    return next(iter(images))
