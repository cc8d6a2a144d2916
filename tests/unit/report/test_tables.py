import csv
import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from planewise.errors import Problem
from planewise.evaluation.evaluate import score_labels
from planewise.evaluation.pairs import MISSING, OK
from planewise.evaluation.result import OBJECTS, Result
from planewise.progress import ON_TERMINAL
from planewise.report import tables
from planewise.report.tables import (
    COLUMNS,
    RESULTS,
    SUMMARY,
    mean_of,
    number_text,
    print_problems,
    print_results,
    print_table,
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


def test_problems_are_logged_when_called_from_python(capsys, monkeypatch, caplog):
    monkeypatch.delenv(ON_TERMINAL)
    print_problems([Problem("a.tiff", "a.tiff: is damaged")])
    print_problems([])
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", "a.tiff: is damaged")]
    assert capsys.readouterr() == ("", "")


CHECK = (
    ("case", "part", "patient", "shape z, y, x", "spacing", "type", "uses", "fine structures", "planes"),
    ("hela_cell_0001", "train", "hela_cell", "32 x 192 x 192", "8 x 8 x 8 nm", "uint8", "0 to 255", "dark", "xy xz yz"),
    ("[b]", "test", "0001", "cannot be used", "", "", "", "", ""),
)
COMPARE = (
    ("dataset", "method", "cases", "F1 at IoU 0.5", "mean accuracy, IoU 0.50:0.05:0.95", "panoptic quality", "volume"),
    ("lucchi", "mitoNet_FT", "1 of 1", "0.913 (n = 1)", "0.612", "0.777", "123,456,789"),
)
EVALUATE = (
    ("case", "voxel_iou", "n_truth", "n_pred", "tp_50", "f1_50", "f1_75", "pq_50", "status"),
    ("hela_cell_0001_left", "0.877", "25", "27", "22", "0.846", "0.712", "0.692", "missing: scored as empty"),
    ("mean, missing counted", "0.877 (n = 2)", "25.0", "27.0", "22.0", "0.846", "0.712", "0.692", "2 cases"),
)


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("table", [CHECK, COMPARE, EVALUATE], ids=["check", "compare", "evaluate"])
def test_tables_on_a_narrow_terminal_lose_nothing(table, width, capsys, monkeypatch):
    monkeypatch.setattr(tables, "Console", partial(Console, width=width, force_terminal=True, color_system=None))
    print_table("Title", *table[:1], table[1:])
    out = capsys.readouterr().out
    cells = [cell for row in table for cell in row]
    assert not Counter("".join("".join(cells).split())) - Counter(out)
    assert all(word in out for cell in cells for word in cell.split() if word[0].isdigit())  # no number is folded
    assert max(map(len, out.splitlines())) <= width
    assert ("case: " in out or "dataset: " in out) is (width == 60)  # a row is stacked only where folding is not enough
