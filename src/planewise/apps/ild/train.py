"""Fine-tune SAM2 on prepared slices."""

import shutil
from pathlib import Path

import torch

from planewise.apps.ild.corrections import SCORE, predict_again, record_of_known, with_corrections
from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.prepare import WINDOW_FILE
from planewise.apps.ild.prepared_folder import SLICES, npz_folder, record_of_slices
from planewise.correction.corrected import MADE_FROM, SCORE_BEFORE, keep_score_before, say_gain
from planewise.data.classes import DATASET_FILE, read_labels_of
from planewise.data.preparation import RECORD, Record, check_same, write_record
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError
from planewise.models.model_file import RANDOM
from planewise.models.sam2 import BoxSegmenter, ClassTokens, build_sam2, initialise
from planewise.models.sam2_clips import ClipSegmenter
from planewise.models.sam2_files import Sam2Weights, load_sam2, save_hub_folder, save_published
from planewise.models.sam2_memory import has_memory, new_memory
from planewise.models.sam2_optimiser import published_optimizer
from planewise.models.zoo import of_file, of_hub_id, of_name
from planewise.progress import say
from planewise.report.figures import training_curve
from planewise.training.boxes import BoxTask
from planewise.training.checkpoint import is_finished, load_checkpoint, trained_as
from planewise.training.clips import ClipTask
from planewise.training.loop import BEST, CURVE, LAST, train
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import METRICS
from planewise.training.optimiser import moments_by_name
from planewise.training.prompted_slices import BoxTraining, PromptKind, TrainPart, classes_in
from planewise.training.task import score_before
from planewise.training.trust import LEAST_HELD_OUT, reliability_on, seen_in
from planewise.volumes.json_files import read_json

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
MODEL = "medsam_model_"  # published, before best.pth and latest.pth
SCRATCH_SIZE, SCRATCH_IMAGE_SIZE = "mini", 256
SCRATCH_SCALE_RANGE = (0.6, 1.8)  # without what pretraining brings, slices must be shown in more ways than they come


def train_ild(options: IldTrain) -> int:
    """Fine-tune SAM2 on prepared slices. Returns the exit code; see ``prepare_ild`` for errors."""
    device = choose_device(options.device)
    slices = options.npy_path or options.work_dir
    if options.corrections is None and not slices.is_dir():
        raise PlanewiseError(f"{slices}: no such folder; slices are prepared there by planewise ild prepare")
    parts = _parts(options)
    folder = options.work_dir / options.task_name
    logs = folder / "training"
    if options.resume:
        if not (logs / LAST).exists():
            raise PlanewiseError(f"{logs / LAST}: no checkpoint to resume from; train without --resume")
    elif (logs / LAST).exists() and not options.overwrite:
        raise PlanewiseError(f"{folder}: holds a model; go on with --resume, replace it with --overwrite")
    elif not options.overwrite:
        _check_free(folder, options.base)
    if options.corrections is not None:
        if options.train_clips > 1:
            raise PlanewiseError(
                "--train_clips: with --corrections slices are trained on one by one; leave one of the two out"
            )
        options = with_corrections(options, options.corrections)
    elif options.image is not None:
        raise PlanewiseError(
            f"--image {options.image}: goes with --corrections; without it the slices are prepared ones"
        )
    npy = options.npy_path or options.work_dir / SLICES
    weights = _start(options)
    record = record_to_train_on(options)
    weights.tokens = _tokens(options, npy, weights) if options.train_prompts != "truth" else None
    weights.window = _window(_beside(npy, WINDOW_FILE))
    weights.reliability, weights.seen = {}, None  # of what it is trained on
    training = BoxTraining(
        parts=parts,
        prompts=PROMPT_KINDS[options.train_prompts],
        bbox_shift=options.bbox_shift,
        one_class=options.classes_per_slice == "one",
        scale_range=SCRATCH_SCALE_RANGE if options.from_scratch else None,
        upright=options.upright,
        seed=options.seed,
    )
    task = _task(options, weights, npy, training)
    segmenter = task.network
    iterations = options.epochs * task.steps_per_epoch(options.batch_size)
    say(f"Training {options.task_name} on {device}: {len(task.slices)} slices, {iterations} steps")
    loop = LoopOptions(
        iterations=iterations,
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
            "classes": _names(weights),
            "train_parts": list(parts),
            "train_clips": options.train_clips if options.train_clips > 1 else None,  # as before there were clips
        },
        counted_in=("epochs", task.steps_per_epoch(options.batch_size)),
    )
    best = folder / f"{MODEL}best.pth"
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
    training_curve(logs / METRICS, logs / CURVE, "Dice")
    base = _base_and_licence(options, weights)
    best_as = trained_as(logs / BEST, task.validated_on, npy.resolve().parent.name, *base)
    if options.train_clips > 1:
        best_as = best_as.model_copy(update={"train_clips": options.train_clips})
    for name, checkpoint, trained in (("latest", LAST, None), ("best", BEST, best_as)):
        state = load_checkpoint(logs / checkpoint)
        segmenter.load_state_dict(state["network"])
        if isinstance(segmenter, ClipSegmenter):
            weights.rest = segmenter.memory_tensors()
        weights.trained = trained
        if name == "best":
            _know(weights, segmenter.to(device).eval(), npy.parent, options.bbox_shift)
        moments = (
            {
                name.removeprefix("network."): kept
                for name, kept in moments_by_name(segmenter, state["optimizer"]).items()
            }
            if "optimizer" in state
            else {}
        )
        optimizer = published_optimizer(weights.network, moments, options.learning_rate, options.weight_decay)
        epoch = state["step"] // task.steps_per_epoch(options.batch_size)
        save_published(folder / f"{MODEL}{name}.pth", weights, epoch, optimizer)
    save_hub_folder(folder / "hub", weights)
    say(f"The model is {best}")
    return _go_on(options, logs, best)


