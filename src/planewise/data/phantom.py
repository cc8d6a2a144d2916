"""Synthetic datasets, made from formulas alone, for the demos and the tests.

An electron-microscopy dataset of dark organelles with inner membranes, vesicles and cell membranes: the large textured
bodies must be segmented; the vesicles and membranes are as dark and must not be. And a chest CT dataset: a body with
two lungs, and patches of ground glass, reticulation and honeycombing in known places.
"""

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

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


ORGANELLES = {"mitochondria": 1, "nucleus": 2, "er": 3}
THINGS = ("mitochondria", "nucleus")


def organelle_phantom(shape: tuple[int, int, int], bodies: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image (z, y, x) uint8, its classes, of ``ORGANELLES``, uint8, and instance ids of its things, int32.

    Up to two nuclei of 16 to 24 voxels radius, with chromatin and an envelope; up to ``bodies`` mitochondria as in
    ``em_phantom``, none touching another thing; and sheets of ER, three voxels thick, which touch both.
    """
    rng = np.random.default_rng([seed, 3])
    ids, classes = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    image = 165 + 14 * _smooth_noise(shape, 6, rng)
    image[_smooth_noise(shape, 2.2, rng) > 2.3] = 80  # vesicles, which are none of the classes
    chromatin = _smooth_noise(shape, 2.5, rng)
    placed = {1: 0, 2: 0}
    for attempt in range(60 + 40 * bodies):
        value = 2 if attempt < 60 else 1
        if placed[value] == (2 if value == 2 else bodies):
            continue
        radii = rng.uniform(16, 24, 3) if value == 2 else rng.uniform(7, 13, 3)
        if value == 1 and rng.random() < 1 / 3:
            radii = rng.permutation([7.0, 8.0, rng.uniform(18, 30)])
        centre = rng.uniform(0, shape)
        box = tuple(
            slice(max(0, int(c - r - 3)), min(side, int(c + r + 4))) for c, r, side in zip(centre, radii, shape)
        )
        grid = np.ogrid[box]
        distance = np.sqrt(sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii)))
        inside, margin = distance <= 1, distance <= 1 + 2.5 / radii.min()
        if inside.sum() < 600 or ids[box][margin].any():
            continue
        placed[value] += 1
        ids[box][inside], classes[box][inside] = sum(placed.values()), value
        cristae = 105 + 8 * np.sin(grid[rng.integers(3)] * rng.uniform(1.0, 1.6) + rng.uniform(0, 6))
        matrix = np.broadcast_to(cristae, inside.shape) if value == 1 else 150 - 22 * (chromatin[box] > 0.4)
        body = image[box]
        body[inside] = matrix[inside]
        body[inside & (distance > 1 - 1.6 / radii.min())] = 62  # the membrane
        body[margin & ~inside] = 172  # a clear rim
    sheets, where = np.abs(_smooth_noise(shape, 8, rng)), _smooth_noise(shape, 16, rng)
    er = (sheets < 0.25) & (where > 0) & (classes == 0)
    classes[er] = 3
    image[er] = np.where(sheets[er] < 0.1, 125, 85)  # a lumen between two membranes
    image = ndimage.gaussian_filter(image, 0.7) + rng.normal(0, 9, shape)
    return np.clip(image, 0, 255).astype(np.uint8), classes, ids


def _smooth_noise(shape: tuple[int, int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    return noise / noise.std()


def write_phantom_dataset(
    folder: Path,
    seed: int,
    train_shape: tuple[int, int, int] = (64, 144, 144),
    test_shape: tuple[int, int, int] = (64, 128, 128),
    train_cases: int = 2,
    bodies: int = 40,
    organelles: bool = False,
) -> None:
    """Write a nnU-Net raw dataset of phantoms: training cases and one test case, with instances and semantic labels.

    ``organelles``: of three classes, see ``organelle_phantom``, instead of one.
    """
    cases = [(f"phantom_train{i + 1}", "Tr", train_shape) for i in range(train_cases)]
    cases.append(("phantom_test1", "Ts", test_shape))
    for number, (name, split, shape) in enumerate(cases):
        if organelles:
            image, classes, labels = organelle_phantom(shape, bodies, seed * 1000 + number)
        else:
            image, labels = em_phantom(shape, bodies, seed * 1000 + number)
            classes = (labels > 0).astype(np.uint8)
        write_volume(folder / f"images{split}" / f"{name}_0000.tiff", Volume(image, SPACING_NM, "nm"))
        write_labels(folder / f"instances{split}" / f"{name}.tiff", Volume(labels, SPACING_NM, "nm"))
        write_labels(folder / f"labels{split}" / f"{name}.tiff", Volume(classes, SPACING_NM, "nm"))
        for kind in ("images", "instances", "labels"):  # nnU-Net wants the spacing of TIFFs beside each
            sidecar = folder / f"{kind}{split}" / f"{name}.json"
            sidecar.write_text(json.dumps({"spacing": list(SPACING_NM)}), "utf-8")
    meta = {
        "channel_names": {"0": "EM"},
        "labels": {"background": 0, **(ORGANELLES if organelles else {"mitochondria": 1})},
        "numTraining": train_cases,
        "file_ending": ".tiff",
        "spacing_unit": "nm",
    }
    (folder / "dataset.json").write_text(json.dumps(meta, indent=2), "utf-8")


CHEST_CLASSES = {"ground_glass": 1, "reticulation": 2, "honeycombing": 3}
CHEST_SPACING_MM = (5.0, 2.5, 2.5)


def chest_phantom(
    shape: tuple[int, int, int], seed: int, classes: tuple[int, ...] = (1, 2, 3), growth: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a chest CT (z, y, x) in HU, int16, and labels, uint8, with a patch of each of ``classes``
    (``CHEST_CLASSES``).

    Without classes it is a healthy chest. ``growth``: factor by which the patches' volumes are enlarged.
    """
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(side) for side in shape)]
    u, v, w = (z / shape[0] - 0.5) * 2, (y / shape[1] - 0.5) * 2, (x / shape[2] - 0.5) * 2  # -1..1
    image = np.full(shape, -1000.0, np.float32)
    body = (v / 0.75) ** 2 + (w / 0.92) ** 2 + 0 * u < 1
    image[body] = 40
    narrow = 1 - 0.35 * np.clip(u, 0, 1)  # towards the apex
    lungs = [((v / 0.55) ** 2 + ((w - side * 0.45) / 0.34) ** 2 < narrow**2) & (np.abs(u) < 0.9) for side in (-1, 1)]
    lung = (lungs[0] | lungs[1]) & body
    texture = _smooth_noise(shape, 1.0, rng)
    image[lung] = (-860 + 25 * texture)[lung]
    vessels = (np.abs(_smooth_noise(shape, 4.0, rng)) < 0.03) & lung
    image[vessels] = -200
    image[(v - 0.62) ** 2 + w**2 + 0 * u < 0.02] = 700  # the spine

    labels = np.zeros(shape, np.uint8)
    net = np.abs(_smooth_noise(shape, 1.4, rng))
    hu = {
        1: -620 + 40 * texture,
        2: np.where(net < 0.35, -250, -760) + 30 * texture,
        3: np.where(net < 0.5, -150, -960) + 20 * texture,
    }
    # Posterior, peripheral patches: one class in one lung below, the others in the other lung, above and below.
    places = rng.permutation([(-0.45, -1), (-0.4, 1), (0.4, 1)])
    for value, (height, side) in zip(hu, places):
        centre = (height + rng.uniform(-0.1, 0.1), rng.uniform(0.05, 0.25), side * rng.uniform(0.42, 0.52))
        radii = (rng.uniform(0.25, 0.32), rng.uniform(0.24, 0.3), rng.uniform(0.17, 0.22))
        grown = [radius * growth ** (1 / 3) for radius in radii]
        distance = sum(((a - c) / r) ** 2 for a, c, r in zip((u, v, w), centre, grown))
        if value not in classes:
            continue
        patch = (distance + 0.15 * _smooth_noise(shape, 3.0, rng) < 1) & lung & (labels == 0)
        labels[patch] = value
        image[patch] = hu[value][patch]
    image += rng.normal(0, 18, shape)
    return np.clip(np.rint(image), -1024, 3000).astype(np.int16), labels


