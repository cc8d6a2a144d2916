"""The evaluation's tables: a CSV with a row per case, and a summary to read."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from planewise.errors import Problem
from planewise.evaluation.metrics import METRICS, UNITS, metric_of
from planewise.evaluation.pairs import MISSING, OK
from planewise.evaluation.result import Comparison, Result
from planewise.evaluation.statistics import mean_by_patient
from planewise.evaluation.tolerance import RULE
from planewise.options import printable
from planewise.progress import counted, is_on_terminal, say, warn
from planewise.volumes.atomic import atomic_path

RESULTS, SUMMARY = "evaluation_results.csv", "evaluation_results_summary.txt"
COLUMNS = (
    "case", "status", "voxel_iou", "voxel_dice", "voxel_precision", "voxel_recall", "n_truth", "n_pred",
    "tp_50", "fp_50", "fn_50", "precision_50", "recall_50", "f1_50", "accuracy_50",
    "precision_75", "recall_75", "f1_75", "accuracy_75", "mean_accuracy", "pq_50", "sq_50", "rq_50",
)  # fmt: skip
OF_A_CLASS = {"voxel_iou": "iou", "voxel_dice": "dsc", "voxel_precision": "precision", "voxel_recall": "recall"}
SHOWN = ("voxel_iou", "n_truth", "n_pred", "tp_50", "f1_50", "f1_75", "pq_50")  # columns on the terminal
LOG_WIDTH = 80  # width of folded sentences without a terminal
LEAST_MESSAGE = 40  # columns beside the names of files; if fewer remain, messages are printed below them
NAME = 8  # least width that names are folded to in a table; numbers and paths, which begin without a letter, stay whole


def write_results(results: list[Result], folder: Path, classes: bool = False) -> None:
    """Write ``evaluation_results.csv`` and ``evaluation_results_summary.txt`` into ``folder``.

    ``results``: of one method, for instances or for one class, whose voxels are then the foreground; ``classes``: for
    several, each in separate rows, with its name and whether its objects or its voxels were scored.
    """
    with atomic_path(folder / RESULTS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([COLUMNS[0], *(["class", "scored"] if classes else []), *COLUMNS[1:]])
        for result in results:
            scores = [cell(shown_score(result, key)) for key in COLUMNS[2:]]
            of = [result.class_name, "objects" if result.instances else "voxels"] if classes else []
            writer.writerow([result.case, *of, result.status, *scores])
    parts = by_class(results) if classes else {"": results}
    texts = [f"{name}: {summary(of_class)}" if name else summary(of_class) for name, of_class in parts.items()]
    with atomic_path(folder / SUMMARY) as temporary:
        temporary.write_text("\n".join(texts), "utf-8")


def by_class(results: list[Result]) -> dict[str, list[Result]]:
    """Return the results of each class, by its name."""
    return {name: [r for r in results if r.class_name == name] for name in dict.fromkeys(r.class_name for r in results)}


def _score(result: Result, key: str) -> float:
    """Return a score of instances, or that of the class in its place; NaN if there is none."""
    return result.scores.get(key, result.scores.get(OF_A_CLASS.get(key, key), math.nan))


def has_row(result: Result) -> bool:
    """Whether a case has scores: of a prediction, or of nothing predicted if there is no readable one."""
    return bool(result.scores)


def shown_score(result: Result, key: str) -> float | int:
    """Return a score for a case's row: a count as a whole number, NaN if undefined."""
    value = _score(result, key) if has_row(result) else math.nan
    return int(value) if metric_of(key).unit == "count" and not math.isnan(value) else value


