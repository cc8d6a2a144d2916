"""The plan of a mito training: what it does is settled, or refused, before any work."""

from dataclasses import dataclass, replace
from pathlib import Path

from planewise.apps.mito.classes import trained_target
from planewise.apps.mito.corrections import with_corrections
from planewise.apps.mito.rounds import refuse_what_has_no_rounds
from planewise.apps.mito.slices import planes_to_train_in
from planewise.apps.mito.test_cases import folder_for_predictions
from planewise.apps.mito.train_options import MitoTrain
from planewise.apps.mito.training_files import TrainingFiles
from planewise.data.check import check_training_truths
from planewise.data.classes import Target
from planewise.data.contrast import Contrast
from planewise.data.intensity_rule import IntensityRule
from planewise.data.nnunet import Dataset, open_dataset, refuse_no_folder
from planewise.data.own_results import notes_on_predicted
from planewise.data.panoptic import PanopticClasses
from planewise.data.run import refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import DatasetError, PlanewiseError
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.progress import progress, say, warn
from planewise.report.tables import print_problems
from planewise.training.checkpoint import LITTLE_DATA, is_finished, load_checkpoint
from planewise.training.loop import LAST
from planewise.training.loop_options import LoopOptions

ITERATIONS = 1000  # default length of a training
LEARNING_RATE = 0.003  # MitoNet's


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained from which model, on which dataset, for how long, and where the files go.

    ``options``: as given, but with the model and the channel of the corrected result; ``tests``: the folder for the
    predictions of the test cases, or None if they are not wanted; ``target``: the class, or the classes, of a semantic
    truth; None for instances.
    """

    options: MitoTrain
    files: TrainingFiles
    model_path: Path
    model: ModelFile
    tests: Path | None
    dataset: Dataset
    target: Target | PanopticClasses | None
    intensities: IntensityRule
    loop: LoopOptions

    def is_done(self) -> bool:
        """Whether this training is resumed and has already ended.

        Raises PlanewiseError if a training with other options is resumed.
        """
        model_is_there = self.options.resume and self.files.yaml.exists()
        return model_is_there and is_finished(self.files.training / LAST, vars(self.loop))


def plan_training(options: MitoTrain) -> TrainingPlan:
    """Return what is trained; with ``corrections`` the dataset is made from them first.

    Raises PlanewiseError for options or a dataset that cannot be used. Single cases that cannot be used are printed.
    """
    device = choose_device(options.device)
    if options.corrections is None:  # corrections make the dataset themselves
        refuse_no_folder(options.dataset_path)
    files = TrainingFiles(options.model_dir, options.model_name)
    files.check_free(options.resume, options.overwrite)  # before the dataset of a training to resume is replaced
    if options.corrections is not None:
        options = with_corrections(options, options.corrections)
    elif options.image is not None:
        raise PlanewiseError(
            f"--image {options.image}: needs --corrections; without corrections the images are those of the dataset"
        )
    model_path, model = _base_model(options, files)
    if options.num_nodes > 1 and not options.skip_conversion:
        raise PlanewiseError(
            "--num_nodes: several nodes cannot cut the slices at the same time; cut them first on one node, then give "
            "--skip_conversion"
        )
    tests = folder_for_predictions(options, files.weights) if options.test_after_training else None
    dataset = _dataset(options)
    target = trained_target(dataset, options, model)
    if isinstance(target, PanopticClasses):
        model = model.with_classes(target)
    dataset = _with_labels(dataset, isinstance(target, PanopticClasses))
    if dataset.problems:
        print_problems(dataset.problems)
        say("The other cases are used.")
    for note in notes_on_predicted(case.truth for case in dataset.train if case.truth):
        warn(note)
    loop = _loop_options(options, files, model, target, device)
    if options.self_training:
        refuse_what_has_no_rounds(options, dataset, planes_to_train_in(options, dataset))
    return TrainingPlan(
        options, files, model_path, model, tests, dataset, target, _intensity_rule(options, model), loop
    )


def _base_model(options: MitoTrain, files: TrainingFiles) -> tuple[Path, ModelFile]:
    """Return the path and the content of the file of the model to start from."""
    path = find_model_file(options.base_model)
    if options.corrections is not None and path.resolve() == files.yaml.resolve():
        raise PlanewiseError(
            f"--model_name {options.model_name}: the training would replace {path}, the model that it starts from and "
            "is compared with; give another name"
        )
    model = read_model_file(path)
    if options.patch_size % model.padding_factor:
        raise PlanewiseError(
            f"--patch_size {options.patch_size}: must be a multiple of {model.padding_factor} for {path.name}"
        )
    return path, model


def _dataset(options: MitoTrain) -> Dataset:
    """Return the dataset. Raises PlanewiseError if the model would be written among the inputs."""
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
    return dataset


def _with_labels(dataset: Dataset, several: bool) -> Dataset:
    """Return the dataset without training cases whose truth has no labels, or has labels without a name.

    ``several``: whether several classes are trained.

    Raises DatasetError if no case is left.
    """
    with progress("checking the truth", len(dataset.train), unit="cases") as advance:
        usable, problems, notes = check_training_truths(
            dataset.train, dataset.labels, lambda name: advance(1, name), several
        )
    for note in notes:
        warn(note)
    if not usable:
        print_problems(dataset.problems)
        listed = "".join(f"\n  {problem.where}: {problem.what}" for problem in problems)
        raise DatasetError(f"{dataset.folder}: has no training case with usable labels{listed}")
    return replace(dataset, train=usable, problems=[*dataset.problems, *problems])


def _loop_options(
    options: MitoTrain,
    files: TrainingFiles,
    model: ModelFile,
    target: Target | PanopticClasses | None,
    device: str,
) -> LoopOptions:
    recipe = model.little_data
    return LoopOptions(
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
        | ({} if recipe is None else {LITTLE_DATA: recipe.model_dump(mode="json")})
        | ({} if options.backbone is None else {"base": _place_of(options.backbone)})
        | ({"classes": str(target)} if isinstance(target, PanopticClasses) else {}),
        averaging=None if recipe is None else recipe.weight_averaging,
    )


def _iterations(options: MitoTrain, files: TrainingFiles) -> int:
    """Return the number of training steps; the one chosen before if ``minutes`` is resumed."""
    if options.minutes is not None and options.resume:
        return int(load_checkpoint(files.training / LAST, mmap=True)["ends"][-1])
    return options.iterations or ITERATIONS


def _place_of(backbone: Path) -> str:
    """Return a folder's absolute path, to be found wherever a training is resumed; an id of the hub is kept."""
    return str(backbone.resolve() if backbone.exists() else backbone)


def _intensity_rule(options: MitoTrain, model: ModelFile) -> IntensityRule:
    """Return how intensities are converted to those that the network receives."""
    base = model.trained_intensities()
    if options.from_scratch or options.backbone is not None:  # these weights were not trained on the base's contrast
        base = base.model_copy(update={"contrast": Contrast(), "objects": "unclear"})
    return IntensityRule(base, options.intensity, options.invert)
