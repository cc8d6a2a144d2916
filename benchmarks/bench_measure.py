"""Measuring 4,913 objects of a 512 x 512 x 512 volume, step by step, beside scikit-image's regionprops of the same.

The comparison covers what both compute: size, box, centroid, axes, mean intensity, and Euler number. One thread.

    python benchmarks/bench_measure.py [side] [--tiny]
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import TINY, WORDS, describe, peak_memory
from skimage.measure import regionprops_table

from planewise.measurement.contacts import ContactCounter
from planewise.measurement.crops import masks
from planewise.measurement.measuring import measure_volume
from planewise.measurement.objects import ObjectCounter
from planewise.measurement.skeleton import centre_line
from planewise.measurement.surface import surface_area
from planewise.volumes.volume import Volume

CELL = 30  # voxels a side, each with an ellipsoid
SPACING = (8.0, 4.0, 4.0)


def ellipsoids(side: int) -> np.ndarray:
    """Return labels of ellipsoids side by side, 4,913 at 512."""
    rng, grid = np.random.default_rng(0), np.ogrid[:CELL, :CELL, :CELL]
    labels = np.zeros((side,) * 3, np.uint32)
    for label, corner in enumerate(np.ndindex(*[side // CELL] * 3), 1):
        radii = rng.uniform(6, 15, 3)
        box = tuple(slice(c * CELL, (c + 1) * CELL) for c in corner)
        labels[box][sum(((g - 14.5) / r) ** 2 for g, r in zip(grid, radii)) <= 1] = label
    return labels


def timed(name: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Run a function; print its CPU seconds, and return them with its result."""
    started = time.process_time()
    result = work()
    spent = time.process_time() - started
    print(f"  {name:<44}{spent:8.2f} CPU s")
    return result, spent


def count(labels: np.ndarray, image: np.ndarray) -> ObjectCounter:
    """Return the counted objects, from slabs."""
    counter = ObjectCounter(labels.shape)
    for start in range(0, len(labels), 64):
        counter.add(labels[start : start + 64], start, image[start : start + 64])
    return counter


def contacts(labels: np.ndarray) -> ContactCounter:
    """Return the counted contacts, from slabs."""
    counter = ContactCounter(SPACING)
    counter.add(labels, labels, slice(0, len(labels)))
    return counter


def main(side: int) -> None:
    """Print the seconds of each step, and the ratio to scikit-image."""
    labels = ellipsoids(side)
    image = np.random.default_rng(0).integers(0, 255, labels.shape, np.uint8)
    measure_volume(Volume(labels[:CELL, :CELL, :CELL].copy()), Volume(image[:CELL, :CELL, :CELL]))  # compile
    print(f"{side}^3, {labels.max()} objects, {(labels > 0).mean():.0%} of it, one thread, {describe()}")
    counter, ours = timed("counted: size, box, moments, intensity", lambda: count(labels, image))
    objects = counter.objects()
    what = ("label", "area", "bbox", "centroid", "axis_major_length", "axis_minor_length", "intensity_mean")
    theirs, spent = timed(
        "scikit-image's regionprops_table of the same",
        lambda: regionprops_table(labels.astype(np.int32), image, properties=what),
    )
    print(f"  ratio {spent / ours:.1f}")
    same = np.array_equal(theirs["area"], objects.voxels)
    worst = np.abs(theirs["intensity_mean"] - objects.intensity / objects.voxels).max()
    print(f"  the same sizes: {same}; largest difference of a mean intensity {worst:.1e}")
    timed("contacts", lambda: contacts(labels))
    crops, _ = timed("crops", lambda: list(masks(labels, objects, labels.size)))
    timed("surfaces", lambda: [surface_area(mask, SPACING) for _, mask in crops])
    timed("centre lines", lambda: [centre_line(mask, SPACING) for _, mask in crops])
    timed("all of it, as the command does it", lambda: measure_volume(Volume(labels, SPACING, "nm"), Volume(image)))
    print(f"  {peak_memory()}")


if __name__ == "__main__":
    main(int(WORDS[0]) if WORDS else 62 if TINY else 512)
