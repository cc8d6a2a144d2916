"""MitoNet's task for the training loop: its samples, loss and validation, and the frozen layers."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from planewise.data.panoptic import DIVISOR
from planewise.device import choose_precision
from planewise.errors import PlanewiseError
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import NetworkPredictor, SliceOptions
from planewise.models.model_file import Calibration, ModelFile
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.panoptic_loss import collate_targets, panoptic_loss
from planewise.training.assembled import AS_SHARES, assemble, panoptic_quality
from planewise.training.augment import Variation, centre_crop, random_crop, varied_crop
from planewise.training.calibration import calibration_on
from planewise.training.class_quality import class_quality, mean_quality
from planewise.training.sampling import sample_generator, source_weights
from planewise.training.slice_folder import SlicePair, case_of, planes_of, read_slice_folder
from planewise.training.slice_memory import SliceMemory
from planewise.volumes.slices import Plane, evenly

FinetuneLayer = Literal["none", "stage4", "stage3", "stage2", "stage1", "all"]
VALIDATION_SLICES = 48  # spread evenly over the validation slices
VALIDATION_BATCH = 8


class PanopticTask:
    """Fine-tuning of a ``PanopticNetwork`` on a folder of 2D slices; see ``training.loop.Task``."""

    def __init__(
        self,
        network: PanopticNetwork,
        model: ModelFile,
        folder: Path,
        patch_size: int,
        finetune_layer: FinetuneLayer,
        seed: int,
        planes: tuple[Plane, ...] | None = None,
    ) -> None:
        """``patch_size`` is the side of the square crops, in pixels; it must be a multiple of the padding factor.

        ``planes``: the planes for use and validation. Default: those that it is trained in.
        """
        self.network = network
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.2 times faster on a CPU
        self.model = model
        self.several = model.several
        self.patch_size = patch_size
        self.seed = seed
        self.frozen = freeze(network, finetune_layer)
        self.pairs = read_slice_folder(folder, "train")
        self._memory = SliceMemory()
        if not any((self._memory.read(pair)[1] > 0).any() for pair in self.pairs):
            raise PlanewiseError(f"{folder}: no training slice shows an object; nothing can be learned from background")
        gamma = model.FINETUNE.dataset_params.weight_gamma
        self.weights = source_weights([pair.source for pair in self.pairs], gamma)
        validation = read_slice_folder(folder, "val")
        self.validated_on = _cases(validation, self.pairs)
        self.validation = evenly(validation, VALIDATION_SLICES)
        if not all(map(self._knows, self.validation)):  # of what is painted in part
            self.validation = evenly([pair for pair in validation if self._knows(pair)], VALIDATION_SLICES)
        self.planes = planes or planes_of(self.pairs) or ()
        self.volumes = assemble(validation, self._memory.read)

    def _knows(self, pair: SlicePair) -> bool:
        return bool((self._memory.read(pair)[1] >= 0).any())

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = sample_generator(self.seed, index)

        def draw() -> tuple[np.ndarray, np.ndarray]:
            return self._memory.read(self.pairs[rng.choice(len(self.pairs), p=self.weights)])

        scale_range, recipe = self.model.FINETUNE.scale_range, self.model.little_data
        if recipe is None or recipe.bend is None:
            return random_crop(*draw(), self.patch_size, scale_range, rng)
        divisor = None if self.several is None else DIVISOR
        variation = Variation(scale_range, recipe.bend, recipe.microscope, recipe.near_objects, divisor)
        return varied_crop(draw, self.patch_size, variation, rng)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        images, labels = zip(*samples)
        pixels = torch.from_numpy(np.stack(images)[:, None])
        norms, things = self.model.norms, None if self.several is None else self.several.things
        return {"image": (pixels - norms.mean) / norms.std, **collate_targets(list(labels), things)}

    def train_mode(self) -> None:
        self.network.train()
        for module in self.frozen:  # so that frozen batch norms keep their statistics too
            module.eval()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = network(batch["image"], interpolate_ins=not self.network.instances_on_their_grid)
        return panoptic_loss(outputs, batch, self.model.FINETUNE.criterion_params)

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """Return the mean ``loss`` and the foreground's ``iou`` over all validation slices together, and the ``score``.

        The score is the panoptic quality (``pq``) of the objects in the volumes that the slices form or, if they form
        none, the IoU. Ignored pixels do not count. Without true foreground there is neither IoU nor score. With several
        classes, all are means over the classes that occur; the ``score`` of stuff is its IoU.
        """
        self.network.eval()
        sums = np.zeros((3, 1 if self.several is None else len(self.several.names)), np.int64)  # of each class
        losses = []
        for start in range(0, len(self.validation), VALIDATION_BATCH):
            pairs = self.validation[start : start + VALIDATION_BATCH]
            samples = [centre_crop(*self._memory.read(pair), self.patch_size) for pair in pairs]
            batch = {name: tensor.to(device) for name, tensor in self.collate(samples).items()}
            outputs = self.network(batch["image"])
            losses.append(float(panoptic_loss(outputs, batch, self.model.FINETUNE.criterion_params)["total"]))
            masks = _masks(outputs["sem_logits"], batch)
            sums += np.array([[int(part.sum()) for part in (a & b, a | b, b)] for a, b in masks]).T
        loss = sum(losses) / len(losses)
        shared, either, true = sums
        if not true.any():
            return {"loss": loss}
        predictor, slices, grouping = self.in_use(self.network, device)
        if self.several is None:
            pq = panoptic_quality(predictor, self.volumes, self.planes, slices, grouping)
        else:
            pq = mean_quality(class_quality(predictor, self.volumes, self.planes, slices, grouping))
        iou = float(np.mean(shared[either > 0] / either[either > 0]))
        return (
            {"score": iou, "iou": iou, "loss": loss}
            if pq is None
            else {"score": pq, "pq": pq, "iou": iou, "loss": loss}
        )

    def calibration(self, network: PanopticNetwork, device: torch.device) -> Calibration | None:
        """Return the calibration of the confidence of ``network``'s objects on the validation volumes; None for several
        classes, for which it is not implemented."""
        if self.several is not None:
            return None
        predictor, slices, grouping = self.in_use(network, device)
        return calibration_on(predictor, self.volumes, self.planes, slices, grouping)

    def in_use(
        self, network: PanopticNetwork, device: torch.device
    ) -> tuple[NetworkPredictor, SliceOptions, GroupingOptions]:
        """Return how ``network`` predicts images that were read as slices are: as shares of their range."""
        network.to(device).eval()
        half = choose_precision("auto", device.type, predicting=True) == "bf16"
        norms = self.model.norms
        slices = SliceOptions(AS_SHARES, norms.mean, norms.std, self.model.padding_factor)
        sizes, published = self.model.object_sizes, GroupingOptions.min_size
        grouping = GroupingOptions(
            min_size=published if sizes is None else sizes.least(None, published),
            min_agreement=self.model.min_agreement or 0.0,
            repair=bool(self.model.repair),
            things=() if self.several is None else self.several.kinds,
        )
        return NetworkPredictor(network, half), slices, grouping


def _masks(logits: Tensor, targets: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return where each class is predicted and where it is, (N, 1, H, W) bool; ignored pixels are in neither."""
    counted = targets["counted"]
    if "classes" not in targets:
        return [((logits >= 0) & counted, targets["foreground"] > 0)]
    best, truth = logits.argmax(1, keepdim=True), targets["classes"][:, None]
    return [((best == value) & counted, (truth == value) & counted) for value in range(1, logits.shape[1])]


def _cases(validation: list[SlicePair], training: list[SlicePair]) -> list[str]:
    """Return the validation data as text: cases, or slabs of cases that are also trained on."""
    trained = {case_of(pair) for pair in training}
    cases = sorted({case_of(pair) for pair in validation})
    return [f"a slab of {case}" if case in trained else case for case in cases]


def freeze(network: PanopticNetwork, layer: FinetuneLayer) -> list[nn.Module]:
    """Freeze the encoder up to ``layer`` and return its frozen modules.

    ``none`` trains nothing of the encoder, ``stage4`` only its last stage, ``stage3`` its last two, and so on;
    ``stage1`` freezes only the stem, ``all`` nothing. Decoders and heads are always trained.
    """
    parts = network.parts()
    count = {"none": 5, "stage4": 4, "stage3": 3, "stage2": 2, "stage1": 1, "all": 0}[layer]
    network.requires_grad_(True)
    for part in parts[:count]:
        part.requires_grad_(False)
    return parts[:count]
