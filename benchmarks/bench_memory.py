"""The memory that prediction takes beyond Python and the network: in memory and streamed, in one plane and in three.

The network is a perfect one, which knows the slices of a repeated tile, so everything except the network is measured.
Each case runs in a separate process, on an uncompressed TIFF of 256 x 1024 x 1024 (uint8). Its peak is that given by
Linux, minus the memory of the process when everything permanent was loaded and compiled.

    python benchmarks/bench_memory.py            all
    python benchmarks/bench_memory.py --tiny     the same on 64 x 128 x 128, where what is fixed outweighs the input
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from machine import TINY, describe, peak_gigabytes

from planewise.apps.mito.case import Results, VolumeToPredict
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.out_of_core import remove_work
from planewise.apps.mito.predict import predict_case
from planewise.data.intensity import IntensityRange
from planewise.data.phantom import em_phantom
from planewise.inference.gathering import SliceOutputs
from planewise.inference.planes import SliceOptions
from planewise.models.model_file import ModelFile
from planewise.models.panoptic_loss import panoptic_targets
from planewise.volumes.slices import PLANES, Plane, as_stack

TILE = 64 if TINY else 128
STREAMED = "100MB"  # memory that a streamed case may take


class RepeatedTile:
    """Outputs of a perfect network for the slices of a repeated tile, which are computed in advance."""

    def __init__(self, tile: np.ndarray) -> None:
        self.known: dict[bytes, SliceOutputs] = {}
        for plane in PLANES:
            for slice_ in as_stack(tile, plane):
                heatmap, offsets = panoptic_targets(slice_.astype(np.int32))
                coarse = heatmap[0, ::4, ::4].copy(), offsets[:, ::4, ::4].copy()
                logits = np.where(slice_ > 0, 4.0, -4.0).astype(np.float32)
                self.known[slice_.tobytes()] = SliceOutputs(logits, *coarse)

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        for slices in batches:
            yield [self.outputs(slice_) for slice_ in slices]

    def outputs(self, slice_: np.ndarray) -> SliceOutputs:
        tile, times = self.known[slice_[:TILE, :TILE].tobytes()], tuple(side // TILE for side in slice_.shape)
        return SliceOutputs(
            np.tile(tile.logits, times), np.tile(tile.heatmap, times), np.tile(tile.offsets, (1, *times))
        )


AS_IT_IS = SliceOptions(IntensityRange(0.0, 1.0), 0.0, 1.0, 16)


def measure(folder: Path, tile: np.ndarray, shape: tuple[int, int, int], axes: tuple[Plane, ...], memory: str) -> None:
    """Predict a volume in which ``tile`` repeats and print its peak memory."""
    network = RepeatedTile(tile)

    def predict(name: str, times: tuple[int, ...]) -> tuple[int, float, float]:
        path = folder / f"{name}.tiff"
        image = np.tile(tile, times)
        tifffile.imwrite(path, image, photometric="minisblack")
        size = image.nbytes
        del image
        options = MitoPredict(
            min_size=500,
            trained_model=Path("M.yaml"),
            input=path,
            output=folder / "out",
            axes=axes,
            memory=memory,
            overwrite=True,
        )
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, started = resident_gigabytes(), time.perf_counter()
        case = VolumeToPredict.open(path, ModelFile(model="M.pth", norms={"mean": 0.5, "std": 0.2}), options)
        results = Results.named(folder / "out", name, ".tiff", case.planes)
        predict_case(name, case, AS_IT_IS, results, network, options, {"inputs": [name]})
        remove_work(results)
        return size, peak_gigabytes() - before, time.perf_counter() - started

    predict("small", (1, 1, 1))  # compile
    size, peak, seconds = predict("large", tuple(side // TILE for side in shape))
    how = "in memory" if memory == "auto" else f"streamed, --memory {memory}"
    print(
        f"  {len(axes)} plane{'s' * (len(axes) > 1)}, {how}: input {size / 1e9:.3f} GB, peak {peak:.3f} GB, "
        f"ratio {peak * 1e9 / size:.2f}, {seconds:.0f} s",
        flush=True,
    )


def resident_gigabytes() -> float:
    """Return the memory that this process has now, in GB."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024 / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.parse_args()
    shape = (64, 128, 128) if TINY else (256, 1024, 1024)
    tile = em_phantom((TILE,) * 3, 6 if TINY else 24, 0)[1].astype(np.uint8)
    print(f"Predicting {' x '.join(map(str, shape))}, {describe()}", flush=True)
    for memory in ("auto", "2MB" if TINY else STREAMED):
        for axes in (("xy",), PLANES):
            with tempfile.TemporaryDirectory(dir=".") as folder:
                process = multiprocessing.get_context("spawn").Process(
                    target=measure, args=(Path(folder).resolve(), tile, shape, axes, memory)
                )
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(process.exitcode)
