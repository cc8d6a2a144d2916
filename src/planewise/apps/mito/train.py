"""mito train: fine-tune MitoNet on a nnU-Net dataset, and predict and evaluate its test cases."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from planewise.apps.mito.corrections import SCORE, write_next_worklist
from planewise.apps.mito.export import export_trained, pixel_sides
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict import predict_cases
from planewise.apps.mito.rounds import SHARE, train_in_rounds
from planewise.apps.mito.slices import cut_slices, planes_to_train_in, slices_to_train_on, wanted_target
from planewise.apps.mito.test_cases import evaluate_test_cases
from planewise.apps.mito.train_options import MitoTrain
from planewise.apps.mito.training_plan import TrainingPlan, plan_training
from planewise.correction.corrected import SCORE_BEFORE, keep_score_before, say_gain
from planewise.data.input_images import cases_in
from planewise.data.leaks import warn_of_leaks
from planewise.data.manifest import MANIFEST, read_manifest
from planewise.data.panoptic import PanopticClasses
from planewise.data.preparation import RECORD, Record, write_record
from planewise.errors import PlanewiseError, Problem
from planewise.models.architectures import architectures
from planewise.models.hub import licence_of
from planewise.models.model_file import ModelFile
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.weights import locate_weights, network_for_classes
from planewise.progress import progress, say
from planewise.report.figures import training_curve
from planewise.report.tables import count_problems, print_problems
from planewise.training.checkpoint import load_checkpoint
from planewise.training.launch import training_alone
from planewise.training.loop import BEST, CURVE, train
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import METRICS
from planewise.training.object_sizes import object_sizes
from planewise.training.pace import steps_within
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import Label, validation_case
from planewise.training.task import score_before


def train_mito(options: MitoTrain) -> int:
    """Fine-tune, and predict and evaluate if that is wanted; see ``finetune_mito``. Returns the exit code."""
    return count_problems(finetune_mito(options))


def finetune_mito(options: MitoTrain) -> list[Problem]:
    """Fine-tune, and with ``test_after_training`` predict and evaluate the test cases; return the problems.

    Problems of the training cases are printed before the training, and those of the others when all is done.
    Raises PlanewiseError, before any work, for options or a dataset that cannot be used, or if a training of this name
    is running in the folder.
    """
    with training_alone(options.model_dir, options.model_name, "--model_name", options.num_nodes):
        return _finetune(options)


def _finetune(options: MitoTrain) -> list[Problem]:
    plan = plan_training(options)
    problems = list(plan.dataset.problems)
    best: Path | None = plan.files.training
    if plan.is_done() and not options.self_training:
        record = plan.files.training / RECORD
        slices_to_train_on(plan.options, plan.dataset, plan.target, plan.intensities, record, cut=False)
        say(f"{options.model_name} is trained already; more --iterations continue the training")
    else:
        best = _train(plan, problems)
    if best is None:
        return problems
    say(f"The model is {plan.files.yaml} with {plan.files.weights.name}")
    later: list[Problem] = []
    try:
        if options.corrections is not None:
            _go_on_from(options.corrections, plan, best, later)
        if plan.tests is not None:
            _test(plan, plan.tests, later)
    finally:  # also what was found before an error or Ctrl-C
        print_problems(later)
    return [*problems, *later]


def _train(plan: TrainingPlan, problems: list[Problem]) -> Path | None:
    """Train and export the best model; return its checkpoint's folder, or None in all processes but the first.

    Cases that could not be cut into slices join ``problems``.
    """
    options, files, dataset = plan.options, plan.files, plan.dataset
    network = _base_network(plan)
    _warn_of_leaks(plan)
    slices = slices_to_train_on(options, dataset, plan.target, plan.intensities, files.training / RECORD)
    if slices.left_out:
        print_problems(slices.left_out)
        say("The other cases are used.")
    problems += slices.left_out
    model = _with_object_sizes(plan)
    task = PanopticTask(network, model, slices.folder, options.patch_size, options.finetune_layer, options.seed)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    say(
        f"Training {options.model_name} on {plan.loop.accelerator}: {len(task.pairs)} slices, {len(task.validation)} "
        f"for validation, {trainable:,} of {sum(p.numel() for p in network.parameters()):,} parameters"
    )
    loop = _begin(plan, task, slices.record)
    if not train(task, loop, files.training, options.resume):
        return None
    training_curve(files.training / METRICS, files.training / CURVE, "validation score")
    best = files.training
    if options.self_training:
        planes = planes_to_train_in(options, dataset)

        def cut(folder: Path, label: Label) -> None:
            cut_slices(dataset, plan.target, plan.intensities, planes, folder, label)

        best, task = train_in_rounds(options, model, planes, loop, files.training, task, cut)
    export_trained(files, model, options, task, pixel_sides(dataset, task), best)
    return best


def _begin(plan: TrainingPlan, task: PanopticTask, slices: Record | None) -> LoopOptions:
    """Clear the folder, unless a training is resumed, and write its initial files; return the options of its loop."""
    options, files, loop = plan.options, plan.files, plan.loop
    compared = options.corrections is not None and not (options.resume and (files.training / SCORE_BEFORE).exists())
    before = score_before(task, loop.accelerator) if compared else None
    if options.minutes is not None and not options.resume:
        whole = options.minutes * 60 / (1 + SHARE * options.self_training)
        loop = replace(loop, iterations=steps_within(whole, task, loop))
        say(f"--minutes {options.minutes:g}: {loop.iterations} iterations, judged by the speed of the first few")
    if not options.resume:
        files.clear()
        if slices is not None:
            write_record(files.training / RECORD, slices)
    if before is not None:
        keep_score_before(files.training, before)
    return loop


def _go_on_from(corrections: Path, plan: TrainingPlan, best: Path, problems: list[Problem]) -> None:
    """Say what training from ``corrections`` gained, predict their cases again, and write the next work list.

    The better of the two models is used: the new one, or the one that training started from.
    """
    options, files = plan.options, plan.files
    gained = say_gain(files.training, load_checkpoint(best / BEST, mmap=True), SCORE, plan.model_path)
    model_before = plan.model_path
    kept, weights = (files.yaml, files.weights) if gained else (model_before, locate_weights(plan.model, model_before))
    made = read_manifest(files.predictions / MANIFEST)  # in another round perhaps by the other of the two models
    other = made is not None and made.model != str(weights.resolve())
    _predict(plan, "imagesTr", kept, files.predictions, problems, replace=options.overwrite or other)
    write_next_worklist(corrections, files.predictions, files.worklist, kept, renewed=gained)


def _test(plan: TrainingPlan, folder: Path, problems: list[Problem]) -> None:
    """Predict the test cases into ``folder``, and evaluate them, if any could be predicted."""
    _predict(plan, "imagesTs", plan.files.yaml, folder, problems)
    if not folder.is_dir():
        return
    evaluate_test_cases(plan.dataset, plan.target, folder, plan.files.training, problems)


def _predict(
    plan: TrainingPlan,
    images: Literal["imagesTr", "imagesTs"],
    model: Path,
    output: Path,
    problems: list[Problem],
    replace: bool = False,
) -> None:
    """Predict the cases of a folder of the dataset with ``model``; ``replace``: predictions of another model."""
    options = plan.options
    predict = MitoPredict(
        trained_model=model,
        input=options.dataset_path / images,
        output=output,
        axes=options.test_axes,
        device=options.device,
        devices=options.devices,
        channel=options.channel,
        intensity=options.intensity,
        invert=options.invert,
        overwrite=replace,
    )
    cases = plan.dataset.train if images == "imagesTr" else plan.dataset.test
    predict_cases([(case.name, case.image) for case in cases], predict, problems, renewed=True)


def _with_object_sizes(plan: TrainingPlan) -> ModelFile:
    """Return the model's file with the sizes of the objects it is trained on, and print them."""
    wanted = wanted_target(plan.dataset, plan.target)
    sizes = None
    if not isinstance(wanted, PanopticClasses):
        with progress("measuring objects", len(plan.dataset.train), unit="cases") as advance:
            sizes = object_sizes(plan.dataset.train, wanted, lambda name: advance(1, name))
    if sizes is not None:
        say(f"Sizes of the training objects: {sizes}; see --min_size of mito predict")
    return plan.model.model_copy(update={"object_sizes": sizes})


