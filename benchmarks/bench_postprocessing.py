"""3D post-processing: from a perfect network's outputs in three planes to the final volume, with one thread and two.

It runs on the reference's ``orthoplane_small`` and ``orthoplane_large`` volumes, and prints the published
implementation's cost for the same work, as the reference states it (the implementation cannot be installed on current
Python). Then it measures how the cost grows: 1/8, 1 and 8 times the voxels of the large volume, and one object of 2
million voxels. Without the reference folder the volumes are phantoms of the same sizes, and there is nothing to compare
with.

    python benchmarks/bench_postprocessing.py [--tiny]
"""

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import TINY, describe, peak_gigabytes, peak_memory

from planewise.data.phantom import em_phantom
from planewise.evaluation.evaluate import score_labels
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_classes
from planewise.models.panoptic_loss import panoptic_targets
from planewise.volumes.slices import AXIS, PLANES, as_stack, pad_to_factor

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "mitonet"
PUBLISHED = {"small": (11.2, 0.87), "large": (209.0, 3.05)}  # CPU seconds, peak GB: the reference's README
REPEATS = 1 if TINY else 5
SHAPES = {"small": (128, 256, 256), "large": (256, 512, 512)}
if TINY:
    SHAPES = {"small": (24, 48, 48), "large": (48, 96, 96)}
BODIES = 120 / (128 * 256 * 256)  # a voxel
PUBLISHED_QUADRATIC = (33.0, 2e5)  # seconds of consensus for one object of that many runs: the reference's README

Outputs = dict[str, list[SliceOutputs]]


class Seconds(NamedTuple):
    """Wall, user and system seconds; the system's are mostly those of obtaining memory."""

    wall: float
    user: float
    system: float

    @property
    def cpu(self) -> float:
        """User and system seconds."""
        return self.user + self.system


def now() -> Seconds:
    """Return the clocks of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Seconds(time.perf_counter(), usage.ru_utime, usage.ru_stime)


def outputs_of(truth: np.ndarray) -> Outputs:
    """Return the outputs of a perfect network for all slices of all planes."""
    return {
        plane: [slice_outputs(slice_, plane, i) for i, slice_ in enumerate(as_stack(truth, plane))] for plane in PLANES
    }


def slice_outputs(labels: np.ndarray, plane: str, index: int) -> SliceOutputs:
    """Return the outputs for one slice (H, W): certain inside objects, with noise that the slice's place determines."""
    padded = pad_to_factor(labels, 16)
    heatmap, offsets = panoptic_targets(padded)
    noise = np.random.default_rng([7, AXIS[plane], index]).standard_normal(padded.shape)
    return SliceOutputs(
        (np.where(padded > 0, 4.0, -4.0) + noise).astype(np.float32),
        np.ascontiguousarray(heatmap[0, ::4, ::4]),
        np.ascontiguousarray(offsets[:, ::4, ::4]),
    )


