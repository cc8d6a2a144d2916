"""Computes findings from a plan and its corrected items: a number, its interval, and the value from the masks alone."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from planewise.audit.estimators import Estimate, Part, Sample, estimate, items_to_halve
from planewise.audit.items import Answer
from planewise.audit.plan import CaseRecord, Item, Plan, PopulationRecord
from planewise.audit.population import OBJECTS, VOXELS
from planewise.audit.ratios import less, ratio
from planewise.audit.units import Units, difference_of, mean_of

Scope = Literal["unit", "all", "population", "difference"]
QUANTITIES = {
    "volume_fraction": "volume fraction",
    "class_ml": "volume",
    "count": "number",
    "number_density": "number density",
    "mean_volume": "mean volume",
}
OF_SLICES = ("volume_fraction", "class_ml")
OF_OBJECTS = ("count", "number_density", "mean_volume")


@dataclass(frozen=True)
class Finding:
    """One number of an audit.

    ``what``: the class, or objects. ``scope``: of one ``unit`` (animal, patient), of "all" of them together, of the
    "population" that they are a sample of, or the "difference" between two conditions (``unit`` names them). ``masks``:
    the value from the masks alone, with an interval if they give one; ``plain``: the value from the corrected items
    alone. ``more``: further items that would halve the interval, None if no number would. ``n``: the number of items
    or, for a population or a difference, of units.
    """

    quantity: str
    what: str
    scope: Scope
    unit: str
    measure: str
    estimate: Estimate
    masks: Estimate
    plain: Estimate
    n: int
    items: int
    skipped: int
    more: int | None


NOTHING = Estimate(*[math.nan] * 5)


@dataclass(frozen=True)
class _Number:
    """A quantity of some cases: ``over``, and ``under`` for a ratio of two estimates; ``scale``: the factor to its
    measure, which can be at most ``most``."""

    over: list[Part]
    under: list[Part] | None
    scale: float
    most: float = math.inf

    def estimate(self) -> Estimate:
        estimated = estimate(self.over) if self.under is None else ratio(self.over, self.under)
        return _amount(estimated.scaled(self.scale), self.most)

    def masks(self) -> float:
        top = sum(part.weight * part.total for part in self.over)
        if self.under is None:
            return top * self.scale
        bottom = sum(part.weight * part.total for part in self.under)
        return top / bottom * self.scale if bottom else math.nan

    def ends(self) -> tuple[float, float, float]:
        """Return the bounds of the estimate for all possible contents of skipped items, and the middle of the
        bounds."""
        value = (estimate(self.over) if self.under is None else ratio(self.over, self.under)).value * self.scale
        if self.under is None:
            ends = [sum(_total(part, which) for part in self.over) for which in ("low", "high")]
            return ends[0] * self.scale, value, ends[1] * self.scale
        tops, bottoms = (
            [sum(_total(part, which) for part in parts) for which in ("low", "high")]
            for parts in (self.over, self.under)
        )
        low = tops[0] / bottoms[1] if bottoms[1] > 0 else math.nan
        return low * self.scale, value, (tops[1] / bottoms[0] if bottoms[0] > 0 else math.inf) * self.scale

    def without_masks(self) -> "_Number":
        under = None if self.under is None else [part.without_masks() for part in self.under]
        return replace(self, over=[part.without_masks() for part in self.over], under=under)

    def variance(self) -> float:
        estimated = self.estimate()
        return estimated.se**2


def _amount(estimated: Estimate, most: float) -> Estimate:
    """Return the estimate, limited to the range from 0 to ``most``."""
    if math.isnan(estimated.low):
        return estimated
    low, high = (min(max(end, 0.0), most) for end in (estimated.low, estimated.high))
    return replace(estimated, low=low, high=high)


def _total(part: Part, which: str) -> float:
    total = part.total
    for sample in part.samples:
        values = sample.low if which == "low" else sample.high
        total += sample.size / max(sample.n, 1) * float((values - sample.masks).sum())
    return part.weight * total


def findings(plan: Plan, answers: list[Answer]) -> list[Finding]:
    """Return all findings of a plan, in the order of its quantities."""
    by_item = {answer.item.name: answer for answer in answers}
    listed = []
    for quantity in plan.quantities:
        for what in plan.classes if quantity in OF_SLICES else [OBJECTS]:
            listed += _of_quantity(plan, by_item, quantity, what)
    return listed


def _of_quantity(plan: Plan, answers: dict[str, Answer], quantity: str, what: str) -> list[Finding]:
    units: dict[str, list[CaseRecord]] = {}
    for case in plan.cases:
        units.setdefault(case.unit, []).append(case)
    numbers = {unit: _number(plan, answers, quantity, what, cases) for unit, cases in units.items()}
    measure = measure_of(quantity, plan.cases[0].length)

    def counted(cases: list[CaseRecord]) -> tuple[int, int]:
        variables = (what,) if quantity in OF_SLICES else _variables(quantity)
        items = [
            item for item in plan.items if item.case in {c.name for c in cases} and set(variables) <= set(item.masks)
        ]
        return len(items), sum(not set(variables) <= answers[item.name].values.keys() for item in items)

    def one(scope: Scope, unit: str, number: _Number, cases: list[CaseRecord]) -> Finding:
        n, skipped = counted(cases)
        estimated, alone = number.estimate(), number.masks()
        more = None if skipped else _more(number, estimated)
        masks = replace(NOTHING, value=alone)
        plain = number.without_masks().estimate()
        return Finding(quantity, what, scope, unit, measure, estimated, masks, plain, n, n, skipped, more)

    of_units = [one("unit", unit, number, units[unit]) for unit, number in numbers.items()]
    if len(units) == 1:
        return of_units
    n, skipped = counted(plan.cases)
    if quantity in ("count", "class_ml"):
        of_units.append(one("all", f"all {len(units)}", _number(plan, answers, quantity, what, plan.cases), plan.cases))
    of_unit = {unit: cases[0].condition for unit, cases in units.items()}
    conditions = plan.conditions or [""]
    groups = {c: [numbers[unit] for unit in units if of_unit[unit] == c] for c in conditions}
    for condition, group in groups.items():
        of_condition = [case for case in plan.cases if case.condition == condition]
        name = condition or f"{len(group)} units"
        base = Finding(
            quantity, what, "population", name, measure, NOTHING, NOTHING, NOTHING, 0, *counted(of_condition), None
        )
        of_units.append(_of_groups(base, [group]))
    if len(conditions) == 2:
        first, second = conditions
        name = f"{second} less {first}"
        base = Finding(quantity, what, "difference", name, measure, NOTHING, NOTHING, NOTHING, 0, n, skipped, None)
        of_units.append(_of_groups(base, [groups[first], groups[second]]))
    return of_units


def _of_groups(finding: Finding, groups: list[list[_Number]]) -> Finding:
    """Return a finding with the mean of a group of units, or the difference between those of two groups."""

    def combined(ends: list[list[tuple[float, float, float]]]) -> Estimate:
        units = [Units(*(np.array(values) for values in zip(*group))) for group in ends]
        return _amount(mean_of(units[0]), groups[0][0].most) if len(units) == 1 else difference_of(units[0], units[1])

    estimated = combined([[number.ends() for number in group] for group in groups])
    return replace(
        finding,
        estimate=estimated,
        masks=combined([[(number.masks(),) * 3 for number in group] for group in groups]),
        plain=combined([[number.without_masks().ends() for number in group] for group in groups]),
        n=sum(map(len, groups)),
        more=None if finding.skipped else _more_of_units(groups, estimated, finding.items),
    )


def _more_of_units(groups: list[list[_Number]], estimated: Estimate, items: int) -> int | None:
    """Return how many more items would halve an interval between units; None if the units themselves differ too
    much."""
    if math.isnan(estimated.half_width) or estimated.se == 0:
        return None
    audit = 0.0
    for group in groups:
        variances = [number.variance() for number in group]
        if any(math.isnan(variance) for variance in variances):
            return None
        audit += sum(variances) / len(group) ** 2
    share = audit / estimated.se**2
    return None if share <= 0.75 else math.ceil(items * (share / (share - 0.75) - 1))


def _more(number: _Number, estimated: Estimate) -> int | None:
    if number.under is None:
        return items_to_halve(number.over)
    if math.isnan(estimated.half_width) or math.isinf(estimated.half_width):
        return None
    r = estimated.value / number.scale
    return items_to_halve([less(top, bottom, r) for top, bottom in zip(number.over, number.under)])


def _number(plan: Plan, answers: dict[str, Answer], quantity: str, what: str, cases: list[CaseRecord]) -> _Number:
    names = {case.name for case in cases}
    populations = [p for p in plan.populations if p.case in names]
    if quantity in OF_SLICES:
        voxel = {case.name: case.voxel for case in cases}
        parts = [_part(plan, answers, p, what, voxel[p.case]) for p in populations if p.kind == "slice"]
        reference = sum(case.reference * case.voxel for case in cases)
        return (
            _Number(parts, None, 100 / reference, 100.0)
            if quantity == "volume_fraction"
            else _Number(parts, None, 1e-3)
        )
    populations = [p for p in populations if p.kind != "slice"]
    count = [_part(plan, answers, p, OBJECTS, 1.0) for p in populations]
    if quantity == "count":
        return _Number(count, None, 1.0)
    if quantity == "number_density":
        return _Number(count, None, 1 / sum(case.reference * case.voxel for case in cases))
    voxel = {case.name: case.voxel for case in cases}
    return _Number([_part(plan, answers, p, VOXELS, voxel[p.case]) for p in populations], count, 1.0)


def _variables(quantity: str) -> tuple[str, ...]:
    return (OBJECTS, VOXELS) if quantity == "mean_volume" else (OBJECTS,)


def measure_of(quantity: str, length: str) -> str:
    """Return the measure of a quantity for volumes whose voxels are measured in ``length``."""
    volume = {"um": "µm³", "mm": "mm³"}.get(length, "voxels")
    return {
        "volume_fraction": "%",
        "class_ml": "ml",
        "count": "",
        "number_density": f"per {volume}",
        "mean_volume": volume,
    }[quantity]


def _part(plan: Plan, answers: dict[str, Answer], population: PopulationRecord, variable: str, weight: float) -> Part:
    samples = []
    for stratum, items in zip(population.strata, plan.of(population)):
        low = [_value(answers[item.name], item, variable, 0.0) for item in items]
        high = [_value(answers[item.name], item, variable, item.most[variable]) for item in items]
        masks = [item.masks[variable] for item in items]
        samples.append(Sample(stratum.size, np.array(low), np.array(high), np.array(masks)))
    return Part(
        tuple(samples),
        population.totals[variable],
        weight,
        whole=variable == OBJECTS,
        largest=population.largest[variable],
        most=population.most[variable],
        systematic=plan.design == "systematic" and population.kind == "slice",
    )


def _value(answer: Answer, item: Item, variable: str, otherwise: float) -> float:
    return answer.values.get(variable, otherwise)
