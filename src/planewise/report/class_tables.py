"""The evaluation of classes: a CSV with a row for each case and class, a summary, histograms and ROC curves."""

import csv
import io
import math
import re
from pathlib import Path

from planewise.evaluation.class_evaluation import ClassEvaluation
from planewise.evaluation.metrics import METRICS, title_of
from planewise.evaluation.result import Result
from planewise.progress import counted
from planewise.report.figures import histogram, roc_picture
from planewise.report.tables import (
    cell,
    delivered_alone,
    has_row,
    mean_of,
    mean_text,
    number_text,
    print_table,
    short,
    shown_score,
)
from planewise.volumes.atomic import atomic_path

RESULTS, SUMMARY, PRESENCE, ROC = "class_results.csv", "class_results_summary.txt", "presence.csv", "roc.png"
CLASS_COLUMNS = (
    "case", "class", "name", "status", "dsc", "iou", "dsc_slices", "n_slices", "nsd", "hd95_mm", "assd_mm",
    "false_positive_ml", "truth_ml", "predicted_ml", "slice_sensitivity", "slice_specificity",
)  # fmt: skip
MEANS = ("dsc", "dsc_slices", "iou", "nsd", "hd95_mm", "false_positive_ml")
PRESENCE_COLUMNS = ("n_with", "n_without", "sensitivity", "specificity", "auc")


def files_of(evaluations: int, names: dict[int, str]) -> list[str]:
    """Return the names of all files written for a number of evaluations."""
    pictures = [_picture(name, place) for place in range(evaluations) for name in names.values()]
    return [RESULTS, SUMMARY, PRESENCE, ROC, *pictures]


def _picture(name: str, place: int) -> str:
    return "dsc_" + re.sub(r"[^\w.-]", "_", name) + (f"_{place + 1}" if place else "") + ".png"


def write_class_results(
    evaluations: list[ClassEvaluation], names: dict[int, str], folder: Path, tolerance: str
) -> None:
    """Write the CSVs, the summary, the ROC curve and the Dice histograms; all state where the boxes came from.

    ``evaluations``: of the same cases, with several kinds of prompts; the first one's histograms have plain names.
    ``tolerance``: the tolerance of surfaces, as text.
    """
    with atomic_path(folder / RESULTS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*CLASS_COLUMNS, "prompts", "patient"])
        for evaluation in evaluations:
            writer.writerows([*row, evaluation.prompts, patient] for row, patient in _rows(evaluation, names))
    with atomic_path(folder / PRESENCE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompts", "class", "name", *PRESENCE_COLUMNS])
        for evaluation in evaluations:
            for value, name in names.items():
                shown = [cell(getattr(evaluation.presence[name], column)) for column in PRESENCE_COLUMNS]
                writer.writerow([evaluation.prompts, value, name, *shown])
    with atomic_path(folder / SUMMARY) as temporary:
        temporary.write_text(summary(evaluations, names, tolerance), "utf-8")
    for place, evaluation in enumerate(evaluations):
        for name in names.values():
            scores = [
                r.scores["dsc"] for r in evaluation.of_class(name) if not math.isnan(r.scores.get("dsc", math.nan))
            ]
            histogram(scores, folder / _picture(name, place), name, f"boxes from {evaluation.prompts}")
    if any(len(presence.curve) for evaluation in evaluations for presence in evaluation.presence.values()):
        roc_picture(evaluations, list(names.values()), folder / ROC)


def _rows(evaluation: ClassEvaluation, names: dict[int, str]) -> list[tuple[list[object], str]]:
    """Return the rows of ``CLASS_COLUMNS``, each with its patient; of a case that could not be scored there is one."""
    value_of = {name: value for value, name in names.items()}
    rows: list[tuple[list[object], str]] = []
    unscored = set()
    for result in evaluation.results:
        about: list[object] = [result.case, value_of[result.class_name], result.class_name, result.status]
        if has_row(result):
            rows.append(([*about, *(cell(shown_score(result, key)) for key in CLASS_COLUMNS[4:])], result.patient))
        elif result.case not in unscored:
            unscored.add(result.case)
            rows.append(([result.case, "", "", result.status, *[""] * len(CLASS_COLUMNS[4:])], result.patient))
    return rows


def summary(evaluations: list[ClassEvaluation], names: dict[int, str], tolerance: str) -> str:
    """Return the means of every class as text, each with the number of patients and cases it is over."""
    text = io.StringIO()
    for evaluation in evaluations:
        cases, patients = evaluation.cases, set(evaluation.cases.values())
        several = f" of {len(patients)} patients, whose means are averaged" if len(patients) < len(cases) else ""
        print(f"{counted(len(cases), 'case')}{several}. Boxes came from: {evaluation.prompts}.", file=text)
        print(f"Surface Dice at {tolerance}. A score that is not defined is left out of its mean.", file=text)
        if delivered_alone(evaluation.results) is not None:
            print("Missing predictions count as empty; beside it, the mean without them.", file=text)
        print(file=text)
        for case, result in {r.case: r for r in evaluation.results if not r.delivered}.items():
            print(f"{case}: {'' if has_row(result) else 'NOT SCORED: '}{result.status}", file=text)
        for note in dict.fromkeys(note for result in evaluation.results for note in result.notes):
            print(f"NOTE: {note}", file=text)
        for name in names.values():
            print(name, file=text)
            for key in MEANS:
                print(f"  {title_of(key):<22}{mean_text(evaluation.of_class(name), key, 9)}", file=text)
            for column in PRESENCE_COLUMNS:
                print(f"  {METRICS[column].name:<22}{short(getattr(evaluation.presence[name], column)):>9}", file=text)
        print(file=text)
    return text.getvalue()


def print_class_means(evaluations: list[ClassEvaluation], names: dict[int, str]) -> None:
    """Print the means of each class on standard output, several kinds of prompts below each other.

    If predictions are missing there are two rows: with them counted as empty, and without them.
    """
    rows = []
    missing = any(delivered_alone(evaluation.results) is not None for evaluation in evaluations)
    for name in names.values():
        for evaluation in evaluations:
            results = evaluation.of_class(name)
            rows.append(_means_row(name, results, evaluation.prompts, "all, missing counted", missing))
            if (alone := delivered_alone(results)) is not None:
                rows.append(_means_row(name, alone, evaluation.prompts, "delivered only", missing))
    cases = {case: patient for evaluation in evaluations for case, patient in evaluation.cases.items()}
    unit = "patients" if len(set(cases.values())) < len(cases) else "cases"
    print_table(f"Mean over {unit}", ("class", *MEANS, "n", *(["cases"] * missing), "boxes from"), rows)
    presence = [
        (name, *(short(getattr(e.presence[name], column)) for column in PRESENCE_COLUMNS), e.prompts)
        for name in names.values()
        for e in evaluations
    ]
    print_table("Presence in slices, all cases together", ("class", *PRESENCE_COLUMNS, "boxes from"), presence)


def _means_row(name: str, results: list[Result], prompts: str, which: str, missing: bool) -> tuple[str, ...]:
    means = {key: mean_of(results, key) for key in MEANS}
    dsc = means["dsc"]
    number = number_text(dsc.n, dsc.n_cases)
    shown = (
        short(mean.value) + (f" (n = {number_text(mean.n, mean.n_cases)})" * (0 < mean.n_cases != dsc.n_cases))
        for mean in means.values()
    )
    return (name, *shown, number, *([which] * missing), prompts)
