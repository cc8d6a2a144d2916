"""What the commands that score say of a case that is missing, damaged, or not theirs to replace."""

import csv
import json
import re

import numpy as np
import pytest
import tifffile

from planewise.apps.mito.test_cases import evaluate_test_cases
from planewise.cli import run
from planewise.data.case import Case
from planewise.data.classes import LabelDefinition
from planewise.data.derived import SCORES
from planewise.data.manifest import MANIFEST
from planewise.data.nnunet import Dataset
from planewise.report import class_tables, tables
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

CASES = ("one", "two", "three")
SPACING = (5.0, 1.0, 1.0)


@pytest.fixture
def dataset(tmp_path):
    """Three patients; the class b is in the first alone. All predictions are right."""
    labels = np.zeros((6, 24, 24), np.uint8)
    labels[1:4, 4:12, 4:12] = 1
    rng = np.random.default_rng(0)
    for case in CASES:
        truth = labels.copy()
        truth[1:4, 14:20, 14:20] = 2 if case == "one" else 0
        image = rng.integers(0, 255, labels.shape).astype(np.uint8)
        write_volume(tmp_path / "imagesTs" / f"{case}_0000.tiff", Volume(image, SPACING, "mm"))
        write_labels(tmp_path / "labelsTs" / f"{case}.nii.gz", Volume(truth, SPACING, "mm"))
        write_labels(tmp_path / "segs" / f"{case}.nii.gz", Volume(truth, SPACING, "mm"))
        write_labels(tmp_path / "instancesTs" / f"{case}.tiff", Volume(truth, SPACING, "mm"))
        write_labels(tmp_path / "imagesTs_m" / f"{case}.tiff", Volume(truth, SPACING, "mm"))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1, "b": 2}}))
    return tmp_path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ild(dataset, *options):
    return run(["ild", "evaluate", str(dataset / "segs"), str(dataset / "labelsTs"), *options])


def mito(dataset, *options):
    return run(["mito", "evaluate", str(dataset / "imagesTs_m"), str(dataset / "instancesTs"), *options])


def compare(dataset, *options):
    return run(["compare", str(dataset), *(options or ("--output", str(dataset / "report")))])


def after_training(dataset):
    """What ``mito train --test_after_training`` does with the predictions; returns the rows of its problems."""
    cases = [
        Case(name, dataset / "imagesTs" / f"{name}_0000.tiff", dataset / "instancesTs" / f"{name}.tiff", True)
        for name in CASES
    ]
    problems = []
    data = Dataset(dataset, LabelDefinition(), [], cases)
    evaluate_test_cases(data, None, dataset / "imagesTs_m", dataset / "pictures", problems)
    return problems


