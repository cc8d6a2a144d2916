"""The CSV of actions and the work lists: each form is read, and what is none is refused by its line."""

import pytest

from planewise.correction.action_table import read_steps
from planewise.correction.actions import Ball, Confirm, Delete, Merge, Paint, Split, Voxels
from planewise.correction.corrected import write_next
from planewise.correction.whole_object import WholeObject
from planewise.correction.worklist import Item, read_worklist, write_worklist
from planewise.errors import PlanewiseError

FORMS = [
    ("merge", "3 7 9", Merge(labels=(3, 7, 9))),
    ("split", "5 10 20 30  12 40 60", Split(label=5, first=(10, 20, 30), second=(12, 40, 60))),
    ("delete", "4", Delete(labels=(4,))),
    ("paint", "6 ball 10 20 30 2.5", Paint(where=Ball(centre=(10, 20, 30), radius=2.5), label=6)),
    ("paint", "0 box 0 4 10 20 10 20", Paint(where=Voxels(place=((0, 4), (10, 20), (10, 20))), label=0)),
    ("paint", "2 object 7", WholeObject(value=2, object=7)),
    ("new", "ball 1 2 3 4", Paint(where=Ball(centre=(1, 2, 3), radius=4), label=None)),
    ("confirm", "3 5", Confirm(labels=(3, 5))),
    ("confirm", "box 0 4 10 20 10 20", Confirm(box=((0, 4), (10, 20), (10, 20)))),
    ("undo", "", 1),
    ("undo", "3", 3),
    ("done", "", "done"),
    ("skip", "", "skip"),
]


@pytest.mark.parametrize(("action", "arguments", "step"), FORMS)
def test_every_form_is_read(tmp_path, action, arguments, step):
    path = tmp_path / "actions.csv"
    path.write_text(f"case,action,arguments,item\na,{action},{arguments},a: merge 7\n")
    [read] = read_steps(path)
    assert (read.case, read.step, read.item, read.line) == ("a", step, "a: merge 7", 2)


@pytest.mark.parametrize(
    ("row", "printed"),
    [
        ("a,melt,1,", "action is 'melt'; it must be one of merge, split"),
        ("a,merge,3,", "'3' does not fit; merge: two ids or more"),
        ("a,merge,3 x,", "does not fit; merge"),
        ("a,merge,3 0,", "should be greater than or equal to 1"),
        ("a,split,5 1 2 3,", "does not fit; split: an id, and two points"),
        ("a,paint,6 cone 1 2 3 4,", "does not fit; paint"),
        ("a,paint,6,", "does not fit; paint"),
        ("a,paint,2 object,", "does not fit; paint"),
        ("a,paint,2 object 3 4,", "of a volume in classes/ also object ID"),
        ("a,paint,2 object 0,", "does not fit; paint"),
        ("a,paint,6 ball 1 2 3 -4,", "greater than or equal to 0"),
        ("a,new,box 0 0 1 2 1 2,", "does not fit; new"),
        ("a,done,,", "done: no arguments, and an item"),
        ("a,undo,0,", "undo: how many"),
    ],
)
def test_what_is_no_action_is_refused_by_its_line(tmp_path, row, printed):
    path = tmp_path / "actions.csv"
    path.write_text(f"case,action,arguments,item\na,delete,1,\n{row}\n")
    with pytest.raises(PlanewiseError, match="nothing was done; line 3: ") as error:
        read_steps(path)
    assert printed in str(error.value)


def test_a_table_without_its_columns_is_refused(tmp_path):
    path = tmp_path / "actions.csv"
    path.write_text("case,what\na,b\n")
    with pytest.raises(PlanewiseError, match="its first line is case,what; it must be case,action,arguments"):
        read_steps(path)
    with pytest.raises(PlanewiseError, match="a work list has at least case, z, y, x"):
        read_worklist(path)


def test_a_work_list_comes_back_as_it_was_written(tmp_path):
    items = [Item("a: merge 7", "a", "merge, 812 voxels", (7, 9), (12, 40, 33)), Item("b", "b", "", (), (0, 0, 0))]
    write_worklist(tmp_path / "list.csv", items)
    assert read_worklist(tmp_path / "list.csv") == items


def test_a_work_list_of_any_program_needs_case_and_place(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("case;z;y;x\na;1;2.2;3\na;4;5;6\n")
    assert read_worklist(path) == [Item("1", "a", "", (), (1, 2, 3)), Item("2", "a", "", (), (4, 5, 6))]
    path.write_text("case,z,y,x\na,1,2,here\n")
    with pytest.raises(PlanewiseError, match=r"line 2: .*; z, y, x and labels are numbers"):
        read_worklist(path)
    path.write_text("item,case,z,y,x\nq,a,1,2,3\nq,a,1,2,3\n")
    with pytest.raises(PlanewiseError, match="item 'q' of case a is listed twice"):
        read_worklist(path)


@pytest.mark.parametrize(
    ("count", "message"), [(0, "is empty: apart from"), (1, "has 1 item, by"), (2, "has 2 items, by")]
)
def test_the_next_work_list_says_in_plain_words_how_long_it_is(tmp_path, capsys, count, message):
    items = [Item(str(number), "a", "", (), (0, 0, number)) for number in range(count)]
    write_next(tmp_path / "list.csv", items, tmp_path / "result", tmp_path / "m.pth")
    assert f"The next work list {message}" in " ".join(capsys.readouterr().err.split())
    assert read_worklist(tmp_path / "list.csv") == items
