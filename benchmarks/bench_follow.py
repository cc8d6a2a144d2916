"""Serial scans on phantoms: how often no change is called one, and how well a known change is recovered.

Scans without change: one phantom twice, the second time breathed in differently (warped by a smooth field, its density
by the same mass), with noise, kernel and slice thickness of its own. Scans with change: patches grown by a known
factor, and warped by a known field. Segmented by thresholds, so that nothing but the method is looked at.

    python benchmarks/bench_follow.py [PAIRS] [--tiny]
"""

import numpy as np
from machine import TINY, WORDS, describe
from scipy import ndimage

from planewise.apps.ild.lungs import find_lungs
from planewise.data.phantom import CHEST_SPACING_MM, breathing_field, chest_phantom, warped
from planewise.measurement.extent import count_voxels
from planewise.measurement.lungs import LungRegions
from planewise.serial.change import carried_extents, changes, measures_of
from planewise.serial.registration import register
from planewise.serial.retakes import AIR_HU, Variation, noise_of, retake

SHAPE = (24, 96, 96)
PAIRS = int(WORDS[0]) if WORDS else 2 if TINY else 40
RETAKES = 3 if TINY else 8
GROWTHS = (1.5,) if TINY else (1.25, 1.5, 2.0)
EACH = 1 if TINY else 3  # phantoms for each growth
GROUPS = {"ground_glass": (1,), "total_fibrosis": (2,), "total_extent": (1, 2)}
VARIATION = Variation(0.0, 0.3, 1.25, 0.03)  # as scans of one kernel and 5 mm give it
DENSE_HU, COARSE_HU = -740.0, 150.0


