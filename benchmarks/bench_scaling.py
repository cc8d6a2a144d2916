"""A volume from store to store: how time and memory grow with its size, and with the number of workers.

The network is a perfect one (it knows the ground truth), so everything except the network is measured: reading, median,
grouping, linking, consensus, writing. The time that this stand-in takes is printed beside the total. CPU time is that
of all threads of this process, so it is printed only if no other process works; unlike seconds, it depends little on
what else the machine does. Sizes are 1/8, 1 and 2 times 1024 x 2048 x 2048; 20 GB of disk are needed.

    python benchmarks/bench_scaling.py [--tiny]           all, each in a separate process
    python benchmarks/bench_scaling.py 512 1024 1024 2    one size, with 2 workers (0: in this process)
"""

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
from planewise.data.phantom import em_phantom
from planewise.inference.executor import executor
from planewise.inference.gathering import GroupingOptions, SliceOutputs
from planewise.inference.out_of_core.job import Job, begin_work, identity_of, plan_block, plan_slabs
from planewise.inference.out_of_core.segment import segment
from planewise.inference.planes import SliceOptions
from planewise.models.panoptic_loss import panoptic_targets
from planewise.volumes.files import open_volume
from planewise.volumes.formats.ome_zarr import blocks, create
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


def measure(shape: tuple[int, int, int], workers: int) -> None:
    """Segment a volume of this shape and print seconds, CPU nanoseconds a voxel, and the peak of memory."""
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
        volume, passes = open_volume(job.source), dict.fromkeys([*PLANES, "labels", "consensus"], 0.0)
        network = TiledTruth()

        def source(device: str) -> TiledTruth:
            return network

        def advance(what: str, count: int) -> None:
            passes[what] = time.time() - started

        with executor(TiledTruth.on if workers else source, "cpu", workers=workers) as who:
            started, cpu_started = time.time(), time.process_time()
            objects = segment(job, volume, who, advance)
            seconds, cpu = time.time() - started, time.process_time() - cpu_started
        stored = sum(file.stat().st_size for file in job.work.rglob("*") if file.is_file()) / 1e9
        shutil.rmtree(job.work)
    voxels = float(np.prod(shape))
    ends = ", ".join(f"{what} {value:.0f}" for what, value in passes.items())
    a_voxel = (
        ""
        if workers
        else (
            f"{cpu / voxels * 1e9:.1f} CPU ns a voxel, of which {network.seconds / voxels * 1e9:.1f} are the stand-in "
            "network's, "
        )
    )
    print(
        f"{' x '.join(map(str, shape))}, {workers or 'no'} workers: {seconds:.0f} s, {a_voxel}{objects} objects, "
        f"{peak_gigabytes():.2f} GB at most, {stored:.2f} GB on disk; done after, s: {ends}",
        flush=True,
    )


if __name__ == "__main__":
    if WORDS:
        z, y, x, count = map(int, WORDS)
        measure((z, y, x), count)
    else:
        print(f"Store to store, {MEMORY / 1e9:g} GB of memory allowed, {describe()}")
        for size, count in [*((size, 0) for size in SIZES), (SIZES[0], 1), (SIZES[0], 2)]:
            more = ["--tiny"] if TINY else []
            subprocess.run([sys.executable, __file__, *map(str, size), str(count), *more], check=True)
