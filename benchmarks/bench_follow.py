"""Serial scans of phantoms: how often no change is called a change, and how well a known change is recovered.

Scans without change are one phantom scanned twice. The second scan has another inspiration (it is warped by a smooth
field, with the density for the same mass), noise, kernel and slice thickness. Both scans are sampled in the same way,
finer than voxels. If the second were interpolated once more than the first, it would be softer, as with another kernel
and thicker slices, and no header would say so; ``softer`` measures this. Scans with change have patches
grown by a known factor, and are warped by a known field. All are segmented by thresholds, so that only the method is
tested.

    python benchmarks/bench_follow.py [null|softer|growth|places|CT.nii.gz ...] [PAIRS] [FIRST] [--tiny]

``FIRST`` is the seed of the first phantom, so that pairs can be shared out between runs. A CT in HU is warped by a
known field, and registration must find its points again. If no part is named, all parts except the CT run.
"""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from machine import TINY, WORDS, describe
from scipy import ndimage
from statsmodels.stats.proportion import proportion_confint

from planewise.apps.ild.lungs import find_lungs
from planewise.apps.ild.options import WINDOWS
from planewise.data.phantom import CHEST_SPACING_MM, breathing_field, chest_phantom, warped
from planewise.data.prepared import read_patient
from planewise.errors import PlanewiseError
from planewise.measurement.extent import count_voxels
from planewise.measurement.lungs import LungRegions
from planewise.serial.change import Change, carried_extents, changes, measures_of
from planewise.serial.detectable import LEAST_RETAKES
from planewise.serial.missing import missing_pieces_ml
from planewise.serial.registration import register
from planewise.serial.retakes import AIR_HU, Variation, noise_of, retake
from planewise.volumes.volume import Spacing

SHAPE = (24, 96, 96)
PARTS = [word for word in WORDS if not word.isdecimal()] or ["places", "growth", "null", "softer"]
NUMBERS = [int(word) for word in WORDS if word.isdecimal()]
PAIRS = NUMBERS[0] if NUMBERS else 1 if TINY else 60
FIRST = NUMBERS[1] if len(NUMBERS) > 1 else 8000
RETAKES = 3 if TINY else 8
GROWTHS = (1.5,) if TINY else (1.1, 1.25, 1.5, 2.0)
PLACES = 1 if TINY else 3  # phantoms
GROUPS = {"ground_glass": (1,), "total_fibrosis": (2,), "total_extent": (1, 2)}
VARIATION = Variation(0.0, 0.3, 1.25, 0.03)  # that of scans with one kernel and slices of 5 mm
DENSE_HU, COARSE_HU = -740.0, 150.0


