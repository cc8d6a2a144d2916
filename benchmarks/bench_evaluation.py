"""Evaluation of a 512 x 512 x 512 pair with 2,000 objects: contingency table, matching, surface distances.

planewise against scikit-image's ``contingency_table`` with the same matching, and against MONAI's surface distances (of
the foreground). They alternate in one run; medians are printed, and the numbers must be the same. One thread.

    pip install -e '.[bench]'
    python benchmarks/bench_evaluation.py [side] [--tiny]
"""

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from machine import TINY, WORDS, describe, peak_memory
from monai.metrics.utils import get_surface_distance
from scipy import ndimage
from skimage.metrics import contingency_table

from planewise.evaluation.instances import match, match_objects
from planewise.evaluation.overlap import overlap_table
from planewise.evaluation.surfaces import SurfaceParts, distances_between, surface_distances

SPACING = (2.0, 1.0, 1.0)
REPEATS = 1 if TINY else 3
CELL = 39  # voxels a side, each with a ball


def pair(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a truth of balls (2,197 at 512), and a prediction that is shifted, with one in ten missing."""
    rng = np.random.default_rng(0)
    truth, predicted = np.zeros((2, side, side, side), np.int32)
    for label, corner in enumerate(np.ndindex(*[side // CELL] * 3), 1):
        radius = rng.uniform(8, 18)
        centre = np.array(corner) * CELL + CELL // 2
        box = tuple(slice(c - CELL // 2, c + CELL // 2 + 1) for c in centre)
        grid = np.ogrid[box]
        mask = sum(((g - c) / radius) ** 2 for g, c in zip(grid, centre)) <= 1
        truth[box][mask] = label
        if label % 10:
            predicted[box][np.roll(mask, 2, axis=label % 3)] = label
    return truth, predicted


def alternate(**works: Callable[[], Any]) -> dict[str, Any]:
    """Run the functions in turns; print their medians and the ratio of the first to each; return their results."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    for _ in range(REPEATS):
        for name, work in works.items():
            started = time.process_time()
            results[name] = work()
            seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    theirs = next(iter(medians.values()))
    for name, value in medians.items():
        print(f"  {name.replace('_', ' '):<14}{value:8.3f} CPU s   {theirs / value:6.1f} times")
    return results


def matched_by_scikit_image(truth: np.ndarray, predicted: np.ndarray) -> int:
    """Return the number of matches at IoU 0.5 from scikit-image's table."""
    table = contingency_table(truth, predicted, sparse_type="array").tocoo()
    sizes = [np.asarray(table.sum(axis=axis)).ravel() for axis in (1, 0)]
    rows, columns = table.coords
    inside = (rows > 0) & (columns > 0)
    rows, columns, count = rows[inside], columns[inside], table.data[inside]
    return len(match(rows, columns, count / (sizes[0][rows] + sizes[1][columns] - count), 0.5))


def surfaces_by_monai(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances from each surface to the other, as MONAI computes them."""
    masks = [labels > 0 for labels in (truth, predicted)]
    edges = [mask ^ ndimage.binary_erosion(mask) for mask in masks]
    return get_surface_distance(*edges, spacing=SPACING), get_surface_distance(*edges[::-1], spacing=SPACING)


def objects_by_monai(truth: np.ndarray, predicted: np.ndarray, labels: list[int]) -> list[float]:
    """Return each object's HD95 by MONAI, which crops to the given masks."""
    from monai.metrics import compute_hausdorff_distance

    distances = []
    boxes = ndimage.find_objects(truth)
    for label in labels:
        box = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in boxes[label - 1])
        masks = [torch.from_numpy((v[box] == label)[None, None].astype(np.float32)) for v in (predicted, truth)]
        keywords = {"include_background": True, "percentile": 95, "spacing": list(SPACING)}
        distances.append(float(compute_hausdorff_distance(*masks, **keywords)))
    return distances


def objects_by_us(truth: np.ndarray, predicted: np.ndarray, labels: list[int]) -> list[float]:
    """Return each object's HD95 from the surfaces of all labels."""
    surfaces = []
    for volume in (truth, predicted):
        parts, slab = SurfaceParts(), np.zeros((len(volume) + 2, *volume.shape[1:]), np.uint32)
        slab[1:-1] = volume
        parts.add(slab, 0)
        surfaces.append(parts.joined())
    return [distances_between(surfaces[0].of(i), surfaces[1].of(i), SPACING).hd95 for i in labels]


def main(side: int) -> None:
    """Print the three comparisons."""
    truth, predicted = pair(side)
    tiny = tuple(volume[:40, :40, :40] for volume in (truth, predicted))
    match_objects(overlap_table(*tiny), 0.5), objects_by_us(*tiny, [1])  # compile
    surface_distances(tiny[0] > 0, tiny[1] > 0, SPACING)
    print(f"{side}^3, {truth.max()} objects, one thread, {describe()}")
    print("table and matching")
    results = alternate(
        scikit_image=lambda: matched_by_scikit_image(truth, predicted),
        ours=lambda: len(match_objects(overlap_table(truth, predicted), 0.5).iou),
    )
    print(f"  matches: {results['scikit_image']} and {results['ours']}")
    print("surface distances of the foreground")
    results = alternate(
        MONAI=lambda: surfaces_by_monai(truth, predicted),
        ours=lambda: surface_distances(truth > 0, predicted > 0, SPACING),
    )
    ours = results["ours"].truth_to_prediction, results["ours"].prediction_to_truth
    same = sorted(len(d) for d in ours) == sorted(len(d) for d in results["MONAI"])
    worst = max(min(abs(np.sort(a) - np.sort(b)).max() for b in results["MONAI"] if len(b) == len(a)) for a in ours)
    print(f"  as many surface voxels: {same}; largest difference of a distance: {worst:.1e}")
    labels = [label for label in range(1, int(truth.max()) + 1) if label % 10]
    print(f"HD95 of each of {len(labels)} matched objects")
    results = alternate(
        MONAI=lambda: objects_by_monai(truth, predicted, labels), ours=lambda: objects_by_us(truth, predicted, labels)
    )
    print(f"  largest difference: {max(abs(a - b) for a, b in zip(results['MONAI'], results['ours'])):.1e}")
    print(f"  {peak_memory()}, theirs included")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(int(WORDS[0]) if WORDS else 78 if TINY else 512)
