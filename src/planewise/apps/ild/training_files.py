"""What a finished training leaves in its folder: the best and the last model, each as a file, and as a hub folder."""

from pathlib import Path
from typing import Any

from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.prepared_folder import npz_folder
from planewise.apps.ild.starting_weights import base_and_licence
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_clips import ClipSegmenter
from planewise.models.sam2_files import Sam2Weights, save_hub_folder, save_published
from planewise.models.sam2_optimiser import published_optimizer
from planewise.progress import say
from planewise.report.figures import training_curve
from planewise.training.boxes import BoxTask
from planewise.training.checkpoint import load_checkpoint, trained_as
from planewise.training.loop import BEST, CURVE, LAST
from planewise.training.metrics_file import METRICS
from planewise.training.optimiser import moments_by_name
from planewise.training.trust import LEAST_HELD_OUT, reliability_on, seen_in

MODEL = "medsam_model_"  # published, before best.pth and latest.pth
LOGS = "training"  # folder of checkpoints and curves, beside the models


def best_model(folder: Path) -> Path:
    """Return where the best model of a training is."""
    return folder / f"{MODEL}best.pth"


def write_models(options: IldTrain, weights: Sam2Weights, task: BoxTask, npy: Path, device: str) -> None:
    """Write the curve and the models of a training that ended; ``weights``: as it started from them."""
    folder = options.work_dir / options.task_name
    logs = folder / LOGS
    training_curve(logs / METRICS, logs / CURVE, "Dice")
    segmenter = task.network
    base = base_and_licence(options, weights)
    best_as = trained_as(logs / BEST, task.validated_on, npy.resolve().parent.name, *base)
    if options.train_clips > 1:
        best_as = best_as.model_copy(update={"train_clips": options.train_clips})
    for path, checkpoint, trained in (
        (folder / f"{MODEL}latest.pth", LAST, None),
        (best_model(folder), BEST, best_as),
    ):
        state = load_checkpoint(logs / checkpoint)
        segmenter.load_state_dict(state["network"])
        if isinstance(segmenter, ClipSegmenter):
            weights.rest = segmenter.memory_tensors()
        weights.trained = trained
        if checkpoint == BEST:
            _know(weights, segmenter.to(device).eval(), npy.parent, options.bbox_shift)
        moments = _moments(segmenter, state)
        optimizer = published_optimizer(weights.network, moments, options.learning_rate, options.weight_decay)
        save_published(path, weights, state["step"] // task.steps_per_epoch(options.batch_size), optimizer)
    save_hub_folder(folder / "hub", weights)


def _moments(segmenter: BoxSegmenter, state: dict[str, Any]) -> dict[str, Any]:
    """Return what the optimiser kept of each parameter, by its published name; nothing if the checkpoint has none."""
    if "optimizer" not in state:
        return {}
    by_name = moments_by_name(segmenter, state["optimizer"])
    return {name.removeprefix("network."): kept for name, kept in by_name.items()}


def _know(weights: Sam2Weights, segmenter: BoxSegmenter, work: Path, margin: float) -> None:
    """Add to ``weights`` the calibration of their scores and what they were trained on, from the prepared patients."""
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
