"""Draws and writes the items of one case."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from planewise.audit.design import Design, cut
from planewise.audit.items import crop_of, write_item
from planewise.audit.plan import CaseRecord, Item, PopulationRecord, design_of, drawn_from
from planewise.audit.population import (
    Classes,
    Kind,
    Objects,
    Population,
    Source,
    box_edges,
    boxes_of,
    by_content,
    missed_in,
    objects_in_order,
    objects_of,
    slices_of,
)
from planewise.errors import PlanewiseError

SLICES_BESIDE = 2  # on either side of a slice to correct
MOST_CONTEXT = 2  # sides of a box

Sides = tuple[int, int, int]


@dataclass(frozen=True)
class Wanted:
    """What is drawn from each case: the number of ``items`` by kind, and how they are drawn.

    ``box``, ``context``: voxels (z, y, x); None: chosen from the objects. ``confidence``: by the ids of the case's
    objects; empty if unknown.
    """

    items: dict[Kind, int]
    classes: Classes
    seed: int
    design: Design
    box: Sides | None = None
    context: Sides | None = None
    confidence: dict[int, float] | None = None


def populations_of(source: Source, wanted: Wanted) -> tuple[list[Population], float, Objects | None]:
    """Return the populations that items are drawn from, the number of voxels that count, and the objects if needed."""
    populations = []
    reference = float(np.prod(source.labels.shape))
    objects = None
    if "slice" in wanted.items:
        slices, reference = slices_of(source, wanted.classes)
        populations.append(slices)
    if wanted.items.keys() - {"slice"}:
        objects = objects_of(source)
        of_boxes = wanted.items.get("box", wanted.items.get("missed", 1))
        boxes = boxes_of(source, objects, box_edges(source.labels, of_boxes, len(objects.labels), wanted.box))
        if "object" in wanted.items:
            confidence = wanted.confidence or {}
            unknown = sorted(set(objects.labels.tolist()) - confidence.keys()) if confidence else []
            if unknown:
                raise PlanewiseError(f"--confidence: has no row for object {unknown[0]}; each object needs one")
            if len(objects.labels):
                populations.append(objects_in_order(objects, confidence, source.labels.shape))
            populations.append(missed_in(boxes))
        else:
            populations.append(by_content(boxes)[0])
    return populations, reference, objects


def draw_case(
    folder: Path, case: CaseRecord, source: Source, wanted: Wanted, first: int, advance: Callable[[int, str], None]
) -> tuple[CaseRecord, list[PopulationRecord], list[Item]]:
    """Draw and write a case's items into ``folder``, numbered from ``first`` on.

    Returns the case with the number of voxels that count. Raises PlanewiseError if its files cannot be used.
    """
    populations, reference, objects = populations_of(source, wanted)
    records: list[PopulationRecord] = []
    items: list[Item] = []
    for population in populations:
        kind, count = population.kind, wanted.items[population.kind]
        bounds = cut(design_of(kind, wanted.design), population.weights, count)
        strata = drawn_from(wanted.seed, wanted.design, case.name, kind, bounds)
        totals, largest, most = (
            {name: float(getattr(values, how)()) for name, values in numbers.items()}
            for numbers, how in ((population.masks, "sum"), (population.masks, "max"), (population.most, "max"))
        )
        records.append(PopulationRecord(case.name, kind, strata, totals, largest, most))
        for position in (place for stratum in strata for place in stratum.drawn):
            item = _item(f"{first + len(items):03d}", case, population, position, wanted.context, objects)
            items.append(write_item(folder, item, source, case.ending))
            advance(1, case.name)
    return replace(case, reference=reference), records, items


def _item(
    name: str, case: CaseRecord, population: Population, position: int, context: Sides | None, objects: Objects | None
) -> Item:
    place, shape = population.places[position], case.shape
    if population.kind == "slice":
        around = (SLICES_BESIDE, 0, 0) if context is None else (context[0], 0, 0)
    else:
        assert objects is not None
        around = context or _around(place, objects)
    crop = crop_of(place, shape, around)
    begins: tuple[int, ...] = ()
    if population.kind == "box" and objects is not None:
        low, high = (np.array([getattr(part, end) for part in place]) for end in ("start", "stop"))
        begins = tuple(objects.labels[((objects.first >= low) & (objects.first < high)).all(axis=1)].tolist())
    return Item(
        name,
        case.name,
        population.kind,
        position,
        [[part.start, part.stop] for part in place],
        [[part.start, part.stop] for part in crop],
        {variable: float(values[position]) for variable, values in population.masks.items()},
        {variable: float(values[position]) for variable, values in population.most.items()},
        population.labels[position] if population.labels else 0,
        begins,
    )


def _around(place: tuple[slice, slice, slice], objects: Objects) -> Sides:
    """Return the context that shows where most objects begin: the extent of nine in ten of them, or half a box."""
    sides = np.array([part.stop - part.start for part in place])
    extents = objects.upper - objects.lower
    reach = np.quantile(extents, 0.9, axis=0) if len(extents) else np.zeros(3)
    z, y, x = np.clip(np.ceil(reach), sides // 2, MOST_CONTEXT * sides).astype(int).tolist()
    return z, y, x