def _base_network(plan: TrainingPlan) -> PanopticNetwork:
    """Return the network to start from."""
    options, model = plan.options, plan.model
    if not options.from_scratch and options.backbone is None:
        return network_for_classes(locate_weights(model, plan.model_path), model.outputs, model.architecture)
    if model.architecture not in architectures():
        raise PlanewiseError(
            f"{plan.model_path}: the architecture is {model.architecture}; --from_scratch and --base need one of "
            f"{', '.join(architectures())}"
        )
    import torch

    torch.manual_seed(options.seed)
    network = architectures()[model.architecture](outputs=model.outputs)
    if options.backbone is not None:
        network.load_base(options.backbone)
        licence = licence_of(options.backbone) or "not stated there: see the page of its source"
        say(f"--base {options.backbone}: the encoder starts from these weights. Their licence is {licence}")
    return network


def _warn_of_leaks(plan: TrainingPlan) -> None:
    dataset, channel = plan.dataset, plan.options.channel
    held = validation_case(dataset.train)
    train = {case.name: case.image for case in dataset.train if case is not held}
    valid = {} if held is None else {held.name: held.image}
    folder = dataset.folder / "imagesTs"
    tests = cases_in(folder, channel)[0] if folder.is_dir() else {}
    warn_of_leaks(train, valid, tests, channel, parts_validate=held is None)
