"""Training on short clips: an object is prompted in one slice and followed through the next ones by SAM2's memory.

As SAM2's own training does (Ravi et al. 2024, arXiv:2408.00714, which takes 8 frames and up to 3 objects), the loss is
on every slice of a clip. Clips are added to the training on boxes: each begins with a slice that is also used alone, so
that boxes stay as good as before. A clip follows the slices of one patient, up or down, until the first missing one.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from planewise.data.prepared import IGNORED, is_object, slices_above
from planewise.errors import PlanewiseError
from planewise.models.sam2_clips import Clips, ClipSegmenter, Tracked
from planewise.progress import warn
from planewise.training.boxes import VALIDATION_SLICES, Answer, BoxTask, dices_of, on_grid, padded, with_score
from planewise.training.losses import cross_entropy, dice_loss, is_there, mean_of, presence_loss, with_total
from planewise.training.prompted_slices import BoxTraining, prepared_slices
from planewise.training.sampling import sample_generator
from planewise.volumes.slices import evenly

MOST_OBJECTS = 3  # followed in a clip
TERMS = ("clip_dice", "clip_ce", "clip_presence", "clip_iou")
CLIP = "clip_"  # before the names of what a batch holds of clips
UNTRAINED = ("no_memory_positional_encoding", "mask_downsample.weight", "mask_downsample.bias")  # of other prompts


class ClipTask(BoxTask):
    """Fine-tuning of a ``ClipSegmenter`` on slices, of which every ``length``-th begins a clip of ``length`` slices.

    So about as many slices are used in clips as alone, and longer clips need no more memory if batches have the same
    number of slices.
    """

    network: ClipSegmenter

    def __init__(
        self,
        network: ClipSegmenter,
        train_folder: Path,
        validation_folder: Path,
        options: BoxTraining,
        length: int,
        patients: tuple[Path, Path],
    ) -> None:
        """``patients``: the folders of the prepared patients that the slices of the two folders were cut from."""
        super().__init__(network, train_folder, validation_folder, options)
        self.length = length
        video = network.memory.network
        for name in UNTRAINED:
            video.get_parameter(name).requires_grad_(False)
        if "decoder" in options.parts:  # it chooses one of three masks in all slices of a clip except the first
            network.network.mask_decoder.iou_prediction_head.requires_grad_(True)
        above: dict[Path, Path] = {}
        for folder, cut_from in zip((train_folder, validation_folder), patients, strict=True):
            above |= slices_above(prepared_slices(folder), cut_from)
        self.next = {+1: above, -1: {upper: lower for lower, upper in above.items()}}
        self.beginning = [slice_ for slice_ in self.slices if self._goes_on(slice_)]
        if not self.beginning:
            raise PlanewiseError(
                f"--train_clips {length}: no labelled slice of {train_folder} has the slice above or below beside it; "
                "prepare more of them with planewise ild prepare --slices all, or train without clips"
            )
        of_validation = [slice_ for slice_ in self.validation if self._goes_on(slice_)]
        self.validation_clips = evenly(of_validation, max(1, VALIDATION_SLICES // length))
        if not of_validation:
            warn("no validation slice has a neighbour: the best step is chosen by boxes only")

    def _goes_on(self, slice_: Path) -> bool:
        beside = any(slice_ in following for following in self.next.values())
        return beside and bool(is_object(np.load(slice_.parent.parent / "gts" / slice_.name, mmap_mode="r")).any())

    def sample(self, index: int) -> dict[str, np.ndarray]:
        slice_, rng = self._slice(index), sample_generator(self.options.seed, index)
        if index % self.length:
            return self.shown.read(slice_, rng)
        choose = np.random.default_rng([self.options.seed, index, self.length])  # so that ``rng`` is as without a clip
        ways = [way for way in self.next if slice_ in self.next[way]]
        return self._read_clip(self._clip(slice_, int(choose.choice(ways)) if ways else 0), rng, choose)

    def _clip(self, slice_: Path, way: int) -> list[Path]:
        """Return the slices from ``slice_`` on, upwards (+1) or downwards (-1), up to the first gap."""
        clip = [slice_]
        while len(clip) < self.length and clip[-1] in self.next.get(way, {}):
            clip.append(self.next[way][clip[-1]])
        return clip

    def _read_clip(
        self, clip: list[Path], rng: np.random.Generator | None, choose: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Return the first slice as ``PromptedSlices.read`` does, with the objects followed in the ``clip``, if any.

        ``clip_images`` (T - 1, R, R); ``clip_counted`` (T, 256, 256); of O objects, all or up to ``MOST_OBJECTS`` that
        ``choose`` takes: ``clip_boxes`` (O, 4), ``clip_masks`` (O, T, 256, 256) and ``clip_places`` (O,) of their
        classes among the tokens, -1 without one.
        """
        views = self.shown.views(clip, rng)
        sample = self.shown.prompted(views[0], rng)
        labels = np.stack([labels for _, labels, _ in views])
        classes = np.unique(labels[0][is_object(labels[0])])
        most = 1 if self.options.one_class else MOST_OBJECTS
        if choose is not None and len(classes) > most:
            classes = np.sort(choose.choice(classes, most, replace=False))
        if len(clip) == 1 or not len(classes):
            return sample
        masks = labels[None] == classes[:, None, None, None]
        return sample | {
            "clip_images": np.stack([image for image, _, _ in views[1:]]),
            "clip_counted": labels != IGNORED,
            "clip_boxes": self.shown.boxes(list(masks[:, 0]), choose),
            "clip_masks": masks.astype(np.float32),
            "clip_places": np.array([self.network.classes.get(value, -1) for value in classes.tolist()], np.int64),
        }

    def collate(self, samples: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        """See ``Task``: the batch of ``BoxTask``, and ``Clips`` with the truth of their objects, if there are any.

        ``clip_true`` (K + F, 256, 256) and ``clip_counted`` are of the slices in which objects are predicted, in
        the order of ``Tracked``: first those in which they start.
        """
        batch = super().collate(samples)
        clips = {place: sample for place, sample in enumerate(samples) if "clip_images" in sample}
        if not clips:
            return batch
        these = list(clips.values())
        counts = [len(sample["clip_boxes"]) for sample in these]
        most = max(counts)
        true = [sample["clip_masks"] for sample in these]
        counted = [np.broadcast_to(sample["clip_counted"], mask.shape) for sample, mask in zip(these, true)]
        arrays = {
            "images": np.concatenate([sample["clip_images"] for sample in these]),
            "first": np.array(list(clips)),
            "lengths": np.array([len(sample["clip_counted"]) for sample in these]),
            "boxes": padded([sample["clip_boxes"] for sample in these], most),
            "places": padded([sample["clip_places"] for sample in these], most),
            "valid": np.arange(most) < np.array(counts)[:, None],
            "true": in_order(true),
            "counted": in_order(counted),
        }
        return batch | {f"{CLIP}{name}": torch.from_numpy(array) for name, array in arrays.items()}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``BoxTask``; in clips, an object that has ended is trained as absent, and Dice is over the others."""
        alone, tracked = self._seen(network, batch)
        return with_total(self._terms(*alone) | self._clip_terms(tracked, batch))

    def _seen(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[list[Answer | None], Tracked | None]:
        """Return the answers to prompts in single slices, and the predictions in clips."""
        clips = Clips(*(batch[f"{CLIP}{name}"] for name in Clips._fields)) if "clip_images" in batch else None
        asked = (batch.get(name) for name in ("boxes", "asked_boxes", "asked_classes"))
        boxed, within, tracked = network(batch["image"], *asked, clips)
        return self._answers((boxed, within), batch), tracked

    def _clip_terms(self, tracked: Tracked | None, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if tracked is None:  # processes that share batches wait for the gradients of all trained parts
            head = self.network.network.mask_decoder.iou_prediction_head
            waited_for = [*self.network.memory.parameters(), *head.parameters()]
            nothing = batch["image"].new_zeros(())
            for parameter in waited_for:
                if parameter.requires_grad:
                    nothing = nothing + 0 * parameter.sum()
            return dict.fromkeys(TERMS, nothing)
        true, counted = batch["clip_true"], batch["clip_counted"]
        count = len(tracked.starts)
        offered = on_grid(tracked.followed[None])[0]
        logits = torch.cat([on_grid(tracked.starts[None])[0, :, 0], offered.flatten(0, 1)])
        # Any of the three masks may be chosen: all are trained alike.
        of_masks, counted_of_masks = (
            torch.cat([of[:count], of[count:].repeat_interleave(offered.shape[1], dim=0)]) for of in (true, counted)
        )
        there = is_there(of_masks)
        after, in_after = true[count:, None] > 0, counted[count:, None]
        shared, either = (
            (both & in_after).sum((2, 3)) for both in ((offered > 0) & after, (offered > 0) | after)
        )  # unknown where voxels are ignored
        errors = (tracked.ious - shared / either.clamp(min=1)).abs()
        return {
            "clip_dice": dice_loss(logits[there], of_masks[there], counted_of_masks[there]),
            "clip_ce": cross_entropy(logits, of_masks, counted_of_masks),
            "clip_presence": presence_loss(torch.cat([tracked.start_scores, tracked.scores]), true, counted),
            "clip_iou": mean_of(errors[is_there(true[count:])]),
        }

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """See ``BoxTask``; adds ``clip_dice``, which counts in the score: the mean over objects followed by memory.

        For each object it is the Dice of all slices after the first together, as in a volume, so that predictions after
        its end count too.
        """
        means = super().validate(device)
        dices: list[float] = []
        for slice_ in self.validation_clips:
            clip = max((self._clip(slice_, way) for way in self.next), key=len)
            batch = {name: t.to(device) for name, t in self.collate([self._read_clip(clip, None, None)]).items()}
            _, tracked = self._seen(self.network, batch)
            assert tracked is not None
            dices += self._volume_dices(tracked, batch)
        if not dices:
            return means
        return with_score(means | {"clip_dice": sum(dices) / len(dices)})

    def _volume_dices(self, tracked: Tracked, batch: dict[str, Tensor]) -> list[float]:
        """Return the Dice in the slices after the first, for each object of one clip that occurs in them."""
        count = len(tracked.starts)
        best = tracked.ious.argmax(1)
        chosen = on_grid(tracked.followed[None])[0][torch.arange(len(best), device=best.device), best]
        shown = (chosen > 0) & (tracked.scores > 0)[:, None, None] & batch["clip_counted"][count:]
        volumes = (masks.unflatten(0, (count, -1)) for masks in (shown, batch["clip_true"][count:] > 0))
        flat = [(ours.flatten()[None, None], true.flatten()[None, None]) for ours, true in zip(*volumes, strict=True)]
        return [dice for ours, true in flat if true.any() for dice in dices_of(ours, true)]


def in_order(arrays: list[np.ndarray]) -> np.ndarray:
    """Return the truth of the objects (O, T, H, W) of each clip in the order of ``Tracked`` (K + F, H, W)."""
    starts = [array[:, 0] for array in arrays]
    return np.concatenate([*starts, *(array[:, 1:].reshape(-1, *array.shape[2:]) for array in arrays)])
