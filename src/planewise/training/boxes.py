"""SAM2's side of the training loop: slices with a box for each class, Dice and cross entropy on the masks."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.errors import PlanewiseError
from planewise.inference.prompts import tight_box
from planewise.models.sam2 import BoxSegmenter
from planewise.patients import GRID, nearest_grid
from planewise.training.augment import random_crop
from planewise.training.sampling import sample_generator

TrainPart = Literal["encoder", "decoder"]
VALIDATION_SLICES = 48  # spread evenly
VALIDATION_BATCH = 4
OBJECT_WEIGHT = 0.05  # of the object score's loss: it gets no gradient from masks, and ends tracks when predicting


class BoxTask:
    """Fine-tuning of a ``BoxSegmenter`` on prepared slices; see ``training.loop.Task``."""

    def __init__(
        self, network: BoxSegmenter, train_folder: Path, validation_folder: Path, parts: tuple[TrainPart, ...],
        bbox_shift: int, one_class: bool, scale_range: tuple[float, float] | None, seed: int,
    ) -> None:  # fmt: skip
        """``bbox_shift``: boxes are moved outward by up to this many pixels of the 256 grid; ``one_class``: a random
        class of each slice instead of all; ``scale_range``: training slices are also magnified by a factor from it,
        turned, flipped and changed in contrast (None, as published: they are not)."""
        from monai.losses import DiceLoss

        self.network = network
        self.bbox_shift, self.one_class, self.scale_range, self.seed = bbox_shift, one_class, scale_range, seed
        self.dice = DiceLoss(sigmoid=True, squared_pred=True)
        self.slices = labelled_slices(train_folder)
        if not self.slices:
            raise PlanewiseError(f"{train_folder}: holds no labelled slices; run planewise ild prepare")
        validation = labelled_slices(validation_folder) or self.slices
        chosen = np.linspace(0, len(validation) - 1, min(VALIDATION_SLICES, len(validation))).round().astype(int)
        self.validation = [validation[i] for i in chosen]
        network.requires_grad_(False)
        sam = network.network
        self.trained = [{"encoder": sam.vision_encoder, "decoder": sam.mask_decoder}[part] for part in parts]
        for module in self.trained:
            module.requires_grad_(True)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return how many batches show every slice once."""
        return max(1, -(-len(self.slices) // batch_size))

    def sample(self, index: int) -> dict[str, np.ndarray]:
        epoch, place = divmod(index, len(self.slices))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.slices))
        rng = sample_generator(self.seed, index)
        return self._read(self.slices[order[place]], rng)

    def _read(self, slice_: Path, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Return image (R, R) in 0..1, boxes (P, 4) in 0..1 and masks (P, 256, 256); ``rng`` jitters and chooses."""
        try:
            image = np.load(slice_, allow_pickle=False)
            labels = np.load(slice_.parent.parent / "gts" / slice_.name, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PlanewiseError(f"{slice_}: cannot be read ({error}); run planewise ild prepare again") from error
        side = self.network.image_size
        pixels = torch.from_numpy(image[..., 0].astype(np.float32) / 255)[None, None]
        image = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)[0, 0].numpy()
        if rng is not None and self.scale_range is not None:
            moved, moved_labels = random_crop(image, nearest_grid(labels, side), side, self.scale_range, rng)
            if moved_labels.any():  # else all objects were cropped away
                image, labels = moved, nearest_grid(moved_labels)
        classes = np.unique(labels[labels > 0])
        if self.one_class and rng is not None:
            classes = rng.choice(classes, 1)
        masks = labels[None] == classes[:, None, None]
        boxes = np.array([tight_box(mask) for mask in masks], np.float32)
        if rng is not None and self.bbox_shift:
            boxes += rng.integers(0, self.bbox_shift + 1, boxes.shape) * np.array([-1, -1, 1, 1])
        return {
            "image": image,
            "boxes": (np.clip(boxes, 0, GRID) / GRID).astype(np.float32),
            "masks": masks.astype(np.float32),
        }

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        most = max(len(sample["boxes"]) for sample in samples)

        def padded(name: str) -> Tensor:
            arrays = [sample[name] for sample in samples]
            filled = [np.concatenate([a, np.zeros((most - len(a), *a.shape[1:]), a.dtype)]) for a in arrays]
            return torch.from_numpy(np.stack(filled))

        valid = np.array([[i < len(sample["boxes"]) for i in range(most)] for sample in samples])
        return {
            "image": torch.from_numpy(np.stack([sample["image"] for sample in samples])),
            "boxes": padded("boxes"),
            "masks": padded("masks"),
            "valid": torch.from_numpy(valid),
        }

    def train_mode(self) -> None:
        self.network.eval()
        for module in self.trained:
            module.train()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits, scores = network(batch["image"], batch["boxes"])
        valid = batch["valid"]
        predicted = on_grid(logits)[valid][:, None]
        masks = batch["masks"][valid][:, None]
        dice = self.dice(predicted, masks)
        cross_entropy = F.binary_cross_entropy_with_logits(predicted, masks)
        present = F.softplus(-scores[valid]).mean()  # every box holds an object
        return {"total": dice + cross_entropy + OBJECT_WEIGHT * present, "dice": dice, "ce": cross_entropy}

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """Return ``dice``, the mean over boxes of validation slices, without jitter, and the mean ``loss``."""
        self.network.eval()
        dices: list[float] = []
        losses: list[float] = []
        for start in range(0, len(self.validation), VALIDATION_BATCH):
            samples = [self._read(path, None) for path in self.validation[start : start + VALIDATION_BATCH]]
            batch = {name: tensor.to(device) for name, tensor in self.collate(samples).items()}
            losses.append(float(self.loss(self.network, batch)["total"]))
            predicted = on_grid(self.network(batch["image"], batch["boxes"])[0])[batch["valid"]] > 0
            truth = batch["masks"][batch["valid"]] > 0
            shared = (predicted & truth).sum((1, 2))
            dices += (2 * shared / (predicted.sum((1, 2)) + truth.sum((1, 2)))).tolist()
        dice = sum(dices) / len(dices)
        return {"score": dice, "dice": dice, "loss": sum(losses) / len(losses)}


def on_grid(logits: Tensor) -> Tensor:
    """Return mask logits (N, P, h, w) on the 256 grid that labels are kept on."""
    if logits.shape[-1] == GRID:
        return logits
    return F.interpolate(logits, size=(GRID, GRID), mode="bilinear", align_corners=False)


def labelled_slices(folder: Path) -> list[Path]:
    """Return the images of ``folder``/imgs whose labels hold anything, by name."""
    if not (folder / "imgs").is_dir():
        return []
    paths = sorted((folder / "imgs").glob("*.npy"))
    missing = [path.name for path in paths if not (folder / "gts" / path.name).exists()]
    if missing:
        raise PlanewiseError(f"{folder}: {len(missing)} slices have no gts: {', '.join(missing[:5])}")
    return [path for path in paths if np.load(folder / "gts" / path.name, mmap_mode="r").any()]