def predict(hu: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return 1 where the lungs are dense and even, 2 where dense and coarse; their outermost voxels are left out."""
    inside = ndimage.binary_erosion(lungs > 0, np.ones((3, 3, 3)))  # voxels without a part of the chest wall
    weight = np.maximum(ndimage.gaussian_filter(inside.astype(np.float32), (0.5, 2, 2)), 1e-3)

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(np.where(inside, values, 0), (0.5, 2, 2)) / weight

    smooth = mean(hu.astype(np.float32))
    deviation = np.sqrt(np.maximum(mean(hu.astype(np.float32) ** 2) - smooth**2, 0))
    return np.where(inside & (smooth > DENSE_HU), np.where(deviation > COARSE_HU, 2, 1), 0).astype(np.uint8)


def sampled(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Return a warped phantom, each voxel the mean of eight points in it: equally blurred whatever the field."""
    spline = ndimage.spline_filter(image.astype(np.float32), output=np.float32)
    places = np.indices(image.shape, np.float32) + field
    samples = [
        ndimage.map_coordinates(spline, places + np.reshape(shift, (3, 1, 1, 1)), prefilter=False, mode="nearest")
        for shift in product((-0.25, 0.25), repeat=3)
    ]
    return np.mean(samples, axis=0)


def scanned(image: np.ndarray, field: np.ndarray, rng: np.random.Generator, softer: bool = False) -> np.ndarray:
    """Return a scan of a phantom: warped, with a random kernel and slice thickness, and with noise.

    ``softer``: interpolated linearly, which blurs by 0.4 voxels (SD) along each axis, between the centres of voxels.
    """
    made = warped(image.astype(np.float32), field) if softer else sampled(image, field)
    gradients = [np.gradient(step, axis=axis) for axis, step in enumerate(field)]
    shrunk = np.prod([1 + gradient for gradient in gradients], axis=0)  # of the content of a voxel
    lung = ndimage.binary_opening(made < -500)
    made = np.where(lung, AIR_HU + (made - AIR_HU) * shrunk, made)
    made = ndimage.gaussian_filter(made, (rng.uniform(0, 0.12), *[rng.uniform(0, 0.35)] * 2))
    return np.clip(np.rint(made + rng.normal(0, 14, made.shape)), -1024, 3071).astype(np.int16)


def regions_of(hu: np.ndarray) -> LungRegions:
    """Return the regions of the lungs of a phantom."""
    return LungRegions.of(find_lungs(hu, CHEST_SPACING_MM), CHEST_SPACING_MM)


def retaken(hu: np.ndarray, seed: int) -> list[dict[tuple[str, str, str], float]]:
    """Return the measures of retakes of a phantom, as ``ild follow`` takes them."""
    sides = find_lungs(hu, CHEST_SPACING_MM)
    varied = Variation(noise_of(hu), VARIATION.sharpness, VARIATION.extra_mm, VARIATION.inspiration)
    measures = []
    for number in range(RETAKES):
        made = retake(hu, sides, CHEST_SPACING_MM, varied, np.random.default_rng([seed, number]))
        regions = regions_of(made)
        if not any(missing_pieces_ml(sides, regions.sides, CHEST_SPACING_MM)):
            measures.append(measures_of(count_voxels(predict(made, regions.sides), regions), GROUPS))
    return measures


def compared(first: np.ndarray, second: np.ndarray, seed: int) -> tuple[list, float]:
    """Return the changes between two phantoms, as ``ild follow`` computes them, and the Dice of the lungs.

    Raises PlanewiseError if they cannot be compared.
    """
    one, two = regions_of(first), regions_of(second)
    registration = register(first, one.sides, CHEST_SPACING_MM, second, two.sides, CHEST_SPACING_MM)
    before = count_voxels(predict(first, one.sides), one)
    labels = predict(second, two.sides)
    carried = measures_of(carried_extents(labels, two.sides, registration, one), GROUPS)
    after = measures_of(count_voxels(labels, two), GROUPS)
    of_first, of_second = retaken(first, seed), retaken(second, seed + 1)
    if min(len(of_first), len(of_second)) < LEAST_RETAKES:
        raise PlanewiseError("too few retakes in which the lungs are the same")
    rows = changes(measures_of(before, GROUPS), after, carried, of_first, of_second, before.lung_ml)
    return rows, registration.overlap


def share(calls: Sequence[bool]) -> str:
    """Return how many of ``calls`` are true, with Wilson's 95 % interval."""
    low, high = proportion_confint(sum(calls), len(calls), method="wilson") if calls else (0.0, 1.0)
    return f"{sum(calls)} of {len(calls)} ({100 * low:.1f} to {100 * high:.1f} %)"


def without_change(softer: bool) -> None:
    """Print how often scans without change are called changed."""
    called: dict[str, list[bool]] = {"progression": [], "pages with any number": []}
    refused: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + PAIRS):
        rng = np.random.default_rng(seed)
        image, _ = chest_phantom(SHAPE, seed)
        depth = float(np.clip(rng.normal(0, 0.02), -0.03, 0.03))
        first = scanned(image, np.zeros((3, *SHAPE), np.float32), rng)
        second = scanned(image, breathing_field(SHAPE, seed, depth), rng, softer)
        try:
            rows, _ = compared(first, second, 2 * seed)
        except PlanewiseError as error:
            refused[str(error).partition(":")[0]] += 1
            continue
        beyond = [row.category != "not detectable" for row in rows]
        for row, is_beyond in zip(rows, beyond):
            place = "regions" if row.region else "both lungs"
            called.setdefault(f"{place}, {row.unit}", []).append(is_beyond)
            if (row.group, row.region, row.unit) == ("total_fibrosis", "", "percent"):
                called["progression"].append(row.category == "more")
        called["pages with any number"].append(any(beyond))
        words = "; ".join(f"{name} {share(calls)}" for name, calls in called.items())
        print(f"phantom {seed}{', the second softer' if softer else ''}, called changed: {words}", flush=True)
    print(f"refused: {sum(refused.values())} of {PAIRS} {dict(refused)}", flush=True)


