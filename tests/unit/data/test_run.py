"""The manifest beside results: what is done, what has changed, what is not ours, and that input is never output."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from planewise.correction.actions import Confirm
from planewise.correction.session import Corrections
from planewise.data.manifest import MANIFEST, edited_outputs, read_manifest
from planewise.data.run import Run, refuse_folder_of_inputs, refuse_inputs_as_outputs
from planewise.errors import PlanewiseError
from planewise.volumes.files import Volume, write_volume


@pytest.fixture
def place(tmp_path):
    """A folder with an input and two models."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tiff").write_bytes(b"image a")
    (tmp_path / "in" / "b.tiff").write_bytes(b"image b")
    (tmp_path / "A.pth").write_bytes(b"weights A")
    (tmp_path / "B.pth").write_bytes(b"weights B")
    return tmp_path


def begin(place, cases=("a",), model="A.pth", overwrite=False, **options):
    return Run.begin(place / "out" / MANIFEST, "predict", options, place / model, cases, overwrite)


def make(run, place, case="a", content=b"labels"):
    source, target = place / "in" / f"{case}.tiff", place / "out" / f"{case}.tiff"
    run.start(case, [source], [target])
    target.write_bytes(content)
    run.finish(case, {"planes": "xy"})


def done(run, place, case="a"):
    return run.is_done(case, [place / "in" / f"{case}.tiff"])


def test_what_was_made_is_done_and_is_said(place):
    run = begin(place, vote=2)
    assert not done(run, place)
    make(run, place)
    assert done(begin(place, vote=2), place)
    content = json.loads((place / "out" / MANIFEST).read_text())
    assert content["options"]["command"] == "predict"
    assert content["options"]["model"].startswith("A.pth (sha256 ")
    assert content["cases"]["a"]["decided"] == {"planes": "xy"}
    assert list(content["cases"]["a"]["inputs"]) == [str(place / "in" / "a.tiff")]


def test_options_that_differ_are_shown_as_people_write_them(place):
    before = {"least": 0.2, "invert": False, "axes": ["xy"], "range": None}
    make(begin(place, **before), place)
    with pytest.raises(
        PlanewiseError, match=r"axes: xy -> xy xz; invert: no -> yes; least: 0.2 -> none; range: none -> 0 255"
    ):
        begin(place, least=None, invert=True, axes=["xy", "xz"], range=[0, 255])


def test_another_model_or_option_is_told_and_never_mixed(place):
    make(begin(place, cases="ab", vote=2), place)
    with pytest.raises(PlanewiseError, match=r"model: A.pth \(sha256 \w{12}\) -> B.pth \(sha256 \w{12}\)"):
        begin(place, model="B.pth", vote=2)
    with pytest.raises(PlanewiseError, match=r"vote: 2 -> 3.*--overwrite"):
        begin(place, vote=3)
    make(begin(place, model="B.pth", overwrite=True, vote=2), place, content=b"others")
    assert done(begin(place, model="B.pth", vote=2), place)


def test_overwriting_one_case_does_not_relabel_the_others(place):
    run = begin(place, cases="ab")
    make(run, place, "a")
    make(run, place, "b")
    with pytest.raises(PlanewiseError, match="--overwrite would leave b as they were"):
        begin(place, cases="a", model="B.pth", overwrite=True)


def test_results_of_other_cases_that_were_made_differently_can_be_replaced_with_them(place):
    for case in "ab":
        make(begin(place, cases="ab", vote=2), place, case)
    way = r"give another output, or replace what is there with --overwrite, with b too among the cases that are given$"
    for overwrite in (False, True):
        with pytest.raises(PlanewiseError, match=way):
            begin(place, cases="a", overwrite=overwrite, vote=3)
    make(begin(place, cases="ab", overwrite=True, vote=3), place, content=b"others")
    assert done(begin(place, cases="a", vote=3), place)


def test_a_replacement_that_is_stopped_leaves_no_result_of_the_other_model_as_this_one_s(place):
    for case in "ab":
        make(begin(place, cases="ab"), place, case)
    run = begin(place, cases="ab", model="B.pth", overwrite=True)
    make(run, place, "a")  # and killed
    again = begin(place, cases="ab", model="B.pth")
    assert done(again, place, "a")
    assert not done(again, place, "b")


def test_two_runs_at_once_into_one_folder_know_each_other_s_results(place):
    one, two = begin(place, cases="a"), begin(place, cases="b")
    make(one, place, "a")
    make(two, place, "b")
    again = begin(place, cases="ab")
    assert done(again, place, "a")
    assert done(again, place, "b")


