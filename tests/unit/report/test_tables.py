import csv
import math

import numpy as np
import pytest

from planewise.errors import Problem
from planewise.evaluation.evaluate import score_labels
from planewise.evaluation.pairs import MISSING, OK
from planewise.evaluation.result import OBJECTS, Result
from planewise.report import tables
from planewise.report.tables import (
    COLUMNS,
    RESULTS,
    SUMMARY,
    mean_of,
    number_text,
    print_problems,
    print_results,
    write_results,
)

ISSUE = (  # the columns and their order, as users' own scripts read them
    "case, status, voxel_iou, voxel_dice, voxel_precision, voxel_recall, n_truth, n_pred, tp_50, fp_50, fn_50, "
    "precision_50, recall_50, f1_50, accuracy_50, precision_75, recall_75, f1_75, accuracy_75, mean_accuracy, pq_50, "
    "sq_50, rq_50"
)


def result(case, status, scores, patient=""):
    return Result(
        "d", "m", case, patient or case, OBJECTS, status, {key: float(value) for key, value in scores.items()}
    )


def results(balls):
    empty = np.zeros_like(balls)
    return [
        result("good", OK, score_labels(balls, balls)),
        result("void", OK, score_labels(empty, empty)),
        result("gone", MISSING, score_labels(balls, empty)),
        result("torn", "torn.tiff: is damaged", {}),
    ]


def test_columns():
    assert ", ".join(COLUMNS) == ISSUE


def test_csv(tmp_path, balls):
    write_results(results(balls), tmp_path)
    with (tmp_path / RESULTS).open(newline="") as file:
        read = {row["case"]: row for row in csv.DictReader(file)}
    assert read["good"]["f1_50"] == "1.000000"
    assert read["good"]["n_truth"] == "5"
    assert read["void"]["f1_50"] == ""  # not defined
    assert read["gone"]["recall_50"] == "0.000000"
    assert read["torn"]["status"] == "torn.tiff: is damaged"
    assert read["torn"]["n_truth"] == ""


def test_means_are_over_the_cases_in_which_the_score_is_defined(balls):
    assert mean_of(results(balls), "f1_50") == (0.5, 2, 2)
    assert mean_of(results(balls), "precision_50") == (1.0, 1, 1)
    nothing = mean_of([], "f1_50")
    assert np.isnan(nothing.value)
    assert (nothing.n, nothing.n_cases) == (0, 0)


def test_a_patient_s_cases_are_averaged_first():
    of_anna = [result(case, OK, {"dsc": dsc}, "anna") for case, dsc in (("a", 0.2), ("b", 0.4), ("c", math.nan))]
    mean = mean_of([*of_anna, result("d", OK, {"dsc": 0.9}, "bob")], "dsc")
    assert mean == (pytest.approx(0.6), 2, 3)
    assert number_text(mean.n, mean.n_cases) == "2 patients (3 cases)"
    assert number_text(1, 2) == "1 patient (2 cases)"
    assert number_text(3, 3) == "3"


def test_summary(tmp_path, balls):
    write_results(results(balls), tmp_path)
    text = (tmp_path / SUMMARY).read_text()
    assert "4 cases, 3 scored" in text
    assert "torn: NOT SCORED: torn.tiff: is damaged" in text
    assert "gone: prediction missing: counted as an empty prediction" in text
    assert "true objects                              10" in text
    assert "F1 at IoU 0.5                         0.5000   n = 2   delivered only  1.0000   n = 1\n" in text


def test_names_are_printed_as_they_are(capsys, balls):
    print_results([result("[bold]case[/]", "a [reason]", {}), *results(balls)], "Title")
    out = capsys.readouterr().out
    assert "[bold]case[/]" in out
    assert "not scored" in out


LONG = "does not lie in the space of /data/nnUNet_raw/Dataset001_Mito/instancesTs/case_0001.tiff, which has other sides"


@pytest.mark.parametrize("where", ["a.tiff", "/data/nnUNet_raw/Dataset001_Mito/imagesTs_p/case_0001.tiff", "p" * 90])
@pytest.mark.parametrize("what", ["is damaged " * 20, LONG])
def test_problems_are_folded_to_80_columns_and_paths_stay_whole(where, what, capsys, monkeypatch):
    monkeypatch.setattr(tables, "LOG_WIDTH", 80)
    print_problems([Problem(where, f"{where}: {what}"), Problem("b", "short")])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "2 problems"
    assert max(len(line) for line in lines) <= max(80, len(where) + 2)
    words = [word for line in lines for word in line.split()]
    assert [word for word in words if word in (where, *what.split())] == [where, *what.split()]
    beside = where == "a.tiff"
    assert any(line.split() == [where] for line in lines) is not beside  # the name alone, the message below it
