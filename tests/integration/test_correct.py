"""planewise correct as a user gives it: a CSV of actions, undo, replay, work lists, and audits that are corrected."""

import csv
import json
import shutil

import numpy as np
import pytest

from audited import fill_in
from planewise.cli import run
from planewise.correction.corrected import corrected_volumes
from planewise.correction.journal import correction_note
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.volume import Volume


@pytest.fixture
def results(tmp_path, balls):
    """A folder with two cases: in a, balls 1 and 2 have one id; b is as it should be."""
    folder = tmp_path / "imagesTs_model"
    merged = np.where(balls == 2, 1, balls)
    for name, labels in (("a", merged), ("b", balls)):
        write_volume(folder / f"{name}.tiff", Volume(labels.astype(np.uint8), (5.0, 5.0, 5.0), "nm"))
        write_volume(tmp_path / "instancesTs" / f"{name}.tiff", Volume(balls.astype(np.uint8), (5.0, 5.0, 5.0), "nm"))
    return folder


def actions(tmp_path, *rows):
    path = tmp_path / "actions.csv"
    path.write_text("case,action,arguments,item\n" + "".join(f"{row}\n" for row in rows))
    return str(path)


def test_a_csv_corrects_undo_and_replay(results, tmp_path, balls, capsys):
    before = (results / "a.tiff").read_bytes()
    rows = ("a,split,1 12 12 12 28 12 40,", "a,delete,5,", "a,confirm,1 6,", "b,merge,1 2,")
    assert run(["correct", str(results), "--actions", actions(tmp_path, *rows)]) == 0
    labels = open_volume(results / "a.tiff").read()
    np.testing.assert_array_equal(labels, np.where(balls == 2, 6, np.where(balls == 5, 0, balls)))
    assert "a.tiff: 2 corrections, 1 confirmation (" in capsys.readouterr().err
    assert run(["correct", str(results / "a.tiff"), "--undo", "2"]) == 0
    assert "Undone: 2 delete" in capsys.readouterr().err
    assert (open_volume(results / "a.tiff").read() == 5).sum() == (balls == 5).sum()
    assert run(["correct", str(results), "--replay"]) == 0
    assert "made again from the original and 1 action" in capsys.readouterr().err
    assert run(["correct", str(results / "a.tiff"), "--undo", "1"]) == 0
    assert (results / "a.tiff").read_bytes() == before


def test_the_table_of_the_objects_has_those_that_are_left(results, tmp_path, balls, capsys):
    table = results / "a_objects.csv"
    rows = {label: f"{label},0.{label}000,{(balls == label).sum()},3,0.9,,,,\r\n" for label in (3, 4, 5)}
    size = int(np.isin(balls, (1, 2)).sum())
    header = "label,confidence,voxels,planes,by_all,alone,depth,cut_from,class\r\n"
    before = header + f"1,0.1000,{size},3,0.9,,,,\r\n" + "".join(rows.values())
    table.write_text(before, newline="")
    steps = ("a,split,1 12 12 12 28 12 40,", "a,delete,5,", "a,confirm,3,", "a,merge,3 4,item")
    assert run(["correct", str(results), "--actions", actions(tmp_path, *steps[:3])]) == 0
    halves = {label: int((open_volume(results / "a.tiff").read() == label).sum()) for label in (1, 6)}
    changed = {label: f"{label},,{voxels},,,,,,\r\n" for label, voxels in halves.items()}
    left = header + changed[1] + rows[3] + rows[4] + changed[6]
    assert table.read_bytes().decode() == left
    assert run(["correct", str(results), "--actions", actions(tmp_path, steps[3])]) == 0
    assert f"\r\n3,,{np.isin(balls, (3, 4)).sum()},,,,,,\r\n6," in table.read_bytes().decode()
    assert run(["correct", str(results / "a.tiff"), "--undo", "1"]) == 0
    assert table.read_bytes().decode() == left
    assert run(["correct", str(results / "a.tiff"), "--undo", "3"]) == 0
    assert table.read_bytes().decode() == before


