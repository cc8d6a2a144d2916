"""mito train: fine-tune MitoNet on a nnU-Net dataset, and predict and evaluate its test cases."""

from dataclasses import replace
from pathlib import Path

from planewise.apps.mito_classes import trained_target
from planewise.apps.mito_corrections import SCORE, predict_again, with_corrections, write_next_worklist
from planewise.apps.mito_evaluate import evaluate_test_cases
from planewise.apps.mito_export import export_trained, pixel_sides
from planewise.apps.mito_options import MitoPredict, MitoTrain
from planewise.apps.mito_predict import predict_cases
from planewise.apps.mito_rounds import SHARE, refuse_what_has_no_rounds, train_in_rounds
from planewise.apps.mito_slices import cut_slices, planes_to_train_in, slices_to_train_on, wanted_target
from planewise.apps.mito_training_files import TrainingFiles
from planewise.correction.corrected import SCORE_BEFORE, keep_score_before, say_gain
from planewise.data.case import cases_in
from planewise.data.check import check_training_truths
from planewise.data.classes import Target
from planewise.data.intensity import IntensityRule
from planewise.data.leaks import warn_of_leaks
from planewise.data.manifest import MANIFEST, edited_outputs, read_manifest
from planewise.data.nnunet import Dataset, open_dataset, refuse_no_folder
from planewise.data.panoptic import PanopticClasses
from planewise.data.preparation import RECORD, write_record
from planewise.data.run import refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import DatasetError, PlanewiseError, Problem
from planewise.models.architectures import architectures
from planewise.models.hub import licence_of
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.weights import locate_weights, network_for_classes
from planewise.progress import progress, say
from planewise.report.figures import training_curve
from planewise.report.tables import print_problems, report_problems
from planewise.training.checkpoint import is_finished, load_checkpoint
from planewise.training.loop import BEST, CURVE, LAST, LoopOptions, train
from planewise.training.metrics_file import METRICS
from planewise.training.object_sizes import object_sizes
from planewise.training.pace import steps_within
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import Label, validation_case
from planewise.training.task import score_before

PREDICTIONS = "imagesTs_mitoNet_FT"
ITERATIONS = 1000  # of a training, by default
LEARNING_RATE = 0.003  # MitoNet's


def train_mito(options: MitoTrain) -> int:
    """Fine-tune, and maybe predict and evaluate; see ``finetune_mito``. Returns the exit code."""
    return report_problems(finetune_mito(options))