def cell(value: object) -> object:
    """Return a value for a CSV: six digits, empty if undefined."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{round(value, 6) + 0.0:.6f}"  # -0.0 + 0.0 is 0.0
    return "" if value is None else value


class Mean(NamedTuple):
    """A mean over ``n`` patients with ``n_cases`` cases; NaN if there are none."""

    value: float
    n: int
    n_cases: int


def mean_of(results: list[Result], key: str) -> Mean:
    """Return the mean of a score over the patients where it is defined."""
    known = [(value, result.patient) for result in results if not math.isnan(value := _score(result, key))]
    means = mean_by_patient([value for value, _ in known], [patient for _, patient in known])
    return Mean(sum(means) / len(means) if means else math.nan, len(means), len(known))


def delivered_alone(results: list[Result]) -> list[Result] | None:
    """Return the results that were delivered; None if all with a truth were, so that the mean would be the same."""
    asked = [result for result in results if result.scores]
    delivered = [result for result in asked if result.delivered]
    return delivered if len(delivered) < len(asked) else None


def number_text(n: int, n_cases: int) -> str:
    """Return the number of patients that a mean is over, with the number of their cases if it differs."""
    return str(n) if n == n_cases else f"{counted(n, 'patient')} ({counted(n_cases, 'case')})"


def mean_text(results: list[Result], key: str, width: int) -> str:
    """Return the mean of a score with its number, and beside it the mean over delivered cases if some are missing."""
    alone = delivered_alone(results)
    parts = []
    for which, several in (("", results), ("   delivered only", alone)):
        if several is not None:
            mean = mean_of(several, key)
            shown = f"{mean.value:>{width}.4f}" if mean.n else f"{'-':>{width}}"
            parts.append(f"{which}{shown}   n = {number_text(mean.n, mean.n_cases)}")
    return "".join(parts)


def summary(results: list[Result]) -> str:
    """Return the summary as text: counts, means with their number of cases, and which cases were not scored and why."""
    missing = [result for result in results if has_row(result) and not result.delivered]
    failed = [result for result in results if not has_row(result)]
    text = io.StringIO()
    print(f"{counted(len(results), 'case')}, {len(results) - len(failed)} scored", file=text)
    for result in missing:
        print(f"  {result.case}: {result.status}", file=text)
    for result in failed:
        print(f"  {result.case}: NOT SCORED: {result.status}", file=text)
    for note in dict.fromkeys(note for result in results for note in result.notes):
        print(f"  NOTE: {note}", file=text)
    if any("n_truth" in result.scores for result in results):
        print("\nObjects, all cases together (a true positive has IoU of at least 0.5)", file=text)
        for key in (key for key in COLUMNS[2:] if METRICS[key].unit == "count"):
            values = [result.scores.get(key, math.nan) for result in results]
            total = sum(int(value) for value in values if not math.isnan(value))
            print(f"  {METRICS[key].name:<36}{total:>8}", file=text)
    print("\nMean over the cases in which the score is defined, with their number", file=text)
    if delivered_alone(results) is not None:
        print("(cases not delivered count as empty predictions; beside it the mean over delivered cases)", file=text)
    shown = [key for key in COLUMNS[2:] if METRICS[key].unit != "count" and mean_of(results, key).n]
    for key in shown:
        print(f"  {METRICS[key].name:<36}{mean_text(results, key, 8)}", file=text)
    if not shown:
        print(
            "  no score is defined: truth and prediction are empty, or no case could be read",
            file=text,
        )
    return text.getvalue()


def print_results(results: list[Result], title: str) -> None:
    """Print the main columns of the cases on standard output; why a case was not scored is reported elsewhere.

    The means are printed below; if something was not delivered, with it and without it.
    """
    shown = [key for key in SHOWN if any(not math.isnan(_score(result, key)) for result in results)]
    cells = [(result.case, *(short(shown_score(result, key)) for key in shown), _status(result)) for result in results]
    alone = delivered_alone(results)
    rows = {"mean": results} if alone is None else {"mean, missing counted": results, "mean, delivered only": alone}
    for which, several in rows.items():
        n_cases = sum(map(has_row, several))
        means = (_mean_in_a_row(mean_of(several, key), n_cases) for key in shown)
        cells.append((which, *means, counted(n_cases, "case")))
    print_table(title, ("case", *shown, "status"), cells)


def tolerance_text(comparison: Comparison) -> str:
    """Return the distances within which surfaces agree, by unit and for classes with a separate one, and why."""
    parts = []
    for unit, (low, high) in comparison.tolerances().items():
        distance = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        why = "" if unit in comparison.tolerance.by_unit else f" ({RULE})"
        parts.append(f"{distance} {UNITS[unit]}{why}")
    parts += [f"{name} {value:g} {UNITS[unit]}" for (unit, name), value in comparison.tolerance.by_class.items()]
    return ", ".join(parts) or "none, since no case has distances"


def _mean_in_a_row(mean: Mean, n_cases: int) -> str:
    number = f" (n = {number_text(mean.n, mean.n_cases)})" if 0 < mean.n_cases < n_cases else ""
    return short(mean.value) + number


def _status(result: Result) -> str:
    if not has_row(result):
        return "not scored"
    return {OK: "ok", MISSING: "missing: scored as empty"}.get(result.status, "unusable: scored as empty")


def short(value: object) -> str:
    """Return a value for a table on the terminal: three digits after the point, one from 10 on, - for NaN."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "" if value is None else str(value)