def test_an_edited_table_of_the_objects_is_kept(results, tmp_path, capsys):
    table = results / "a_objects.csv"
    table.write_text("label,confidence\n1,0.9\n3,0.2\n5,0.3\n")
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,5,")]) == 0
    assert table.read_text() == "label,confidence\n1,0.9\n3,0.2\n"
    table.write_text("label,confidence,mine\n1,0.9,good\n3,0.2,bad\n")
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,3,")]) == 0
    assert table.read_text() == "label,confidence,mine\n1,0.9,good\n3,0.2,bad\n"
    assert f"{table}: was edited after objects were corrected: it is left as it is" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "id,confidence\n3,0.2\n", "label,confidence\nthree,0.2\n"])
def test_a_table_that_does_not_name_its_objects_by_label_is_kept(results, tmp_path, capsys, content):
    table = results / "a_objects.csv"
    table.write_text(content)
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,5,")]) == 0
    assert table.read_text() == content
    assert f"{table}: does not name its objects by label: it is left as it is" in capsys.readouterr().err


def test_a_line_break_within_a_cell_of_the_table_is_kept(results, tmp_path):
    table = results / "a_objects.csv"
    table.write_text('label,note\n1,"two\nlines"\n3,\n4,\n')
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,3,")]) == 0
    assert table.read_text() == 'label,note\n1,"two\nlines"\n4,\n'


def test_a_row_that_does_not_fit_stops_its_case_alone(results, tmp_path, capsys):
    rows = ("a,delete,3,", "a,delete,99,", "a,delete,4,", "b,delete,3,")
    assert run(["correct", str(results), "--actions", actions(tmp_path, *rows)]) == 1
    printed = capsys.readouterr()
    text = " ".join((printed.out + printed.err).split())
    assert "line 3" in text
    assert "there is no object 99, or no longer; the 1 row of case a after it was not done" in text
    assert set(np.unique(open_volume(results / "a.tiff").read())) == {0, 1, 4, 5}
    assert set(np.unique(open_volume(results / "b.tiff").read())) == {0, 1, 2, 4, 5}