def volumes_of(which: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the truth of a volume, and the published result for it if the reference folder exists."""
    if REFERENCE.is_dir() and not TINY:
        reference = np.load(REFERENCE / f"orthoplane_{which}.npz")
        return reference["gt"], reference["consensus"]
    shape = SHAPES[which]
    return em_phantom(shape, round(BODIES * np.prod(shape)) + 1, 0)[1], None


def tiled(outputs: Outputs, times: int) -> Callable[[str], list[SliceOutputs]]:
    """Return a function that gives a plane's outputs for the volume repeated ``times`` along each axis."""

    def plane_outputs(plane: str) -> list[SliceOutputs]:
        once = [
            SliceOutputs(
                np.tile(slice_.logits, (times, times)),
                np.tile(slice_.heatmap, (times, times)),
                np.tile(slice_.offsets, (1, times, times)),
            )
            for slice_ in outputs[plane]
        ]
        return once * times

    return plane_outputs


def run(
    outputs: Callable[[str], list[SliceOutputs]], shape: tuple[int, int, int], threads: int = 1
) -> tuple[np.ndarray, Seconds]:
    """Return the final volume, and the seconds that it took, without those for making ``outputs``."""
    planes, spent = [], Seconds(0.0, 0.0, 0.0)
    for plane in PLANES:
        inputs, started = outputs(plane), now()
        planes.append(gather_classes(inputs, shape, plane, GroupingOptions(), threads)[0])
        spent = Seconds(*(total + b - a for total, a, b in zip(spent, started, now())))
    started = now()
    volume = consensus(planes, GroupingOptions().fusion(2), threads)[...]
    return volume, Seconds(*(total + b - a for total, a, b in zip(spent, started, now())))


def compare(which: str) -> Outputs:
    """Print planewise's cost, the published one and their ratio for one volume; return its outputs."""
    truth, published = volumes_of(which)
    inputs = outputs_of(truth)
    before = peak_gigabytes()
    volume, _ = run(inputs.__getitem__, truth.shape)
    memory = peak_gigabytes() - before
    one, two, cpu = [], [], []
    for _ in range(REPEATS):
        spent = run(inputs.__getitem__, truth.shape)[1]
        one.append(spent.wall)
        cpu.append(spent.cpu)
        two.append(run(inputs.__getitem__, truth.shape, 2)[1].wall)
    total, theirs, their_memory = statistics.median(cpu), *PUBLISHED[which]
    scores = score_labels(truth, volume)
    print(f"{'orthoplane' if published is not None else 'phantom'}_{which} {truth.shape}")
    print(f"  one thread   {total:.2f} CPU s")
    if published is not None:
        print(f"  ratio        {theirs / total:.0f}; published {theirs:.1f} CPU s (from the reference, on its machine)")
    print(f"  two threads  {statistics.median(two):.2f} s, one {statistics.median(one):.2f} s")
    ours_in_words = f"{memory:.2f} GB beyond the inputs, of which the result is {volume.nbytes / 1e9:.2f}"
    print(f"  memory       {ours_in_words}; published {their_memory:.2f} GB in all")
    print(f"  result       F1 {scores['f1_50']:.3f} at IoU 0.5")
    if published is not None:
        differing = int(((volume > 0) != (published > 0)).sum())
        print(f"               {differing} of {int((volume > 0).sum())} foreground voxels differ from theirs")
    read = 3 * truth.size * 4  # all logits of three planes, once
    print(f"  limit        the logits alone are {read / 1e9:.2f} GB, {read / 1e9 / copy_rate():.2f} s to read once")
    return inputs


def copy_rate() -> float:
    """Return the GB a second that one thread reads from memory."""
    values = np.ones(2**20 if TINY else 2**27, np.float32)
    started = time.perf_counter()
    values.max()
    return values.nbytes / 1e9 / (time.perf_counter() - started)


def show_growth(small: Outputs, large: Outputs) -> None:
    """Print the seconds for 1/8, 1 and 8 times the volume, and for one large object."""
    print("growth, one thread")
    for name, outputs, shape in (
        ("1/8", small.__getitem__, SHAPES["small"]),
        ("1", large.__getitem__, SHAPES["large"]),
        ("8", tiled(large, 2), tuple(2 * side for side in SHAPES["large"])),
    ):
        # A virtual machine may need more time to obtain memory than to work on it: system time is printed separately.
        spent = min((run(outputs, shape)[1] for _ in range(2)), key=lambda seconds: seconds.cpu)
        voxel = spent.user / np.prod(shape) * 1e9
        print(
            f"  {name:>4} of the volume: {spent.user:6.2f} s user, {voxel:5.1f} ns a voxel; {spent.system:.2f} s system"
        )
    side = 32 if TINY else 224
    grid = np.ogrid[:side, :side, :side]
    truth = (sum((g - side / 2) ** 2 for g in grid) <= (0.349 * side) ** 2).astype(np.int32)
    volume, spent = run(outputs_of(truth).__getitem__, truth.shape)
    rows = int((np.diff(truth, axis=2, prepend=0) > 0).sum())
    print(
        f"  one object of {int(truth.sum())} voxels, {rows} runs in a plane: {spent.cpu:.2f} CPU s, "
        f"{int((volume > 0).sum())} voxels found (published: quadratic, {PUBLISHED_QUADRATIC[0]:.0f} s of consensus "
        f"for {PUBLISHED_QUADRATIC[1]:.0e} runs)"
    )


if __name__ == "__main__":
    print(describe())
    crop = em_phantom((32, 64, 64), 4, 0)[1]
    run(outputs_of(crop).__getitem__, crop.shape)  # compile
    show_growth(compare("small"), compare("large"))
    print(f"  {peak_memory()}, the inputs and 8 times the volume included")
