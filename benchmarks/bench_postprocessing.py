"""3D post-processing: network outputs of three planes in, the final volume out; one thread and two.

Runs on the reference's ``orthoplane_small`` and ``orthoplane_large`` volumes with ``fake_network`` outputs, and prints
the published implementation's cost on the same work, as the reference gives it (it does not install on current
Python). Then how the cost grows: 1/8, 1 and 8 times the large volume's voxels, and one object of 2 million voxels.
Without the reference folder there is nothing to compare with, and it says so.

    python benchmarks/bench_postprocessing.py
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import describe, peak_gigabytes, peak_memory

from planewise.evaluation.evaluate import score_labels
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_plane
from planewise.volumes.slices import AXIS, PLANES

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "mitonet"
PUBLISHED = {"small": (11.2, 0.87), "large": (209.0, 3.05)}  # CPU seconds, peak GB: the reference's README
REPEATS = 5
PUBLISHED_QUADRATIC = (33.0, 2e5)  # seconds of consensus for one object of that many runs: the reference's README

Outputs = dict[str, list[SliceOutputs]]


class Seconds(NamedTuple):
    """Wall, user and system seconds; the system's are those of getting memory."""

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
    """Return what a perfect network would say of every slice of every plane."""
    sys.path.insert(0, str(REFERENCE))
    from fake_network import outputs

    found: Outputs = {}
    for plane in PLANES:
        found[plane] = []
        for index in range(truth.shape[AXIS[plane]]):
            out = outputs(truth, plane, index)
            found[plane].append(SliceOutputs(out["sem_logits"][0, 0], out["ctr_hmp"][0, 0], out["offsets"][0]))
    return found


def tiled(outputs: Outputs, times: int) -> Callable[[str], list[SliceOutputs]]:
    """Return what gives a plane's outputs for the volume repeated ``times`` along every axis."""

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
    """Return the final volume, and the seconds that it took without making ``outputs``."""
    planes, spent = [], Seconds(0.0, 0.0, 0.0)
    for plane in PLANES:
        inputs, started = outputs(plane), now()
        planes.append(gather_plane(inputs, shape, plane, GroupingOptions(), threads))
        spent = Seconds(*(total + b - a for total, a, b in zip(spent, started, now())))
    started = now()
    volume = consensus(planes, 2, 500, 5, threads)[...]
    return volume, Seconds(*(total + b - a for total, a, b in zip(spent, started, now())))


def compare(which: str) -> Outputs:
    """Print ours, theirs and the ratio for one volume; return its outputs."""
    reference = np.load(REFERENCE / f"orthoplane_{which}.npz")
    truth = reference["gt"]
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
    found_voxels, differing = int((volume > 0).sum()), int(((volume > 0) != (reference["consensus"] > 0)).sum())
    print(f"orthoplane_{which} {truth.shape}")
    print(f"  one thread   {total:.2f} CPU s; published {theirs:.1f} (from the reference, on its machine)")
    print(f"  ratio        {theirs / total:.0f}")
    print(f"  two threads  {statistics.median(two):.2f} s, one {statistics.median(one):.2f} s")
    own = f"{memory:.2f} GB beyond the inputs, of which the result is {volume.nbytes / 1e9:.2f}"
    print(f"  memory       {own}; published {their_memory:.2f} GB in all")
    print(
        f"  result       F1 {scores['f1_50']:.3f} at IoU 0.5; {differing} of {found_voxels} foreground voxels differ "
        "from theirs"
    )
    read = 3 * truth.size * 4  # every logit of three planes, once
    print(f"  limit        the logits alone are {read / 1e9:.2f} GB, {read / 1e9 / copy_rate():.2f} s to read once")
    return inputs


def copy_rate() -> float:
    """Return the GB a second that one thread reads from memory."""
    values = np.ones(2**27, np.float32)
    started = time.perf_counter()
    values.max()
    return values.nbytes / 1e9 / (time.perf_counter() - started)


def show_growth(small: Outputs, large: Outputs) -> None:
    """Print the seconds for 1/8, 1 and 8 times the volume, and for one large object."""
    print("growth, one thread")
    for name, outputs, shape in (
        ("1/8", small.__getitem__, (128, 256, 256)),
        ("1", large.__getitem__, (256, 512, 512)),
        ("8", tiled(large, 2), (512, 1024, 1024)),
    ):
        # Memory that a virtual machine has to get first can cost more than all work on it: told apart.
        spent = min((run(outputs, shape)[1] for _ in range(2)), key=lambda seconds: seconds.cpu)
        voxel = spent.user / np.prod(shape) * 1e9
        print(
            f"  {name:>4} of the volume: {spent.user:6.2f} s user, {voxel:5.1f} ns a voxel; {spent.system:.2f} s system"
        )
    grid = np.ogrid[:224, :224, :224]
    truth = (sum((g - 112) ** 2 for g in grid) <= 78.2**2).astype(np.int32)
    volume, spent = run(outputs_of(truth).__getitem__, truth.shape)
    rows = int((np.diff(truth, axis=2, prepend=0) > 0).sum())
    print(
        f"  one object of {int(truth.sum())} voxels, {rows} runs in a plane: {spent.cpu:.2f} CPU s, "
        f"{int((volume > 0).sum())} voxels found (published: quadratic, {PUBLISHED_QUADRATIC[0]:.0f} s of consensus "
        f"for {PUBLISHED_QUADRATIC[1]:.0e} runs)"
    )


if __name__ == "__main__":
    if REFERENCE.is_dir():
        print(describe())
        crop = np.load(REFERENCE / "orthoplane_small.npz")["gt"][:32, :64, :64]
        run(outputs_of(crop).__getitem__, crop.shape)  # compile
        show_growth(compare("small"), compare("large"))
        print(f"  {peak_memory()}, the inputs and 8 times the volume included")
    else:
        print(f"bench_postprocessing: no reference outputs at {REFERENCE}; nothing to compare with")
