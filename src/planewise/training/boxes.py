"""The training task of SAM2: slices with a box for each class, or with all classes prompted in an organ's box."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.data.prepared import GRID, IGNORED
from planewise.errors import PlanewiseError
from planewise.models.sam2 import Answers, BoxSegmenter
from planewise.progress import warn
from planewise.training.losses import (
    class_dice_loss,
    cross_entropy,
    dice_loss,
    is_there,
    mean_of,
    presence_loss,
    with_total,
)
from planewise.training.prompted_slices import BoxTraining, PromptedSlices
from planewise.training.sampling import sample_generator
from planewise.volumes.slices import evenly

GROUPS = {  # prompts with boxes only, and with a token added: the names of boxes and masks first
    "truth": ("boxes", "masks"),
    "organ": ("asked_boxes", "asked_masks", "asked_classes"),
}
VALIDATION_SLICES = 48  # spread evenly over all
VALIDATION_BATCH = 4
OBJECT_WEIGHT = 0.05  # of the object score's loss where all boxes hold an object: it gets no gradient from masks, and
# ends tracks when predicting. Where absent classes are asked for too, it is trained on both alike.


class Answer(NamedTuple):
    """The answers to P prompts of a batch, with the truth.

    ``logits`` (P, 4, 256, 256) of all four masks for boxes only, (P, 1, 256, 256) with tokens; true ``masks`` and
    ``counted`` pixels (P, 256, 256); object ``scores`` (P,); ``classes`` (P,), the places of the tokens, None for boxes
    only.
    """

    logits: Tensor
    masks: Tensor
    counted: Tensor
    scores: Tensor
    classes: Tensor | None


class BoxTask:
    """Fine-tuning of a ``BoxSegmenter`` on prepared slices; see ``training.loop.Task``."""

    def __init__(
        self, network: BoxSegmenter, train_folder: Path, validation_folder: Path, options: BoxTraining
    ) -> None:
        """``network`` must have ``tokens`` if it is prompted with the organ's box."""
        self.network, self.options = network, options
        self.shown = PromptedSlices(options, network.image_size, network.classes)
        self.slices = self.shown.usable_in(train_folder)
        if not self.slices:
            raise PlanewiseError(
                f"{train_folder}: holds no labelled slices (classes are 1 to {IGNORED - 1}, {IGNORED} is ignored); run "
                "planewise ild prepare, and look at its table of classes"
            )
        validation = self.shown.usable_in(validation_folder)
        patients = sorted({path.stem.rpartition("-")[0] or path.stem for path in validation})
        self.validated_on = patients or ["slices that are trained on"]
        if not validation:
            warn(f"{validation_folder} shows no object: the best model is chosen on training slices")
            validation = self.slices
        self.validation = evenly(validation, VALIDATION_SLICES)
        network.requires_grad_(False)
        self.trained = [network.parts[part] for part in options.parts]
        if network.tokens is not None:
            self.trained.append(network.tokens)
        for module in self.trained:
            module.requires_grad_(True)
        # No loss uses it, and processes that share batches would wait for its gradient.
        network.network.mask_decoder.iou_prediction_head.requires_grad_(False)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return how many batches show each slice once."""
        return max(1, -(-len(self.slices) // batch_size))

    def sample(self, index: int) -> dict[str, np.ndarray]:
        return self.shown.read(self._slice(index), sample_generator(self.options.seed, index))

    def _slice(self, index: int) -> Path:
        """Return the slice of the ``index``-th sample; each comes once in an epoch."""
        epoch, place = divmod(index, len(self.slices))
        order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self.slices))
        return self.slices[order[place]]

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """See ``Task``. Slices with fewer prompts are filled up with empty ones, whose ``valid`` is False."""
        batch = {name: torch.from_numpy(np.stack([s[name] for s in samples])) for name in ("image", "counted")}
        for kind, names in GROUPS.items():
            if kind in self.options.prompts:
                counts = [len(sample[names[0]]) for sample in samples]
                for name in names:
                    batch[name] = torch.from_numpy(padded([sample[name] for sample in samples], max(1, *counts)))
                valid = [[i < count for i in range(max(1, *counts))] for count in counts]
                batch[f"{kind}_valid"] = torch.tensor(valid)
        return batch

    def train_mode(self) -> None:
        self.network.eval()
        for module in self.trained:
            module.train()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``Task``. All masks of a class in a batch share one Dice, if the class occurs at all.

        Empty masks of a class that does not occur are trained by cross entropy, and by SAM2's object score.
        Ignored pixels take no part; in a slice with such pixels, presence is trained only for classes that it shows.
        """
        return with_total(self._terms(*self._predicted(network, batch)))

    def _terms(self, boxed: Answer | None, asked: Answer | None) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        if boxed is not None:
            predicted, masks, counted, scores, _ = boxed
            first, others = predicted[:, 0], predicted[:, 1:].flatten(0, 1)
            terms |= {"dice": dice_loss(first, masks, counted), "ce": cross_entropy(first, masks, counted)}
            like_others = [x.repeat_interleave(predicted.shape[1] - 1, dim=0) for x in (masks, counted)]
            terms["others"] = dice_loss(others, *like_others) + cross_entropy(others, *like_others)
            weight = OBJECT_WEIGHT if asked is None else 1.0
            terms["object"] = weight * mean_of(F.softplus(-scores))
        if asked is not None:
            predicted, masks, counted, scores, classes = asked
            assert classes is not None
            predicted = predicted[:, 0]
            terms["class_dice"] = class_dice_loss(predicted, masks, counted, classes, len(self.network.classes))
            terms["class_ce"] = cross_entropy(predicted, masks, counted)
            terms["presence"] = presence_loss(scores, masks, counted)
        return terms

    def _predicted(self, network: nn.Module, batch: dict[str, Tensor]) -> list[Answer | None]:
        """Return the answers to all valid prompts: boxes only, and with tokens; see ``_answers``."""
        asked = (batch.get(name) for name in ("boxes", "asked_boxes", "asked_classes"))
        return self._answers(network(batch["image"], *asked), batch)

    def _answers(self, outputs: Answers, batch: dict[str, Tensor]) -> list[Answer | None]:
        """Return the answers to all valid prompts: boxes only, and with tokens."""
        answers: list[Answer | None] = []
        for output, (kind, names) in zip(outputs, GROUPS.items()):
            if output is None:
                answers.append(None)
                continue
            (logits, scores), valid = output, batch[f"{kind}_valid"]
            counted = batch["counted"][:, None].expand(-1, valid.shape[1], -1, -1)[valid]
            classes = batch[names[2]][valid] if kind == "organ" else None
            answers.append(Answer(on_grid(logits)[valid], batch[names[1]][valid], counted, scores[valid], classes))
        return answers

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """Return metrics of validation slices, without jitter: mean ``loss``, and ``score``, the mean of the others.

        There is no score if no class occurs: for absence alone, a model that predicts nothing would be best.

        ``dice``: mean over boxes; ``class_dice``: over the classes that occur, 0 for a class that is not predicted;
        ``absence``: share of the absent classes that are not predicted. Ignored pixels count in none.
        """
        self.network.eval()
        values_of: dict[str, list[float]] = {"loss": []}
        for start in range(0, len(self.validation), VALIDATION_BATCH):
            samples = [self.shown.read(path, None) for path in self.validation[start : start + VALIDATION_BATCH]]
            batch = {name: tensor.to(device) for name, tensor in self.collate(samples).items()}
            boxed, asked = self._predicted(self.network, batch)
            values_of["loss"].append(float(with_total(self._terms(boxed, asked))["total"]))
            if boxed is not None:
                predicted = (boxed.logits[:, 0] > 0) & boxed.counted
                values_of.setdefault("dice", []).extend(dices_of(predicted, boxed.masks > 0))
            if asked is not None:
                there, predicted_there = is_there(asked.masks), asked.scores > 0
                absent = ~there & ~is_there(~asked.counted)
                shown = (asked.logits[:, 0] > 0) & asked.counted & predicted_there[:, None, None]
                values_of.setdefault("class_dice", []).extend(dices_of(shown[there], asked.masks[there] > 0))
                values_of.setdefault("absence", []).extend((~predicted_there[absent]).float().tolist())
        means = {name: sum(values) / len(values) for name, values in values_of.items() if values}
        return with_score(means) if {"dice", "class_dice"} & means.keys() else means


