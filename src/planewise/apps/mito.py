"""mito: fine-tune MitoNet on a nnU-Net dataset, and predict instances in three planes with consensus."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from planewise.apps.mito_classes import trained_target
from planewise.apps.mito_corrections import SCORE, predict_again, with_corrections, write_next_worklist
from planewise.apps.mito_evaluate import evaluate_test_cases
from planewise.apps.mito_options import MitoDemo, MitoPredict, MitoTrain
from planewise.apps.mito_predict import predict_cases
from planewise.apps.mito_rounds import SHARE, refuse_what_has_no_rounds, train_in_rounds
from planewise.apps.mito_slices import cut_slices, planes_to_train_in, slices_to_train_on
from planewise.apps.mito_store import predict_store
from planewise.correction.corrected import say_gain
from planewise.data.case import cases_in
from planewise.data.check import check_training_truths
from planewise.data.intensity import IntensityRule
from planewise.data.leaks import warn_of_leaks
from planewise.data.nnunet import Dataset, open_dataset, read_meta
from planewise.data.panoptic import PanopticClasses
from planewise.data.phantom import THINGS, write_phantom_dataset
from planewise.data.preparation import RECORD, write_record
from planewise.data.run import MANIFEST, edited_outputs, read_manifest, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import DatasetError, PlanewiseError, Problem
from planewise.inference.confidence import VIEWS
from planewise.models.architectures import architectures
from planewise.models.hub import licence_of
from planewise.models.model_file import (
    RANDOM,
    Calibration,
    ModelFile,
    find_model_file,
    read_model_file,
    write_model_file,
)  # fmt: skip
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.weights import locate_weights, network_for_classes, network_with, write_weights
from planewise.models.zoo import of_url
from planewise.progress import progress, say
from planewise.report.figures import training_curve
from planewise.report.tables import (
    print_problems,
    report_problems,
)
from planewise.training.checkpoint import is_finished, load_checkpoint, trained_as
from planewise.training.loop import BEST, CURVE, LAST, METRICS, LoopOptions, train
from planewise.training.pace import steps_within
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import Label, case_of, planes_of, slice_intensities, validation_case
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume
from planewise.volumes.formats import ending_of, ome_zarr
from planewise.volumes.geometry import pixel_sides_nm

PREDICTIONS = "imagesTs_mitoNet_FT"
ITERATIONS = 1000  # of a training, where nothing is said
LEARNING_RATE = 0.003  # of MitoNet


# ---- train


def train_mito(options: MitoTrain) -> int:
    """Fine-tune, and maybe predict and evaluate; see ``finetune_mito``. Returns the exit code."""
    return report_problems(finetune_mito(options))


def finetune_mito(options: MitoTrain) -> list[Problem]:
    """Fine-tune, and with ``test_after_training`` predict and evaluate the test cases; return what went wrong.

    Raises PlanewiseError, before any work, for options or a dataset that cannot be used.
    """
    device = choose_device(options.device)
    if options.corrections is not None:
        options = with_corrections(options, options.corrections)
    elif options.image is not None:
        raise PlanewiseError(
            f"--image {options.image}: goes with --corrections; without it the images are the dataset's"
        )
    read_meta(options.dataset_path)  # a dataset that is not there comes before all that lies elsewhere
    model_path = find_model_file(options.base_model)
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
    files = _TrainingFiles(options.model_dir, options.model_name)
    files.check_free(options.resume, options.overwrite)
    tests = _test_folder(options, files.weights) if options.test_after_training else None
    dataset = open_dataset(
        options.dataset_path, need_test=options.test_after_training, channel=options.channel,
        ignore_geometry=options.ignore_geometry,
    )  # fmt: skip
    inputs = (
        path for what in ("images", "labels", "instances", "painted") for path in dataset.folder.glob(f"{what}T[rs]/*")
    )
    refuse_folder_of_inputs(inputs, options.model_dir, "model_dir")
    target = trained_target(dataset, options, model)
    if isinstance(target, PanopticClasses):
        model = model.with_classes(target)
    dataset = _with_labels(dataset)
    problems = list(dataset.problems)
    if problems:
        print_problems(problems)
        say("The other cases are used.")

    recipe = model.little_data
    loop = LoopOptions(
        iterations=_iterations(options, files), batch_size=options.batch_size,
        learning_rate=options.learning_rate or model.learning_rate or LEARNING_RATE,
        seed=options.seed, checkpoint_interval=options.checkpoint_interval, accelerator=device,
        devices=options.devices, num_nodes=options.num_nodes, precision=choose_precision(options.precision, device),
        num_workers=options.num_workers, identity=options.model_dump(
            mode="json", include={"base_model", "from_scratch", "patch_size", "finetune_layer", "class_name"}
        ) | ({} if recipe is None else {"little_data": recipe.model_dump(mode="json")})
        | ({} if options.backbone is None else {"base": str(options.backbone)})
        | ({"classes": str(target)} if isinstance(target, PanopticClasses) else {}),
        averaging=None if recipe is None else recipe.weight_averaging,
    )  # fmt: skip
    base = model.trained_intensities()
    if options.from_scratch or options.backbone is not None:  # nothing was trained on the base's polarity
        base = base.model_copy(update={"polarity": "unclear"})
    intensities = IntensityRule(base, options.intensity, options.invert)
    if options.self_training:
        refuse_what_has_no_rounds(options, dataset, planes_to_train_in(options, dataset))
    trained = options.resume and files.yaml.exists() and is_finished(files.training / LAST, vars(loop))
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
        task = PanopticTask(network, model, slices.folder, options.patch_size, options.finetune_layer, options.seed)
        trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
        say(
            f"Training {options.model_name} on {device}: {len(task.pairs)} slices, {len(task.validation)} for "
            f"validation, {trainable:,} of {sum(p.numel() for p in network.parameters()):,} parameters"
        )
        before = None if options.corrections is None else _score_of_base(task, device)
        if options.minutes is not None and not options.resume:
            whole = options.minutes * 60 / (1 + SHARE * options.self_training)
            loop = replace(loop, iterations=steps_within(whole, task, loop))
            say(f"--minutes {options.minutes:g}: {loop.iterations} iterations, as fast as the first few were")
        if not options.resume:
            files.clear()
            if slices.record is not None:
                write_record(files.training / RECORD, slices.record)
        if not train(task, loop, files.training, options.resume):
            return problems
        training_curve(files.training / METRICS, files.training / CURVE, "validation score")
        best = files.training
        if options.self_training:
            planes = planes_to_train_in(options, dataset)

            def cut(folder: Path, label: Label) -> None:
                cut_slices(dataset, target, intensities, planes, folder, label)

            best, task = train_in_rounds(options, model, planes, loop, files.training, task, cut)
        _export(files, model, options, task, _pixel_sides(dataset, task), best)
        if before is not None:
            say_gain(before, load_checkpoint(best / BEST), SCORE)
    say(f"The model is {files.yaml} with {files.weights.name}")

    if options.corrections is not None:
        again = predict_again(options.dataset_path, files.yaml, files.predictions, options)
        predict_cases([(case.name, case.image) for case in dataset.train], again, problems, renewed=True)
        write_next_worklist(options.corrections, files.predictions, files.worklist)
    if tests is not None:
        predict = MitoPredict(
            trained_model=files.yaml, input=options.dataset_path / "imagesTs", output=tests, axes=options.test_axes,
            device=options.device, devices=options.devices, channel=options.channel,
            intensity=options.intensity, invert=options.invert,
        )  # fmt: skip
        images = [(case.name, case.image) for case in dataset.test]
        predict_cases(images, predict, problems, renewed=True)
        evaluate_test_cases(dataset, target, tests, files.training, problems)
    return problems


def _with_labels(dataset: Dataset) -> Dataset:
    """Return the dataset without training cases whose truth holds no labels, and say which values are background.

    Raises DatasetError if no case is left.
    """
    with progress("checking the truth", len(dataset.train), unit="cases") as advance:
        usable, problems, notes = check_training_truths(dataset.train, dataset.labels, lambda name: advance(1, name))
    for note in notes:
        say(f"WARNING: {note}")
    if not usable:
        listed = "".join(f"\n  {problem.where}: {problem.what}" for problem in problems)
        raise DatasetError(f"{dataset.folder}: has no training case with usable labels{listed}")
    return replace(dataset, train=usable, problems=[*dataset.problems, *problems])


@dataclass(frozen=True)
class _TrainingFiles:
    """Where a training leaves what."""

    folder: Path
    name: str

    @property
    def yaml(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.pth"

    @property
    def training(self) -> Path:
        return self.folder / f"{self.name}_training"

    @property
    def predictions(self) -> Path:
        """Of the cases whose corrections were trained on."""
        return self.folder / f"{self.name}_predictions"

    @property
    def worklist(self) -> Path:
        return self.folder / f"{self.name}_worklist.csv"

    def check_free(self, resume: bool, overwrite: bool) -> None:
        """Refuse to train over a model of this name, or to resume what is not there."""
        checkpoint = self.training / LAST
        if resume:
            if not checkpoint.exists():
                raise PlanewiseError(f"{checkpoint}: no checkpoint to resume from; train without --resume")
        elif not overwrite and (self.yaml.exists() or checkpoint.exists()):
            state = "a finished model" if self.yaml.exists() else "an unfinished training"
            raise PlanewiseError(
                f"{self.folder}: holds {state} called {self.name}; go on with --resume, replace it with --overwrite, "
                "or give another --model_name"
            )
        elif not self.yaml.exists() and not checkpoint.exists():
            there = next((path for path in (self.weights, self.training) if path.exists()), None)
            if there is not None:
                raise PlanewiseError(
                    f"{there}: is there already, and no model or training of planewise's is; it is kept: move it away, "
                    "or give another --model_name"
                )

    def clear(self) -> None:
        """Remove a model of this name and what its training left."""
        for path in (self.yaml, self.weights):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.training, ignore_errors=True)


def _iterations(options: MitoTrain, files: _TrainingFiles) -> int:
    """Return the steps to train; with ``minutes`` those that were chosen before, until others are."""
    if options.minutes is not None and options.resume:
        return int(load_checkpoint(files.training / LAST, mmap=True)["ends"][-1])
    return options.iterations or ITERATIONS


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


def _score_of_base(task: PanopticTask, device: str) -> dict[str, float]:
    """Return what the network scores on the validation slices before it is trained."""
    import torch

    task.network.to(device)
    return task.validate(torch.device(device))


def _warn_of_leaks(dataset: Dataset, channel: int | None) -> None:
    held = validation_case(dataset.train)
    train = {case.name: case.image for case in dataset.train if case is not held}
    valid = {} if held is None else {held.name: held.image}
    folder = dataset.folder / "imagesTs"
    tests = cases_in(folder, channel)[0] if folder.is_dir() else {}
    warn_of_leaks(train, valid, tests, channel, parts_validate=held is None)


def _export(
    files: _TrainingFiles, base: ModelFile, options: MitoTrain, task: PanopticTask,
    pixel_nm: tuple[float, float] | None, trained_in: Path,
) -> None:  # fmt: skip
    """Write the best checkpoint in ``trained_in`` as a model that empanada-napari and we load.

    ``pixel_nm``: see ``ModelFile``.
    """
    import torch

    best = load_checkpoint(trained_in / BEST)
    network = network_with(best["network"], trained_in / BEST, base.architecture)
    write_weights(network, files.weights)
    calibration = task.calibration(network, torch.device(choose_device(options.device)))
    say(_calibrated(calibration) if task.several is None else "Objects of several classes have no confidence yet")
    dataset = options.dataset_path.resolve().name
    trained = trained_as(trained_in / BEST, task.validated_on, dataset, *_base_and_licence(options, base))
    model = base.model_copy(
        update={
            "model": files.weights.name, "model_sha256": None, "model_quantized": None,
            "intensities": slice_intensities(task.pairs), "planes": planes_of(task.pairs), "trained": trained,
            "pixel_nm": pixel_nm, "calibration": calibration,
            "description": f"{options.model_name}: {Path(options.base_model).stem} fine-tuned on {dataset} for "
            f"{best['step']} steps with planewise.",
        }
    )  # fmt: skip
    with atomic_path(files.yaml) as temporary:
        write_model_file(temporary, model)


def _base_and_licence(options: MitoTrain, base: ModelFile) -> tuple[str, str | None]:
    """Return what a model's card says of the model that it was trained on."""
    if options.from_scratch:
        return RANDOM, None
    if options.backbone is not None:
        here = options.backbone.is_dir()
        return options.backbone.name if here else str(options.backbone), licence_of(options.backbone)
    published = of_url(base.model or "")
    before = base.trained.base_licence if base.trained else None
    return Path(options.base_model).stem, published.licence if published else before


