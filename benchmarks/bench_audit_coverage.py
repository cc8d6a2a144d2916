"""Coverage and width of an audit's interval: 1,000 audits of each quantity and each of three models.

Worlds are drawn at random. Each is segmented by a good model, by a biased one, and by a sabotaged one: a quarter of the
slices lost, every fourth of the others emptied, a heap of false objects in one corner. The audit draws 30 items and
corrects them by the ground truth. Coverage is the share of the intervals that contain the true value. "Width" is the
width of the interval, as a share of the width that the same corrected items give without the model.

    python benchmarks/bench_audit_coverage.py [audits] [--tiny]
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from machine import TINY, WORDS
from scipy import ndimage

from planewise.audit.design import Design, cut, draw
from planewise.audit.estimators import Estimate, Part, Sample, estimate
from planewise.audit.population import (
    OBJECTS,
    VOXELS,
    Objects,
    Population,
    Source,
    box_edges,
    boxes_of,
    by_content,
    objects_in_order,
    objects_of,
    slices_of,
)
from planewise.audit.ratios import ratio
from planewise.audit.units import Units, difference_of, mean_of
from planewise.volumes.volume import Volume

BUDGET = 30
SHAPE = (40, 60, 60) if TINY else (100, 160, 160)
BALLS = 40 if TINY else 250
DRAWS = 5 if TINY else 20  # audits of each world
MODELS = ("good", "biased", "sabotaged")
ANIMALS = 5  # of each condition

Labels = np.ndarray


@dataclass(frozen=True)
class Audit:
    """The estimates of one audit, with the model and without it, and the true value."""

    estimate: Estimate
    plain: Estimate
    truth: float


# ---- worlds of objects


def world(rng: np.random.Generator) -> np.ndarray:
    """Return balls (n, 4), z, y, x and radius in voxels, crowded towards one side, of different sizes."""
    places = rng.uniform(0, 1, (BALLS, 3))
    places[:, 1] **= 1.5
    radii = np.clip(rng.lognormal(np.log(5), 0.3, BALLS), 2.5, 12)
    return np.column_stack([places * SHAPE, radii])


def paint(balls: np.ndarray) -> Labels:
    """Return the instance ids of balls, the later ones on top."""
    labels = np.zeros(SHAPE, np.uint16)
    for label, (z, y, x, radius) in enumerate(balls, 1):
        low = np.maximum(np.floor([z - radius, y - radius, x - radius]), 0).astype(int)
        high = np.minimum(np.ceil([z + radius, y + radius, x + radius]) + 1, SHAPE).astype(int)
        grid = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high))]
        inside = (grid[0] - z) ** 2 + (grid[1] - y) ** 2 + (grid[2] - x) ** 2 <= radius**2
        labels[tuple(slice(a, b) for a, b in zip(low, high))][inside] = label
    return labels


def segmented(balls: np.ndarray, model: str, rng: np.random.Generator) -> Labels:
    """Return the masks of a model: the true balls, some moved or missed, and false ones."""
    n = len(balls)
    missed = rng.random(n) < (0.2 * (balls[:, 3] < 5) if model == "biased" else 0.03)
    seen = balls[~missed].copy()
    seen[:, :3] += rng.normal(0, 0.4, (len(seen), 3))
    seen[:, 3] *= rng.normal(0.88 if model == "biased" else 1.0, 0.03, len(seen))
    false = np.column_stack([rng.uniform(0, 1, (n // 33, 3)) * SHAPE, rng.uniform(2.5, 5, n // 33)])
    if model == "sabotaged":
        heap = rng.uniform(0, 0.3, (n // 4, 3)) * SHAPE
        false = np.column_stack([heap, rng.uniform(2.5, 6, len(heap))])
    labels = paint(np.vstack([seen, false]))
    if model == "sabotaged":
        start = rng.integers(0, SHAPE[0] * 3 // 4)
        labels[start : start + SHAPE[0] // 4] = 0
        labels[rng.integers(4) :: 4] = 0
    return labels


def source(labels: Labels) -> Source:
    return Source(Volume(labels), None, None)


def part(
    masks: np.ndarray,
    truth: np.ndarray,
    design: Design,
    items: int,
    rng: np.random.Generator,
    whole: bool = False,
    strata: list | None = None,
) -> Part:
    """Return a population of which ``items`` were drawn and corrected by the truth."""
    strata = strata or draw(design, cut(design, np.ones(len(masks)), items), rng)
    samples = []
    for stratum in strata:
        at = np.array(stratum.drawn)
        samples.append(Sample(stratum.size, truth[at], truth[at], masks[at]))
    return Part(
        tuple(samples),
        float(masks.sum()),
        whole=whole,
        largest=float(masks.max()),
        most=float(np.prod(SHAPE)),
        systematic=design == "systematic",
    )


def of_slices(
    masks: Population, truth: Population, design: Design, rng: np.random.Generator, items: int = BUDGET
) -> Audit:
    """Audit the voxels of all slices by ``items`` of them."""
    drawn = part(masks.masks["all"], truth.masks["all"], design, items, rng)
    return Audit(estimate([drawn]), estimate([drawn.without_masks()]), float(truth.masks["all"].sum()))


def of_boxes(boxes: Population, true: Population, rng: np.random.Generator, items: int = BUDGET) -> dict[str, Audit]:
    """Audit number and mean volume by ``items`` boxes, which are drawn by the masks in them."""
    masks, order = by_content(boxes)
    truth = replace(true, masks={name: values[order] for name, values in true.masks.items()})
    strata = draw("stratified", cut("stratified", masks.weights, items), rng)
    count, voxels = (
        part(masks.masks[name], truth.masks[name], "stratified", items, rng, name == OBJECTS, strata)
        for name in (OBJECTS, VOXELS)
    )
    n, v = (float(true.masks[name].sum()) for name in (OBJECTS, VOXELS))
    number, mean = without_model(true, rng, items)
    return {
        "number, boxes": Audit(estimate([count]), number, n),
        "mean volume, boxes": Audit(ratio([voxels], [count]), mean, v / n),
    }


def without_model(true: Population, rng: np.random.Generator, items: int = BUDGET) -> tuple[Estimate, Estimate]:
    """Return number and mean volume from ``items`` boxes that were drawn and corrected without any model."""
    strata = draw("stratified", cut("stratified", np.ones(true.size), items), rng)
    nothing = np.zeros(true.size)
    count, voxels = (
        part(nothing, true.masks[name], "stratified", items, rng, name == OBJECTS, strata) for name in (OBJECTS, VOXELS)
    )
    return estimate([count]), ratio([voxels], [count])


def attributed(labels: Labels, drawn: Labels, objects: Population) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the true values that belong to each predicted object, and the ids of true objects that belong to none."""
    inside = (labels > 0) & (drawn > 0)
    pairs, counts = np.unique(np.stack([labels[inside], drawn[inside]]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -counts, pairs[0]))
    true, first = np.unique(pairs[0][order], return_index=True)
    owner = pairs[1][order][first]
    sizes = np.bincount(labels.ravel())
    place = {label: i for i, label in enumerate(objects.labels)}
    values = {name: np.zeros(objects.size) for name in (OBJECTS, VOXELS)}
    for label, predicted in zip(true.tolist(), owner.tolist()):
        values[OBJECTS][place[predicted]] += 1
        values[VOXELS][place[predicted]] += sizes[label]
    missed = np.setdiff1d(np.unique(labels[labels > 0]), true)
    return values, missed


