"""Fine-tune SAM2 on prepared slices."""

import shutil
from pathlib import Path

import torch

from planewise.apps.ild.corrections import SCORE, record_of_known, with_corrections
from planewise.apps.ild.next_worklist import predict_again
from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.prepared_folder import SLICES, npz_folder, record_of_slices
from planewise.apps.ild.starting_weights import class_tokens, starting_weights, window_of_slices
from planewise.apps.ild.training_files import LOGS, MODEL, best_model, write_models
from planewise.correction.corrected import MADE_FROM, SCORE_BEFORE, keep_score_before, say_gain
from planewise.data.preparation import RECORD, Record, check_same, write_record
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError
from planewise.models.model_file import RANDOM
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_clips import ClipSegmenter
from planewise.models.sam2_files import Sam2Weights
from planewise.models.sam2_memory import has_memory, new_memory
from planewise.progress import say
from planewise.training.boxes import BoxTask
from planewise.training.checkpoint import is_finished, load_checkpoint
from planewise.training.clips import ClipTask
from planewise.training.launch import training_alone
from planewise.training.loop import BEST, LAST, train
from planewise.training.loop_options import LoopOptions
from planewise.training.prompted_slices import BoxTraining, PromptKind, TrainPart
from planewise.training.task import score_before

SAME_WHEN_RESUMED = {
    "base",
    "from_scratch",
    "image_size",
    "bbox_shift",
    "train_clips",
    "train_parts",
    "classes_per_slice",
    "train_prompts",
    "upright",
}
PROMPT_KINDS: dict[str, tuple[PromptKind, ...]] = {
    "truth": ("truth",),
    "lungs": ("organ",),
    "mixed": ("truth", "organ"),
}
SCRATCH_SCALE_RANGE = (0.6, 1.8)  # without pretraining, slices must vary more in training than real ones do


def train_ild(options: IldTrain) -> int:
    """Fine-tune SAM2 on prepared slices. Returns the exit code; see ``prepare_ild`` for the errors raised.

    Raises PlanewiseError too, before any work, if a training of this name is running in the folder.
    """
    slices = options.npy_path or options.work_dir
    if options.corrections is None and not slices.is_dir():
        raise PlanewiseError(f"{slices}: no such folder; planewise ild prepare makes the slices")
    with training_alone(options.work_dir, options.task_name, "--task_name", options.num_nodes):
        return _finetune(options)


def _finetune(options: IldTrain) -> int:
    device = choose_device(options.device)
    parts = _parts(options)
    folder = options.work_dir / options.task_name
    logs = folder / LOGS
    _refuse_another_model(options, folder)
    options = _with_slices_of_corrections(options)
    npy = options.npy_path or options.work_dir / SLICES
    weights = starting_weights(options)
    record = record_to_train_on(options)
    weights.tokens = class_tokens(options, npy, weights) if options.train_prompts != "truth" else None
    weights.window = window_of_slices(npy)
    weights.reliability, weights.seen = {}, None  # those of the base do not hold for this training
    task = _task(options, weights, npy, _training(options, parts))
    loop = _loop(options, task, device, parts, weights)
    say(f"Training {options.task_name} on {device}: {len(task.slices)} slices, {loop.iterations} steps")
    best = best_model(folder)
    if options.resume and best.exists() and is_finished(logs / LAST, vars(loop)):
        say(f"{options.task_name} is trained already: the model is {best}; more --epochs continue the training")
        return _go_on(options, logs, best)
    if not options.resume:
        shutil.rmtree(logs, ignore_errors=True)
        if record is not None:
            write_record(logs / RECORD, record)
    if options.corrections is not None and not (logs / SCORE_BEFORE).exists():
        keep_score_before(logs, score_before(task, device))
    if not train(task, loop, logs, options.resume):
        return 0
    write_models(options, weights, task, npy, device)
    say(f"The model is {best}")
    return _go_on(options, logs, best)


def _parts(options: IldTrain) -> tuple[TrainPart, ...]:
    """Return the parts of the network to train: the memory only with clips. Raises PlanewiseError if none is left."""
    if options.train_clips > 1 or "memory" not in options.train_parts:
        return options.train_parts
    if options.train_parts == ("memory",):
        raise PlanewiseError("--train_parts memory: needs clips; give --train_clips too, or another part")
    return tuple(part for part in options.train_parts if part != "memory")


def _refuse_another_model(options: IldTrain, folder: Path) -> None:
    """Refuse to replace a model without --overwrite, and to resume a training that was not begun."""
    last = folder / LOGS / LAST
    if options.resume:
        if not last.exists():
            raise PlanewiseError(f"{last}: no checkpoint to resume from; train without --resume")
    elif last.exists() and not options.overwrite:
        raise PlanewiseError(f"{folder}: holds a model; go on with --resume, or replace it with --overwrite")
    elif not options.overwrite:
        _check_free(folder, options.base)


