"""An audit's report: audit.html, audit.csv, audit.json, and a table on the terminal."""

import csv
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.audit.findings import QUANTITIES, Finding
from planewise.audit.items import Answer, read_picture
from planewise.audit.plan import Item, Plan
from planewise.audit.wording import KINDS, halving, interval, method, number, sentence
from planewise.errors import PlanewiseError
from planewise.report.html import write_html
from planewise.report.pictures import jpeg_uri, outline_path
from planewise.report.slides import MAX_SIDE
from planewise.report.tables import print_table
from planewise.volumes.atomic import atomic_path
from planewise.volumes.json_files import finite, write_json
from planewise.volumes.slices import shrink

PAGE, CSV, JSON = "audit.html", "audit.csv", "audit.json"
SCOPES = ("difference", "population", "all", "unit")  # most important first


@dataclass(frozen=True)
class Picture:
    """A slice of an item for the page; ``frame``: x, y, width, height of the item in it; SVG paths of outlines."""

    width: int
    height: int
    image: str
    drawn: str
    corrected: str
    frame: tuple[float, float, float, float]


def write_audit(plan: Plan, answers: list[Answer], findings: list[Finding], folder: Path, output: Path) -> Path:
    """Write the report into ``output``, print its table, and return the path of the page.

    ``folder``: of the plan and its items. Raises PlanewiseError if the report cannot be written.
    """
    sentences = [sentence(finding, plan, answers) for finding in findings]
    _write_csv(output / CSV, findings)
    _write_json(output / JSON, plan, answers, findings, sentences)
    sentences_of_method, references = method(plan, answers)
    first = next(scope for scope in SCOPES if any(finding.scope == scope for finding in findings))
    headlines = [text for finding, text in zip(findings, sentences) if finding.scope == first]
    write_html(
        output / PAGE,
        "audit.html",
        {"interval": interval, "halving": halving, "number": number, "short": _short},
        plan=plan,
        headlines=headlines,
        rows=[(finding, _cells(finding)) for finding in findings],
        method=sentences_of_method,
        references=references,
        items=[_shown(plan, answer, folder) for answer in answers],
        skipped=sum(answer.skipped for answer in answers),
        populations=[(p, sum(len(s.drawn) for s in p.strata)) for p in plan.populations],
        kinds=KINDS,
    )
    header = ("of", "finding", "masks alone", "estimate", "95 % interval", "items alone", "to halve it")
    rows = [(finding.unit, *_cells(finding)) for finding in sorted(findings, key=lambda f: SCOPES.index(f.scope))]
    print_table(f"Audit: {len(answers)} items, {sum(a.skipped for a in answers)} skipped", header, rows)
    for text in headlines:
        print(text)
    return output / PAGE


def _cells(finding: Finding) -> tuple[str, ...]:
    half = finding.estimate.half_width
    name = f"{QUANTITIES[finding.quantity]} of {finding.what}" + (f", {finding.measure}" if finding.measure else "")
    estimated = not math.isnan(finding.estimate.low)
    ends = " to ".join(number(end, half) for end in (finding.estimate.low, finding.estimate.high)) if estimated else "-"
    plain = finding.plain
    alone = f"{number(plain.value, half)} ± {_short(plain.half_width)}" if not math.isnan(plain.low) else "-"
    masks = number(finding.masks.value, half)
    if not math.isnan(finding.masks.low):
        masks += f" ({number(finding.masks.low, half)} to {number(finding.masks.high, half)})"
    return name, masks, number(finding.estimate.value, half), ends, alone, halving(finding)


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _write_csv(path: Path, findings: list[Finding]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            (
                "quantity",
                "what",
                "scope",
                "of",
                "measure",
                "estimate",
                "low",
                "high",
                "se",
                "df",
                "masks_alone",
                "items_alone",
                "items_alone_low",
                "items_alone_high",
                "n",
                "items",
                "skipped",
                "more_items_to_halve",
            )
        )
        for f in findings:
            e, p = f.estimate, f.plain
            numbers = (e.value, e.low, e.high, e.se, e.df, f.masks.value, p.value, p.low, p.high)
            shown = ["" if math.isnan(value) else f"{value:.8g}" for value in numbers]
            more = "" if f.more is None else f.more
            writer.writerow((f.quantity, f.what, f.scope, f.unit, f.measure, *shown, f.n, f.items, f.skipped, more))


def _write_json(path: Path, plan: Plan, answers: list[Answer], findings: list[Finding], sentences: list[str]) -> None:
    content = {
        "plan": {
            "made": plan.made,
            "planewise": plan.version,
            "seed": plan.seed,
            "design": plan.design,
            "signature": plan.signature,
        },
        "findings": [asdict(finding) | {"sentence": text} for finding, text in zip(findings, sentences)],
        "items": [
            {
                "item": answer.item.name,
                "case": answer.item.case,
                "kind": answer.item.kind,
                "by": answer.by,
                "probability": _probability(plan, answer),
                "masks": answer.item.masks,
                "corrected": answer.values,
                "notes": answer.notes,
            }
            for answer in answers
        ],
    }
    write_json(path, finite(content))


def _probability(plan: Plan, answer: Answer) -> float:
    item = answer.item
    population = next(p for p in plan.populations if (p.case, p.kind) == (item.case, item.kind))
    return next(s.probability for s in population.strata if item.position in s.drawn)


def _shown(plan: Plan, answer: Answer, folder: Path) -> dict[str, Any]:
    item = answer.item
    rows = [
        (_named(variable, item), masks, answer.values.get(variable), answer.values.get(variable, masks) - masks)
        for variable, masks in item.masks.items()
    ]
    sides = (str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in item.place)
    place = ", ".join(f"{axis} {side}" for axis, side in zip("zyx", sides))
    return {
        "answer": answer,
        "probability": _probability(plan, answer),
        "rows": rows,
        "place": place,
        "picture": _picture(plan, answer, folder),
        "kind": KINDS[item.kind],
    }


def _named(variable: str, item: Item) -> str:
    """Return what is counted in an item; in a slice, the pixels of a class."""
    return f"{variable}, pixels" if item.kind == "slice" else variable


def _picture(plan: Plan, answer: Answer, folder: Path) -> Picture | None:
    """Draw an item; None where its files cannot be read, which is reported elsewhere."""
    item = answer.item
    try:
        image, drawn, labels = read_picture(folder, item, plan.case(item.case).ending)
    except PlanewiseError:
        return None
    step = -(-max(drawn.shape) // MAX_SIDE)
    uri = ""
    if image is not None:
        grey = shrink(image[None], step)[0]
        low, high = np.percentile(grey, [0.5, 99.5])
        uri = jpeg_uri((grey - low) / max(high - low, 1e-9))
    (_, y, x), (_, crop_y, crop_x) = item.place, item.crop
    frame = (x[0] - crop_x[0], y[0] - crop_y[0], x[1] - x[0], y[1] - y[0])
    small = [volume[::step, ::step] for volume in (drawn, labels)]
    height, width = small[0].shape
    paths = [outline_path(slice_) for slice_ in small]
    x0, y0, w, h = (side / step for side in frame)
    return Picture(width, height, uri, paths[0], paths[1], (x0, y0, w, h))
