"""Four classes propagated through a volume: every slice encoded once, against the published order, once per class.

Both use the same weights (random, since the cost does not depend on them) and the same slices, and alternate in one
run. Then come boxes against SAM2's memory, the peak memory of 200 slices with each, and the effect of bf16 on Dice, on
the synthetic chest with a small network trained on it.

    python benchmarks/bench_propagation.py [image size] [slices] [--tiny]
    python benchmarks/bench_propagation.py ways IMAGE_SIZE SLICES  # boxes and memory alone
"""

import csv
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from machine import TINY, WORDS, describe, peak_gigabytes

from planewise.inference.encoder import Encoder
from planewise.inference.object_memory import propagate_memory
from planewise.inference.prompts import Box, Prompt, tight_box
from planewise.inference.propagation import Propagation, PropagationOptions, pieces, propagate
from planewise.models.sam2 import BoxSegmenter, build_sam2
from planewise.models.sam2_files import Sam2Weights
from planewise.models.sam2_memory import MemorySegmenter
from planewise.models.sam2_names import to_meta, to_transformers
from planewise.volumes.parts import connected_parts

REPEATS = 1 if TINY else 3
SIZE, IMAGE_SIZE = ("mini", 64) if TINY else ("tiny", 512)
# Random weights detect no objects: tracks must not end early, so that both orders do the same work.
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
    """Print the seconds of both orders and their ratio, planewise's in fp32 and in bf16."""
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


def with_memory(image_size: int) -> Sam2Weights:
    """Return random weights of SAM2's video model of the published tiny size, with high object scores."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    network, side = build_sam2("tiny", image_size), image_size // 16
    parts = {
        part: {key: value for key, value in getattr(network.config, part).to_dict().items() if key != "model_type"}
        for part in ("prompt_encoder_config", "mask_decoder_config")
    }
    config = Sam2VideoConfig(
        vision_config=network.config.vision_config.to_dict(),
        image_size=image_size,
        enable_occlusion_spatial_embedding=True,
        enable_temporal_pos_encoding_for_object_pointers=True,
        memory_attention_rope_feat_sizes=[side, side],
        **parts,
    )
    state = to_meta(Sam2VideoModel(config).state_dict())
    with torch.no_grad():
        network.mask_decoder.pred_obj_score_head.proj_out.bias += 5
    return Sam2Weights(network, "tiny", "2.1", to_transformers(state)[1])


def of_propagation(way: str, weights: Sam2Weights) -> Propagation:
    """Return the propagation by boxes or by memory."""
    if way == "boxes":
        return propagate
    return partial(propagate_memory, segmenter=MemorySegmenter(weights, Path("random")).frozen())


def compare_propagations(image_size: int, count: int) -> None:
    """Print the cost of boxes and of memory for one object and for four, encoding included."""
    torch.manual_seed(0)
    weights = with_memory(image_size)
    ways = {way: of_propagation(way, weights) for way in ("boxes", "memory")}
    segmenter = BoxSegmenter(weights.network).frozen()
    images = np.random.default_rng(0).integers(0, 255, (count, 256, 256), np.uint8)
    for objects in (1, 4):
        prompts = [Prompt(i + 1, count // 2, box) for i, box in enumerate(BOXES[:objects])]
        for way, propagation in ways.items():
            seen: list[int] = []
            start = time.process_time()
            propagation(Encoder(segmenter, images), np.ones(count - 1, bool), prompts, OPTIONS, seen.append)
            seconds = (time.process_time() - start) / sum(seen)
            print(f"  {way:<8}{objects} objects, {sum(seen)} slices at {image_size}: {seconds:.2f} CPU s a slice")


def product_rates() -> None:
    """Print the GFLOP per second of a linear layer of the encoder, by library."""
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


def memory_of(count: int, way: str) -> float:
    """Return the peak memory, in GB beyond the network, of propagating four objects through ``count`` slices."""
    weights = with_memory(IMAGE_SIZE)
    propagation = of_propagation(way, weights)
    segmenter = BoxSegmenter(weights.network).frozen()
    images = np.random.default_rng(0).integers(0, 255, (count, 256, 256), np.uint8)
    before = peak_gigabytes()
    prompts = [Prompt(i + 1, count // 2, box) for i, box in enumerate(BOXES)]
    with torch.autocast("cpu", torch.bfloat16):
        propagation(Encoder(segmenter, images), np.ones(count - 1, bool), prompts, OPTIONS, lambda steps: None)
    return peak_gigabytes() - before


def train_small(folder: Path) -> None:
    """Train a small network on the demo's synthetic chest."""
    from planewise.apps.ild.options import IldDemo, IldRun
    from planewise.apps.ild.run import demo_ild, run_ild
    from planewise.data.phantom import write_chest_dataset

    if not TINY:
        demo_ild(IldDemo(folder=folder))
        return
    write_chest_dataset(folder / "Dataset000_Chest", 0, (8, 48, 48), train_cases=3)
    run_ild(
        IldRun(
            dataset_path=folder / "Dataset000_Chest",
            work_dir=folder / "work",
            from_scratch=True,
            epochs=1,
            batch_size=4,
            image_size=IMAGE_SIZE,
            min_voxels=0,
            min_pixels=0,
            num_workers=0,
            prompts=("truth",),
        )
    )


