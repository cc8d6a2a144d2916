"""3D post-processing: network outputs of three planes in, the final volume out; one thread and two.

Runs on the reference's ``orthoplane_small`` and ``orthoplane_large`` volumes with ``fake_network`` outputs, and prints
the published implementation's cost on the same work, as the reference gives it (it does not install on current
Python). Then how the cost grows: 1/8, 1 and 8 times the large volume's voxels, and one object of 2 million voxels.
Without the reference folder there is nothing to compare with, and it says so.

    python benchmarks/bench_postprocessing.py
"""

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from planewise.evaluation.evaluate import score_labels
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_plane
from planewise.slices import AXIS, PLANES

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "mitonet"
PUBLISHED = {"small": (11.2, 0.87), "large": (209.0, 3.05)}  # CPU seconds, peak GB: the reference's README
REPEATS = 3
PUBLISHED_QUADRATIC = (33.0, 2e5)  # seconds of consensus for one object of that many runs: the reference's README

Outputs = dict[str, list[SliceOutputs]]


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
) -> tuple[np.ndarray, float, float]:
    """Return the final volume, and the wall and CPU seconds without those that making ``outputs`` takes."""
    planes, wall, cpu = [], 0.0, 0.0
    for plane in PLANES:
        inputs = outputs(plane)
        started, cpu_started = time.perf_counter(), time.process_time()
        planes.append(gather_plane(inputs, shape, plane, GroupingOptions(), threads))
        wall, cpu = wall + time.perf_counter() - started, cpu + time.process_time() - cpu_started
    started, cpu_started = time.perf_counter(), time.process_time()
    volume = consensus(planes, 2, 500, 5, threads)
    return volume, wall + time.perf_counter() - started, cpu + time.process_time() - cpu_started


def compare(which: str) -> Outputs:
    """Print ours, theirs and the ratio for one volume; return its outputs."""
    reference = np.load(REFERENCE / f"orthoplane_{which}.npz")
    truth = reference["gt"]
    inputs = outputs_of(truth)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    volume, _, _ = run(inputs.__getitem__, truth.shape)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    one, two, cpu = [], [], []
    for _ in range(REPEATS):
        found = run(inputs.__getitem__, truth.shape)
        one.append(found[1])
        cpu.append(found[2])
        two.append(run(inputs.__getitem__, truth.shape, 2)[1])
    total, theirs, their_memory = statistics.median(cpu), *PUBLISHED[which]
    scores = score_labels(truth, volume)
    found_voxels, differing = int((volume > 0).sum()), int(((volume > 0) != (reference["consensus"] > 0)).sum())
    print(f"orthoplane_{which} {truth.shape}, {platform.machine()}")
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
        run(outputs, shape)  # memory that a virtual machine has never touched costs more than all work on it
        seconds = run(outputs, shape)[2]
        print(f"  {name:>4} of the volume: {seconds:6.2f} CPU s, {seconds / np.prod(shape) * 1e9:5.1f} ns a voxel")
    grid = np.ogrid[:224, :224, :224]
    truth = (sum((g - 112) ** 2 for g in grid) <= 78.2**2).astype(np.int32)
    volume, _, seconds = run(outputs_of(truth).__getitem__, truth.shape)
    rows = int((np.diff(truth, axis=2, prepend=0) > 0).sum())
    print(
        f"  one object of {int(truth.sum())} voxels, {rows} runs in a plane: {seconds:.2f} CPU s, "
        f"{int((volume > 0).sum())} voxels found (published: quadratic, {PUBLISHED_QUADRATIC[0]:.0f} s of consensus "
        f"for {PUBLISHED_QUADRATIC[1]:.0e} runs)"
    )


if __name__ == "__main__":
    if REFERENCE.is_dir():
        crop = np.load(REFERENCE / "orthoplane_small.npz")["gt"][:32, :64, :64]
        run(outputs_of(crop).__getitem__, crop.shape)  # compile
        show_growth(compare("small"), compare("large"))
    else:
        print(f"bench_postprocessing: no reference outputs at {REFERENCE}; nothing to compare with")
