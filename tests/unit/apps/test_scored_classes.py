"""Which classes are scored, as a user says it: by name, by value, or not at all."""

import csv
import json
import os
import shutil

import numpy as np
import pytest

from planewise.cli import run
from planewise.report import class_tables, tables
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

TRUTH = np.zeros((4, 8, 8), np.uint8)
TRUTH[:, :4, :4], TRUTH[:, :4, 4:], TRUTH[:, 7] = 1, 2, 3  # two classes, and what nobody knows


@pytest.fixture
def dataset(tmp_path):
    """A prediction of everything that is not background, as the one value 1, beside the truth."""
    describe(tmp_path, {"background": 0, "mito": 1, "er": 2, "ignore": 3})
    write_labels(tmp_path / "labelsTs" / "c.nii.gz", Volume(TRUTH, unit="mm"))
    write_labels(tmp_path / "imagesTs_p" / "c.nii.gz", Volume((TRUTH > 0) * np.uint8(1), unit="mm"))
    return tmp_path


def describe(folder, labels):
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def evaluate(dataset, *options):
    return run(["mito", "evaluate", str(dataset / "imagesTs_p"), str(dataset / "labelsTs"), *options])


def only_row(folder, name):
    with (folder / name).open(newline="") as file:
        return next(iter(csv.DictReader(file)))


@pytest.mark.parametrize("wanted", ["mito", "1"])
def test_a_class_is_scored_by_name_or_value_and_ignored_voxels_are_not(dataset, capsys, wanted):
    assert evaluate(dataset, "--semantic_class", wanted) == 0
    row = only_row(dataset / "imagesTs_p" / "evaluation", tables.RESULTS)
    assert float(row["voxel_precision"]) == 0.5  # 16 of 32 pixels in each slice; the 8 ignored ones count nowhere
    assert float(row["voxel_recall"]) == 1
    printed = capsys.readouterr().err
    assert "mito (1) is scored voxel by voxel; background: er (2); ignored: ignore (3)" in printed


def test_where_no_truth_holds_the_class_it_is_said(dataset, capsys):
    (dataset / "dataset.json").unlink()
    assert evaluate(dataset, "--semantic_class", "1") == 0
    assert "WARNING" not in capsys.readouterr().err
    assert evaluate(dataset, "--semantic_class", "255") == 0
    assert "WARNING: no truth holds class 255 (255) in voxels that are scored" in capsys.readouterr().err


def test_a_region_is_scored_by_name(dataset):
    describe(dataset, {"background": 0, "mito": 1, "er": 2, "both": [1, 2], "ignore": 3})
    assert evaluate(dataset, "--semantic_class", "both") == 0
    assert float(only_row(dataset / "imagesTs_p" / "evaluation", tables.RESULTS)["voxel_iou"]) == 1


def test_which_of_several_classes_is_not_guessed(dataset, capsys):
    assert evaluate(dataset) == 2
    assert "several classes, mito (1), er (2); choose one with --semantic_class" in capsys.readouterr().err


def test_whether_a_truth_holds_classes_or_instances_is_not_guessed_where_it_matters(dataset, capsys):
    (dataset / "labelsTs").rename(dataset / "truth")
    command = ["mito", "evaluate", str(dataset / "imagesTs_p"), str(dataset / "truth")]
    assert run(command) == 2
    assert "has the ignore label 3; if this is a semantic map, choose" in capsys.readouterr().err


def test_compare_and_ild_evaluate_leave_ignored_voxels_out(dataset, tmp_path, capsys):
    predicted = dataset / "imagesTs_p" / "c.nii.gz"
    write_labels(predicted, Volume(np.where(TRUTH == 3, 1, TRUTH), unit="mm"))  # right but for what nobody knows
    assert run(["compare", str(dataset), "--output", str(tmp_path / "out")]) == 0
    assert run(["ild", "evaluate", str(dataset / "imagesTs_p"), str(dataset / "labelsTs")]) == 0
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"mito", "er"}
    with (dataset / "imagesTs_p" / "evaluation" / class_tables.RESULTS).open(newline="") as file:
        scored = {row["name"]: float(row["dsc"]) for row in csv.DictReader(file)}
    assert scored == {"mito": 1, "er": 1}
    assert capsys.readouterr().err.count("voxels of the ignore label (3) are not scored") >= 1


def test_compare_and_ild_evaluate_refuse_regions_by_name(dataset, tmp_path, capsys):
    describe(dataset, {"background": 0, "mito": 1, "both": [1, 2]})
    assert run(["compare", str(dataset), "--output", str(tmp_path / "out")]) == 2
    assert run(["ild", "evaluate", str(dataset / "imagesTs_p"), str(dataset / "labelsTs")]) == 2
    assert capsys.readouterr().err.count("both [1, 2]: is a region, a union of classes") == 2


