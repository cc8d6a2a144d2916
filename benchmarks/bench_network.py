"""The network on a CPU: planewise against the published order, batch 1 in fp32 through the fused TorchScript export.

A small network is first trained on the synthetic dataset, so that F1 can be compared. MitoNet_v1 (with random weights,
since the cost does not depend on them) is timed on the same slices. One thread; the programs alternate in one run, and
medians are printed.

    python benchmarks/bench_network.py [--tiny]
"""

import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from machine import TINY, describe, peak_memory

from planewise.apps.mito.demo import demo_mito
from planewise.apps.mito.train import train_mito
from planewise.apps.mito.train_options import MitoDemo, MitoTrain
from planewise.data.intensity import IntensityRange
from planewise.data.phantom import write_phantom_dataset
from planewise.device import choose_precision
from planewise.evaluation.evaluate import score_labels
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_classes
from planewise.inference.planes import NetworkPredictor, SliceOptions, plane_outputs, prepared
from planewise.models.panoptic_deeplab import build
from planewise.models.weights import export_torchscript, inference_network
from planewise.volumes.files import open_volume
from planewise.volumes.labels import read_labels
from planewise.volumes.slices import PLANES, as_stack

REPEATS = 1 if TINY else 3
TIMED_SLICES = 1 if TINY else 8
LARGE, NAME = ("mitonet_small", "small, untrained") if TINY else ("mitonet_v1", "MitoNet_v1")
OPTIONS = SliceOptions(IntensityRange(0.0, 255.0), 0.57571, 0.12765, 16)


def published_slices(scripted: torch.jit.ScriptModule, voxels: np.ndarray, plane: str) -> Iterator[SliceOutputs]:
    """Yield the outputs of the export for each slice, one at a time."""
    for slice_ in as_stack(voxels, plane):
        with torch.inference_mode():
            out = scripted(torch.from_numpy(prepared(slice_[None], OPTIONS)[:, None]), 2, False)
        yield SliceOutputs(out["sem_logits"][0, 0].numpy(), out["ctr_hmp"][0, 0].numpy(), out["offsets"][0].numpy())


def time_orders(name: str, weights: Path, voxels: np.ndarray) -> None:
    """Print the seconds per slice of the published order and of planewise's."""
    scripted = torch.jit.load(str(weights)).eval()
    network = inference_network(weights, None, "cpu")
    works = {
        "published order": lambda: list(published_slices(scripted, voxels, "xy")),
        "ours, fp32": lambda: list(plane_outputs(NetworkPredictor(network, False), voxels, "xy", OPTIONS, 4, _ignore)),
        "ours, bf16": lambda: list(plane_outputs(NetworkPredictor(network, True), voxels, "xy", OPTIONS, 4, _ignore)),
    }
    seconds: dict[str, list[float]] = {work: [] for work in works}
    for _ in range(REPEATS + 1):  # the first warms up
        for work, run in works.items():
            started = time.process_time()
            run()
            seconds[work].append((time.process_time() - started) / len(voxels))
    medians = {work: statistics.median(values[1:]) for work, values in seconds.items()}
    print(f"{name}, slices of {voxels.shape[1]}x{voxels.shape[2]}, one thread")
    for work, value in medians.items():
        print(f"  {work:<16}{value:8.3f} CPU s a slice   {medians['published order'] / value:5.2f} times")


def _ignore(steps: int) -> None:
    """Show no progress."""


def compare_f1(weights: Path, dataset: Path) -> None:
    """Print the F1 of both orders on the synthetic test volume."""
    (image,) = (dataset / "imagesTs").glob("*.tiff")
    (truth,) = (dataset / "instancesTs").glob("*.tiff")
    voxels, labels = open_volume(image).read(), read_labels(truth).read()
    scripted, network = torch.jit.load(str(weights)).eval(), inference_network(weights, None, "cpu")
    orders = {
        "published order": lambda plane: published_slices(scripted, voxels, plane),
        "ours, fp32": lambda plane: plane_outputs(NetworkPredictor(network, False), voxels, plane, OPTIONS, 4, _ignore),
        "ours, bf16": lambda plane: plane_outputs(NetworkPredictor(network, True), voxels, plane, OPTIONS, 4, _ignore),
    }
    for name, order in orders.items():
        planes = [gather_classes(order(plane), voxels.shape, plane, GroupingOptions())[0] for plane in PLANES]
        scores = score_labels(labels, consensus(planes, GroupingOptions().fusion(2))[...])
        print(
            f"  {name:<16}F1 {scores['f1_50']:.4f} at 0.5, {scores['f1_75']:.4f} at 0.75; IoU {scores['voxel_iou']:.4f}"
        )


def train_small(folder: Path) -> tuple[Path, Path]:
    """Return the demo's dataset, and the weights of a small network that was trained on it."""
    dataset, models = folder / "Dataset000_Phantom", folder / "Dataset000_Phantom_model"
    if TINY:
        write_phantom_dataset(dataset, 0, (32, 64, 72), (24, 40, 56), 1, bodies=8)
        train_mito(
            MitoTrain(
                dataset_path=dataset,
                model_dir=models,
                base_model="MitoNet_small.yaml",
                model_name="Demo",
                from_scratch=True,
                iterations=1,
                batch_size=2,
                patch_size=64,
                num_workers=0,
                train_planes=("xy",),
            )
        )
    else:
        demo_mito(MitoDemo(folder=folder))
    return dataset, models / "Demo.pth"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(io.StringIO()):
            dataset, small = train_small(Path(folder) / "demo")
        large = Path(folder) / "large.pth"
        torch.manual_seed(0)
        export_torchscript(build(LARGE), large)
        voxels = np.random.default_rng(0).integers(0, 255, (TIMED_SLICES, 256, 256), np.uint8)
        time_orders(NAME, large, voxels)
        time_orders("MitoNet_small", small, voxels)
        compare_f1(small, dataset)
    print(f"  auto is {choose_precision('auto', 'cpu', predicting=True)} on this CPU")
    print(f"  {peak_memory()}, training included; {describe()}")
