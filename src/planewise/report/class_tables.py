"""The evaluation of classes: a CSV with a row for each case and class, a summary, and a histogram for each class."""

import csv
import io
import math
import re
from pathlib import Path

from planewise.evaluation.classes import CLASS_COLUMNS
from planewise.evaluation.evaluate import Row
from planewise.report.figures import histogram
from planewise.report.tables import cell, mean_of, print_table
from planewise.volume import atomic_path

RESULTS, SUMMARY = "class_results.csv", "class_results_summary.txt"
MEANS = {
    "dsc": "DSC in 3D", "dsc_slices": "DSC by slice", "iou": "IoU in 3D", "nsd": "surface Dice",
    "hd95_mm": "HD95, mm", "false_positive_ml": "false positive, ml",
}  # fmt: skip


def write_class_results(
    rows: list[Row], names: dict[int, str], folder: Path, prompts: str, tolerance_mm: float
) -> None:
    """Write the CSV, the summary and a DSC histogram for each class; all say where the boxes came from."""
    with atomic_path(folder / RESULTS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*CLASS_COLUMNS, "prompts"])
        writer.writerows([*(cell(row.get(column)) for column in CLASS_COLUMNS), prompts] for row in rows)
    with atomic_path(folder / SUMMARY) as temporary:
        temporary.write_text(summary(rows, names, prompts, tolerance_mm), "utf-8")
    for value, name in names.items():
        found = [row["dsc"] for row in rows if row.get("class") == value and not math.isnan(row["dsc"])]
        safe = re.sub(r"[^\w.-]", "_", name)
        histogram(found, folder / f"dsc_{safe}.png", name, f"boxes from {prompts}")


def summary(rows: list[Row], names: dict[int, str], prompts: str, tolerance_mm: float) -> str:
    """Return the means of every class as text, each with the number of cases it is over."""
    text = io.StringIO()
    cases = {row["case"] for row in rows}
    print(f"{len(cases)} cases. Boxes came from: {prompts}.", file=text)
    print(f"Surface Dice at {tolerance_mm:g} mm. A score that is not defined is left out of its mean.\n", file=text)
    for row in rows:
        if "class" not in row:
            print(f"{row['case']}: NOT SCORED: {row['status']}", file=text)
    for value, name in names.items():
        own = [row for row in rows if row.get("class") == value]
        print(name, file=text)
        for column, what in MEANS.items():
            mean, count = mean_of(own, column)
            shown = f"{mean:>9.4f}" if count else "        -"
            print(f"  {what:<22}{shown}   n = {count}", file=text)
    return text.getvalue()


def print_class_means(rows: list[Row], names: dict[int, str], prompts: str) -> None:
    """Print the means of every class on standard output."""
    table = []
    for value, name in names.items():
        own = [row for row in rows if row.get("class") == value]
        means = [mean_of(own, column) for column in MEANS]
        shown = [f"{mean:.3f}" if count else "-" for mean, count in means]
        table.append((name, *shown, str(mean_of(own, "dsc")[1])))
    print_table(f"Mean over cases; boxes from {prompts}", ("class", *MEANS, "n"), table)
