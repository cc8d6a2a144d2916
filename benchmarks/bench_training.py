"""Training of MitoNet: the speed of the loader and of the network, on two cores.

The published recipe's step is float32 in the default memory layout. planewise uses the same batch and precision in
channels_last, and then bf16. The slices are random, in a folder of the published form. The programs alternate in one
run, and medians are printed.

    python benchmarks/bench_training.py [--tiny]
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from machine import TINY, describe, peak_memory
from torch.utils.data import DataLoader

from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.panoptic_deeplab import build
from planewise.training.panoptic import PanopticTask
from planewise.training.sampling import SampleRange

BATCH = 4
REPEATS = 1 if TINY else 3
SIDE = 512
NETWORKS = ("mitonet_small_unet32",) if TINY else ("mitonet_v1", "mitonet_small_unet32")


class Samples(torch.utils.data.Dataset):
    """A task's samples by number."""

    def __init__(self, task: PanopticTask) -> None:
        self.task = task

    def __getitem__(self, index: int) -> object:
        return self.task.sample(index)


def write_slices(folder: Path) -> None:
    """Write slices with about 40 objects each, in the published form."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:SIDE, :SIDE]
    for i in range(24):
        labels = np.zeros((SIDE, SIDE), np.int32)
        for label in range(1, 41):
            cy, cx, radius = *rng.uniform(0, SIDE, 2), rng.uniform(8, 24)
            labels[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = label
        image = (rng.normal(150, 20, labels.shape) - 60 * (labels > 0)).clip(0, 255).astype(np.uint8)
        for kind, array in (("images", image), ("masks", labels)):
            path = folder / "train" / kind / f"s_xy_{i:04d}.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array, compression="zlib")
        for kind, array in (("raw", image), ("labels", labels)):
            path = folder / "val" / kind / f"s_xy_{i:04d}.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            if i < 2:
                tifffile.imwrite(path, array, compression="zlib")


def loader_rate(task: PanopticTask, workers: int) -> float:
    """Return the crops per second that the loader alone delivers."""
    count = 4 if TINY else 40  # batches
    loader = DataLoader(
        Samples(task), 16, sampler=SampleRange(0, count, 16, 0, 1), num_workers=workers, collate_fn=task.collate
    )
    batches = iter(loader)
    next(batches)  # starting the workers is not counted
    started = time.perf_counter()
    delivered = sum(len(batch["image"]) for batch in batches)
    return delivered / (time.perf_counter() - started)


def step_seconds(task: PanopticTask, batch: dict[str, torch.Tensor], half: bool) -> float:
    """Return the CPU seconds of one training step."""
    started = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        total = task.loss(task.network, batch)["total"]
    total.backward()
    task.network.zero_grad(set_to_none=True)
    return time.process_time() - started


def main(folder: Path) -> None:
    """Print the rates."""
    write_slices(folder)
    model = read_model_file(find_model_file("MitoNet_v1.yaml"))
    for name in NETWORKS:
        ours, theirs = (PanopticTask(build(name), model, folder, 256, "all", 0) for _ in range(2))
        theirs.network.to(memory_format=torch.contiguous_format)
        if name == NETWORKS[0]:
            rates = {workers: loader_rate(ours, workers) for workers in (1, 2)}
            print(f"loader, crops of 256 from slices of {SIDE}")
            for workers, rate in rates.items():
                print(f"  {workers} worker{'s' * (workers > 1)}: {rate:.0f} crops a second")
        batch = ours.collate([ours.sample(i) for i in range(BATCH)])
        works = {
            "published recipe, fp32": (theirs, False),
            "ours, fp32": (ours, False),
            "ours, bf16": (ours, True),
        }
        seconds: dict[str, list[float]] = {work: [] for work in works}
        for _ in range(REPEATS + 1):
            for work, (task, half) in works.items():
                task.train_mode()
                seconds[work].append(step_seconds(task, batch, half))
        medians = {work: statistics.median(values[1:]) for work, values in seconds.items()}
        print(f"{name}, batch {BATCH} of 256, one thread")
        for work, value in medians.items():
            ratio = medians["published recipe, fp32"] / value
            print(f"  {work:<24}{BATCH / value:7.1f} images a second   {ratio:5.2f} times")
    print(f"  {peak_memory()}; {describe()}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as where:
        main(Path(where))
