"""What SAM2's stability fallback costs: masks of boxes from the ground truth, with and without it.

Each MODEL is a medsam_model_*.pth that was trained on chest phantoms, as planewise demo ild writes it. The boxes are
those of every class in every slice of phantoms that were in no training. Without MODEL one is trained in seconds, whose
numbers mean nothing.

    python benchmarks/bench_fallback.py [--tiny] [MODEL ...]
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from machine import TINY, WORDS, describe

from planewise.apps.ild.options import WINDOWS
from planewise.cli import run
from planewise.data.phantom import CHEST_CLASSES, chest_phantom, write_chest_dataset
from planewise.data.window import apply_window
from planewise.inference.prompts import tight_box
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import load_sam2

SHAPE = (10, 64, 64) if TINY or not WORDS else (24, 128, 128)
PHANTOMS = 1 if TINY or not WORDS else 8
FIRST_SEED = 900_000  # higher than the seeds of all demos
Slice = tuple[np.ndarray, np.ndarray]  # window applied, in 0..1; truth


def slices() -> list[Slice]:
    """Return the slices of the phantoms that show a class."""
    shown = []
    for seed in range(FIRST_SEED, FIRST_SEED + PHANTOMS):
        hu, truth = chest_phantom(SHAPE, seed)
        shown += [
            (apply_window(hu, *WINDOWS["lung"])[z] / 255, truth[z]) for z in np.flatnonzero(truth.any(axis=(1, 2)))
        ]
    return shown


@torch.inference_mode()
def masks_of(segmenter: BoxSegmenter, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the mask of each box (boxes, H, W)."""
    height, width = image.shape
    shares = torch.from_numpy(boxes / np.array([width, height, width, height])).float()[None]
    logits, _ = segmenter.decode(segmenter.encode(torch.from_numpy(image).float()[None]), shares)
    return F.interpolate(logits, size=image.shape, mode="bilinear", align_corners=False)[0].numpy() > 0


def compare(model: Path, shown: list[Slice]) -> str:
    """Return a row: the pooled Dice without and with the fallback, and how many masks it replaces."""
    weights = load_sam2(model, None)
    segmenters = [BoxSegmenter(weights.network, fallback=on) for on in (False, True)]
    shared, both = np.zeros(2), np.zeros(2)
    boxes_seen = replaced = 0
    for image, truth in shown:
        true = np.stack([truth == label for label in CHEST_CLASSES.values() if (truth == label).any()])
        boxes = np.array([tight_box(mask) for mask in true])
        first, other = (masks_of(segmenter, image, boxes) for segmenter in segmenters)
        shared += [(first & true).sum(), (other & true).sum()]
        both += [first.sum() + true.sum(), other.sum() + true.sum()]
        boxes_seen += len(boxes)
        replaced += int((first != other).any(axis=(1, 2)).sum())
    dice = 2 * shared / both
    return f"| `{model}` | {dice[0]:.3f} | {dice[1]:.3f} | {replaced} of {boxes_seen} |"


def trained_in(folder: Path) -> Path:
    """Return a model, trained for an epoch on tiny phantoms."""
    write_chest_dataset(folder / "data", 0, SHAPE, train_cases=2)
    work = folder / "work"
    smallest = ["--min_voxels", "0", "--min_pixels", "0", "--num_workers", "0"]
    assert run(["ild", "prepare", str(folder / "data"), str(work), *smallest]) == 0
    training = ["--from_scratch", "--image_size", "64", "--epochs", "1", "--batch_size", "4", "--num_workers", "0"]
    assert run(["ild", "train", str(work), "--train_prompts", "mixed", *training]) == 0
    return next(work.glob("*/medsam_model_best.pth"))


print(describe())
with tempfile.TemporaryDirectory() as temporary:
    models = [Path(word) for word in WORDS] or [trained_in(Path(temporary))]
    shown = slices()
    print("| model | pooled Dice, first masks | with the fallback | masks replaced |\n|---|---|---|---|")
    for model in models:
        print(compare(model, shown))