def breathing_field(shape: tuple[int, int, int], seed: int, depth: float = 0.03) -> np.ndarray:
    """Return a smooth field (3, z, y, x) in voxels, from places in the warped volume to places in the original one.

    The chest is stretched about its middle: in height by the share ``depth``, in width by a third of that. In addition,
    a smooth random field from ``seed``, with at most two waves in each direction, moves places by up to 0.01 of a side.
    """
    rng = np.random.default_rng(seed)
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    scaled = [(axis - side / 2) / side for axis, side in zip(axes, shape)]  # -0.5 .. 0.5
    field = np.empty((3, *shape), np.float32)
    for i, (side, share) in enumerate(zip(shape, (depth, depth / 3, depth / 3))):
        phases = rng.uniform(0, 2 * np.pi, 3)
        waves = np.prod(
            np.broadcast_arrays(*(np.sin(2 * np.pi * a + phase) for a, phase in zip(scaled, phases))), axis=0
        )
        field[i] = side * (-share / (1 + share) * scaled[i] + 0.01 * waves)
    return field


def warped(voxels: np.ndarray, field: np.ndarray, labels: bool = False) -> np.ndarray:
    """Return ``voxels`` (z, y, x) warped by ``field`` (see ``breathing_field``): linearly, or ``labels`` to the
    nearest."""
    places = [axis + step for axis, step in zip(np.indices(voxels.shape, np.float32), field)]
    return ndimage.map_coordinates(voxels, places, order=0 if labels else 1, mode="nearest")