def with_change() -> None:
    """Print the measured change beside the true one, and how often it is called a change."""
    for growth in GROWTHS:
        rows_of: dict[str, list[tuple[float, Change]]] = {"total_fibrosis": [], "total_extent": []}
        refused = 0
        for seed in range(FIRST, FIRST + PAIRS):
            rng = np.random.default_rng(seed)
            field = breathing_field(SHAPE, seed, float(np.clip(rng.normal(0, 0.02), -0.03, 0.03)))
            one, two = (chest_phantom(SHAPE, seed, growth=by) for by in (1.0, growth))
            first, second = scanned(one[0], np.zeros((3, *SHAPE), np.float32), rng), scanned(two[0], field, rng)
            try:
                rows, _ = compared(first, second, 2 * seed)
            except PlanewiseError:
                refused += 1
                continue
            sides = [regions_of(image).sides > 0 for image in (one[0], warped(two[0].astype(np.float32), field))]
            labels = [one[1], warped(two[1], field, labels=True)]
            for least, (group, kept) in zip((2, 1), rows_of.items()):
                before, after = (
                    100 * float(((each >= least) & inside).sum() / inside.sum()) for each, inside in zip(labels, sides)
                )
                row = next(row for row in rows if (row.group, row.region, row.unit) == (group, "", "percent"))
                kept.append((after - before, row))
        for group, kept in rows_of.items():
            errors = [row.change - true for true, row in kept if row.change is not None] or [np.nan]
            limit = np.mean([row.detectable for _, row in kept])
            print(
                f"patches grown by {growth:g}: true change of {group} {np.mean([true for true, _ in kept]):+.2f} % "
                f"of the lungs, error {np.mean(errors):+.2f} (SD {np.std(errors):.2f}, worst "
                f"{max(errors, key=abs):+.2f}), smallest detectable {limit:.2f}, called more "
                f"{share([row.category == 'more' for _, row in kept])}; refused {refused}",
                flush=True,
            )


def displacements() -> None:
    """Print how far registered points of phantoms are from their true positions."""
    for seed in range(PLACES):
        image, _ = chest_phantom(SHAPE, 300 + seed)
        field = breathing_field(SHAPE, seed, 0.03)
        placed(image, scanned(image, field, np.random.default_rng(seed)), field, CHEST_SPACING_MM)


def real(path: Path) -> None:
    """Print how far registered points of a CT in HU are from their true positions, after warping by a known field."""
    patient, hu = read_patient(path.name, path, None, *WINDOWS["lung"])
    field = breathing_field(hu.shape, 0, 0.03)
    size, steps = (" x ".join(f"{value:.3g}" for value in values) for values in (hu.shape, patient.spacing_mm))
    print(f"{path.name}, {size} voxels of {steps} mm")
    placed(hu, np.rint(warped(hu.astype(np.float32), field)).astype(np.int16), field, patient.spacing_mm)


def placed(first: np.ndarray, second: np.ndarray, field: np.ndarray, spacing_mm: Spacing) -> None:
    """Print how far the registration of a scan, warped by ``field``, is from the field."""
    sides = [find_lungs(hu, spacing_mm) for hu in (first, second)]
    before = time.process_time()
    registration = register(first, sides[0], spacing_mm, second, sides[1], spacing_mm)
    seconds = time.process_time() - before
    places = np.indices(first.shape).astype(np.float32)
    true = places.copy()
    for _ in range(10):  # the inverse of the field by iteration; each step reduces the error tenfold
        true = places - np.stack([ndimage.map_coordinates(step, true, order=1, mode="nearest") for step in field])
    moved = np.moveaxis(true - places, 0, -1) * np.array(spacing_mm)
    inside, voxel_ml = sides[0] > 0, float(np.prod(spacing_mm)) / 1000
    error = np.linalg.norm(registration.displacement_mm() - moved, axis=-1)[inside]
    there = registration.growth[inside & (registration.carry((sides[1] > 0).astype(np.uint8)) > 0)]
    print(
        f"places moved by {np.linalg.norm(moved, axis=-1)[inside].mean():.1f} mm are found within "
        f"{error.mean():.1f} mm (95 %: {np.percentile(error, 95):.1f}); Dice of the lungs {registration.overlap:.3f}; "
        f"lungs of {inside.sum() * voxel_ml:.0f}, then {(sides[1] > 0).sum() * voxel_ml:.0f} ml, which are "
        f"{there.sum() * voxel_ml:.0f} by the registration; {seconds:.0f} CPU seconds",
        flush=True,
    )


if __name__ == "__main__":
    print(describe())
    works = {
        "places": displacements,
        "growth": with_change,
        "null": lambda: without_change(False),
        "softer": lambda: without_change(True),
    }
    for part in PARTS:
        works[part]() if part in works else real(Path(part))
