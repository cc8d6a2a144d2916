"""A synthetic electron-microscopy dataset: dark organelles with inner membranes, vesicles and cell membranes.

It is made from formulas alone, for the demo and the tests. What must be found are the large textured bodies; the
vesicles and membranes are as dark and must not be.
"""

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from planewise.volume import Volume, write_labels, write_volume

SPACING_NM = (8.0, 8.0, 8.0)


def em_phantom(shape: tuple[int, int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (z, y, x) uint8 and its instance ids, int32, with up to ``count`` bodies.

    Bodies are ellipsoids of 7 to 13 voxels radius, one in three a tube of up to 30; none touch.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    image = np.full(shape, 165.0, np.float32)
    image += 14 * _smooth_noise(shape, 6, rng)  # cytoplasm

    folds = _smooth_noise(shape, 14, rng)  # cell membranes: the zero level of a smooth field
    image[np.abs(folds) < 0.05] = 70
    vesicles = _smooth_noise(shape, 2.2, rng)
    image[vesicles > 2.3] = 80

    placed = 0
    for _ in range(40 * count):
        if placed == count:
            break
        radii = rng.uniform(7, 13, 3)
        if rng.random() < 1 / 3:
            radii = rng.permutation([7.0, 8.0, rng.uniform(18, 30)])
        centre = rng.uniform(0, shape)
        low = np.maximum(0, (centre - radii - 3).astype(int))
        high = np.minimum(shape, (centre + radii + 4).astype(int))
        box = tuple(slice(a, b) for a, b in zip(low, high))
        grid = np.ogrid[box]
        distance = np.sqrt(sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii)))
        margin = distance <= 1 + 2.5 / radii.min()
        inside = distance <= 1
        if inside.sum() < 600 or labels[box][margin].any():
            continue
        placed += 1
        labels[box][inside] = placed
        matrix = 105 + 8 * np.sin(grid[rng.integers(3)] * rng.uniform(1.0, 1.6) + rng.uniform(0, 6))  # cristae
        body = image[box]
        body[inside] = np.broadcast_to(matrix, inside.shape)[inside]
        body[inside & (distance > 1 - 1.6 / radii.min())] = 62  # the outer membrane
        body[margin & ~inside] = 172  # a clear rim
    image = ndimage.gaussian_filter(image, 0.7) + rng.normal(0, 9, shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _smooth_noise(shape: tuple[int, int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    return noise / noise.std()


def write_phantom_dataset(
    folder: Path, seed: int, train_shape: tuple[int, int, int] = (64, 144, 144),
    test_shape: tuple[int, int, int] = (64, 128, 128), train_cases: int = 2, bodies: int = 40,
) -> None:  # fmt: skip
    """Write a nnU-Net raw dataset of phantoms: training cases and one test case, with instances and semantic labels."""
    cases = [(f"phantom_train{i + 1}", "Tr", train_shape) for i in range(train_cases)]
    cases.append(("phantom_test1", "Ts", test_shape))
    for number, (name, split, shape) in enumerate(cases):
        image, labels = em_phantom(shape, bodies, seed * 1000 + number)
        write_volume(folder / f"images{split}" / f"{name}_0000.tiff", Volume(image, SPACING_NM, "nm"))
        (folder / f"images{split}" / f"{name}.json").write_text(json.dumps({"spacing": list(SPACING_NM)}))
        write_labels(folder / f"instances{split}" / f"{name}.tiff", Volume(labels, SPACING_NM, "nm"))
        write_labels(folder / f"labels{split}" / f"{name}.tiff", Volume((labels > 0) * np.uint8(1), SPACING_NM, "nm"))
    meta = {
        "channel_names": {"0": "EM"},
        "labels": {"background": 0, "mitochondria": 1},
        "numTraining": train_cases,
        "file_ending": ".tiff",
        "spacing_unit": "nm",
    }
    (folder / "dataset.json").write_text(json.dumps(meta, indent=2))