def dice_of_precisions() -> None:
    """Train a small network on the synthetic chest and print each class's Dice in fp32 and in bf16."""
    from planewise.apps.ild.evaluate import evaluate_ild
    from planewise.apps.ild.label_options import IldEvaluate
    from planewise.apps.ild.options import IldPredict
    from planewise.apps.ild.predict import predict_ild
    from planewise.report.class_tables import RESULTS

    by_precision = {}
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        demo = Path(folder) / "demo"
        train_small(demo)
        for precision in ("32", "bf16"):
            out = Path(folder) / precision
            predict_ild(
                IldPredict(
                    input=demo / "work" / "npz_test" / "CT_ILD",
                    output=out,
                    precision=precision,
                    trained_model=str(demo / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"),
                )
            )
            evaluate_ild(IldEvaluate(predictions=out, truth=demo / "Dataset000_Chest" / "labelsTs"))
            with (out / "evaluation" / RESULTS).open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            # A class that neither the truth nor the prediction of a patient has, has no Dice.
            by_precision[precision] = ", ".join(
                f"{row['case']} {row['class']} {row['dsc'] or 'undefined'}" for row in rows
            )
    for precision, scores in by_precision.items():
        print(f"  Dice of the synthetic chest, {precision}: {scores}")


def many_parts() -> None:
    """Print the time for a mask of hundreds of parts, as poor models make them, by windows and by whole slices."""
    side = 64 if TINY else 512
    y, x = np.mgrid[:side, :side]
    mask = np.hypot(y - side / 2, x - side / 2) + np.random.default_rng(0).normal(0, side / 100, y.shape) < side / 3

    def whole_slices() -> list[int]:
        parts = connected_parts(mask, 8)
        return [int((parts == part).sum()) for part in range(1, int(parts.max()) + 1)]

    def windows() -> list[int]:
        return [int(piece.sum()) for _, piece in pieces(mask, split=True)]

    assert sorted(windows()) == sorted(whole_slices())
    seconds: dict[Callable[[], list[int]], list[float]] = {whole_slices: [], windows: []}
    for _ in range(REPEATS):
        for way, times in seconds.items():
            started = time.thread_time()
            way()
            times.append(time.thread_time() - started)
    before, after = (statistics.median(times) for times in seconds.values())
    print(
        f"  {len(windows())} parts of a mask, {side} x {side}: {1e3 * before:.1f} ms -> {1e3 * after:.1f} ms,", end=""
    )
    print(f" {before / after:.0f} times faster")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if WORDS[:1] == ["memory"]:
        count, way = int(WORDS[1]), WORDS[2]
        print(f"  {way}, {count} slices at {IMAGE_SIZE}, bf16: {memory_of(count, way):.2f} GB beyond the network")
    elif WORDS[:1] == ["ways"]:
        compare_propagations(int(WORDS[1]), int(WORDS[2]))
    else:
        compare_orders(*([int(word) for word in WORDS] or [IMAGE_SIZE, 4 if TINY else 8]))
        compare_propagations(IMAGE_SIZE, 4 if TINY else 16)
        product_rates()
        many_parts()
        tiny = ["--tiny"] if TINY else []
        for way in ("boxes", "memory"):
            for slices in ("4", "8") if TINY else ("100", "200"):
                subprocess.run([sys.executable, __file__, "memory", slices, way, *tiny], check=True)
        dice_of_precisions()