def predict(hu: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return 1 where the lungs are dense and even, 2 where they are dense and coarse, a voxel under their surface."""
    inside = ndimage.binary_erosion(lungs > 0, np.ones((3, 3, 3)))  # where no voxel is filled with the chest wall
    weight = np.maximum(ndimage.gaussian_filter(inside.astype(np.float32), (0.5, 2, 2)), 1e-3)

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(np.where(inside, values, 0), (0.5, 2, 2)) / weight

    smooth = mean(hu.astype(np.float32))
    deviation = np.sqrt(np.maximum(mean(hu.astype(np.float32) ** 2) - smooth**2, 0))
    return np.where(inside & (smooth > DENSE_HU), np.where(deviation > COARSE_HU, 2, 1), 0).astype(np.uint8)


def scanned(image: np.ndarray, field: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a phantom, scanned again: warped, by another kernel, thicker slices, and other noise."""
    made = warped(image.astype(np.float32), field)
    gradients = [np.gradient(step, axis=axis) for axis, step in enumerate(field)]
    shrunk = np.prod([1 + gradient for gradient in gradients], axis=0)  # of the content of a voxel
    lung = ndimage.binary_opening(made < -500)
    made = np.where(lung, AIR_HU + (made - AIR_HU) * shrunk, made)
    made = ndimage.gaussian_filter(made, (rng.uniform(0, 0.12), *[rng.uniform(0, 0.35)] * 2))
    return np.rint(made + rng.normal(0, 14, made.shape)).astype(np.int16)


def regions_of(hu: np.ndarray) -> LungRegions:
    """Return the regions of the lungs of a phantom."""
    return LungRegions.of(find_lungs(hu, CHEST_SPACING_MM), CHEST_SPACING_MM)


def measured(hu: np.ndarray) -> dict[tuple[str, str, str], float]:
    """Return the measures of a phantom in its regions."""
    regions = regions_of(hu)
    return measures_of(count_voxels(predict(hu, regions.sides), regions), GROUPS)


def retaken(hu: np.ndarray, seed: int) -> list[dict[tuple[str, str, str], float]]:
    """Return the measures of retakes of a phantom."""
    sides = find_lungs(hu, CHEST_SPACING_MM)
    varied = Variation(noise_of(hu), VARIATION.sharpness, VARIATION.extra_mm, VARIATION.inspiration)
    return [
        measured(retake(hu, sides, CHEST_SPACING_MM, varied, np.random.default_rng([seed, number])))
        for number in range(RETAKES)
    ]


def compared(first: np.ndarray, second: np.ndarray, seed: int) -> tuple[list, float]:
    """Return the changes between two phantoms, as ``ild follow`` finds them, and the Dice of the lungs."""
    one, two = regions_of(first), regions_of(second)
    registration = register(first, one.sides, CHEST_SPACING_MM, second, two.sides, CHEST_SPACING_MM)
    before = count_voxels(predict(first, one.sides), one)
    labels = predict(second, two.sides)
    after = measures_of(carried_extents(labels, two.sides, registration, one), GROUPS)
    itself = measures_of(count_voxels(labels, two), GROUPS)
    after |= {key: value for key, value in itself.items() if not key[1]}
    rows = changes(measures_of(before, GROUPS), after, retaken(first, seed), retaken(second, seed + 1), before.lung_ml)
    return rows, registration.overlap


def without_change() -> None:
    """Print how often scans without change are called changed."""
    beyond: dict[str, list[bool]] = {"main": [], "both lungs, %": [], "both lungs, ml": [], "regions, %": []}
    for pair in range(PAIRS):
        rng = np.random.default_rng(pair)
        image, _ = chest_phantom(SHAPE, 100 + pair)
        depth = float(np.clip(rng.normal(0, 0.02), -0.03, 0.03))
        first = scanned(image, np.zeros((3, *SHAPE), np.float32), rng)
        second = scanned(image, breathing_field(SHAPE, pair, depth), rng)
        rows, _ = compared(first, second, 2 * pair)
        for row in rows:
            called = row.verdict != "not detectable"
            if (row.group, row.region, row.unit) == ("total_fibrosis", "", "percent"):
                beyond["main"].append(row.verdict == "more")
            if row.unit == "percent":
                beyond["regions, %" if row.region else "both lungs, %"].append(called)
            elif not row.region:
                beyond["both lungs, ml"].append(called)
        line = ", ".join(f"{name} {sum(calls)} of {len(calls)}" for name, calls in beyond.items())
        print(f"{pair + 1} pairs without change, called changed: {line}", flush=True)


def with_change() -> None:
    """Print the change that is recovered beside the true one."""
    for growth in GROWTHS:
        errors, found, moved, overlaps = [], [], [], []
        for seed in range(EACH):
            rng = np.random.default_rng(seed)
            nothing = np.zeros((3, *SHAPE), np.float32)
            field = breathing_field(SHAPE, seed, 0.03)
            one, two = (chest_phantom(SHAPE, 200 + seed, growth=by) for by in (1.0, growth))
            rows, overlap = compared(scanned(one[0], nothing, rng), scanned(two[0], field, rng), 1000 + seed)
            regions = [regions_of(one[0]), regions_of(warped(two[0].astype(np.float32), field))]
            true = [
                100 * float(((labels > 0) & (each.sides > 0)).sum() / (each.sides > 0).sum())
                for labels, each in zip((one[1], warped(two[1], field, labels=True)), regions)
            ]
            row = next(row for row in rows if (row.group, row.region, row.unit) == ("total_extent", "", "percent"))
            errors.append(row.change - (true[1] - true[0]))
            moved.append(true[1] - true[0])
            found.append(row.verdict == "more")
            overlaps.append(overlap)
        print(
            f"patches grown by {growth:g}: true change {np.mean(moved):+.2f} % of the lungs, error "
            f"{np.mean(errors):+.2f} (worst {max(errors, key=abs):+.2f}), called progression in {sum(found)} of "
            f"{len(found)}; Dice of the lungs {np.mean(overlaps):.3f}",
            flush=True,
        )  # fmt: skip


def displacements() -> None:
    """Print how far registered places are from their true ones."""
    for seed in range(EACH):
        image, _ = chest_phantom(SHAPE, 300 + seed)
        field = breathing_field(SHAPE, seed, 0.03)
        second = scanned(image, field, np.random.default_rng(seed))
        one, two = regions_of(image), regions_of(second)
        registration = register(image, one.sides, CHEST_SPACING_MM, second, two.sides, CHEST_SPACING_MM)
        places = np.indices(SHAPE).astype(np.float32)
        true = places.copy()
        for _ in range(30):  # the field leads back: its inverse by iteration
            true = places - np.stack([ndimage.map_coordinates(step, true, order=1, mode="nearest") for step in field])
        moved = np.moveaxis(true - places, 0, -1) * np.array(CHEST_SPACING_MM)
        inside = one.sides > 0
        error = np.linalg.norm(registration.displacement_mm() - moved, axis=-1)[inside]
        print(
            f"places moved by {np.linalg.norm(moved, axis=-1)[inside].mean():.1f} mm are found within "
            f"{error.mean():.1f} mm (95 %: {np.percentile(error, 95):.1f}); Dice of the lungs "
            f"{registration.overlap:.3f}",
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    print(describe())
    displacements()
    with_change()
    without_change()
