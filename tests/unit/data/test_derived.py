"""Scores beside a manifest: done, made again where something changed, and never in place of somebody's own file."""

import errno
import json
from pathlib import Path

import pytest

from planewise.data.changes import Input
from planewise.data.derived import SCORES, Derived
from planewise.data.manifest import read_manifest
from planewise.errors import PlanewiseError


@pytest.fixture
def place(tmp_path):
    (tmp_path / "labels").write_bytes(b"labels")
    return tmp_path


def begin(place, command="evaluate", names=("a.csv", "b.png"), **options):
    return Derived.begin(place / "out", command, options, {place / "labels": Input("the labels", "c")}, names)


def make(derived, names=("a.csv",), text="1", **about):
    with derived.making() as made:
        for name in names:
            (derived.folder / name).write_text(text)
        made |= {"problems": 0, **about}


def test_done_is_what_was_made_from_the_same_and_is_all_there(place, capsys):
    assert not begin(place).is_done()
    make(begin(place), notes=["a mask"])  # b.png need not be written
    assert begin(place).is_done()
    assert capsys.readouterr().err == "WARNING: a mask\n"
    assert read_manifest(place / "out" / SCORES).cases["evaluate"].outputs.keys() == {"a.csv"}
    (place / "out" / "a.csv").unlink()
    assert not begin(place).is_done()


def test_a_path_is_the_same_however_it_is_given(place, monkeypatch):
    make(begin(place, pairs=[place / "labels"]))
    monkeypatch.chdir(place)
    assert begin(place, pairs=[Path("labels")]).is_done()
    assert not begin(place, pairs=[Path("other")]).is_done()


@pytest.mark.parametrize("what", ["input", "option"])
def test_what_differs_is_said_and_made_again(place, capsys, what):
    make(begin(place, **{"--vote": 2}))
    if what == "input":
        (place / "labels").write_bytes(b"others")
    assert not begin(place, **{"--vote": 2 if what == "input" else 3}).is_done()
    words = "the labels of c" if what == "input" else "--vote: 2 -> 3"
    assert f"out: what it holds is made again, since something has changed: {words}\n" in capsys.readouterr().err


def test_what_has_problems_is_never_done(place):
    make(begin(place), problems=1)
    assert not begin(place).is_done()


def test_one_that_is_stopped_is_made_again(place):
    def killed():
        with begin(place).making():
            (place / "out" / "a.csv").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert not begin(place).is_done()
    make(begin(place))
    assert begin(place).is_done()


def test_files_of_others_and_edited_ones_are_kept(place):
    (place / "out").mkdir()
    (place / "out" / "b.png").write_text("mine")
    with pytest.raises(PlanewiseError, match=r"b.png: already exists, and no planewise_scores.json beside it"):
        begin(place)
    make(begin(place, names=["a.csv"]))
    (place / "out" / "a.csv").write_text("edited")
    with pytest.raises(PlanewiseError, match=r"a.csv: was changed after it was made, and is kept"):
        begin(place, names=["a.csv"])


def test_what_is_not_made_any_more_goes_unless_it_was_edited(place):
    make(begin(place, names=("a.csv", "b.png", "c.png")), ("a.csv", "b.png", "c.png"))
    (place / "out" / "c.png").write_text("edited")
    make(begin(place, names=["a.csv"]))
    assert sorted(path.name for path in (place / "out").iterdir()) == ["a.csv", "c.png", SCORES]


def test_a_file_of_two_commands_is_the_last_one_s(place, capsys):
    make(begin(place), ("a.csv", "b.png"))
    make(begin(place, "compare", ["a.csv"]), text="2")
    assert begin(place, "compare", ["a.csv"]).is_done()
    assert not begin(place).is_done()  # its table is another's
    assert "changed since" not in capsys.readouterr().err
    (place / "labels").write_bytes(b"others")
    make(begin(place, "compare", ["a.csv"]), text="3")
    assert "out: b.png of planewise evaluate come from files that have changed since" in capsys.readouterr().err


def test_an_input_is_no_output(place):
    with pytest.raises(PlanewiseError, match="results never replace their input"):
        Derived.begin(place, "evaluate", {}, {place / "labels": Input("the labels", "c")}, ["labels"])


@pytest.mark.parametrize(
    "decided",
    [
        {"options": [1]},
        {"files": [1]},
        {"files": {"labels": "the labels"}},
        {"files": {"labels": [["the labels"], "c"]}},
        {"files": {"labels": ["the labels", 1]}},
        {"notes": 5},
        {"notes": None},
    ],
)
def test_an_edited_manifest_is_told(place, decided):
    make(begin(place))
    manifest = place / "out" / SCORES
    content = json.loads(manifest.read_text())
    content["cases"]["evaluate"]["decided"] |= decided
    manifest.write_text(json.dumps(content))
    with pytest.raises(PlanewiseError, match=rf"{SCORES}: is not a manifest of planewise"):
        begin(place)


@pytest.mark.parametrize("first_is_last", [True, False])
@pytest.mark.parametrize("other", [{"command": "compare"}, {"vote": 3}])
def test_two_processes_at_once_never_take_the_files_of_each_other(place, other, first_is_last):
    """Whoever ends first, or last: neither is done by what the other may have written."""
    one, two = begin(place, vote=2), begin(place, **({"vote": 2} | other))
    first, second = one.making(), two.making()
    for making in (first, second):
        making.__enter__()["problems"] = 0
    (place / "out" / "a.csv").write_text("of either")
    kept = []
    for making in [first, second] if first_is_last else [second, first]:
        try:
            making.__exit__(None, None, None)
            kept.append(making)
        except PlanewiseError as error:
            printed = str(error)
    assert "another command wrote into it at the same time" in printed
    assert len(kept) < 2
    assert not begin(place, vote=2).is_done()
    assert not begin(place, **({"vote": 2} | other)).is_done()
    make(begin(place, vote=2))  # and is made again without being asked
    assert begin(place, vote=2).is_done()


def test_two_processes_that_make_the_same_do_not_disturb_each_other(place):
    for making in [begin(place).making(), begin(place).making()]:
        making.__enter__()["problems"] = 0
        (place / "out" / "a.csv").write_text("the same")
        making.__exit__(None, None, None)
    assert begin(place).is_done()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(place, monkeypatch):
    def refuse(dir):
        raise OSError(errno.EROFS, f"Read-only file system: {dir}")

    make(begin(place))
    monkeypatch.setattr("planewise.data.derived.TemporaryFile", refuse)
    assert begin(place).is_done()  # nothing is to be written
    with pytest.raises(
        PlanewiseError, match=r"out: cannot be written \(Read-only file system: .*give another --output"
    ):
        begin(place, tolerance=3)
