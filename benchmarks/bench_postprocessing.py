"""3D post-processing: network outputs of three planes in, the final volume out. One thread.

Runs on the reference's ``orthoplane_small`` and ``orthoplane_large`` volumes with ``fake_network`` outputs, and prints
the published implementation's cost on the same work, as the reference gives it (it does not install on current
Python). Without the reference folder there is nothing to compare with, and it says so.

    python benchmarks/bench_postprocessing.py [small|large]
"""

import platform
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from planewise.evaluation.evaluate import score_labels
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_plane
from planewise.slices import AXIS, PLANES

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "mitonet"
PUBLISHED = {"small": (11.2, 0.87), "large": (209.0, 3.05)}  # CPU seconds, peak GB: the reference's README
REPEATS = {"small": 5, "large": 3}


def plane_outputs(truth: np.ndarray, plane: str) -> list[SliceOutputs]:
    """Return what a perfect network would say of every slice."""
    sys.path.insert(0, str(REFERENCE))
    from fake_network import outputs

    slices = []
    for index in range(truth.shape[AXIS[plane]]):
        out = outputs(truth, plane, index)
        slices.append(SliceOutputs(out["sem_logits"][0, 0], out["ctr_hmp"][0, 0], out["offsets"][0]))
    return slices


def run(inputs: dict[str, list[SliceOutputs]], shape: tuple[int, int, int]) -> tuple[np.ndarray, dict[str, float]]:
    """Return the final volume and the CPU seconds of each phase."""
    seconds, planes = {}, []
    for plane in PLANES:
        start = time.process_time()
        planes.append(gather_plane(inputs[plane], shape, plane, GroupingOptions()))
        seconds[plane] = time.process_time() - start
    start = time.process_time()
    volume = consensus(planes, 2, 500, 5)
    seconds["consensus"] = time.process_time() - start
    return volume, seconds


def main(which: str) -> None:
    """Print ours, theirs and the ratio for one volume."""
    reference = np.load(REFERENCE / f"orthoplane_{which}.npz")
    truth = reference["gt"]
    crop = truth[:32, :64, :64]
    run({plane: plane_outputs(crop, plane) for plane in PLANES}, crop.shape)  # compile
    inputs = {plane: plane_outputs(truth, plane) for plane in PLANES}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    volume, seconds = run(inputs, truth.shape)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    runs = [seconds, *(run(inputs, truth.shape)[1] for _ in range(REPEATS[which] - 1))]
    phases = {name: statistics.median(seconds[name] for seconds in runs) for name in seconds}
    total = statistics.median(sum(seconds.values()) for seconds in runs)
    theirs, their_memory = PUBLISHED[which]
    scores = score_labels(truth, volume)
    found, differing = int((volume > 0).sum()), int(((volume > 0) != (reference["consensus"] > 0)).sum())
    print(f"orthoplane_{which} {truth.shape}, {platform.machine()}, {platform.processor() or 'one thread'}")
    print("  ours       " + ", ".join(f"{name} {value:.2f}" for name, value in phases.items()) + f": {total:.2f} CPU s")
    print(f"  published  {theirs:.1f} CPU s (from the reference, on its machine)")
    print(f"  ratio      {theirs / total:.0f}")
    own = f"{memory:.2f} GB beyond the inputs, of which the result is {volume.nbytes / 1e9:.2f}"
    print(f"  memory     {own}; published {their_memory:.2f} GB in all")
    print(
        f"  result     F1 {scores['f1_50']:.3f} at IoU 0.5; {differing} of {found} foreground voxels differ from theirs"
    )


if __name__ == "__main__":
    if REFERENCE.is_dir():
        for name in sys.argv[1:] or PUBLISHED:
            main(name)
    else:
        print(f"bench_postprocessing: no reference outputs at {REFERENCE}; nothing to compare with")