def with_score(means: dict[str, float]) -> dict[str, float]:
    """Return metrics with ``score``, the mean of all but the loss, before them."""
    judged = {name: value for name, value in means.items() if name not in ("score", "loss")}
    return {"score": sum(judged.values()) / len(judged), **{"loss": means["loss"], **judged}}


def padded(arrays: list[np.ndarray], length: int) -> np.ndarray:
    """Return a stack of arrays (P, ...) of different P, each filled up with zeros."""
    return np.stack([np.concatenate([a, np.zeros((length - len(a), *a.shape[1:]), a.dtype)]) for a in arrays])


def dices_of(predicted: Tensor, truth: Tensor) -> list[float]:
    """Return the Dice of each pair of masks (P, H, W) whose true mask is not empty."""
    shared = (predicted & truth).sum((1, 2))
    return (2 * shared / (predicted.sum((1, 2)) + truth.sum((1, 2)))).tolist()


def on_grid(logits: Tensor) -> Tensor:
    """Return mask logits (N, P, masks, h, w) on the 256 grid that labels are kept on."""
    if logits.shape[-1] == GRID:
        return logits
    larger = F.interpolate(logits.flatten(1, 2), size=(GRID, GRID), mode="bilinear", align_corners=False)
    return larger.unflatten(1, logits.shape[1:3])
