"""Four classes carried through a volume: every slice encoded once, against the published order, once for each class.

The same weights (random: the cost does not depend on them) and the same slices, alternating in one run; then the peak
memory of 200 slices, and what bf16 does to Dice on the synthetic chest with a small network trained on it.

    python benchmarks/bench_propagation.py [image size] [slices] [--tiny]
"""

import csv
import io
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from machine import TINY, WORDS, describe, peak_gigabytes

from planewise.inference.prompts import Box, Prompt, tight_box
from planewise.inference.propagation import Encoder, PropagationOptions, propagate
from planewise.models.sam2 import BoxSegmenter, build_sam2

REPEATS = 1 if TINY else 3
SIZE, IMAGE_SIZE = ("mini", 64) if TINY else ("tiny", 512)
# Random weights find no objects: let every track go on to the end, so that both orders do the same work.
OPTIONS = PropagationOptions(least_score=-1e9, least_inside=0.0, least_pixels=1, split=False)
BOXES: list[Box] = [(20, 20, 90, 90), (120, 20, 200, 90), (20, 120, 90, 200), (120, 120, 230, 230)]


def published_order(segmenter: BoxSegmenter, images: np.ndarray) -> np.ndarray:
    """Return the labels, class by class, slice by slice: encode, decode one box, take the next box from the mask."""
    labels, best = np.zeros(images.shape, np.uint8), np.zeros(images.shape, np.float32)
    middle, side = len(images) // 2, images.shape[1]
    for label, start in enumerate(BOXES, 1):
        after_middle = start
        for places in (range(middle, len(images)), range(middle - 1, -1, -1)):
            box = start if places.step > 0 else after_middle
            for z in places:
                low, high = (
                    (max(v - OPTIONS.margin, 0) for v in box[:2]),
                    (min(v + OPTIONS.margin, side) for v in box[2:]),
                )
                with torch.inference_mode():
                    embeddings = segmenter.encode(torch.from_numpy(images[z : z + 1].astype(np.float32) / 255))
                    logits, _ = segmenter.decode(embeddings, torch.tensor([[[*low, *high]]]) / side)
                    full = F.interpolate(logits, size=images.shape[1:], mode="bilinear", align_corners=False)[0, 0]
                wins = full.numpy() > best[z]
                labels[z][wins], best[z][wins] = label, full.numpy()[wins]
                if not (full > 0).any():
                    break
                box = tight_box((full > 0).numpy())
                if z == middle:
                    after_middle = box
    return labels