@pytest.fixture
def with_255(dataset):
    """Beside the case another, in whose truth is a value that dataset.json does not name."""
    other = TRUTH.copy()
    other[0, 4, 4:] = 255
    write_labels(dataset / "labelsTs" / "d.nii.gz", Volume(other, unit="mm"))
    write_labels(dataset / "imagesTs_p" / "d.nii.gz", Volume(np.where(other == 255, 0, TRUTH), unit="mm"))
    return dataset


UNNAMED = "holds 255 (4 voxels), which no label of dataset.json names; those are mito (1), er (2), ignore (3)"


COMMANDS = pytest.mark.parametrize(
    "command",
    [
        ("mito", "evaluate", "{}/imagesTs_p", "{}/labelsTs", "--semantic_class", "mito"),
        ("mito", "evaluate", "{}/imagesTs_p", "{}/labelsTs", "--things", "none"),
        ("ild", "evaluate", "{}/imagesTs_p", "{}/labelsTs"),
        ("compare", "{}"),
    ],
    ids=lambda command: " ".join(command[:2]) + command[-1],
)


@COMMANDS
def test_a_truth_with_a_value_without_a_name_is_not_scored_and_the_others_are(with_255, tmp_path, capsys, command):
    out = tmp_path / "out"
    command = [part.format(with_255) for part in command]
    assert run([*command, "--output", str(out)]) == 1
    told = capsys.readouterr().out
    assert "labelsTs/d.nii.gz" in told
    assert UNNAMED in told
    assert "whatever is unlabelled has the value 3 in the file" in told
    name = tables.RESULTS if command[0] == "mito" else "results.csv"
    with (out / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    scored = {row["case"] for row in rows if row.get("voxel_dice") or (row.get("metric") == "dsc" and row["value"])}
    assert scored == {"c"}
    assert run([*command, "--output", str(out)]) == 1  # said again, not taken as done
    assert UNNAMED in capsys.readouterr().out


@COMMANDS
def test_where_no_case_can_be_scored_no_report_is_written_and_an_earlier_one_is_kept(
    dataset, tmp_path, capsys, command
):
    out = tmp_path / "out"
    command = [*(part.format(dataset) for part in command), "--output", str(out)]
    truth = dataset / "labelsTs" / "c.nii.gz"
    whole = truth.read_bytes()
    truth.write_bytes(whole[:40])
    assert run(command) == 1
    printed = capsys.readouterr()
    assert "c.nii.gz" in printed.out
    assert "cannot be read" in printed.out
    assert f"{out}: nothing is written, since no case could be scored\n" in printed.err
    assert not out.exists()
    truth.write_bytes(whole)
    assert run(command) == 0
    written = {path: path.read_bytes() for path in out.iterdir()}
    truth.write_bytes(whole[:40])
    assert run(command) == 1
    assert " in it are from an earlier run\n" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == written


@COMMANDS
def test_a_prediction_whose_name_is_no_utf_8_is_refused_and_the_others_are_scored(dataset, tmp_path, capsys, command):
    for folder in ("labelsTs", "imagesTs_p"):
        shutil.copy(dataset / folder / "c.nii.gz", dataset / folder / os.fsdecode(b"\xff.nii.gz"))
    out = tmp_path / "out"
    assert run([*(part.format(dataset) for part in command), "--output", str(out)]) == 1
    assert "its name is no UTF-8, which readers of volumes need; rename it" in capsys.readouterr().out
    name = tables.RESULTS if command[0] == "mito" else "results.csv"
    with (out / name).open(newline="", encoding="utf-8") as file:
        assert {row["case"] for row in csv.DictReader(file)} == {"c", r"\udcff"}


def test_once_it_is_named_it_is_scored(with_255, capsys):
    describe(with_255, {"background": 0, "mito": 1, "er": 2, "unknown": 3, "ignore": 255})
    assert run(["ild", "evaluate", str(with_255 / "imagesTs_p"), str(with_255 / "labelsTs")]) == 0
    assert "Voxels of the ignore label (255) are not scored" in capsys.readouterr().err


def test_labels_beside_instances_that_mark_what_to_ignore_must_be_named_too(with_255, capsys):
    for name in "cd":
        ids = (TRUTH == 1) * np.uint8(1)
        write_labels(with_255 / "instancesTs" / f"{name}.nii.gz", Volume(ids, unit="mm"))
        write_labels(with_255 / "imagesTs_p" / "classes" / f"{name}.nii.gz", Volume(ids, unit="mm"))
    command = ["mito", "evaluate", str(with_255 / "imagesTs_p"), str(with_255 / "instancesTs")]
    assert run(command) == 1
    assert UNNAMED in capsys.readouterr().out
    assert run([*command, "--things", "mito"]) == 1
    assert UNNAMED in capsys.readouterr().out
