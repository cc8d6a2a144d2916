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
SCRATCH_SCALE_RANGE = (0.6, 1.8)  # without what pretraining brings, slices must be shown in more ways than they come


def train_ild(options: IldTrain) -> int:
    """Fine-tune SAM2 on prepared slices. Returns the exit code; see ``prepare_ild`` for errors."""
    device = choose_device(options.device)
    slices = options.npy_path or options.work_dir
    if options.corrections is None and not slices.is_dir():
        raise PlanewiseError(f"{slices}: no such folder; slices are prepared there by planewise ild prepare")
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
    weights.reliability, weights.seen = {}, None  # of what it is trained on
    task = _task(options, weights, npy, _training(options, parts))
    loop = _loop(options, task, device, parts, weights)
    say(f"Training {options.task_name} on {device}: {len(task.slices)} slices, {loop.iterations} steps")
    best = best_model(folder)
    if options.resume and best.exists() and is_finished(logs / LAST, vars(loop)):
        say(f"{options.task_name} is trained already, done: the model is {best}; more --epochs train on")
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
    """Return what is trained of the network: its memory on clips alone. Raises PlanewiseError if nothing is left."""
    if options.train_clips > 1 or "memory" not in options.train_parts:
        return options.train_parts
    if options.train_parts == ("memory",):
        raise PlanewiseError("--train_parts memory: is trained on clips; give --train_clips too, or another part")
    return tuple(part for part in options.train_parts if part != "memory")


def _refuse_another_model(options: IldTrain, folder: Path) -> None:
    """Refuse to replace a model that nobody said is to be replaced, and to resume what was not begun."""
    last = folder / LOGS / LAST
    if options.resume:
        if not last.exists():
            raise PlanewiseError(f"{last}: no checkpoint to resume from; train without --resume")
    elif last.exists() and not options.overwrite:
        raise PlanewiseError(f"{folder}: holds a model; go on with --resume, replace it with --overwrite")
    elif not options.overwrite:
        _check_free(folder, options.base)


def _check_free(folder: Path, base: Path | None) -> None:
    """Refuse to replace a model that was trained by another program, unless that is what is trained on."""
    others = sorted(folder.glob(f"{MODEL}*.pth"))
    if not others:
        return
    if base is None or base.resolve() not in [path.resolve() for path in others]:
        raise PlanewiseError(
            f"{folder}: holds {others[0].name}, which was not trained here; give another --task_name, or --overwrite"
        )
    say(f"{folder}: {', '.join(path.name for path in others)} will be replaced when the training is done")


def _with_slices_of_corrections(options: IldTrain) -> IldTrain:
    """Return the options, with what corrections decide if there are any; their slices are made."""
    if options.corrections is None:
        if options.image is not None:
            raise PlanewiseError(
                f"--image {options.image}: goes with --corrections; without it the slices are prepared ones"
            )
        return options
    if options.train_clips > 1:
        raise PlanewiseError(
            "--train_clips: with --corrections slices are trained on one by one; leave one of the two out"
        )
    return with_corrections(options, options.corrections)


def record_to_train_on(options: IldTrain) -> Record | None:
    """Return the record of the slices, if they have one.

    Raises PlanewiseError if they are not as it says, or if a training that is resumed was on others.
    """
    npy = options.npy_path or options.work_dir / SLICES
    known = npy.parent / MADE_FROM
    record = record_of_known(npy, known, options) if known.is_file() else record_of_slices(npy)
    if options.resume:
        check_same(options.work_dir / options.task_name / LOGS / RECORD, record)
    return record


def _training(options: IldTrain, parts: tuple[TrainPart, ...]) -> BoxTraining:
    """Return how slices are shown, and what is trained on them."""
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
    """Return what is trained; with clips ``weights`` are given a memory, if they have none."""
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
        f"Every {length} slices one begins a clip of up to {length}, where it shows an object and has a neighbour, as "
        f"{len(task.beginning)} of {len(task.slices)} do: objects are followed in it by SAM2's memory"
    )
    return task


def _loop(
    options: IldTrain, task: BoxTask, device: str, parts: tuple[TrainPart, ...], weights: Sam2Weights
) -> LoopOptions:
    """Return the options of the loop; its ``identity`` is what a training that is resumed must have begun with."""
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
            "train_clips": options.train_clips if options.train_clips > 1 else None,  # as before there were clips
        },
        counted_in=("epochs", steps),
    )


def _go_on(options: IldTrain, logs: Path, best: Path) -> int:
    """After a training from corrections, say what was gained, and write the next work list. Returns the exit code."""
    if options.corrections is None or options.base is None:
        return 0
    gained = say_gain(logs, load_checkpoint(logs / BEST), SCORE, options.base)
    return predict_again(options, options.corrections, best if gained else options.base)
