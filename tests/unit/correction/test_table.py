"""The table of objects beside corrected labels: which rows are left, with which columns, and when it is not touched."""

import hashlib

import pytest

from planewise.correction.journal import Entry, ObjectRecord
from planewise.correction.table import TABLE, WRITTEN, write_objects_left
from planewise.errors import PlanewiseError

BOX = ((0, 1), (0, 1), (0, 1))
TEXT = "label,voxels,confidence,planes\n1,10,0.9,xy xz\n2,20,0.5,xy\n3,30,,xz\n"


def objects(**voxels):
    """Objects by label: ``objects(_1=10)``."""
    return {int(label[1:]): ObjectRecord(count, BOX) for label, count in voxels.items()}


def changed(*labels):
    """An action that changed voxels of these objects."""
    return Entry(1, "paint", {}, objects=dict.fromkeys(labels), kept="hash")


@pytest.fixture
def result(tmp_path):
    """A result's path, with its table; the table counts, the labels need not exist."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "a_objects.csv").write_text(TEXT)
    return tmp_path / "a.tiff"


def left(result, actions, **voxels):
    write_objects_left(result, result.parent / "kept", objects(**voxels), actions)
    return (result.parent / "a_objects.csv").read_text()


def test_what_was_changed_has_its_size_alone_and_what_is_gone_has_no_row(result):
    assert left(result, [changed(1, 2)], _1=14, _3=30) == "label,voxels,confidence,planes\n1,14,,\n3,30,,xz\n"


def test_new_objects_come_last_in_the_order_of_their_ids(result):
    rows = left(result, [changed(9, 5)], _9=4, _5=6, _1=10, _2=20, _3=30).splitlines()
    assert rows == [*TEXT.splitlines(), "5,6,,", "9,4,,"]


def test_it_is_made_from_the_table_before_any_correction_and_comes_back_with_undo(result):
    left(result, [changed(1)], _1=14, _2=20, _3=30)
    kept = result.parent / "kept"
    assert (kept / TABLE).read_text() == TEXT
    assert left(result, [changed(2)], _1=10, _2=25, _3=30).splitlines()[1:3] == ["1,10,0.9,xy xz", "2,25,,"]
    written = (result.parent / "a_objects.csv").read_bytes()
    assert (kept / WRITTEN).read_text().split()[1:] == [hashlib.sha256(written).hexdigest()]
    assert left(result, [], _1=10, _2=20, _3=30) == TEXT
    assert not (kept / TABLE).exists()


@pytest.mark.parametrize("action", [Entry(1, "confirm", {}, objects={1: None}), Entry(1, "done", {})])
def test_what_changes_no_voxel_changes_no_row(result, action):
    assert left(result, [action], _1=10) == TEXT
    assert not (result.parent / "kept" / TABLE).exists()


def test_an_edited_table_stays_as_it_is_and_that_is_said(result, capsys):
    left(result, [changed(1)], _1=14, _2=20, _3=30)
    table = result.parent / "a_objects.csv"
    table.write_text("label,note\n1,mine\n")
    assert left(result, [changed(1, 2)], _1=14, _3=30) == "label,note\n1,mine\n"
    assert f"{table}: was edited after objects were corrected: it is left as it is" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["id,voxels\n1,10\n", "", "label,voxels\none,10\n", "voxels,label\n10\n"])
def test_a_table_without_labels_stays_as_it_is_and_that_is_said(result, capsys, text):
    (result.parent / "a_objects.csv").write_text(text)
    assert left(result, [changed(1)], _1=14) == text
    assert "a_objects.csv: does not name its objects by label: it is left as it is" in capsys.readouterr().err


def test_a_table_of_a_spreadsheet_keeps_its_separator_and_columns(result):
    text = "Label; Voxels;confidence;\ufeff\n2;20;0,5;\n\n1;10;0,9;x\n"
    (result.parent / "a_objects.csv").write_text(text, "utf-8-sig")
    assert left(result, [changed(1)], _1=14, _2=20).splitlines()[1:] == ["2;20;0,5;", "1;14;;"]


def test_without_a_table_nothing_is_written(result):
    (result.parent / "a_objects.csv").unlink()
    write_objects_left(result, result.parent / "kept", objects(_1=14), [changed(1)])
    assert [path.name for path in result.parent.iterdir()] == ["kept"]


def test_a_table_that_cannot_be_read_is_named(result):
    (result.parent / "a_objects.csv").write_bytes(b"label,voxels\n1,\xff\n")
    with pytest.raises(PlanewiseError, match=r"a_objects.csv: cannot be read .*; it must be a CSV of objects"):
        left(result, [changed(1)], _1=14)
