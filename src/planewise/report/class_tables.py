"""The evaluation of classes: a CSV with a row for each case and class, a summary, histograms and ROC curves."""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

from planewise.evaluation.classes import CLASS_COLUMNS, ClassEvaluation
from planewise.evaluation.evaluate import Row
from planewise.report.figures import histogram, roc_picture
from planewise.report.tables import cell, mean_of, number_text, print_table, short
from planewise.volumes.atomic import atomic_path

RESULTS, SUMMARY, PRESENCE, ROC = "class_results.csv", "class_results_summary.txt", "presence.csv", "roc.png"
MEANS = {
    "dsc": "DSC in 3D", "dsc_slices": "DSC by slice", "iou": "IoU in 3D", "nsd": "surface Dice",
    "hd95_mm": "HD95, mm", "false_positive_ml": "false positive, ml",
}  # fmt: skip
PRESENCE_COLUMNS = {
    "n_with": "slices with it", "n_without": "slices without", "sensitivity": "sensitivity",
    "specificity": "specificity", "auc": "area under the ROC",
}  # fmt: skip


def write_class_results(
    evaluations: list[ClassEvaluation], names: dict[int, str], folder: Path, tolerance_mm: float
) -> None:
    """Write the CSVs, the summary, the ROC and the DSC histograms; all say where the boxes came from.

    ``evaluations``: of the same cases, with prompts of several kinds; the first one's histograms have plain names.
    """
    with atomic_path(folder / RESULTS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*CLASS_COLUMNS, "prompts", "patient"])
        for found in evaluations:
            writer.writerows(
                [*(cell(row.get(column)) for column in CLASS_COLUMNS), found.prompts, row["patient"]]
                for row in found.rows
            )
    with atomic_path(folder / PRESENCE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompts", "class", "name", *PRESENCE_COLUMNS])
        for found in evaluations:
            for value, told in found.presence.items():
                shown = [cell(getattr(told, column)) for column in PRESENCE_COLUMNS]
                writer.writerow([found.prompts, value, names[value], *shown])
    with atomic_path(folder / SUMMARY) as temporary:
        temporary.write_text(summary(evaluations, names, tolerance_mm), "utf-8")
    for place, found in enumerate(evaluations):
        for value, name in names.items():
            scores = [row["dsc"] for row in _of_class(found, value) if not math.isnan(row["dsc"])]
            safe = re.sub(r"[^\w.-]", "_", name) + (f"_{place + 1}" if place else "")
            histogram(scores, folder / f"dsc_{safe}.png", name, f"boxes from {found.prompts}")
    if any(len(told.curve) for found in evaluations for told in found.presence.values()):
        roc_picture(evaluations, names, folder / ROC)


def summary(evaluations: list[ClassEvaluation], names: dict[int, str], tolerance_mm: float) -> str:
    """Return the means of every class as text, each with the number of patients and cases it is over."""
    text = io.StringIO()
    for found in evaluations:
        cases, patients = ({row[of] for row in found.rows} for of in ("case", "patient"))
        several = f" of {len(patients)} patients, whose means are averaged" if len(patients) < len(cases) else ""
        print(f"{len(cases)} cases{several}. Boxes came from: {found.prompts}.", file=text)
        print(f"Surface Dice at {tolerance_mm:g} mm. A score that is not defined is left out of its mean.\n", file=text)
        for row in found.rows:
            if "class" not in row:
                print(f"{row['case']}: NOT SCORED: {row['status']}", file=text)
        for value, name in names.items():
            print(name, file=text)
            for column, what in MEANS.items():
                mean = mean_of(_of_class(found, value), column)
                shown = f"{mean.value:>9.4f}" if mean.n else "        -"
                print(f"  {what:<22}{shown}   n = {number_text(mean.n, mean.n_cases)}", file=text)
            for column, what in PRESENCE_COLUMNS.items():
                print(f"  {what:<22}{short(getattr(found.presence[value], column)):>9}", file=text)
        print(file=text)
    return text.getvalue()


def print_class_means(evaluations: list[ClassEvaluation], names: dict[int, str]) -> None:
    """Print the means of every class on standard output, prompts of several kinds below each other."""
    rows = []
    for value, name, found in _by_class(evaluations, names):
        means = {column: mean_of(_of_class(found, value), column) for column in MEANS}
        shown = [short(mean.value) for mean in means.values()]
        rows.append((name, *shown, number_text(means["dsc"].n, means["dsc"].n_cases), found.prompts))
    cases, patients = ({row[of] for found in evaluations for row in found.rows} for of in ("case", "patient"))
    print_table(
        f"Mean over {'patients' if len(patients) < len(cases) else 'cases'}", ("class", *MEANS, "n", "boxes from"), rows
    )
    told = []
    for value, name, found in _by_class(evaluations, names):
        told.append(
            (name, *(short(getattr(found.presence[value], column)) for column in PRESENCE_COLUMNS), found.prompts)
        )
    print_table("In which slices, all cases together", ("class", *PRESENCE_COLUMNS, "boxes from"), told)


def _by_class(evaluations: list[ClassEvaluation], names: dict[int, str]) -> Iterator[tuple[int, str, ClassEvaluation]]:
    for value, name in names.items():
        for found in evaluations:
            yield value, name, found


def _of_class(found: ClassEvaluation, value: int) -> list[Row]:
    return [row for row in found.rows if row.get("class") == value]
