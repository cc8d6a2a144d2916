"""The objects of a case, one by one: the worst of them as rows for the page, all of them in a CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.evaluation.object_table import ObjectTable
from planewise.evaluation.result import Result
from planewise.report.tables import cell
from planewise.volumes.atomic import atomic_path

OBJECTS_CSV = "objects.csv"
COLUMNS = (
    "dataset", "method", "case", "what", "true_id", "true_voxels", "predicted_id", "predicted_voxels", "iou", "z", "y",
    "x",
)  # fmt: skip


@dataclass(frozen=True)
class ObjectRow:
    """An object with its counterpart; ids are 0 where there is none.

    ``row``: its place in the table; ``what``: "matched", or what is wrong; ``centre`` and the half-open box ``lower``
    to ``upper``: z, y, x in voxels.
    """

    row: int
    what: str
    truth: int
    voxels: int
    predicted: int
    predicted_voxels: int
    iou: float
    centre: tuple[int, ...]
    lower: tuple[int, ...]
    upper: tuple[int, ...]


def worst_objects(table: ObjectTable, count: int) -> np.ndarray:
    """Return the rows of ``count`` objects: those without a match, the largest first, then by IoU, the lowest first."""
    sizes = np.maximum(table.voxels, table.predicted_voxels)
    return np.lexsort((-sizes, np.where(table.matched, table.iou, -1.0)))[:count]


def object_rows(result: Result, rows: np.ndarray) -> Iterator[ObjectRow]:
    """Yield rows of a result's objects."""
    table = result.objects
    if table is None:
        return
    true_kinds, predicted_kinds = _kinds(result)
    centres = np.rint(table.centre).astype(int)
    for row in rows.tolist():
        truth, predicted = int(table.truth[row]), int(table.predicted[row])
        kinds = true_kinds.get(truth, []) if truth else predicted_kinds.get(predicted, [])
        what = ", ".join(["matched"] * bool(table.matched[row]) + kinds) or "no match"
        centre, lower, upper = (tuple(places[row].tolist()) for places in (centres, table.lower, table.upper))
        yield ObjectRow(
            row,
            what,
            truth,
            int(table.voxels[row]),
            predicted,
            int(table.predicted_voxels[row]),
            float(table.iou[row]),
            centre,
            lower,
            upper,
        )


def _kinds(result: Result) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Return what is wrong with each true object and with each predicted one, by id."""
    kinds: tuple[dict[int, list[str]], dict[int, list[str]]] = {}, {}
    for mistake in result.mistakes:
        for ids, by_id in zip((mistake.truth, mistake.predicted), kinds):
            for label in ids:
                by_id.setdefault(label, []).append(mistake.kind)
    return kinds


def write_objects(results: list[Result], folder: Path) -> None:
    """Write all objects of all results, in the order of their ids; nothing if there are no instances."""
    if all(result.objects is None for result in results):
        return
    with atomic_path(folder / OBJECTS_CSV) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for result in results:
            count = 0 if result.objects is None else len(result.objects.truth)
            for row in object_rows(result, np.arange(count)):
                sizes = row.truth or "", row.voxels or "", row.predicted or "", row.predicted_voxels or ""
                writer.writerow(
                    (result.dataset, result.method, result.case, row.what, *sizes, cell(row.iou), *row.centre)
                )