def damage(path):
    """Leave the header, and spoil the compressed voxels."""
    content = bytearray(path.read_bytes())
    pieces = [(len(content) // 3, len(content) - 40)]
    if path.suffix == ".tiff":
        with tifffile.TiffFile(path) as file:
            pieces = [(p.dataoffsets[0] + 4, p.dataoffsets[0] + p.databytecounts[0]) for p in file.pages]
    for start, stop in pieces:
        content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


# ---- what is not delivered


def test_not_to_deliver_a_patient_without_the_class_lowers_the_mean(dataset, capsys):
    assert ild(dataset) == 0
    summary = dataset / "segs" / "evaluation" / class_tables.SUMMARY
    assert "delivered only" not in summary.read_text() + capsys.readouterr().out
    (dataset / "segs" / "two.nii.gz").unlink()
    assert ild(dataset) == 1
    of_b = summary.read_text().split("\nb\n")[1]
    assert re.search(r"Dice in 3D +0\.5000   n = 2   delivered only +1\.0000   n = 1\n", of_b)
    assert re.search(r"false positive, ml +0\.0000   n = 1   delivered only +0\.0000   n = 1\n", of_b)
    printed = capsys.readouterr().out
    assert re.search(r"b +0\.500 .* all, missing counted", printed)
    assert re.search(r"b +1\.000 .* delivered only", printed)
    by_case = {(row["case"], row["name"]): row for row in rows(summary.with_name(class_tables.RESULTS))}
    assert by_case["two", "b"]["dsc"] == "0.000000"
    assert by_case["two", "b"]["false_positive_ml"] == by_case["two", "b"]["slice_specificity"] == ""
    assert by_case["three", "b"]["dsc"] == ""  # both empty: not defined
    page = (summary.parent / "report.html").read_text()
    assert "2 of 3" in page


def test_predictions_for_a_part_of_the_truth_have_both_means(dataset, capsys):
    for case in ("two", "three"):
        (dataset / "imagesTs_m" / f"{case}.tiff").unlink()
    assert mito(dataset) == 1
    text = (dataset / "imagesTs_m" / "evaluation" / tables.SUMMARY).read_text()
    assert re.search(r"voxel Dice +0\.3333   n = 3   delivered only +1\.0000   n = 1\n", text)
    printed = capsys.readouterr().out
    assert re.search(r"mean, missing counted +0\.333", printed)
    assert re.search(r"mean, delivered only +1\.000", printed)


def test_the_terminal_the_tables_and_the_page_have_one_hd95(dataset, capsys):
    truth = np.zeros((6, 24, 24), np.uint8)
    write_labels(dataset / "segs" / "one.nii.gz", Volume(truth, SPACING, "mm"))  # delivered, and nothing found
    assert ild(dataset) == 0
    folder = dataset / "segs" / "evaluation"
    diagonal = np.linalg.norm(np.multiply(truth.shape, SPACING))
    row = next(row for row in rows(folder / class_tables.RESULTS) if (row["case"], row["name"]) == ("one", "b"))
    assert float(row["hd95_mm"]) == pytest.approx(diagonal, abs=1e-6)
    assert row["nsd"] == "0.000000"
    of_page = {tuple(r.values())[2:5]: r["value"] for r in rows(folder / "results.csv")}
    assert of_page["one", "b", "hd95_mm"] == row["hd95_mm"]
    assert f"{diagonal:.1f}" in capsys.readouterr().out
    standing = next(s for s in json.loads((folder / "results.json").read_text())["standings"] if s["class_name"] == "b")
    assert standing["counted"]["hd95_mm"]["mean"] == pytest.approx(diagonal)


def test_no_star_for_a_method_that_found_nothing(dataset):
    for case in CASES:
        write_labels(dataset / "imagesTs_idle" / f"{case}.tiff", Volume(np.zeros((6, 24, 24), np.uint8)))
        by_case = np.ones((6, 24, 24), np.uint8)  # one object: two are missed, merged
        write_labels(dataset / "imagesTs_m" / f"{case}.tiff", Volume(by_case))
    assert compare(dataset) == 0
    ranking = (dataset / "report" / "report.html").read_text().split("<tbody>")[1].split("</tbody>")[0]
    stars = {re.search(r'<th scope="row">(\w+)', row)[1]: row.count("★") for row in ranking.split("<tr>")[1:]}
    assert stars["idle"] == 0
    assert stars["m"] > 0


def test_a_damaged_prediction_is_shown_as_it_counts(dataset, capsys):
    (dataset / "imagesTs_m" / "one.tiff").unlink()
    damage(dataset / "imagesTs_m" / "two.tiff")
    assert mito(dataset) == 1
    printed = capsys.readouterr().out
    assert re.search(r"one +0\.000 .* missing: scored as empty", printed)
    assert re.search(r"two +0\.000 .* unusable: scored as empty", printed)
    assert re.search(r"mean, missing counted +0\.333 .* 3 cases", printed)
    folder = dataset / "imagesTs_m" / "evaluation"
    table = {row["case"]: row["voxel_dice"] for row in rows(folder / tables.RESULTS)}
    assert table == {"one": "0.000000", "two": "0.000000", "three": "1.000000"}
    assert "3 cases, 3 scored" in (folder / tables.SUMMARY).read_text()
    lines = [line for line in printed.splitlines() if "two.tiff" in line]
    assert [line.count("two.tiff") for line in lines] == [1]  # the file is named once in the table of problems


def test_a_mean_stands_below_cases_that_are_all_there(dataset, capsys):
    assert mito(dataset) == 0
    assert re.search(r"mean +1\.000 .* 3 cases", capsys.readouterr().out)


def test_means_over_other_cases_say_over_how_many(dataset, capsys):
    """One file has no spacing: its distances are in voxels, those of the others in mm."""
    for folder in ("instancesTs", "imagesTs_m", "imagesTs"):
        (path,) = (dataset / folder).glob("two*")
        labels = np.asarray(tifffile.imread(path))
        path.unlink()
        write_volume(path, Volume(labels))
    assert compare(dataset) == 0
    printed = capsys.readouterr().out
    assert printed.count("HD95  ") == 2  # of the foreground, and over objects: units share a column
    assert re.search(r"0\.000 mm \(n = 2\); 0\.000 voxels \(n = 1\)", printed)
    page = (dataset / "report" / "report.html").read_text()
    assert re.search(r'0\.000 <span class="note">n = 2</span>', page)
    assert re.search(r'0\.000 <span class="note">n = 1</span>', page)


def test_means_of_classes_over_other_cases_say_over_how_many(dataset, capsys):
    assert ild(dataset) == 0  # false positives are counted where the class is not
    assert re.search(r"b +1\.000 .* 0\.000 \(n = 2\) +1 ", capsys.readouterr().out)


# ---- the tolerance


def test_the_tolerance_follows_the_voxels_unless_it_is_given(dataset, capsys):
    assert ild(dataset) == 0
    assert "Tolerance of surface Dice: 5 mm (twice the shortest side of a voxel, or once" in capsys.readouterr().err
    summary = dataset / "segs" / "evaluation" / class_tables.SUMMARY
    assert "Surface Dice at 5 mm (twice the shortest side" in summary.read_text()
    assert ild(dataset, "--tolerance_mm", "1.5") == 0
    assert "Tolerance of surface Dice: 1.5 mm\n" in capsys.readouterr().err
    assert "Surface Dice at 1.5 mm." in summary.read_text()
    write_labels(dataset / "imagesTs_m" / "one.tiff", Volume(np.zeros((6, 24, 24), np.uint8), SPACING, "mm"))
    assert compare(dataset) == 0
    assert "surface Dice: 5 mm (twice the shortest side" in capsys.readouterr().err
    assert json.loads((dataset / "report" / "results.json").read_text())["tolerance"] == {"mm": 5}


# ---- what is damaged


@pytest.mark.parametrize("command", [ild, compare])
def test_a_damaged_image_costs_its_pictures_and_is_named(dataset, capsys, command):
    damage(dataset / "imagesTs" / "two_0000.tiff")
    assert command(dataset) == 1
    printed = capsys.readouterr()
    assert "two_0000.tiff" in printed.out
    assert "the report shows outlines only" in printed.out
    page = next(dataset.glob("*/report.html"), None) or dataset / "segs" / "evaluation" / "report.html"
    assert page.read_text().count("data:image/jpeg") >= 2
    assert re.search(r"two_0000\.tiff: a page cannot be decoded .*: outlines only", page.read_text())


def test_a_damaged_image_costs_the_pictures_after_a_training(dataset):
    damage(dataset / "imagesTs" / "two_0000.tiff")
    (problem,) = after_training(dataset)
    assert problem.where.endswith("two_0000.tiff")
    assert sorted(path.stem for path in (dataset / "pictures").iterdir()) == ["one", "three"]
    folder = dataset / "imagesTs_m" / "evaluation"
    assert [row["status"] for row in rows(folder / tables.RESULTS)] == ["ok"] * 3
    assert "outlines only" in (folder / "report.html").read_text()


@pytest.mark.parametrize("which", ["instancesTs", "imagesTs_m"])
@pytest.mark.parametrize("command", [mito, compare, after_training])
def test_damaged_labels_are_a_row(dataset, capsys, command, which):
    damage(dataset / which / "two.tiff")
    result = command(dataset)
    assert result == 1 or [problem.where for problem in result] == [str(dataset / which / "two.tiff")]
    folder = dataset / "report" if command is compare else dataset / "imagesTs_m" / "evaluation"
    if command is not compare:
        statuses = {row["case"]: row["status"] for row in rows(folder / tables.RESULTS)}
        assert statuses["one"] == statuses["three"] == "ok"
        assert f"{which}/two.tiff: a page cannot be decoded" in statuses["two"]
    if command is not mito:
        assert f"{which}/two.tiff: a page cannot be decoded" in (folder / "report.html").read_text()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("which", ["labelsTs", "segs"])
@pytest.mark.parametrize("named", [True, False])
def test_damaged_labels_are_a_row_of_classes(dataset, capsys, which, named):
    damage(dataset / which / "two.nii.gz")
    if not named:
        (dataset / "dataset.json").unlink()
    assert ild(dataset) == 1
    statuses = {row["case"]: row["status"] for row in rows(dataset / "segs" / "evaluation" / class_tables.RESULTS)}
    assert statuses["one"] == statuses["three"] == "ok"
    assert f"{which}/two.nii.gz: cannot be read" in statuses["two"]
    assert "two" in capsys.readouterr().out


# ---- what is replaced


@pytest.mark.parametrize(
    ("command", "folder", "names"),
    [
        (mito, "imagesTs_m/evaluation", ["evaluation_results_summary.txt", "evaluation_results.csv"]),
        (ild, "segs/evaluation", ["dsc_a.png", "class_results.csv"]),
        (compare, "report", ["report.html", "results.json"]),
    ],
)
def test_files_of_the_user_are_kept_and_results_of_ours_are_replaced(dataset, capsys, command, folder, names):
    paths = [dataset / folder / name for name in names]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text("my own notes")
        assert command(dataset) == 2
        assert re.search(rf"{path.name}: already exists, and no {SCORES} .* move it away", capsys.readouterr().err)
        assert path.read_text() == "my own notes"
        assert list(path.parent.iterdir()) == [path]
        path.unlink()
    assert command(dataset) == 0
    made = [path.read_bytes() for path in paths]
    capsys.readouterr()
    assert command(dataset) == 0
    assert "done already" in capsys.readouterr().err
    assert [path.read_bytes() for path in paths] == made
    for path, ours in zip(paths, made):
        path.write_text("my own notes")
        assert command(dataset) == 2
        assert f"{path.name}: was changed after it was made, and is kept" in capsys.readouterr().err
        assert path.read_text() == "my own notes"
        path.write_bytes(ours)


@pytest.mark.parametrize("command", [mito, ild, compare])
def test_scores_are_never_stale(dataset, capsys, command):
    """A prediction or a truth that changed is scored again without being asked, and what changed is said."""
    assert command(dataset) == 0
    folder = next(path.parent for path in dataset.glob("**/planewise_scores.json"))
    assert all_perfect(folder)
    worse = np.zeros((6, 24, 24), np.uint8)
    worse[1:4, 4:12, 4:9] = 1
    for prediction in (dataset / "imagesTs_m" / "three.tiff", dataset / "segs" / "three.nii.gz"):
        write_labels(prediction, Volume(worse, SPACING, "mm"))
    capsys.readouterr()
    assert command(dataset) == 0
    said = "what it holds is made again, since something has changed: the prediction of three\n"
    assert said in capsys.readouterr().err
    assert not all_perfect(folder)


def all_perfect(folder):
    """Whether every Dice in the folder's tables is 1 or undefined."""
    tables = {
        path.name: rows(path) for path in folder.glob("*.csv") if path.name not in ("presence.csv", "objects.csv")
    }
    long = [row["value"] for row in tables.pop("results.csv", []) if row["metric"] in ("dsc", "voxel_dice")]
    wide = [row.get("dsc", row.get("voxel_dice")) for table in tables.values() for row in table]
    return {*long, *wide} <= {"1.000000", ""}


def test_what_could_not_be_scored_is_told_again(dataset, capsys):
    (dataset / "imagesTs_m" / "two.tiff").unlink()
    for _ in range(2):
        assert mito(dataset) == 1
        printed = capsys.readouterr()
        assert "has no prediction" in printed.out
        assert "done already" not in printed.err


def test_two_commands_score_into_one_folder(dataset, capsys):
    """A table that both write is the last one's, which the other knows; what only one writes stays, called stale."""
    assert after_training(dataset) == []
    assert mito(dataset) == 0
    capsys.readouterr()
    assert mito(dataset) == 0
    assert "done already" in capsys.readouterr().err
    folder = dataset / "imagesTs_m" / "evaluation"
    assert (folder / "report.html").exists()
    write_labels(dataset / "imagesTs_m" / "one.tiff", Volume(np.ones((6, 24, 24), np.uint8), SPACING, "mm"))
    assert mito(dataset) == 0
    stale = "report.html, results.csv, results.json ... of planewise mito train come from files"
    assert stale in capsys.readouterr().err
    assert after_training(dataset) == []
    assert "done already" not in capsys.readouterr().err
    assert after_training(dataset) == []
    assert "done already" in capsys.readouterr().err


def test_a_picture_that_is_not_drawn_any_more_is_removed(dataset):
    assert ild(dataset) == 0
    (dataset / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1, "c": 2}}))
    assert ild(dataset) == 0
    pictures = {path.name for path in (dataset / "segs" / "evaluation").glob("dsc_*.png")}
    assert pictures == {"dsc_a.png", "dsc_c.png"}


