"""The files of a finished training: the best and the last model, each as a file and as a hub folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.prepared_folder import npz_folder
from planewise.apps.ild.starting_weights import base_and_licence
from planewise.data.patients import patients_of
from planewise.data.split import PATIENTS_FILE
from planewise.errors import PlanewiseError
from planewise.models.reliability import LEAST_PATIENTS
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_clips import ClipSegmenter
from planewise.models.sam2_files import Sam2Weights, save_hub_folder, save_published
from planewise.models.sam2_optimiser import published_optimizer
from planewise.progress import counted, first_few, say, warn
from planewise.report.figures import training_curve
from planewise.training.boxes import BoxTask
from planewise.training.checkpoint import load_checkpoint, trained_as
from planewise.training.loop import BEST, CURVE, LAST
from planewise.training.metrics_file import METRICS
from planewise.training.optimiser import moments_by_name
from planewise.training.reliability import reliability_on
from planewise.training.seen_data import seen_in

MODEL = "medsam_model_"  # prefix of the published file names, before best.pth and latest.pth
LOGS = "training"  # folder of checkpoints and curves, beside the models


def best_model(folder: Path) -> Path:
    """Return the path of the best model of a training."""
    return folder / f"{MODEL}best.pth"


def write_models(options: IldTrain, weights: Sam2Weights, task: BoxTask, npy: Path, device: str) -> None:
    """Write the curve and the models of a finished training; ``weights``: those it started from."""
    folder = options.work_dir / options.task_name
    logs = folder / LOGS
    training_curve(logs / METRICS, logs / CURVE, "Dice")
    segmenter = task.network
    base = base_and_licence(options, weights)
    best = load_checkpoint(logs / BEST, mmap=True)  # beside the last one, which is in memory too
    best_as = trained_as(best, task.validated_on, npy.resolve().parent.name, *base)
    if options.train_clips > 1:
        best_as = best_as.model_copy(update={"train_clips": options.train_clips})
    for path, state, trained in (
        (folder / f"{MODEL}latest.pth", load_checkpoint(logs / LAST), None),
        (best_model(folder), best, best_as),
    ):
        segmenter.load_state_dict(state["network"])
        if isinstance(segmenter, ClipSegmenter):
            weights.rest = segmenter.memory_tensors()
        weights.trained = trained
        if trained is not None:
            _know(weights, segmenter.to(device).eval(), npy.parent, options.bbox_shift)
        moments = _moments(segmenter, state)
        optimizer = published_optimizer(weights.network, moments, options.learning_rate, options.weight_decay)
        save_published(path, weights, state["step"] // task.steps_per_epoch(options.batch_size), optimizer)
    save_hub_folder(folder / "hub", weights)


def _moments(segmenter: BoxSegmenter, state: dict[str, Any]) -> dict[str, Any]:
    """Return the optimiser's state of each parameter, by its published name; empty if the checkpoint has none."""
    if "optimizer" not in state:
        return {}
    by_name = moments_by_name(segmenter, state["optimizer"])
    return {name.removeprefix("network."): kept for name, kept in by_name.items()}


def _know(weights: Sam2Weights, segmenter: BoxSegmenter, work: Path, margin: float) -> None:
    """Set the calibration of the scores and the training data in ``weights``, computed from the prepared patients."""
    trained_on, held_out = (sorted(npz_folder(work, part).glob("*.npz")) for part in ("train", "valid"))
    weights.seen = seen_in(segmenter, trained_on, held_out)
    if weights.seen is None:
        say("Scans unlike the training cannot be recognised: too few patients were prepared with lungs for that")
    if weights.tokens is None:
        return
    patients = _patients_held_out(held_out, work)
    if (count := len(set(patients.values()))) < LEAST_PATIENTS:
        say(f"Scores are not calibrated: {counted(count, 'patient')} held out for it, {LEAST_PATIENTS} are needed")
        return
    weights.reliability = reliability_on(segmenter, patients, margin)
    unknown = [name for value, name in weights.tokens.names.items() if value not in weights.reliability]
    if unknown:
        too_few = (
            "too few slices of the held-out patients show it, or too few do not, or too few patients could be compared"
        )
        say(f"Scores of {', '.join(unknown)} are not calibrated: {too_few}")
    for value, known in weights.reliability.items():
        if known.gain is not None and not known.gain.is_clear:
            say(
                f"Presence of {weights.tokens.names[value]} has no curve, the raw score is used: each held-out patient "
                "was left out in turn, and the raw score's Brier score minus that of a curve fitted to the others is "
                f"{known.gain.mean:.4f}; a curve is kept if this is more than its standard error, {known.gain.se:.4f}"
            )


def _patients_held_out(prepared: list[Path], work: Path) -> dict[Path, str]:
    """Return the patient of each prepared case: as it was prepared, else by the names.

    Cases of which neither tells count as of one patient: scores are rather not calibrated than by too few.
    """
    listed, names = work / PATIENTS_FILE, [path.stem for path in prepared]
    known: dict[str, str] = {}
    if listed.is_file():
        try:
            known = patients_of(names, file=listed)
        except PlanewiseError as error:
            warn(f"{str(error).removeprefix('--patients ')}; the names are asked instead")
            for name in names:
                with suppress(PlanewiseError):
                    known |= patients_of([name], file=listed)
    lacking = [name for name in names if name not in known]
    if lacking:
        try:
            named = patients_of(names)
            as_listed = {named[name]: patient for name, patient in known.items()}
            known |= {name: as_listed.get(named[name], named[name]) for name in lacking}
        except PlanewiseError:
            warn(
                f"Neither {listed} nor the names tell whose scans the held-out {first_few(lacking)} are: they count as "
                "of one patient"
            )
            known |= dict.fromkeys(lacking, "unknown")
    return {path: known[path.stem] for path in prepared}