def _go_on(options: IldTrain, logs: Path, best: Path) -> int:
    """After a training from corrections, say what was gained, and write the next work list. Returns the exit code."""
    if options.corrections is None or options.base is None:
        return 0
    gained = say_gain(logs, load_checkpoint(logs / BEST), SCORE, options.base)
    return predict_again(options, options.corrections, best if gained else options.base)


def _parts(options: IldTrain) -> tuple[TrainPart, ...]:
    """Return what is trained of the network: its memory on clips alone. Raises PlanewiseError if nothing is left."""
    if options.train_clips > 1 or "memory" not in options.train_parts:
        return options.train_parts
    if options.train_parts == ("memory",):
        raise PlanewiseError("--train_parts memory: is trained on clips; give --train_clips too, or another part")
    return tuple(part for part in options.train_parts if part != "memory")


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


def _know(weights: Sam2Weights, segmenter: BoxSegmenter, work: Path, margin: float) -> None:
    """Have ``weights`` know what their scores are worth, and what they were trained on, by the prepared patients."""
    trained_on, held_out = (sorted(npz_folder(work, part).glob("*.npz")) for part in ("train", "valid"))
    weights.seen = seen_in(segmenter, trained_on, held_out)
    if weights.seen is None:
        say("What is far from this training is not known: its patients, prepared with their lungs, are too few")
    if weights.tokens is None:
        return
    if len(held_out) < LEAST_HELD_OUT:
        say(f"Scores are not calibrated: {len(held_out)} held out for it, and {LEAST_HELD_OUT} cases are the least")
        return
    weights.reliability = reliability_on(segmenter, held_out, margin)
    unknown = [name for value, name in weights.tokens.names.items() if value not in weights.reliability]
    if unknown:
        too_few = "too few slices of the patients held out show it, or too few do not"
        say(f"Scores of {', '.join(unknown)} are not calibrated: {too_few}")


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


def _names(weights: Sam2Weights) -> list[str] | None:
    return None if weights.tokens is None else list(weights.tokens.names.values())


def record_to_train_on(options: IldTrain) -> Record | None:
    """Return the record of the slices, if they have one.

    Raises PlanewiseError if they are not as it says, or if a training that is resumed was on others.
    """
    npy = options.npy_path or options.work_dir / SLICES
    known = npy.parent / MADE_FROM
    record = record_of_known(npy, known, options) if known.is_file() else record_of_slices(npy)
    if options.resume:
        check_same(options.work_dir / options.task_name / "training" / RECORD, record)
    return record


def _beside(npy: Path, name: str) -> Path:
    """Return a file that says something of the slices: it lies with them, or with the patients they were cut from."""
    return next((path for path in (npy / name, npy.parent / name) if path.exists()), npy.parent / name)


def _window(path: Path) -> tuple[float, float] | None:
    """Return the window that the slices were prepared with; None of slices that the original scripts made."""
    if not path.exists():
        return None
    level, width = read_json(path)
    return float(level), float(width)


def _start(options: IldTrain) -> Sam2Weights:
    """Return the network to start from."""
    if options.from_scratch:
        torch.manual_seed(options.seed)
        network = build_sam2(SCRATCH_SIZE, options.image_size or SCRATCH_IMAGE_SIZE)
        initialise(network)
        return Sam2Weights(network, SCRATCH_SIZE)
    if options.base is None:
        raise PlanewiseError("--base: give the weights to start from (sam2_hiera_tiny.pt), or --from_scratch")
    return load_sam2(options.base, options.image_size)


def _base_and_licence(options: IldTrain, weights: Sam2Weights) -> tuple[str, str | None]:
    """Return what a model's card says of the model that it was trained on; ``weights``: as it was loaded."""
    if options.from_scratch or options.base is None:
        return RANDOM, None
    name = str(options.base)
    exists = options.base.exists()  # which goes before a name
    if published := of_file(options.base) if exists else of_name(name, "SAM2") or of_hub_id(name):
        return published.name, published.licence
    return options.base.name, weights.trained.base_licence if weights.trained else None


def _tokens(options: IldTrain, npy: Path, weights: Sam2Weights) -> ClassTokens:
    """Return a token for every class of the dataset: of classes that ``weights`` know by name, the one they have."""
    values = classes_in(npy / "train")
    meta = _beside(npy, DATASET_FILE)
    names = read_labels_of(meta).class_names() if meta.is_file() else {}
    names = names or {value: f"class {value}" for value in values}
    unseen = [name for value, name in names.items() if value not in values]
    if unseen:
        say(f"WARNING: no training slice holds {', '.join(unseen)}: only its absence can be learned")
    torch.manual_seed(options.seed)
    tokens = ClassTokens(names, weights.network.config.prompt_encoder_config.hidden_size)
    if weights.tokens is not None:
        known = {name: place for place, name in enumerate(weights.tokens.names.values())}
        for place, name in enumerate(names.values()):
            if name in known:
                tokens.weight.data[place] = weights.tokens.weight.data[known[name]]
    return tokens