def test_files_that_no_manifest_names_are_kept(place):
    (place / "out").mkdir()
    (place / "out" / "a.tiff").write_bytes(b"somebody's")
    for overwrite in (False, True):
        with pytest.raises(PlanewiseError, match="already exists"):
            begin(place, overwrite=overwrite).start("a", [place / "in" / "a.tiff"], [place / "out" / "a.tiff"])
    assert (place / "out" / "a.tiff").read_bytes() == b"somebody's"


def test_a_run_that_was_stopped_in_a_case_goes_on(place):
    run = begin(place)
    run.start("a", [place / "in" / "a.tiff"], [place / "out" / "a.tiff"])
    (place / "out" / "a.tiff").write_bytes(b"half")  # and killed
    again = begin(place)
    assert not done(again, place)
    make(again, place)
    assert done(begin(place), place)


def test_changed_inputs_and_edited_outputs_are_told(place):
    make(begin(place), place)
    (place / "in" / "a.tiff").write_bytes(b"another image")
    with pytest.raises(PlanewiseError, match=r"a.tiff has changed since.*--overwrite"):
        done(begin(place), place)
    (place / "in" / "a.tiff").write_bytes(b"image a")
    (place / "out" / "a.tiff").write_bytes(b"corrected by hand")
    with pytest.raises(PlanewiseError, match=r"a.tiff: was changed after it was made, and is kept"):
        done(begin(place), place)
    assert not done(begin(place, overwrite=True), place)
    (place / "out" / "a.tiff").unlink()
    assert not done(begin(place), place)


def test_a_copy_of_the_model_by_another_name_is_the_same_model(place):
    make(begin(place), place)
    (place / "copy.pth").write_bytes(b"weights A")
    again = begin(place, model="copy.pth")
    assert done(again, place)
    make(again, place, "b")
    manifest = read_manifest(place / "out" / MANIFEST)
    assert manifest.made_from.options["model"].startswith("A.pth (sha256 ")
    assert set(manifest.cases) == {"a", "b"}
    with pytest.raises(PlanewiseError, match=r"made differently \(model: A.pth .* -> B.pth"):
        begin(place, model="B.pth")


def test_another_input_is_not_called_a_changed_one(place):
    make(begin(place), place)
    with pytest.raises(PlanewiseError, match=r"out was made from .*/a.tiff; now .*/b.tiff is given; --overwrite"):
        begin(place).is_done("a", [place / "in" / "b.tiff"])


def test_a_store_is_called_by_its_name(place, monkeypatch):
    """Its manifest lies beside it, in a folder that is nothing but where one is."""
    monkeypatch.chdir(place)
    store, manifest = Path("out.ome.zarr"), Path(f"out.{MANIFEST}")

    def begin_store(**options):
        return Run.begin(manifest, "predict", options, None, ["out"], False, store=store)

    with begin_store(vote=2).making("out", [place / "in" / "a.tiff"], [store]):
        store.mkdir()
    with pytest.raises(PlanewiseError, match=r"^out.ome.zarr: holds results that were made differently \(vote: 2 -> 3"):
        begin_store(vote=3)
    with pytest.raises(PlanewiseError, match=r"^out: out.ome.zarr was made from .*a.tiff; now .*b.tiff is given"):
        begin_store(vote=2).is_done("out", [place / "in" / "b.tiff"])


def test_what_a_case_no_longer_has_is_removed_and_nothing_else(place):
    run = begin(place)
    outputs = [place / "out" / name for name in ("a.tiff", "a.html")]
    with run.making("a", [place / "in" / "a.tiff"], outputs):
        for output in outputs:
            output.write_text("made")
    (place / "out" / "notes.txt").write_text("somebody's")
    make(begin(place, overwrite=True), place)
    assert sorted(path.name for path in (place / "out").iterdir()) == ["a.tiff", "notes.txt", MANIFEST]


def test_a_case_that_fails_before_anything_is_there_leaves_nothing(place):
    run = begin(place)
    with pytest.raises(ValueError, match="no"), run.making("a", [place / "in" / "a.tiff"], [place / "out" / "a.tiff"]):
        raise ValueError("no")
    assert not (place / "out").exists()


def test_a_case_that_is_stopped_stays_in_the_manifest_as_long_as_its_work_is_there(place):
    output, work = place / "out" / "a.tiff", place / "out" / "a.unfinished"
    run = begin(place)
    run.start("a", [place / "in" / "a.tiff"], [output], work)
    work.mkdir()
    run.fail("a")
    assert read_manifest(place / "out" / MANIFEST).cases["a"].outputs == {"a.tiff": "", "a.unfinished": ""}
    with begin(place).making("a", [place / "in" / "a.tiff"], [output], work):
        output.write_text("made")
    assert list(read_manifest(place / "out" / MANIFEST).cases["a"].outputs) == ["a.tiff"]
    assert work.exists()
    assert done(begin(place), place)