def _calibrated(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            "Objects of this model have no confidence: in what is held out there are no three planes that could agree, "
            "or nothing is found"
        )
    return (
        f"The confidence of objects is calibrated on {calibration.right} that are right and {calibration.wrong} that "
        f"are none, of {VIEWS} views of what was held out"
    )


def _pixel_sides(dataset: Dataset, task: PanopticTask) -> tuple[float, float] | None:
    """Return the smallest and the largest side, in nm, of the pixels that were trained on; None if it is not known."""
    trained = {case_of(pair) for pair in task.pairs}
    volumes = [open_volume(case.image, case.channel) for case in dataset.train if case.name in trained]
    return pixel_sides_nm(volumes, planes_of(task.pairs) or ())


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


# ---- predict


def predict_mito(options: MitoPredict) -> int:
    """Segment a volume or a folder of volumes. Returns the exit code; see ``train_mito`` for errors."""
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


# ---- demo


def demo_mito(options: MitoDemo) -> int:
    """Make a phantom dataset and do the whole job on it. Returns the exit code."""
    dataset = options.folder / "Dataset000_Phantom"
    made = [dataset, dataset.with_name(f"{dataset.name}_2d"), dataset.with_name(f"{dataset.name}_model")]
    if options.folder.exists():
        others = sorted(item.name for item in options.folder.iterdir() if item not in made)
        if others:
            raise PlanewiseError(f"{options.folder}: holds {', '.join(others[:5])}; give an empty or a new folder")
    for folder in made:  # of an earlier demo
        shutil.rmtree(folder, ignore_errors=True)
    say(f"Making a synthetic EM dataset in {dataset}")
    write_phantom_dataset(dataset, options.seed, organelles=options.organelles)
    job = MitoTrain(
        dataset_path=dataset, model_dir=made[2], base_model="MitoNet_small.yaml", model_name="Demo",
        from_scratch=True, iterations=300, batch_size=8, patch_size=128, learning_rate=0.003, test_after_training=True,
        seed=options.seed, precision="32", things=THINGS if options.organelles else (),
    )  # fmt: skip
    return train_mito(job)
