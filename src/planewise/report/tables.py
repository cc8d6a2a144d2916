"""The evaluation's tables: a CSV with a row per case, and a summary to read."""

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from planewise.errors import Problem
from planewise.evaluation.evaluate import COLUMNS, COUNT_COLUMNS, Row
from planewise.evaluation.pairs import MISSING, OK
from planewise.evaluation.statistics import mean_by_patient
from planewise.volumes.atomic import atomic_path

RESULTS, SUMMARY = "evaluation_results.csv", "evaluation_results_summary.txt"
NAMES = {
    "voxel_iou": "voxel IoU", "voxel_dice": "voxel Dice", "voxel_precision": "voxel precision",
    "voxel_recall": "voxel recall", "precision_50": "precision at IoU 0.5", "recall_50": "recall at IoU 0.5",
    "f1_50": "F1 at IoU 0.5", "accuracy_50": "accuracy at IoU 0.5", "precision_75": "precision at IoU 0.75",
    "recall_75": "recall at IoU 0.75", "f1_75": "F1 at IoU 0.75", "accuracy_75": "accuracy at IoU 0.75",
    "mean_accuracy": "mean accuracy, IoU 0.50:0.05:0.95", "pq_50": "panoptic quality (PQ)",
    "sq_50": "segmentation quality (SQ)", "rq_50": "recognition quality (RQ)",
}  # fmt: skip
COUNT_NAMES = {
    "n_truth": "true objects", "n_pred": "predicted objects", "tp_50": "true positives", "fp_50": "false positives",
    "fn_50": "missed",
}  # fmt: skip
SHOWN = ("voxel_iou", "n_truth", "n_pred", "tp_50", "f1_50", "f1_75", "pq_50")  # on the terminal


def write_results(rows: list[Row], folder: Path) -> None:
    """Write ``evaluation_results.csv`` and ``evaluation_results_summary.txt`` into ``folder``."""
    with atomic_path(folder / RESULTS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([cell(row.get(column)) for column in COLUMNS] for row in rows)
    with atomic_path(folder / SUMMARY) as temporary:
        temporary.write_text(summary(rows), "utf-8")


def cell(value: object) -> object:
    """Return a value as it stands in a CSV: six digits, empty where it is not defined."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}"
    return "" if value is None else value


class Mean(NamedTuple):
    """A mean over ``n`` patients with ``n_cases`` cases; NaN if there are none."""

    value: float
    n: int
    n_cases: int


def mean_of(rows: list[Row], column: str) -> Mean:
    """Return the mean of a column over the patients where it is defined; a row without patient is its own."""
    known = [row for row in rows if not math.isnan(row.get(column, math.nan))]
    patients = [str(row.get("patient", row["case"])) for row in known]
    means = mean_by_patient([row[column] for row in known], patients)
    return Mean(sum(means) / len(means) if means else math.nan, len(means), len(known))


def number_text(n: int, n_cases: int) -> str:
    """Return the number of patients that a mean is over, with that of their cases if it is another."""
    return str(n) if n == n_cases else f"{n} patient{'s' * (n != 1)} ({n_cases} cases)"


def summary(rows: list[Row]) -> str:
    """Return the summary as text: counts, means with their number of cases, and what was not scored and why."""
    missing = [row for row in rows if row["status"] == MISSING]
    failed = [row for row in rows if row["status"] not in (OK, MISSING)]
    text = io.StringIO()
    print(f"{len(rows)} cases, {len(rows) - len(failed)} scored", file=text)
    for row in missing:
        print(f"  {row['case']}: {row['status']}", file=text)
    for row in failed:
        print(f"  {row['case']}: NOT SCORED: {row['status']}", file=text)
    if any("n_truth" in row for row in rows):
        print("\nObjects, all cases together (a true positive has IoU of at least 0.5)", file=text)
        for column in COUNT_COLUMNS:
            print(f"  {COUNT_NAMES[column]:<36}{sum(row.get(column, 0) for row in rows):>8}", file=text)
    print("\nMean over the cases in which the score is defined, with their number", file=text)
    for column, name in NAMES.items():
        mean = mean_of(rows, column)
        if mean.n:
            print(f"  {name:<36}{mean.value:>8.4f}   n = {number_text(mean.n, mean.n_cases)}", file=text)
    if not any(mean_of(rows, column).n for column in NAMES):
        print(
            "  no score is defined: there was nothing to find and nothing was found, or no case could be read",
            file=text,
        )
    return text.getvalue()


def print_rows(rows: list[Row], title: str) -> None:
    """Print the main columns of the cases on standard output; why a case was not scored is told elsewhere."""
    shown = [column for column in SHOWN if any(column in row for row in rows)]
    cells = [(row["case"], *(short(row.get(column)) for column in shown), _status(row)) for row in rows]
    print_table(title, ("case", *shown, "status"), cells)


def _status(row: Row) -> str:
    return {OK: "ok", MISSING: "missing"}.get(row["status"], "not scored")


def short(value: object) -> str:
    """Return a value as it stands in a table on the terminal: three digits, - where it is not defined."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return "" if value is None else str(value)


def print_table(title: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table on standard output, as wide as its content where that is not a terminal."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for position, name in enumerate(header):
        table.add_column(name, overflow="fold", no_wrap=0 < position < len(header) - 1)  # numbers stay whole
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000  # nothing is folded in a log
    console.print(table)


def conclude(problems: list[Problem]) -> int:
    """Print what went wrong, if anything, and return the exit code."""
    if problems:
        print_problems(problems)
    return 1 if problems else 0


def print_problems(problems: list[Problem]) -> None:
    """Print the table of what is wrong."""
    rows = [(problem.where, problem.what) for problem in problems]
    print_table(f"{len(rows)} problem{'s' * (len(rows) > 1)}", ("file", "problem"), rows)