def finetune_mito(options: MitoTrain) -> list[Problem]:
    """Fine-tune, and with ``test_after_training`` predict and evaluate the test cases; return what went wrong.

    Raises PlanewiseError, before any work, for options or a dataset that cannot be used.
    """
    device = choose_device(options.device)
    if options.corrections is None:  # which make the dataset
        refuse_no_folder(options.dataset_path)
    files = TrainingFiles(options.model_dir, options.model_name)
    files.check_free(options.resume, options.overwrite)  # before a dataset that a training goes on with is replaced
    if options.corrections is not None:
        options = with_corrections(options, options.corrections)
    elif options.image is not None:
        raise PlanewiseError(
            f"--image {options.image}: goes with --corrections; without it the images are the dataset's"
        )
    model_path = find_model_file(options.base_model)
    if options.corrections is not None and model_path.resolve() == files.yaml.resolve():
        raise PlanewiseError(
            f"--model_name {options.model_name}: the training would replace {model_path}, which it starts from and is "
            "compared with; give another name"
        )
    model = read_model_file(model_path)
    if options.patch_size % model.padding_factor:
        raise PlanewiseError(
            f"--patch_size {options.patch_size} must be a multiple of {model.padding_factor} for {model_path.name}"
        )
    if options.num_nodes > 1 and not options.skip_conversion:
        raise PlanewiseError(
            "--num_nodes: several nodes cannot cut the slices at once; cut them before, on one, and give "
            "--skip_conversion"
        )
    tests = _test_folder(options, files.weights) if options.test_after_training else None
    dataset = open_dataset(
        options.dataset_path,
        need_test=options.test_after_training,
        channel=options.channel,
        ignore_geometry=options.ignore_geometry,
    )
    inputs = (
        path for what in ("images", "labels", "instances", "painted") for path in dataset.folder.glob(f"{what}T[rs]/*")
    )
    refuse_folder_of_inputs(inputs, options.model_dir, "model_dir")
    target = trained_target(dataset, options, model)
    if isinstance(target, PanopticClasses):
        model = model.with_classes(target)
    dataset = _with_labels(dataset, isinstance(target, PanopticClasses))
    problems = list(dataset.problems)
    if problems:
        print_problems(problems)
        say("The other cases are used.")

    recipe = model.little_data
    loop = LoopOptions(
        iterations=_iterations(options, files),
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or model.learning_rate or LEARNING_RATE,
        seed=options.seed,
        checkpoint_interval=options.checkpoint_interval,
        accelerator=device,
        devices=options.devices,
        num_nodes=options.num_nodes,
        precision=choose_precision(options.precision, device),
        num_workers=options.num_workers,
        identity=options.model_dump(
            mode="json", include={"base_model", "from_scratch", "patch_size", "finetune_layer", "class_name"}
        )
        | ({} if recipe is None else {"little_data": recipe.model_dump(mode="json")})
        | ({} if options.backbone is None else {"base": _place_of(options.backbone)})
        | ({"classes": str(target)} if isinstance(target, PanopticClasses) else {}),
        averaging=None if recipe is None else recipe.weight_averaging,
    )
    base = model.trained_intensities()
    if options.from_scratch or options.backbone is not None:  # nothing was trained on the base's polarity
        base = base.model_copy(update={"polarity": "unclear"})
    intensities = IntensityRule(base, options.intensity, options.invert)
    if options.self_training:
        refuse_what_has_no_rounds(options, dataset, planes_to_train_in(options, dataset))
    trained = options.resume and files.yaml.exists() and is_finished(files.training / LAST, vars(loop))
    best = files.training
    if trained and not options.self_training:
        slices_to_train_on(options, dataset, target, intensities, files.training / RECORD, cut=False)
        say(f"{options.model_name} is trained already, done; more --iterations train on")
    else:
        network = _base_network(options, model, model_path)
        _warn_of_leaks(dataset, options.channel)
        slices = slices_to_train_on(options, dataset, target, intensities, files.training / RECORD)
        if slices.left_out:
            print_problems(slices.left_out)
            say("The other cases are used.")
        problems += slices.left_out
        model = _with_object_sizes(model, dataset, target)
        task = PanopticTask(network, model, slices.folder, options.patch_size, options.finetune_layer, options.seed)
        trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
        say(
            f"Training {options.model_name} on {device}: {len(task.pairs)} slices, {len(task.validation)} for "
            f"validation, {trainable:,} of {sum(p.numel() for p in network.parameters()):,} parameters"
        )
        compared = options.corrections is not None and not (options.resume and (files.training / SCORE_BEFORE).exists())
        before = score_before(task, device) if compared else None
        if options.minutes is not None and not options.resume:
            whole = options.minutes * 60 / (1 + SHARE * options.self_training)
            loop = replace(loop, iterations=steps_within(whole, task, loop))
            say(f"--minutes {options.minutes:g}: {loop.iterations} iterations, as fast as the first few were")
        if not options.resume:
            files.clear()
            if slices.record is not None:
                write_record(files.training / RECORD, slices.record)
        if before is not None:
            keep_score_before(files.training, before)
        if not train(task, loop, files.training, options.resume):
            return problems
        training_curve(files.training / METRICS, files.training / CURVE, "validation score")
        if options.self_training:
            planes = planes_to_train_in(options, dataset)

            def cut(folder: Path, label: Label) -> None:
                cut_slices(dataset, target, intensities, planes, folder, label)

            best, task = train_in_rounds(options, model, planes, loop, files.training, task, cut)
        export_trained(files, model, options, task, pixel_sides(dataset, task), best)
    say(f"The model is {files.yaml} with {files.weights.name}")

    if options.corrections is not None:
        gained = say_gain(files.training, load_checkpoint(best / BEST), SCORE, model_path)
        kept, weights = (files.yaml, files.weights) if gained else (model_path, locate_weights(model, model_path))
        made = read_manifest(files.predictions / MANIFEST)  # maybe by the other of the two, of another round
        other = made is not None and made.model != str(weights.resolve())
        again = predict_again(options, kept, files.predictions, replace=options.overwrite or other)
        predict_cases([(case.name, case.image) for case in dataset.train], again, problems, renewed=True)
        write_next_worklist(options.corrections, files.predictions, files.worklist, kept, renewed=gained)
    if tests is not None:
        predict = MitoPredict(
            trained_model=files.yaml,
            input=options.dataset_path / "imagesTs",
            output=tests,
            axes=options.test_axes,
            device=options.device,
            devices=options.devices,
            channel=options.channel,
            intensity=options.intensity,
            invert=options.invert,
        )
        images = [(case.name, case.image) for case in dataset.test]
        predict_cases(images, predict, problems, renewed=True)
        evaluate_test_cases(dataset, target, tests, files.training, problems)
    return problems