def audits_of_objects(audits: int) -> Iterator[tuple[str, str, Audit]]:
    """Yield (quantity, model, audit) of worlds of objects."""
    for number in range(max(1, audits // DRAWS)):
        rng = np.random.default_rng(number)
        balls = world(rng)
        truth = paint(balls)
        true_slices = slices_of(source(truth), {"all": None})[0]
        true_objects = objects_of(source(truth))
        for model in MODELS:
            labels = segmented(balls, model, rng)
            slices = slices_of(source(labels), {"all": None})[0]
            objects = objects_of(source(labels))
            edges = box_edges(Volume(labels), BUDGET, len(objects.labels), None)
            boxes, true_boxes = boxes_of(source(labels), objects, edges), boxes_of(source(truth), true_objects, edges)
            one_by_one = objects_in_order(objects, {}, SHAPE)
            values, missed = attributed(truth, labels, one_by_one)
            edges = box_edges(Volume(labels), BUDGET // 3, len(objects.labels), None)
            kept = np.isin(true_objects.labels, missed)
            left = Objects(*(array[kept] for array in vars(true_objects).values()))
            of_missed = boxes_of(source(np.where(np.isin(truth, missed), truth, 0)), left, edges)
            for _ in range(DRAWS):
                yield "volume fraction, slices", model, of_slices(slices, true_slices, "stratified", rng)
                yield "volume fraction, systematic", model, of_slices(slices, true_slices, "systematic", rng)
                for name, audit in of_boxes(boxes, true_boxes, rng).items():
                    yield name, model, audit
                for name, audit in of_single_objects(one_by_one, values, of_missed, true_boxes, rng).items():
                    yield name, model, audit


def of_single_objects(
    masks: Population, values: dict[str, np.ndarray], missed: Population, true: Population, rng: np.random.Generator
) -> dict[str, Audit]:
    """Audit objects one by one, and boxes for what was missed; without the model the same budget goes into boxes."""
    n_missed = BUDGET // 3
    strata = [
        draw("stratified", cut("stratified", np.ones(units.size), items), rng)
        for units, items in ((masks, BUDGET - n_missed), (missed, n_missed))
    ]
    parts = {}
    for name in (OBJECTS, VOXELS):
        nothing = np.zeros(missed.size)
        parts[name] = [
            part(masks.masks[name], values[name], "stratified", 0, rng, name == OBJECTS, strata[0]),
            part(nothing, missed.masks[name], "stratified", 0, rng, name == OBJECTS, strata[1]),
        ]
    number, mean = without_model(true, rng)
    n, v = (float(true.masks[name].sum()) for name in (OBJECTS, VOXELS))
    return {
        "number, objects": Audit(estimate(parts[OBJECTS]), number, n),
        "mean volume, objects": Audit(ratio(parts[VOXELS], parts[OBJECTS]), mean, v / n),
    }


# ---- worlds of classes along an axis: patients and animals


def profile(mean: float, slices: int, rng: np.random.Generator) -> np.ndarray:
    """Return the area of a class in each slice: patches along the axis, ``mean`` on average, none in some slices."""
    patches = ndimage.gaussian_filter1d(rng.normal(size=slices + 40), 6)[20:-20]
    patches = np.clip(patches / patches.std() + 1, 0.01, None)
    return mean * patches / patches.mean()


def seen(area: np.ndarray, model: str, rng: np.random.Generator) -> np.ndarray:
    """Return the areas that a model gives."""
    n = len(area)
    smooth = ndimage.gaussian_filter1d(rng.normal(size=n), 2)
    area = area * (1 + 0.06 * smooth / smooth.std()) + 0.03 * area.mean() * np.abs(rng.normal(size=n))
    if model == "biased":
        return 1.3 * area
    if model == "sabotaged":
        start = rng.integers(0, max(1, n * 3 // 4))
        area[start : start + n // 4] = 0
        area[rng.integers(4) :: 4] = 0
        return area[::-1].copy() if rng.random() < 0.5 else area
    return area


def audits_of_units(audits: int) -> Iterator[tuple[str, str, Audit]]:
    """Yield (quantity, model, audit) of patients, cohorts and conditions."""
    for number in range(audits):
        rng = np.random.default_rng(10_000 + number)
        for model in MODELS:
            area = profile(100, 60, rng)
            drawn = part(seen(area, model, rng), area, "stratified", BUDGET, rng)
            yield (
                "ml of a class, a patient",
                model,
                Audit(estimate([drawn]), estimate([drawn.without_masks()]), float(area.sum())),
            )
            cohort = [profile(rng.normal(100, 8), 60, rng) for _ in range(2 * ANIMALS)]
            parts = [part(seen(a, model, rng), a, "stratified", BUDGET // len(cohort), rng) for a in cohort]
            bare = [p.without_masks() for p in parts]
            yield (
                "ml of a class, these patients",
                model,
                Audit(estimate(parts), estimate(bare), float(sum(a.sum() for a in cohort))),
            )
            numbers, plain = (np.array([estimate([p]).value for p in some]) for some in (parts, bare))
            yield (
                "ml of a class, cohort",
                model,
                Audit(mean_of(Units.of(numbers)), mean_of(Units.of(plain)), 6000.0),
            )
            first, second = slice(0, ANIMALS), slice(ANIMALS, None)
            numbers = numbers + 1500 * (np.arange(len(numbers)) >= ANIMALS)
            plain = plain + 1500 * (np.arange(len(plain)) >= ANIMALS)
            pairs = [[Units.of(values[of]) for of in (first, second)] for values in (numbers, plain)]
            yield (
                "difference of two conditions",
                model,
                Audit(difference_of(*pairs[0]), difference_of(*pairs[1]), 1500.0),
            )


def main(audits: int) -> None:
    """Print coverage and width of every quantity by model."""
    by_model: dict[tuple[str, str], list[Audit]] = {}
    works: list[Callable[[int], Iterator[tuple[str, str, Audit]]]] = [audits_of_objects, audits_of_units]
    for work in works:
        for quantity, model, audit in work(audits):
            by_model.setdefault((quantity, model), []).append(audit)
    print(f"{audits} audits of {BUDGET} items each; coverage in %, and width as a share of that without the model")
    print(f"| {'quantity':<30} | " + " | ".join(f"{model:>16}" for model in MODELS) + " |")
    print("|---|" + "---:|" * len(MODELS))
    for quantity in dict.fromkeys(quantity for quantity, _ in by_model):
        cells = []
        for model in MODELS:
            of_model = by_model[quantity, model]
            coverage = np.mean([audit.estimate.holds(audit.truth) for audit in of_model])
            widths = [(a.estimate.half_width, a.plain.half_width) for a in of_model]
            width = np.median([w for w, _ in widths]) / np.median([w for _, w in widths])
            cells.append(f"{100 * coverage:.1f}, {width:.2f}")
        print(f"| {quantity:<30} | " + " | ".join(f"{cell:>16}" for cell in cells) + " |")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(WORDS[0]) if WORDS else 5 if TINY else 1000)