def _check_free(folder: Path, base: Path | None) -> None:
    """Refuse to replace a model that another program trained, unless it is the one to train on."""
    others = sorted(folder.glob(f"{MODEL}*.pth"))
    if not others:
        return
    if base is None or base.resolve() not in [path.resolve() for path in others]:
        raise PlanewiseError(
            f"{folder}: holds {others[0].name}, which another program trained; give another --task_name, or --overwrite"
        )
    say(f"{folder}: {', '.join(path.name for path in others)} will be replaced after the training")


def _with_slices_of_corrections(options: IldTrain) -> IldTrain:
    """Return the options; with corrections, make their slices, and set the options that these determine."""
    if options.corrections is None:
        if options.image is not None:
            raise PlanewiseError(
                f"--image {options.image}: needs --corrections; without corrections prepared slices are used"
            )
        return options
    if options.train_clips > 1:
        raise PlanewiseError(
            "--train_clips: with --corrections the network is trained on single slices; leave one of the two out"
        )
    return with_corrections(options, options.corrections)


def record_to_train_on(options: IldTrain) -> Record | None:
    """Return the record of the slices, if they have one.

    Raises PlanewiseError if they differ from the record, or if the training to resume used other slices.
    """
    npy = options.npy_path or options.work_dir / SLICES
    known = npy.parent / MADE_FROM
    record = record_of_known(npy, known, options) if known.is_file() else record_of_slices(npy)
    if options.resume:
        check_same(options.work_dir / options.task_name / LOGS / RECORD, record)
    return record


def _training(options: IldTrain, parts: tuple[TrainPart, ...]) -> BoxTraining:
    """Return how slices are shown to the network, and which parts of it are trained."""
    return BoxTraining(
        parts=parts,
        prompts=PROMPT_KINDS[options.train_prompts],
        bbox_shift=options.bbox_shift,
        one_class=options.classes_per_slice == "one",
        scale_range=SCRATCH_SCALE_RANGE if options.from_scratch else None,
        upright=options.upright,
        seed=options.seed,
    )


def _task(options: IldTrain, weights: Sam2Weights, npy: Path, training: BoxTraining) -> BoxTask:
    """Return the task; with clips, ``weights`` get a memory if they have none."""
    folders, length = (npy / "train", npy / "valid"), options.train_clips
    if length == 1:
        segmenter = BoxSegmenter(weights.network, weights.tokens, options.gradient_checkpointing)
        return BoxTask(segmenter, *folders, training)
    source = options.base or Path(RANDOM)
    if not has_memory(weights):
        if "memory" not in options.train_parts:
            raise PlanewiseError(f"--train_parts: {source} has no memory, which --train_clips needs: train it too")
        if not options.from_scratch:
            say(f"{source} has no memory: one is trained from random weights")
        torch.manual_seed(options.seed)
        weights.rest, weights.version = new_memory(weights), "2.1"
    clips = ClipSegmenter(weights, source, options.gradient_checkpointing)
    patients = npz_folder(npy.parent, "train"), npz_folder(npy.parent, "valid")
    task = ClipTask(clips, *folders, training, length, patients)
    say(
        f"One training slice in {length} begins a clip of up to {length} slices, if it shows an object and has a "
        f"neighbour ({len(task.beginning)} of {len(task.slices)} do): SAM2's memory follows the objects through it"
    )
    return task


def _loop(
    options: IldTrain, task: BoxTask, device: str, parts: tuple[TrainPart, ...], weights: Sam2Weights
) -> LoopOptions:
    """Return the options of the loop; a training can only be resumed with the same ``identity``."""
    steps = task.steps_per_epoch(options.batch_size)
    return LoopOptions(
        iterations=options.epochs * steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        checkpoint_interval=options.checkpoint_interval,
        accelerator=device,
        devices=options.devices,
        num_nodes=options.num_nodes,
        precision=choose_precision(options.precision, device),
        num_workers=options.num_workers,
        weight_decay=options.weight_decay,
        warm_up=0.05,
        clip_norm=1.0,
        identity=options.model_dump(mode="json", include=SAME_WHEN_RESUMED)
        | {
            "classes": None if weights.tokens is None else list(weights.tokens.names.values()),
            "train_parts": list(parts),
            "train_clips": options.train_clips if options.train_clips > 1 else None,  # absent as in older checkpoints
        },
        counted_in=("epochs", steps),
    )


def _go_on(options: IldTrain, logs: Path, best: Path) -> int:
    """After a training from corrections, print the gain, and write the next work list. Returns the exit code."""
    if options.corrections is None or options.base is None:
        return 0
    gained = say_gain(logs, load_checkpoint(logs / BEST, mmap=True), SCORE, options.base)
    return predict_again(options, options.corrections, best if gained else options.base)