def compare_orders(image_size: int, count: int) -> None:
    """Print ours, theirs and the ratio, in fp32 and in bf16."""
    torch.manual_seed(0)
    plain = BoxSegmenter(build_sam2(SIZE, image_size)).eval()
    frozen = BoxSegmenter(build_sam2(SIZE, image_size))
    frozen.load_state_dict(plain.state_dict())
    frozen.frozen()
    images = np.random.default_rng(0).integers(0, 255, (count, 256, 256), np.uint8)
    prompts = [Prompt(i + 1, count // 2, box) for i, box in enumerate(BOXES)]

    def ours(half: bool) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return propagate(Encoder(frozen, images), np.ones(count - 1, bool), prompts, OPTIONS, lambda steps: None)

    works = {
        "published order": lambda: published_order(plain, images),
        "ours": lambda: ours(False),
        "ours, bf16": lambda: ours(True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    labels = {}
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.process_time()
            labels[name] = work()
            seconds[name].append(time.process_time() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"4 classes, {count} slices at {image_size}, one thread, {describe()}")
    for name, value in median.items():
        differing = int((labels[name] != labels["published order"]).sum())
        ratio = median["published order"] / value
        print(f"  {name:<16}{value:8.1f} CPU s   {ratio:5.2f} times   {differing} of {images.size} voxels differ")


def product_rates() -> None:
    """Print the GFLOP a second of a linear layer of the encoder, by who computes it."""
    x, weight, bias = torch.randn(4096, 192), torch.randn(768, 192), torch.randn(768)
    half = [tensor.bfloat16() for tensor in (x, weight, bias)]
    works = {
        "fp32, PyTorch's default": lambda: F.linear(x, weight, bias),
        "fp32, oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""),
        "bf16": lambda: F.linear(*half),
    }
    with torch.inference_mode():
        for name, work in works.items():
            work()
            started = time.process_time()
            for _ in range(20):
                work()
            rate = 20 * 2 * x.numel() * len(weight) / (time.process_time() - started) / 1e9
            print(f"  a linear layer, {name}: {rate:.0f} GFLOP a second")


def memory_of(count: int) -> float:
    """Return the GB that carrying boxes through ``count`` slices takes at most beyond the network."""
    segmenter = BoxSegmenter(build_sam2(SIZE, IMAGE_SIZE)).frozen()
    images = np.random.default_rng(0).integers(0, 255, (count, 256, 256), np.uint8)
    before = peak_gigabytes()
    prompts = [Prompt(i + 1, count // 2, box) for i, box in enumerate(BOXES)]
    with torch.autocast("cpu", torch.bfloat16):
        propagate(Encoder(segmenter, images), np.ones(count - 1, bool), prompts, OPTIONS, lambda steps: None)
    return peak_gigabytes() - before


def train_small(folder: Path) -> None:
    """Train a small network on the synthetic chest, the demo's."""
    from planewise.apps.ild.options import IldDemo, IldRun
    from planewise.apps.ild.run import demo_ild, run_ild
    from planewise.data.phantom import write_chest_dataset

    if not TINY:
        demo_ild(IldDemo(folder=folder))
        return
    write_chest_dataset(folder / "Dataset000_Chest", 0, (8, 48, 48), train_cases=3)
    run_ild(
        IldRun(
            dataset_path=folder / "Dataset000_Chest", work_dir=folder / "work", from_scratch=True, epochs=1,
            batch_size=4, image_size=IMAGE_SIZE, min_voxels=0, min_pixels=0, num_workers=0, prompts=("truth",),
        )
    )  # fmt: skip


def dice_of_precisions() -> None:
    """Train a small network on the synthetic chest and print each class's Dice in fp32 and in bf16."""
    from planewise.apps.ild.evaluate import evaluate_ild
    from planewise.apps.ild.options import IldEvaluate, IldPredict
    from planewise.apps.ild.predict import predict_ild
    from planewise.report.class_tables import RESULTS

    found = {}
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        demo = Path(folder) / "demo"
        train_small(demo)
        for precision in ("32", "bf16"):
            out = Path(folder) / precision
            predict_ild(
                IldPredict(
                    input=demo / "work" / "npz_test" / "CT_ILD", output=out, precision=precision,
                    trained_model=str(demo / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"),
                )
            )  # fmt: skip
            evaluate_ild(IldEvaluate(predictions=out, truth=demo / "Dataset000_Chest" / "labelsTs"))
            with (out / "evaluation" / RESULTS).open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            # A class that a patient does not have, and in which nothing was found, has no Dice.
            found[precision] = ", ".join(f"{row['case']} {row['class']} {row['dsc'] or 'undefined'}" for row in rows)
    for precision, scores in found.items():
        print(f"  Dice of the synthetic chest, {precision}: {scores}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if WORDS[:1] == ["memory"]:
        count = int(WORDS[1])
        print(f"  {count} slices at {IMAGE_SIZE}, bf16: {memory_of(count):.2f} GB beyond the network")
    else:
        compare_orders(*([int(word) for word in WORDS] or [IMAGE_SIZE, 4 if TINY else 8]))
        product_rates()
        for slices in (["4", "--tiny"], ["8", "--tiny"]) if TINY else (["100"], ["200"]):
            subprocess.run([sys.executable, __file__, "memory", *slices], check=True)
        dice_of_precisions()
