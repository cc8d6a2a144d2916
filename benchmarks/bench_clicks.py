"""Seconds from a click to a mask in planewise correct: the first click in a slice, which encodes it, and later ones.

SAM2 has random weights, which take as long as trained ones: size tiny at 1024 pixels on a CT of 512 x 512, and the
small network of planewise demo ild at 128. Each click is a box with a point in it. The time runs from the drawing to
the voxels that are to be painted. Files are written later, by an action, and are not included.

    python benchmarks/bench_clicks.py [--tiny]
"""

import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from machine import TINY, describe, peak_memory

from planewise import Corrections
from planewise.apps.correct_segment import ClassSegmenter
from planewise.correction.drawing import Drawing
from planewise.errors import PlanewiseError
from planewise.models.sam2 import build_sam2, initialise
from planewise.models.sam2_files import Sam2Weights, save_published
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SLICES, CLICKS = (2, 2) if TINY else (4, 5)  # number of slices, and of clicks in each
SPACING = (1.0, 0.7, 0.7)


def click(segmenter: ClassSegmenter, z: int, number: int) -> float:
    """Return the wall seconds of a click; ``number``: its number in the slice, so that no two clicks are the same."""
    low, high = 30 + number, 90 + number
    drawing = Drawing(label=1, box=((z, z + 1), (low, high), (low, high)), inside=((z, 60, 60),))
    started = time.perf_counter()
    with suppress(PlanewiseError):  # random weights may give an empty mask, which takes as long
        segmenter(drawing)
    return time.perf_counter() - started


def measure(size: str, image_size: int, side: int, folder: Path) -> None:
    """Print the seconds of a network of this ``size`` with ``image_size`` input, on slices of ``side`` pixels."""
    torch.manual_seed(0)
    network = build_sam2(size, image_size)
    initialise(network)
    model, image, labels = folder / "model.pth", folder / "ct.nii.gz", folder / "labels.nii.gz"
    save_published(model, Sam2Weights(network, size, window=(-600.0, 1500.0)), 0)
    shape = SLICES + 1, side, side
    hu = np.random.default_rng(0).integers(-1000, 200, shape).astype(np.int16)
    write_volume(image, Volume(hu, SPACING, "mm"))
    write_labels(labels, Volume((hu > 190).astype(np.uint8), SPACING, "mm"))
    with Corrections(labels) as corrections:
        started = time.perf_counter()
        segmenter = ClassSegmenter(corrections, image, str(model), None)
        loading = time.perf_counter() - started
        click(segmenter, SLICES, 0)  # the first click of a process makes what all share
        seconds = [[click(segmenter, z, number) for number in range(CLICKS)] for z in range(SLICES)]
    first = [of_slice[0] for of_slice in seconds]
    later = [one for of_slice in seconds for one in of_slice[1:]]
    columns = " | ".join(f"{statistics.median(s):.2f} ({min(s):.2f} to {max(s):.2f})" for s in (first, later))
    print(f"| SAM2 {size}, {image_size} pixels, slices of {side} x {side} | {loading:.1f} | {columns} |", flush=True)


if __name__ == "__main__":
    print(describe(), f"{torch.get_num_threads()} threads")
    print("| network | loading | first click in a slice | later ones |")
    sizes = [("mini", 64, 128)] if TINY else [("mini", 128, 128), ("tiny", 1024, 512)]
    for size, image_size, side in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(size, image_size, side, Path(folder))
    print(peak_memory())
