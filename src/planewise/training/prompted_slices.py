"""Prepared slices as SAM2 sees them in training, and their prompts."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from planewise.data.prepared import GRID, IGNORED, is_object, nearest_grid
from planewise.errors import PlanewiseError
from planewise.inference.prompts import tight_box
from planewise.progress import counted
from planewise.training.augment import random_crop

TrainPart = Literal["encoder", "decoder", "memory"]
PromptKind = Literal["truth", "organ"]
View = tuple[np.ndarray, np.ndarray, np.ndarray]  # image (R, R) in 0..1, labels and organ (256, 256) of a slice


@dataclass(frozen=True)
class BoxTraining:
    """How slices are shown.

    ``prompts``: "truth" (a box around each object), "organ" (the organ's box, with the token of each class), or both.
    ``bbox_shift``: boxes are moved outward by up to this many pixels of the 256 grid; ``one_class``: one random class
    of each slice instead of all, for boxes; ``scale_range``: range of a random magnification of training slices, which
    are then also turned, flipped and changed in contrast (None, as published: none of this); ``upright``: hardly
    turned, and not flipped.
    """

    parts: tuple[TrainPart, ...] = ("encoder", "decoder")
    prompts: tuple[PromptKind, ...] = ("truth",)
    bbox_shift: int = 5
    one_class: bool = False
    scale_range: tuple[float, float] | None = None
    upright: bool = False
    seed: int = 0


class PromptedSlices:
    """Slices of prepared folders, resized and augmented, with boxes of their objects."""

    def __init__(self, options: BoxTraining, image_size: int, classes: dict[int, int]) -> None:
        """``image_size``: side R of the network's input; ``classes``: the token's place for each class that has one."""
        self.options, self.image_size, self.classes = options, image_size, classes

    def usable_in(self, folder: Path) -> list[Path]:
        """Return the slices of ``folder`` with an object or, if the organ is a prompt, with the organ.

        The list is empty if no slice has an object.
        """
        slices = prepared_slices(folder)
        if "organ" in self.options.prompts and slices and not (folder / "organs").is_dir():
            raise PlanewiseError(f"{folder}: has no organs/, to take boxes from; run planewise ild prepare again")
        labelled = [path for path in slices if is_object(np.load(folder / "gts" / path.name, mmap_mode="r")).any()]
        if "organ" not in self.options.prompts or not labelled:
            return labelled
        with_organ = [path for path in slices if np.load(folder / "organs" / path.name, mmap_mode="r").any()]
        return sorted({*with_organ, *(labelled if "truth" in self.options.prompts else [])})

    def read(self, slice_: Path, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Return a slice with its prompts; ``rng`` augments and chooses; see ``prompted``."""
        (view,) = self.views([slice_], rng)
        return self.prompted(view, rng)

    def views(self, slices: list[Path], rng: np.random.Generator | None) -> list[View]:
        """Return slices of one patient as the network sees them, all augmented in the same way as the first."""
        views = [self._load(slice_) for slice_ in slices]
        if rng is None or self.options.scale_range is None:
            return views
        alike = [rng, *(copy.deepcopy(rng) for _ in views[1:])]
        moved = [self._moved(view, its) for view, its in zip(views, alike, strict=True)]
        _, labels, organ = moved[0]
        return moved if is_object(labels).any() or organ.any() else views  # otherwise everything was cropped away

    def _moved(self, view: View, rng: np.random.Generator) -> View:
        """Return a random crop of a slice, magnified, turned and changed in contrast."""
        image, labels, organ = view
        side = self.image_size
        both = nearest_grid(organ, side).astype(np.int32) << 8 | nearest_grid(labels, side)
        assert self.options.scale_range is not None
        image, both = random_crop(image, both, side, self.options.scale_range, rng, self.options.upright)
        both = nearest_grid(both)
        return image, both & 255, both >> 8

    def prompted(self, view: View, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Return a slice with its prompts; ``rng`` augments and chooses.

        ``image`` (R, R) in 0..1; ``counted`` (256, 256), False where ignored; ``boxes`` (P, 4) in 0..1 and their
        ``masks`` (P, 256, 256); the same for prompts with a token: ``asked_boxes``, ``asked_masks``, and
        ``asked_classes`` (Q,), the places of the tokens.
        """
        image, labels, organ = view
        classes = np.unique(labels[is_object(labels)]) if "truth" in self.options.prompts else np.zeros(0, np.uint8)
        if self.options.one_class and rng is not None and len(classes):
            classes = rng.choice(classes, 1)
        masks = labels[None] == classes[:, None, None]
        sample = {"image": image, "counted": labels != IGNORED}
        sample |= {"boxes": self.boxes(list(masks), rng), "masks": masks.astype(np.float32)}
        if "organ" in self.options.prompts:
            sample |= self._asked(labels, organ, classes, rng)
        return sample

    def _asked(
        self, labels: np.ndarray, organ: np.ndarray, classes: np.ndarray, rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Return the prompts with a token: each class within the organ, and the boxes of ``classes`` once more."""
        place = self.classes
        asked = [*place] * bool(organ.any()) + [value for value in classes.tolist() if value in place]
        masks = labels[None] == np.array(asked, labels.dtype)[:, None, None]
        within = [organ > 0] * (len(place) if organ.any() else 0)
        return {
            "asked_boxes": self.boxes([*within, *masks[len(within) :]], rng),
            "asked_classes": np.array([place[value] for value in asked], np.int64),
            "asked_masks": masks.astype(np.float32),
        }

    def _load(self, slice_: Path) -> View:
        """Return a slice without augmentation."""
        try:
            image, labels = (
                np.load(slice_.parent.parent / kind / slice_.name, allow_pickle=False) for kind in ("imgs", "gts")
            )
            organ = np.zeros_like(labels)
            if "organ" in self.options.prompts:
                organ = np.load(slice_.parent.parent / "organs" / slice_.name, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PlanewiseError(f"{slice_}: cannot be read ({error}); run planewise ild prepare again") from error
        side = self.image_size
        pixels = torch.from_numpy(image[..., 0].astype(np.float32) / 255)[None, None]
        resized = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)
        return resized[0, 0].numpy(), labels, organ

    def boxes(self, masks: list[np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
        """Return the boxes (P, 4) of masks on the 256 grid, as shares of it."""
        boxes = np.array([tight_box(mask) for mask in masks], np.float32).reshape(-1, 4)
        if rng is not None and self.options.bbox_shift:
            boxes += rng.integers(0, self.options.bbox_shift + 1, boxes.shape) * np.array([-1, -1, 1, 1])
        return (np.clip(boxes, 0, GRID) / GRID).astype(np.float32)


def prepared_slices(folder: Path) -> list[Path]:
    """Return the images of ``folder``/imgs, by name. Raises PlanewiseError if one has no labels."""
    if not (folder / "imgs").is_dir():
        return []
    paths = sorted((folder / "imgs").glob("*.npy"))
    missing = [path.name for path in paths if not (folder / "gts" / path.name).exists()]
    if missing:
        raise PlanewiseError(f"{folder}: {counted(len(missing), 'slice')} without gts: {', '.join(missing[:5])}")
    return paths


def classes_in(folder: Path) -> list[int]:
    """Return the classes that the slices of ``folder`` hold, by number."""
    values = {int(v) for path in prepared_slices(folder) for v in np.unique(np.load(folder / "gts" / path.name))}
    return sorted(values - {0, IGNORED})
