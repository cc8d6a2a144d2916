"""A plan: which items were drawn, with which probabilities and from which files; written before any correction.

::

    plan.json   date, files (fingerprints) and seed; the strata of each population; all items; and a signature: each
                item's link is the hash of its record and of the previous link, starting from the head

A later change of the plan breaks the chain; an item exchanged together with a new chain is not what the seed draws; and
a signature that was noted elsewhere reveals a plan that was made again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from planewise.audit.design import Design, Stratum, draw, generator
from planewise.audit.population import Kind
from planewise.errors import PlanewiseError
from planewise.volumes.atomic import atomic_path
from planewise.volumes.json_files import read_json

PLAN = "plan.json"


@dataclass(frozen=True)
class Item:
    """One unit that was drawn.

    ``place``, ``crop``: half-open boxes ((z, z), (y, y), (x, x)) in the case's volume, canonical; ``crop`` is the
    written part, with its context. ``masks``, ``most``: by variable, the masks' value and the largest possible one.
    ``label``: the id of an object. ``elsewhere``: ids that seem to begin in the item only because the crop does not
    show their beginning. ``files``: fingerprints of the item's files, without the labels to correct.
    """

    name: str
    case: str
    kind: Kind
    position: int
    place: list[list[int]]
    crop: list[list[int]]
    masks: dict[str, float]
    most: dict[str, float]
    label: int = 0
    elsewhere: tuple[int, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PopulationRecord:
    """A population of a case: its strata, and by variable the masks' total and the largest value of a unit."""

    case: str
    kind: Kind
    strata: list[Stratum]
    totals: dict[str, float]
    largest: dict[str, float]
    most: dict[str, float]

    @property
    def size(self) -> int:
        return self.strata[-1].stop


@dataclass(frozen=True)
class CaseRecord:
    """A case: its files with their fingerprints, its unit (animal, patient) and condition, and its measures.

    ``voxel``: its volume in ``length``^3 ("mm", "um" or "pixel"); ``reference``: voxels that count.
    """

    name: str
    files: dict[str, str]
    fingerprints: dict[str, str]
    unit: str
    condition: str
    shape: tuple[int, int, int]
    voxel: float
    length: str
    reference: float
    ending: str


@dataclass(frozen=True)
class Plan:
    """See the head of this file. ``made``: when, in UTC, ISO 8601.

    ``conditions``: their difference is that of the second less the first. ``classes``: of slices, names and values.
    """

    made: str
    version: str
    seed: int
    design: Design
    quantities: list[str]
    conditions: list[str]
    classes: dict[str, list[int] | None]
    cases: list[CaseRecord]
    populations: list[PopulationRecord]
    items: list[Item]

    @property
    def signature(self) -> str:
        """The last link of the chain, in hexadecimal digits."""
        head = {name: value for name, value in asdict(self).items() if name != "items"}
        link = ""
        for record in [head, *(asdict(item) for item in self.items)]:
            text = json.dumps(record, sort_keys=True)
            link = hashlib.blake2b(f"{link}\n{text}".encode(), digest_size=16).hexdigest()
        return link

    def case(self, name: str) -> CaseRecord:
        return next(case for case in self.cases if case.name == name)

    def of(self, population: PopulationRecord) -> list[list[Item]]:
        """Return the items of each stratum of a population, in the order of their positions."""
        of_case = [item for item in self.items if (item.case, item.kind) == (population.case, population.kind)]
        at = {item.position: item for item in of_case}
        return [[at[position] for position in stratum.drawn] for stratum in population.strata]


def drawn_from(seed: int, design: Design, case: str, kind: Kind, strata: list[tuple[int, int, int]]) -> list[Stratum]:
    """Draw from the strata (start, stop, items) of one population; the result depends only on the seed."""
    return draw(design_of(kind, design), strata, generator(seed, case, kind))


def design_of(kind: Kind, design: Design) -> Design:
    """Return how units of a kind are drawn: only slices may be drawn systematically."""
    return design if kind == "slice" else "stratified"


def write_plan(plan: Plan, folder: Path) -> None:
    """Write a plan with its signature."""
    content = asdict(plan) | {"signature": plan.signature}
    with atomic_path(folder / PLAN) as temporary:
        temporary.write_text(json.dumps(content, indent=1), "utf-8")


def read_plan(folder: Path) -> Plan:
    """Read a plan. Raises PlanewiseError if it is not a plan, was changed, or its items do not follow from its seed."""
    path = folder / PLAN
    if not path.is_file():
        raise PlanewiseError(f"{folder}: holds no {PLAN}; give the folder that planewise audit plan made")
    content = read_json(path)
    try:
        signature = content.pop("signature")
        plan = _plan(content)
        current = plan.signature
        drawn = [
            drawn_from(plan.seed, plan.design, p.case, p.kind, [(s.start, s.stop, len(s.drawn)) for s in p.strata])
            == p.strata
            for p in plan.populations
        ]
        wanted = {(p.case, p.kind, place) for p in plan.populations for s in p.strata for place in s.drawn}
        there = [(item.case, item.kind, item.position) for item in plan.items]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise PlanewiseError(f"{path}: is not a plan of planewise audit ({error})") from error
    if current != signature:
        raise PlanewiseError(
            f"{path}: was changed after it was drawn (its signature is {signature}, its content gives {current}); an "
            "audit holds only for what was drawn: take the plan as it was, or draw a new one"
        )
    if not all(drawn) or sorted(wanted) != sorted(there):
        raise PlanewiseError(
            f"{path}: its items are not those that its seed, {plan.seed}, draws; an audit holds only for what was "
            "drawn: take the plan as it was, or draw a new one"
        )
    return plan


def _plan(content: dict[str, Any]) -> Plan:
    populations = [
        PopulationRecord(
            **{**record, "strata": [Stratum(s["start"], s["stop"], tuple(s["drawn"])) for s in record["strata"]]}
        )
        for record in content["populations"]
    ]
    cases = [CaseRecord(**{**record, "shape": tuple(record["shape"])}) for record in content["cases"]]
    items = [Item(**{**record, "elsewhere": tuple(record["elsewhere"])}) for record in content["items"]]
    return Plan(**{**content, "populations": populations, "cases": cases, "items": items})