def _with_labels(dataset: Dataset, several: bool) -> Dataset:
    """Return the dataset without training cases whose truth holds no labels, or ones without a name.

    ``several``: whether several classes are trained.

    Raises DatasetError if no case is left.
    """
    with progress("checking the truth", len(dataset.train), unit="cases") as advance:
        usable, problems, notes = check_training_truths(
            dataset.train, dataset.labels, lambda name: advance(1, name), several
        )
    for note in notes:
        say(f"WARNING: {note}")
    if not usable:
        listed = "".join(f"\n  {problem.where}: {problem.what}" for problem in problems)
        raise DatasetError(f"{dataset.folder}: has no training case with usable labels{listed}")
    return replace(dataset, train=usable, problems=[*dataset.problems, *problems])


def _with_object_sizes(model: ModelFile, dataset: Dataset, target: Target | PanopticClasses | None) -> ModelFile:
    """Return the model's file with how large the objects are that it is trained on, which is also said."""
    wanted = wanted_target(dataset, target)
    sizes = None
    if not isinstance(wanted, PanopticClasses):
        with progress("measuring objects", len(dataset.train), unit="cases") as advance:
            sizes = object_sizes(dataset.train, wanted, lambda name: advance(1, name))
    if sizes is not None:
        say(f"Objects trained on: {sizes}; see --min_size of mito predict")
    return model.model_copy(update={"object_sizes": sizes})


def _iterations(options: MitoTrain, files: TrainingFiles) -> int:
    """Return the steps to train; with ``minutes`` those that were chosen before, until others are."""
    if options.minutes is not None and options.resume:
        return int(load_checkpoint(files.training / LAST, mmap=True)["ends"][-1])
    return options.iterations or ITERATIONS


def _place_of(backbone: Path) -> str:
    """Return where a folder lies, from wherever a training is resumed; an id of the hub is no path."""
    return str(backbone.resolve() if backbone.exists() else backbone)


def _base_network(options: MitoTrain, model: ModelFile, model_path: Path) -> PanopticNetwork:
    """Return the network to start from."""
    if not options.from_scratch and options.backbone is None:
        return network_for_classes(locate_weights(model, model_path), model.outputs, model.architecture)
    if model.architecture not in architectures():
        raise PlanewiseError(
            f"{model_path}: architecture: is {model.architecture}; --from_scratch and --base need it to be one of "
            f"{', '.join(architectures())}"
        )
    import torch

    torch.manual_seed(options.seed)
    network = architectures()[model.architecture](outputs=model.outputs)
    if options.backbone is not None:
        network.load_base(options.backbone)
        licence = licence_of(options.backbone) or "not said there: see where it is from"
        say(f"--base {options.backbone}: the encoder starts from it. Its licence is {licence}")
    return network


def _warn_of_leaks(dataset: Dataset, channel: int | None) -> None:
    held = validation_case(dataset.train)
    train = {case.name: case.image for case in dataset.train if case is not held}
    valid = {} if held is None else {held.name: held.image}
    folder = dataset.folder / "imagesTs"
    tests = cases_in(folder, channel)[0] if folder.is_dir() else {}
    warn_of_leaks(train, valid, tests, channel, parts_validate=held is None)


def _test_folder(options: MitoTrain, weights: Path) -> Path:
    """Return the folder for the predictions of the test cases by the model that ``weights`` will hold.

    It is the published one, unless that holds another model's: then it is named after the model. Raises PlanewiseError
    if that holds another one's too, or if predictions in it were edited.
    """
    published = options.dataset_path / PREDICTIONS
    named = published.with_name(f"{PREDICTIONS}_{options.model_name}")
    for folder in (published, named):
        before = read_manifest(folder / MANIFEST)
        if before is None or before.model == str(weights.resolve()):
            if edited := edited_outputs(folder):
                raise PlanewiseError(f"{edited[0]}: was changed after it was made, and is kept: move it away")
            return folder
        say(f"{folder} holds predictions of another model, {before.model}, which are kept")
    raise PlanewiseError(f"{named}: is where this model's predictions would go; move away what is there")