def write_chest_patient(
    folder: Path,
    seed: int,
    shape: tuple[int, int, int] = (24, 128, 128),
    growth: float = 1.0,
    dates: tuple[str, ...] = ("2023-01-10", "2024-01-12"),
) -> None:
    """Write one patient's scans as NIfTI, ct.nii.gz and the true labels in a folder for each of ``dates``.

    From one date to the next the patches have grown by ``growth``, and the patient breathes in more deeply.
    """
    for place, day in enumerate(dates):
        image, labels = chest_phantom(shape, seed, growth=growth**place)
        if place:
            field = breathing_field(shape, seed + place)
            noise = np.random.default_rng([seed, place]).normal(0, 12, shape)  # linear interpolation has smoothed it
            image = np.rint(warped(image.astype(np.float32), field) + noise).astype(np.int16)
            labels = warped(labels, field, labels=True)
        write_volume(folder / day / "ct.nii.gz", Volume(image, CHEST_SPACING_MM, "mm"))
        write_labels(folder / "truth" / f"{day}.nii.gz", Volume(labels, CHEST_SPACING_MM, "mm"))


def write_chest_dataset(
    folder: Path, seed: int, shape: tuple[int, int, int] = (24, 128, 128), train_cases: int = 5, test_cases: int = 1
) -> None:
    """Write a nnU-Net raw dataset of chest phantoms, as NIfTI: training and test cases, and a healthy test case."""
    directions = (np.eye(3), np.diag([1.0, -1.0, -1.0]))  # stored as LPS and as RAS, as real datasets mix them
    all_classes = tuple(CHEST_CLASSES.values())
    cases = [(f"CT_phantom{i + 1}", "Tr", all_classes) for i in range(train_cases)]
    cases += [(f"CT_phantomtest{i + 1 if i else ''}", "Ts", all_classes) for i in range(test_cases)]
    cases.append(("CT_phantomhealthy", "Ts", ()))
    for number, (name, split, classes) in enumerate(cases):
        image, labels = chest_phantom(shape, seed * 1000 + number, classes)
        direction = directions[number % 2]
        for voxels, path in ((image, f"images{split}/{name}_0000.nii.gz"), (labels, f"labels{split}/{name}.nii.gz")):
            stored = voxels if number % 2 == 0 else voxels[:, ::-1, ::-1]
            rows = tuple(tuple(row) for row in direction.tolist())
            write_volume(folder / path, Volume(np.ascontiguousarray(stored), CHEST_SPACING_MM, "mm", direction=rows))
    meta = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **CHEST_CLASSES},
        "numTraining": train_cases,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(meta, indent=2), "utf-8")
