"""SAM2's side of the training loop: slices with a box for each class, or with every class asked for in an organ."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.data.prepared import GRID, IGNORED, is_object, nearest_grid
from planewise.errors import PlanewiseError
from planewise.inference.prompts import tight_box
from planewise.models.sam2 import Answers, BoxSegmenter
from planewise.progress import say
from planewise.training.augment import random_crop
from planewise.training.losses import (
    class_dice_loss,
    cross_entropy,
    dice_loss,
    is_there,
    mean_of,
    presence_loss,
    with_total,
)
from planewise.training.sampling import sample_generator
from planewise.volumes.slices import evenly

TrainPart = Literal["encoder", "decoder", "memory"]
PromptKind = Literal["truth", "organ"]
GROUPS = {  # what is prompted with boxes alone, and with a token beside: boxes and masks first
    "truth": ("boxes", "masks"),
    "organ": ("asked_boxes", "asked_masks", "asked_classes"),
}
VALIDATION_SLICES = 48  # spread evenly
VALIDATION_BATCH = 4
OBJECT_WEIGHT = 0.05  # of the object score's loss where all boxes hold an object: it gets no gradient from masks, and
# ends tracks when predicting. Where absent classes are asked for too, it is trained on both alike.


View = tuple[np.ndarray, np.ndarray, np.ndarray]  # image (R, R) in 0..1, labels and organ (256, 256) of a slice


class Answer(NamedTuple):
    """What is answered to P prompts of a batch, beside the truth.

    ``logits`` (P, 4, 256, 256) of all four masks of boxes alone, (P, 1, 256, 256) with tokens; true ``masks`` and what
    is ``counted`` (P, 256, 256); object ``scores`` (P,); ``classes`` (P,), the places of the tokens, None of boxes
    alone.
    """

    logits: Tensor
    masks: Tensor
    counted: Tensor
    scores: Tensor
    classes: Tensor | None


@dataclass(frozen=True)
class BoxTraining:
    """How slices are shown.

    ``prompts``: "truth" (a box around every object), "organ" (the organ's box, with the token of every class), or both.
    ``bbox_shift``: boxes are moved outward by up to this many pixels of the 256 grid; ``one_class``: a random class of
    each slice instead of all, of those in boxes; ``scale_range``: training slices are also magnified by a factor from
    it, turned, flipped and changed in contrast (None, as published: they are not); ``upright``: hardly turned, and not
    flipped.
    """

    parts: tuple[TrainPart, ...] = ("encoder", "decoder")
    prompts: tuple[PromptKind, ...] = ("truth",)
    bbox_shift: int = 5
    one_class: bool = False
    scale_range: tuple[float, float] | None = None
    upright: bool = False
    seed: int = 0


class BoxTask:
    """Fine-tuning of a ``BoxSegmenter`` on prepared slices; see ``training.loop.Task``."""

    def __init__(
        self, network: BoxSegmenter, train_folder: Path, validation_folder: Path, options: BoxTraining
    ) -> None:
        """``network`` has ``tokens`` if it is to be prompted with the organ's box."""
        self.network, self.options = network, options
        self.slices = self._usable(train_folder)
        if not self.slices:
            raise PlanewiseError(
                f"{train_folder}: holds no labelled slices (classes are 1 to {IGNORED - 1}, {IGNORED} is ignored); run "
                "planewise ild prepare, and look at its table of classes"
            )
        validation = self._usable(validation_folder)
        patients = sorted({path.stem.rpartition("-")[0] or path.stem for path in validation})
        self.validated_on = patients or ["slices that are trained on"]
        if not validation:
            say(f"WARNING: {validation_folder} shows no object: the best is chosen on slices that are trained on")
            validation = self.slices
        self.validation = evenly(validation, VALIDATION_SLICES)
        network.requires_grad_(False)
        self.trained = [network.parts[part] for part in options.parts]
        if network.tokens is not None:
            self.trained.append(network.tokens)
        for module in self.trained:
            module.requires_grad_(True)
        # No loss looks at it, and processes that share batches would wait for its gradient.
        network.network.mask_decoder.iou_prediction_head.requires_grad_(False)

    def _usable(self, folder: Path) -> list[Path]:
        """Return the slices of ``folder`` with an object or, if the organ is asked for, with the organ.

        None at all if no slice has an object.
        """
        slices = prepared_slices(folder)
        if "organ" in self.options.prompts and slices and not (folder / "organs").is_dir():
            raise PlanewiseError(f"{folder}: has no organs/, to take boxes from; run planewise ild prepare again")
        labelled = [path for path in slices if is_object(np.load(folder / "gts" / path.name, mmap_mode="r")).any()]
        if "organ" not in self.options.prompts or not labelled:
            return labelled
        with_organ = [path for path in slices if np.load(folder / "organs" / path.name, mmap_mode="r").any()]
        return sorted({*with_organ, *(labelled if "truth" in self.options.prompts else [])})

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return how many batches show every slice once."""
        return max(1, -(-len(self.slices) // batch_size))

    def sample(self, index: int) -> dict[str, np.ndarray]:
        return self._read(self._slice(index), sample_generator(self.options.seed, index))

    def _slice(self, index: int) -> Path:
        """Return the slice of the ``index``-th sample: each once an epoch."""
        epoch, place = divmod(index, len(self.slices))
        order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self.slices))
        return self.slices[order[place]]

    def _read(self, slice_: Path, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Return a slice with what it is prompted with; ``rng`` moves and chooses; see ``_prompted``."""
        (view,) = self._views([slice_], rng)
        return self._prompted(view, rng)

    def _views(self, slices: list[Path], rng: np.random.Generator | None) -> list[View]:
        """Return slices of one patient as they are shown: all moved alike, as the first may be."""
        views = [self._load(slice_) for slice_ in slices]
        if rng is None or self.options.scale_range is None:
            return views
        alike = [rng, *(copy.deepcopy(rng) for _ in views[1:])]
        moved = [self._moved(view, its) for view, its in zip(views, alike, strict=True)]
        _, labels, organ = moved[0]
        return moved if is_object(labels).any() or organ.any() else views  # else all was cropped away

    def _moved(self, view: View, rng: np.random.Generator) -> View:
        """Return a random crop of a slice, magnified, turned and changed in contrast."""
        image, labels, organ = view
        side = self.network.image_size
        both = nearest_grid(organ, side).astype(np.int32) << 8 | nearest_grid(labels, side)
        assert self.options.scale_range is not None
        image, both = random_crop(image, both, side, self.options.scale_range, rng, self.options.upright)
        both = nearest_grid(both)
        return image, both & 255, both >> 8

    def _prompted(self, view: View, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Return a slice with what it is prompted with; ``rng`` moves and chooses.

        ``image`` (R, R) in 0..1; ``counted`` (256, 256), False where ignored; ``boxes`` (P, 4) in 0..1 and their
        ``masks`` (P, 256, 256); the same of what is asked for by a token: ``asked_boxes``, ``asked_masks``, and
        ``asked_classes`` (Q,), the places of the tokens.
        """
        image, labels, organ = view
        classes = np.unique(labels[is_object(labels)]) if "truth" in self.options.prompts else np.zeros(0, np.uint8)
        if self.options.one_class and rng is not None and len(classes):
            classes = rng.choice(classes, 1)
        masks = labels[None] == classes[:, None, None]
        sample = {"image": image, "counted": labels != IGNORED}
        sample |= {"boxes": self._boxes(list(masks), rng), "masks": masks.astype(np.float32)}
        if "organ" in self.options.prompts:
            sample |= self._asked(labels, organ, classes, rng)
        return sample

    def _asked(
        self, labels: np.ndarray, organ: np.ndarray, classes: np.ndarray, rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Return the prompts with a token: every class within the organ, and the boxes of ``classes`` once more."""
        place = self.network.classes
        asked = [*place] * bool(organ.any()) + [value for value in classes.tolist() if value in place]
        masks = labels[None] == np.array(asked, labels.dtype)[:, None, None]
        within = [organ > 0] * (len(place) if organ.any() else 0)
        return {
            "asked_boxes": self._boxes([*within, *masks[len(within) :]], rng),
            "asked_classes": np.array([place[value] for value in asked], np.int64),
            "asked_masks": masks.astype(np.float32),
        }

    def _load(self, slice_: Path) -> View:
        """Return a slice as it is."""
        try:
            image, labels = (
                np.load(slice_.parent.parent / kind / slice_.name, allow_pickle=False) for kind in ("imgs", "gts")
            )
            organ = np.zeros_like(labels)
            if "organ" in self.options.prompts:
                organ = np.load(slice_.parent.parent / "organs" / slice_.name, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PlanewiseError(f"{slice_}: cannot be read ({error}); run planewise ild prepare again") from error
        side = self.network.image_size
        pixels = torch.from_numpy(image[..., 0].astype(np.float32) / 255)[None, None]
        resized = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)
        return resized[0, 0].numpy(), labels, organ

    def _boxes(self, masks: list[np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """Return the boxes (P, 4) of masks on the 256 grid, as shares of it."""
        boxes = np.array([tight_box(mask) for mask in masks], np.float32).reshape(-1, 4)
        if rng is not None and self.options.bbox_shift:
            boxes += rng.integers(0, self.options.bbox_shift + 1, boxes.shape) * np.array([-1, -1, 1, 1])
        return (np.clip(boxes, 0, GRID) / GRID).astype(np.float32)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """See ``Task``. Where slices have fewer prompts than others, empty ones stand, for which ``valid`` is False."""
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
        """See ``Task``. All masks of a class in a batch have one Dice together, if the class is there at all.

        Empty masks of a class that is not there learn by cross entropy alone, and by SAM2's object score.
        Ignored pixels take no part; whether a class is in a slice with such pixels is learned only where it is seen.
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
        """Return what is answered to all valid prompts: boxes alone, and with tokens; see ``_answers``."""
        asked = (batch.get(name) for name in ("boxes", "asked_boxes", "asked_classes"))
        return self._answers(network(batch["image"], *asked), batch)

    def _answers(self, outputs: Answers, batch: dict[str, Tensor]) -> list[Answer | None]:
        """Return what is answered to all valid prompts: boxes alone, and with tokens."""
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

        There is no score where no class is there: absence alone is best shown by a model that says nothing.

        ``dice``: mean over boxes; ``class_dice``: over the classes that are there, none found counts as 0; ``absence``:
        the share of classes that are not there and are not predicted to be. Ignored pixels count in none.
        """
        self.network.eval()
        values_of: dict[str, list[float]] = {"loss": []}
        for start in range(0, len(self.validation), VALIDATION_BATCH):
            samples = [self._read(path, None) for path in self.validation[start : start + VALIDATION_BATCH]]
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
    """Return metrics with the mean of all but the loss, ``score``, before them."""
    judged = {name: value for name, value in means.items() if name not in ("score", "loss")}
    return {"score": sum(judged.values()) / len(judged), **{"loss": means["loss"], **judged}}


def padded(arrays: list[np.ndarray], length: int) -> np.ndarray:
    """Return arrays (P, ...) of several P stacked, each filled up with zeros."""
    return np.stack([np.concatenate([a, np.zeros((length - len(a), *a.shape[1:]), a.dtype)]) for a in arrays])


def dices_of(predicted: Tensor, truth: Tensor) -> list[float]:
    """Return the Dice of every pair of masks (P, H, W), of which the true one is not empty."""
    shared = (predicted & truth).sum((1, 2))
    return (2 * shared / (predicted.sum((1, 2)) + truth.sum((1, 2)))).tolist()


def on_grid(logits: Tensor) -> Tensor:
    """Return mask logits (N, P, masks, h, w) on the 256 grid that labels are kept on."""
    if logits.shape[-1] == GRID:
        return logits
    larger = F.interpolate(logits.flatten(1, 2), size=(GRID, GRID), mode="bilinear", align_corners=False)
    return larger.unflatten(1, logits.shape[1:3])


def prepared_slices(folder: Path) -> list[Path]:
    """Return the images of ``folder``/imgs, by name. Raises PlanewiseError if one has no labels."""
    if not (folder / "imgs").is_dir():
        return []
    paths = sorted((folder / "imgs").glob("*.npy"))
    missing = [path.name for path in paths if not (folder / "gts" / path.name).exists()]
    if missing:
        raise PlanewiseError(f"{folder}: {len(missing)} slices have no gts: {', '.join(missing[:5])}")
    return paths


def classes_in(folder: Path) -> list[int]:
    """Return the classes that the slices of ``folder`` hold, by number."""
    values = {int(v) for path in prepared_slices(folder) for v in np.unique(np.load(folder / "gts" / path.name))}
    return sorted(values - {0, IGNORED})
