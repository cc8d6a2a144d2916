"""Self-training: rounds of training on a model's own labels of unpainted voxels, while the validation improves."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from planewise.apps.mito.train_options import MitoTrain
from planewise.data.nnunet import Dataset
from planewise.data.painted_slices import PAINTED, is_painted
from planewise.device import choose_device
from planewise.errors import PlanewiseError
from planewise.models.model_file import ModelFile
from planewise.models.weights import network_with
from planewise.progress import say
from planewise.training.checkpoint import load_checkpoint
from planewise.training.loop import BEST, LAST, train
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import score_at_end
from planewise.training.panoptic import PanopticTask
from planewise.training.self_training import labeller
from planewise.training.slice_folder import Label
from planewise.volumes.json_files import read_json, write_json
from planewise.volumes.slices import Plane

LABELLED_BY = "labelled_by.json"  # in a round's folder: which checkpoint made the labels that it is trained on
SHARE = 0.5  # of the training's steps, for each round, which starts from the previous weights
Cut = Callable[[Path, Label], None]  # writes slices with the given labels into a new folder


def refuse_what_has_no_rounds(options: MitoTrain, dataset: Dataset, planes: tuple[Plane, ...]) -> None:
    """Raise PlanewiseError if nothing is left to label, or nothing could agree on it."""
    asked = f"--self_training {options.self_training}"
    painted = any(case.truth is not None and is_painted(case.truth) for case in dataset.train)
    if dataset.labels.ignore is None and not painted:
        raise PlanewiseError(
            f"{asked}: labels unpainted voxels, and the dataset has none: no ignore label in dataset.json, and no "
            f"folder {PAINTED}"
        )
    if len(planes) < 3:
        raise PlanewiseError(f"{asked}: three planes must agree on a label, and there are only {', '.join(planes)}")
    if options.skip_conversion:
        raise PlanewiseError(f"{asked}: cuts new slices in each round, and --skip_conversion cuts none")
    if options.devices * options.num_nodes > 1:
        raise PlanewiseError(f"{asked}: works on one device; leave out --devices and --num_nodes")


def train_in_rounds(
    options: MitoTrain,
    model: ModelFile,
    planes: tuple[Plane, ...],
    loop: LoopOptions,
    first: Path,
    task: PanopticTask,
    cut: Cut,
) -> tuple[Path, PanopticTask]:
    """Continue the training in the folder ``first``, done with ``task``; return the folder and task of the best round.

    A round is stored in {first}/round_N. It is validated only at its end: few painted objects cannot distinguish its
    steps. It is compared with the end of the previous training, since the best of many steps is partly chance. The
    rounds end at the first one whose score is no better.
    """
    device = torch.device(choose_device(options.device))
    best, best_task = first, task
    steps = max(1, round(loop.iterations * SHARE))
    rounds = replace(loop, iterations=steps, checkpoint_interval=steps)
    for number in range(1, options.self_training + 1):
        begun = time.monotonic()
        folder = first / f"round_{number}"
        before = load_checkpoint(best / BEST)
        network = network_with(before["network"], best / BEST, model.architecture)
        labelled_by = {name: before[name] for name in ("step", "score", "loss")}
        if not (folder / LABELLED_BY).exists() or read_json(folder / LABELLED_BY) != labelled_by:
            shutil.rmtree(folder, ignore_errors=True)  # belongs to a model that was trained further since
            say(f"Round {number}: labelling the unpainted voxels")
            predictor, slices, grouping = best_task.in_use(network, device)
            cut(folder / "slices", labeller(predictor, planes, slices, grouping))
            write_json(folder / LABELLED_BY, labelled_by)
        task = PanopticTask(
            network, model, folder / "slices", options.patch_size, options.finetune_layer, options.seed, planes
        )
        train(task, rounds, folder, resume=options.resume and (folder / LAST).exists())
        ended, now = score_at_end(best), score_at_end(folder)
        gained = now > ended
        say(
            f"Round {number}: validation score at the end {ended:.4f} -> {now:.4f}, "
            f"{(time.monotonic() - begun) / 60:.1f} min" + ("" if gained else ": no gain, so the previous model stays")
        )
        if not gained:
            break
        best, best_task = folder, task
    return best, best_task