def print_table(title: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]], width: int | None = None) -> None:
    """Print a table on standard output, no wider than the terminal; when called from Python, log it.

    Cells are folded, and names down to ``NAME`` columns; if that is still too wide, each cell has a line of its own.
    Nothing is folded if standard output is not a terminal.

    ``width``: of the whole table; only its last column is then folded.
    """
    rows = list(rows)
    if not is_on_terminal():
        for row in rows:
            say(f"{title}: {', '.join(f'{name} {cell}' for name, cell in zip(header, row))}")
        return
    console = Console(highlight=False)
    console.print(Text(title, style="bold"), soft_wrap=True)
    only_last = width is not None
    if width is None:
        width = console.width if console.is_terminal else 10_000
    widths = _column_widths(list(zip(header, *rows)), _room(width, len(header)), only_last)
    if widths is None:
        for row in rows:
            lines = [f"{name}: {cell}" if name else cell for name, cell in zip(header, row) if cell]
            print("  " + "\n    ".join(lines))
        print()
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, column_width in zip(header, widths):
        table.add_column(Text(name), overflow="fold", width=column_width)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.width = width
    console.print(table)


def _room(width: int, columns: int) -> int:
    """Return how much of a table's width is left for text: rich puts two spaces around each column, and one more."""
    return width - 2 * columns - 1


def _column_widths(columns: list[tuple[str, ...]], room: int, only_last: bool) -> list[int] | None:
    """Return the widths at which columns fit into ``room``, by folding the widest first; None if they do not fit."""
    widths = [max(1, *map(cell_len, texts)) for texts in columns]
    least = [_least_width(*texts) for texts in columns]
    if only_last:
        least[:-1] = widths[:-1]
    while sum(widths) > room:
        foldable = [i for i, width in enumerate(widths) if width > least[i]]
        if not foldable:
            return None
        widths[max(foldable, key=widths.__getitem__)] -= 1
    return widths


def _least_width(header: str, *cells: str) -> int:
    """Return the least width of a column: that of its longest word, but names in its cells are folded to ``NAME``."""
    whole = [cell_len(word) for word in header.split()]
    for word in (word for cell in cells for word in cell.split()):
        whole.append(min(NAME, cell_len(word)) if word[0].isalpha() else cell_len(word))
    return max(whole, default=1)


def _width() -> int:
    """Return the width of sentences: that of the terminal, or ``LOG_WIDTH`` without one."""
    console = Console()
    return console.width if console.is_terminal else LOG_WIDTH


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print facts about one thing on standard output, a line for each, so that URLs and paths stay whole."""
    width = max(map(len, facts)) + 2
    print("\n".join([title, *(f"  {name:<{width}}{fact}" for name, fact in facts.items())]))


def say_notes(comparison: Comparison) -> list[str]:
    """Print notes about the scored files, and about the methods; return them."""
    notes = list(dict.fromkeys(note for result in comparison.results for note in result.notes))
    for note in notes:
        warn(note)
    return notes


def report_problems(problems: list[Problem]) -> int:
    """Print problems, if there are any, and return the exit code."""
    print_problems(problems)
    return 1 if problems else 0


def count_problems(problems: list[Problem]) -> int:
    """Say how many problems were printed as they were found, if there are any, and return the exit code."""
    if problems:
        say(f"{counted(len(problems), 'problem')} in all")
    return 1 if problems else 0


def print_problems(problems: list[Problem]) -> None:
    """Print problems, if there are any; when called from Python, log them.

    They are no wider than the terminal, or than ``LOG_WIDTH`` without one.
    Names of files stay whole: if too little room remains beside them, messages are printed below them.
    """
    if not problems:
        return
    parts = [(printable(problem.where), printable(problem.what)) for problem in problems]
    rows = [(where, what.removeprefix(f"{where}: ")) for where, what in parts]
    if not is_on_terminal():
        for where, what in rows:
            warn(f"{where}: {what}")
        return
    title, width = counted(len(rows), "problem"), _width()
    names = max(cell_len(where) for where, _ in rows)
    words = max((cell_len(word) for _, what in rows for word in what.split()), default=0)
    if _room(width, 2) - names >= max(LEAST_MESSAGE, words):
        print_table(title, ("file", "problem"), rows, width)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{title}\n", style="bold"))
    for where, what in rows:
        lines = wrap(what, width - 4, break_long_words=False, break_on_hyphens=False)
        console.print(Text("\n".join([f"  {where}", *(f"    {line}" for line in lines), ""])))