def test_a_case_whose_first_row_does_not_fit_counts_as_never_corrected(results, tmp_path, balls, capsys):
    wrong = actions(tmp_path, "a,delete,99,", "b,delete,3,")
    assert run(["correct", str(results), "--actions", wrong]) == 1
    assert list(corrected_volumes(results)) == ["b"]
    write_volume(results / "a.tiff", Volume(balls[::-1].astype(np.uint8), (5.0, 5.0, 5.0), "nm"))  # predicted anew
    assert list(corrected_volumes(results)) == ["b"]
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,4,")]) == 0
    np.testing.assert_array_equal(open_volume(results / "a.tiff").read(), np.where(balls == 4, 0, balls)[::-1])
    assert list(corrected_volumes(results)) == ["a", "b"]
    assert run(["correct", str(results / "a.tiff"), "--undo", "1"]) == 0
    assert list(corrected_volumes(results)) == ["b"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--undo", "1"], "there are 2 cases; name the label volume of one"),
        (["--replay"], "was ever corrected"),
        (["--undo", "1", "--replay"], "--undo and --replay: one at a time"),
        (
            ["--worklist", "confidence", "--replay"],
            "has confidences, as when the model was not calibrated; give --worklist agreement",
        ),
        (["--actions", "nothing.csv"], "nothing.csv: no such file; it must be case,action,arguments"),
        ([], "the window needs"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(results, arguments, text, capsys, monkeypatch):
    for screen in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(screen, raising=False)
    assert run(["correct", str(results), *arguments]) == 2
    assert text in capsys.readouterr().err
    assert sorted(path.name for path in results.iterdir()) == ["a.tiff", "b.tiff"]


def test_a_box_with_its_axes_swapped_is_refused(results, tmp_path, capsys):
    rows = actions(tmp_path, "a,confirm,box 0 56 0 48 0 40,", "b,delete,1,")
    assert run(["correct", str(results), "--actions", rows]) == 1
    printed = capsys.readouterr()
    text = " ".join((printed.out + printed.err).split())
    assert "confirm: the box 0 56 0 48 0 40 lies beyond the volume, whose shape (z, y, x) is 40 x 48 x 56" in text
    assert list(corrected_volumes(results)) == ["b"]
    (tmp_path / "list.csv").write_text("case,z,y,x\na,50,10,10\n")
    assert run(["correct", str(results), "--worklist", str(tmp_path / "list.csv"), "--replay"]) == 2
    assert "lies at z, y, x 50 10 10, beyond case a, whose shape (z, y, x) is 40 x 48 x 56" in capsys.readouterr().err


def test_an_object_of_several_organelles_gets_another_class(results, tmp_path, balls, capsys):
    write_volume(results / "classes" / "b.tiff", Volume((balls > 0).astype(np.uint8)))
    assert run(["correct", str(results / "classes"), "--actions", actions(tmp_path, "b,paint,2 object 3,")]) == 0
    np.testing.assert_array_equal(open_volume(results / "classes" / "b.tiff").read(), (balls > 0) + 1 * (balls == 3))
    assert run(["correct", str(results), "--actions", actions(tmp_path, "b,paint,2 object 3,")]) == 1
    assert "is not a volume of classes beside objects" in " ".join(capsys.readouterr().out.split())


def test_a_csv_without_an_action_is_refused(results, tmp_path, capsys):
    path = tmp_path / "actions.csv"
    path.write_text("case,action,arguments\n")
    assert run(["correct", str(results), "--actions", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}: holds no action below its header; nothing was done" in said
    assert "correction" not in said


def test_an_empty_work_list_is_refused_in_words(results, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("case,z,y,x\n")
    assert run(["correct", str(results), "--worklist", str(tmp_path / "list.csv"), "--replay"]) == 2
    assert "list.csv: is empty: there is nothing to go through; leave it out" in capsys.readouterr().err


def test_a_case_that_is_not_there_stops_all(results, tmp_path, capsys):
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,1,", "c,delete,1,")]) == 2
    assert "case 'c' is not among a, b; nothing was done" in capsys.readouterr().err


def test_the_mistakes_of_a_comparison_are_a_work_list(results, tmp_path, capsys):
    assert run(["compare", str(tmp_path), "--output", str(tmp_path / "report")]) == 0
    capsys.readouterr()
    listed = ["--worklist", str(tmp_path / "report")]
    rows = ("a,split,1 12 12 12 28 12 40,a: merge 1", "a,done,,a: merge 1")
    assert run(["correct", str(results), *listed, "--actions", actions(tmp_path, "a,done,,a: merge 9")]) == 2
    assert run(["correct", str(results), *listed, "--actions", actions(tmp_path, *rows)]) == 0
    text = capsys.readouterr().err
    assert "1 mistake of model, the largest first" in text
    assert "1 item: 1 done, 0 left out, 0 to do" in text
    assert run(["compare", str(tmp_path), "--output", str(tmp_path / "report")]) == 0
    assert "was corrected with planewise correct, 1 action (" in capsys.readouterr().err
    [scores] = [r["scores"] for r in json.loads((tmp_path / "report" / "results.json").read_text())["results"]
                if r["case"] == "a"]  # fmt: skip
    assert scores["f1_50"] == 1


def test_the_least_confident_come_first(results, tmp_path, capsys):
    (results / "a_objects.csv").write_text("label,confidence\n1,0.9\n3,0.2\n4,0.5\n5,0.95\n")
    path = actions(tmp_path, "a,skip,,a: object 3")
    assert run(["correct", str(results / "a.tiff"), "--worklist", "confidence", "--actions", path]) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "4 items: 0 done, 1 left out, 3 to do; next: a: object 4 (object 4, confidence 0.5" in text


def test_what_the_planes_disagree_on_comes_first(results, tmp_path, balls, capsys):
    for plane in ("xy", "xz"):
        write_volume(results / f"b_{plane}.tiff", Volume(np.where(balls == 4, 0, balls).astype(np.uint8)))
    path = actions(tmp_path, "b,done,,b: object 4")
    assert run(["correct", str(results / "b.tiff"), "--worklist", "agreement", "--actions", path]) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "5 items: 1 done, 0 left out, 4 to do; next: b: object 1 (object 1: agreement with xy 1.00, xz 1.00" in text
    assert run(["correct", str(results / "a.tiff"), "--worklist", "agreement", "--replay"]) == 2
    assert "there are no {case}_xy, _xz, _yz beside" in capsys.readouterr().err


def test_measures_say_that_labels_were_corrected(results, tmp_path, capsys):
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,delete,3,")]) == 0
    assert run(["mito", "measure", str(results / "a.tiff")]) == 0
    assert "was corrected with planewise correct, 1 action (" in capsys.readouterr().err


def test_scores_say_that_the_truth_is_a_reviewed_result(results, tmp_path, capsys):
    assert run(["correct", str(results), "--actions", actions(tmp_path, "a,confirm,1,")]) == 0
    other = shutil.copytree(results, tmp_path / "other", ignore=shutil.ignore_patterns("*.corrections"))
    assert run(["mito", "evaluate", str(other), str(results)]) == 0
    assert "was confirmed with planewise correct, 1 action (" in capsys.readouterr().err


def test_the_items_of_an_audit_are_corrected_and_reported(results, tmp_path, balls, capsys):
    audit = tmp_path / "audit"
    planned = ["audit", "plan", str(results / "a.tiff"), "--output", str(audit), "--budget", "6"]
    sides = ["--quantity", "count", "--box", "20", "24", "28", "--context", "40", "48", "56"]
    assert run([*planned, *sides]) == 0
    items = [row["item"] for row in csv.DictReader((audit / "answers.csv").read_text().splitlines())]
    rows = [f"{items[0]},split,1 12 12 12 28 12 40,{items[0]}", f"{items[0]},done,,{items[0]}"]
    rows += [f"{item},done,,{item}" for item in items[1:-1]] + [f"{items[-1]},skip,,{items[-1]}"]
    assert run(["correct", str(audit), "--actions", actions(tmp_path, *rows)]) == 0
    done = {row["item"]: row["done"] for row in csv.DictReader((audit / "answers.csv").read_text().splitlines())}
    assert list(done.values()) == ["yes"] * (len(items) - 1) + ["no"]
    np.testing.assert_array_equal(
        open_volume(audit / "labels" / f"{items[0]}.tiff").read(), np.where(balls == 2, 6, balls)
    )
    assert run(["audit", "report", str(audit)]) == 0
    assert run(["correct", str(audit / "labels" / f"{items[0]}.tiff"), "--undo", "2"]) == 0
    assert correction_note(audit / "labels" / f"{items[0]}.tiff") == ""
    capsys.readouterr()


def done_in(audit):
    return {row["item"]: row["done"] for row in csv.DictReader((audit / "answers.csv").read_text().splitlines())}


def test_what_was_written_into_the_answers_by_hand_stays_and_what_is_undone_does_not(results, tmp_path):
    audit = tmp_path / "audit"
    assert run(["audit", "plan", str(results / "a.tiff"), "--output", str(audit), "--budget", "3"]) == 0
    fill_in(audit, {"002": {"done": "yes"}})
    wrong = actions(tmp_path, "001,fly,3,")
    assert run(["correct", str(audit), "--actions", wrong]) == 2
    assert done_in(audit) == {"001": "", "002": "yes", "003": ""}
    assert run(["correct", str(audit), "--actions", actions(tmp_path, "001,done,,001", "003,skip,,003")]) == 0
    assert done_in(audit) == {"001": "yes", "002": "yes", "003": "no"}
    assert run(["correct", str(audit / "labels" / "001.tiff"), "--undo", "1"]) == 0
    assert done_in(audit) == {"001": "", "002": "yes", "003": "no"}
