"""A volume from store to store: how time and memory grow with its size, and with the number of workers.

The network is a perfect one (it knows the ground truth), so everything except the network is measured: reading, median,
grouping, linking, consensus, writing. The time that this stand-in takes is printed beside the total. CPU time is that
of all threads of this process, so it is printed only if no other process works; unlike seconds, it depends little on
what else the machine does. Sizes are 1/8, 1 and 2 times 1024 x 2048 x 2048; 20 GB of disk are needed.

Finally, each step's seconds on one core are compared with those on all of them, beside the CPU seconds of its main
thread, which no other core takes over. The stand-in network is one thread too.

    python benchmarks/bench_scaling.py [--tiny]           all, each in a separate process
    python benchmarks/bench_scaling.py 512 1024 1024 2    one size, with 2 workers (0: in this process)
    python benchmarks/bench_scaling.py 512 1024 1024      one size on one core and on all, step by step
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from machine import TINY, WORDS, describe, peak_gigabytes

from planewise.data.intensity import IntensityRange
from planewise.data.intensity_profile import measure_intensities
from planewise.data.phantom import em_phantom
from planewise.inference.executor import executor
from planewise.inference.gathering import GroupingOptions, SliceOutputs
from planewise.inference.out_of_core.job import Job, begin_work, identity_of, plan_block, plan_slabs
from planewise.inference.out_of_core.segment import segment
from planewise.inference.planes import SliceOptions
from planewise.models.panoptic_loss import panoptic_targets
from planewise.volumes.files import open_volume
from planewise.volumes.formats.ome_zarr import blocks, create
from planewise.volumes.machine import machine_cores
from planewise.volumes.slices import AXIS, PLANES

TILE = 64 if TINY else 256
MEMORY = 4 * 10**9
AS_IT_IS = SliceOptions(IntensityRange(0.0, 1.0), 0.0, 1.0, 1)
SIZES = ((64, 128, 128),) if TINY else ((512, 1024, 1024), (1024, 2048, 2048), (2048, 2048, 2048))


class TiledTruth:
    """Outputs of a perfect network for slices that repeat a tile: made for the tile, and repeated."""

    def __init__(self) -> None:
        self.known: dict[bytes, SliceOutputs] = {}
        self.seconds = 0.0  # CPU seconds

    @classmethod
    def on(cls, device: str) -> "TiledTruth":
        return cls()

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        for slices in batches:
            started = time.thread_time()
            outputs_of_batch = [self.outputs(slice_) for slice_ in slices]
            self.seconds += time.thread_time() - started
            yield outputs_of_batch

    def outputs(self, slice_: np.ndarray) -> SliceOutputs:
        tile = np.ascontiguousarray(slice_[:TILE, :TILE])
        key = tile.tobytes()
        if key not in self.known:
            if len(self.known) > TILE:
                self.known.clear()
            heatmap, offsets = panoptic_targets(tile.astype(np.int32))
            logits = np.where(tile > 0, 4.0, -4.0).astype(np.float32)
            self.known[key] = SliceOutputs(logits, heatmap[0, ::4, ::4], offsets[:, ::4, ::4])
        outputs = self.known[key]
        times = tuple(side // TILE for side in slice_.shape)
        return SliceOutputs(
            np.tile(outputs.logits, times),
            np.tile(outputs.heatmap, times),
            np.ascontiguousarray(np.tile(outputs.offsets, (1, *times))),
        )


def make_volume(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a store in which one tile of labels repeats."""
    labels = em_phantom((TILE,) * 3, 180 * TILE**3 // 256**3 + 1, 0)[1].astype(np.uint8)
    array = create(path, shape, np.uint8, (8.0, 8.0, 8.0), "nm", (0.0, 0.0, 0.0))
    for block in blocks(shape, (TILE, 1024, 1024)):
        array[block] = np.tile(labels, [(part.stop - part.start) // TILE for part in block])


Steps = dict[str, list[float]]  # seconds, CPU seconds, and those of the main thread, of each step


def clocks() -> tuple[float, float, float]:
    """Return the time, and the CPU time of this process and of this thread, in seconds."""
    return time.time(), time.process_time(), time.thread_time()


def measure(shape: tuple[int, int, int], workers: int) -> tuple[Steps, str]:
    """Segment a volume of this shape; return its steps, and seconds, CPU nanoseconds a voxel and peak memory as text.

    A step lasts until its last slab or block is begun; what threads still do for it then counts in the next.
    """
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        make_volume(folder / "in.ome.zarr", shape)
        slabs = {p: plan_slabs(shape, 128, AXIS[p], 4, MEMORY // 2, 1) for p in PLANES}
        job = Job(
            folder / "in.ome.zarr",
            folder / "work",
            shape,
            AS_IT_IS,
            GroupingOptions(),
            4,
            2,
            slabs,
            plan_block(shape, MEMORY // 2),
        )
        begin_work(job.work, identity_of(job))
        volume, network = open_volume(job.source), TiledTruth()
        ends = {"": clocks()}
        measure_intensities(volume, job.source)
        ends["intensities"] = clocks()

        def source(device: str) -> TiledTruth:
            return network

        def advance(what: str, count: int) -> None:
            ends[what] = clocks()

        with executor(TiledTruth.on if workers else source, "cpu", workers=workers) as who:
            started, cpu_started = time.time(), time.process_time()
            objects = segment(job, volume, who, advance)
            ends["pyramid"] = clocks()
            seconds, cpu = time.time() - started, time.process_time() - cpu_started
        stored = sum(file.stat().st_size for file in job.work.rglob("*") if file.is_file()) / 1e9
        shutil.rmtree(job.work)
    voxels = float(np.prod(shape))
    after = list(ends.items())[1:]
    steps = {what: [b - a for a, b in zip(began, ended)] for began, (what, ended) in zip(ends.values(), after)}
    a_voxel = (
        ""
        if workers
        else (
            f"{cpu / voxels * 1e9:.1f} CPU ns a voxel, of which {network.seconds / voxels * 1e9:.1f} are the stand-in "
            "network's, "
        )
    )
    shown = ", ".join(f"{what} {of_step:.1f}" for what, (of_step, *_) in steps.items())
    return steps, (
        f"{' x '.join(map(str, shape))}, {workers or 'no'} workers: {seconds:.0f} s, {a_voxel}{objects} objects, "
        f"{peak_gigabytes():.2f} GB at most, {stored:.2f} GB on disk; s: {shown}"
    )


def compare_cores(shape: tuple[int, int, int]) -> None:
    """Print what each step takes on one core and on all of this process's; each in a process of its own."""

    def steps_on(cores: int) -> Steps:
        output = subprocess.run(command(shape, 0, cores), check=True, stdout=subprocess.PIPE, text=True).stdout
        steps: Steps = json.loads(output.splitlines()[-1])
        return steps

    one, every = steps_on(1), steps_on(machine_cores())
    print(f"{' x '.join(map(str, shape))}, s and CPU s on one core and on {machine_cores()}; of its main thread; gain")
    for steps in (one, every):
        steps["all"] = [sum(values) for values in zip(*steps.values())]
    for what, (seconds, cpu, main) in every.items():
        before = f"{what:12} {one[what][0]:7.2f} {one[what][1]:7.2f}"
        print(f"  {before}  {seconds:7.2f} {cpu:7.2f}  {main:7.2f}  {one[what][0] / seconds:5.1f}", flush=True)


def command(shape: tuple[int, int, int], workers: int, cores: int = 0) -> list[str]:
    """Return how to call this script for one size; on ``cores`` (0: all), it prints its steps as JSON."""
    words = [*shape, workers, *([cores] if cores else [])]
    return [sys.executable, __file__, *map(str, words), *(["--tiny"] if TINY else [])]


if __name__ == "__main__":
    words = list(map(int, WORDS))
    if len(words) == 5:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: words[4]])
        measure((TILE,) * 3, 0)  # compiles, or loads, what is compiled
        print(json.dumps(measure((words[0], words[1], words[2]), 0)[0]))
    elif len(words) == 4:
        print(measure((words[0], words[1], words[2]), words[3])[1], flush=True)
    elif words:
        compare_cores((words[0], words[1], words[2]))
    else:
        print(f"Store to store, {MEMORY / 1e9:g} GB of memory allowed, {describe()}", flush=True)
        for size, count in [*((size, 0) for size in SIZES), (SIZES[0], 1), (SIZES[0], 2)]:
            subprocess.run(command(size, count), check=True)
        compare_cores(SIZES[0])