def test_tables_may_lie_beside_predictions_and_their_manifest(dataset, capsys):
    manifest = dataset / "imagesTs_m" / MANIFEST
    manifest.write_text('{"options": {"command": "mito predict"}, "model": "", "cases": {}}')
    before = manifest.read_text()
    for _ in range(2):
        assert mito(dataset, "--output", str(dataset / "imagesTs_m")) == 0
    said = capsys.readouterr().err
    assert "done already" in said
    assert said.count("All instances are scored") == 1  # nothing is, the second time
    assert manifest.read_text() == before


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (mito, "instancesTs"),
        (mito, "imagesTs"),
        (ild, "segs"),
        (ild, "labelsTs"),
        (compare, "imagesTs_m"),
        (compare, "instancesTs"),
        (compare, "imagesTs"),
    ],
)
def test_pictures_and_pages_never_lie_among_what_is_scored(dataset, capsys, command, folder):
    before = sorted((dataset / folder).iterdir())
    assert command(dataset, "--output", str(dataset / folder)) == 2
    assert f"--output {dataset / folder}: is the folder of the input" in capsys.readouterr().err
    assert sorted((dataset / folder).iterdir()) == before


def test_a_file_of_the_user_is_kept_after_a_training(dataset):
    path = dataset / "imagesTs_m" / "evaluation" / "results.csv"
    path.parent.mkdir()
    path.write_text("my own notes")
    (problem,) = after_training(dataset)
    assert "already exists" in problem.what
    assert path.read_text() == "my own notes"