def test_the_same_input_elsewhere_is_the_same(place):
    make(begin(place), place)
    copy = place / "in" / "copy.tiff"
    copy.write_bytes(b"image a")
    assert begin(place).is_done("a", [copy])


def test_inputs_that_change_places_are_not_the_same(place):
    """Labels beside a reference, or one reader's beside another's: each has its part."""
    inputs = [place / "in" / "a.tiff", place / "in" / "b.tiff"]
    with begin(place).making("a", inputs, [place / "out" / "a.tiff"]):
        (place / "out" / "a.tiff").write_text("made")
    assert begin(place).is_done("a", inputs)
    with pytest.raises(PlanewiseError, match=r"from .*a.tiff, then .*b.tiff; now they are given as .*b.tiff, then"):
        begin(place).is_done("a", inputs[::-1])


@pytest.mark.parametrize("first", [0, 1])
def test_two_processes_that_make_a_case_from_other_files_never_take_those_of_each_other(place, first):
    target, runs = place / "out" / "a.tiff", [begin(place), begin(place)]
    for run, name in zip(runs, "ab", strict=True):
        run.start("a", [place / "in" / f"{name}.tiff"], [target])
    target.write_text("of either")
    with pytest.raises(PlanewiseError, match=r"a: another command made it in .*out from other files at the same time"):
        runs[0].finish("a", {})
    if first:  # the other comes last
        with pytest.raises(PlanewiseError, match="at the same time"):
            runs[1].finish("a", {})
    assert not done(begin(place), place)
    make(begin(place), place)
    assert done(begin(place), place)


def test_what_another_case_made_is_kept(place):
    make(begin(place, cases="a"), place)
    run = begin(place, cases="b")
    with pytest.raises(PlanewiseError, match=r"a.tiff: is a result of case a"):
        run.start("b", [place / "in" / "b.tiff"], [place / "out" / "a.tiff"])


def test_results_do_not_lie_among_the_input(place):
    with pytest.raises(PlanewiseError, match=r"--output .*in: is the folder of the input"):
        refuse_folder_of_inputs([place / "in" / "a.tiff"], place / "out" / ".." / "in", "--output")
    refuse_folder_of_inputs([place / "in" / "a.tiff"], place / "out", "--output")
    beside = place / "in" / "evaluation"
    with pytest.raises(
        PlanewiseError, match=rf"another folder, or leave --output out: the default is {re.escape(str(beside))}$"
    ):
        refuse_folder_of_inputs([place / "in" / "a.tiff"], place / "in", "--output", beside)
    with pytest.raises(PlanewiseError, match=r"give another folder$"):  # the default itself
        refuse_folder_of_inputs([beside / "a.tiff"], beside, "--output", beside)
    with pytest.raises(PlanewiseError, match=r"give another folder$"):  # by another path
        refuse_folder_of_inputs([beside / "a.tiff"], place / "out" / ".." / "in" / "evaluation", "--output", beside)


def test_edited_results_are_known(place):
    make(begin(place), place)
    assert edited_outputs(place / "out") == []
    (place / "out" / "a.tiff").write_bytes(b"corrected by hand")
    assert edited_outputs(place / "out") == [place / "out" / "a.tiff"]


def test_input_is_never_output(place):
    image = place / "in" / "a.tiff"
    with pytest.raises(PlanewiseError, match="results never replace their input"):
        refuse_inputs_as_outputs([image], [place / "out" / ".." / "in" / "a.tiff"])
    store = place / "x.ome.zarr"
    store.mkdir()
    for output in (store, store / "labels", place):
        if output is place:
            refuse_inputs_as_outputs([store], [output])  # a folder of volumes is no result
        else:
            with pytest.raises(PlanewiseError, match="is an input"):
                refuse_inputs_as_outputs([store], [output])
    with pytest.raises(PlanewiseError, match="is an input"):
        refuse_inputs_as_outputs([store / "0"], [store])


def test_a_result_that_was_only_confirmed_is_not_replaced_either_until_that_is_undone(place):
    target = place / "out" / "a.tiff"
    run = begin(place)
    run.start("a", [place / "in" / "a.tiff"], [target])
    write_volume(target, Volume(np.ones((2, 8, 8), np.uint8)))
    run.finish("a", {})
    with Corrections(target) as corrections:
        corrections.apply(Confirm(labels=(1,)))
    again = begin(place, model="B.pth", overwrite=True)
    with pytest.raises(PlanewiseError, match=r"a.tiff: was confirmed with planewise correct, 1 action .*, and is kept"):
        again.start("a", [place / "in" / "a.tiff"], [target])
    with Corrections(target) as corrections:
        corrections.undo()
    again.start("a", [place / "in" / "a.tiff"], [target])
