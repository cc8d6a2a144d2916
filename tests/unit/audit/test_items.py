"""Items through files: what a user changes comes back, what was skipped is known, what does not fit is refused."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from audited import correct, fill_in, make_plan
from planewise.audit.findings import findings
from planewise.audit.items import read_items, variables_of, write_answers
from planewise.audit.plan import write_plan
from planewise.errors import PlanewiseError
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume


@pytest.fixture
def truth(balls):
    return balls


@pytest.fixture
def masks(balls):
    """The balls, one of which is missed, and one cut in two."""
    labels = balls.copy()
    labels[labels == 2] = 0
    labels[:, :12][labels[:, :12] == 1] = 9
    return labels


def planned(folder, masks, kinds, **wanted):
    plan = make_plan(folder, masks, kinds, **wanted)
    write_plan(plan, folder)
    write_answers(folder, plan.items, variables_of(plan.items))
    return plan


def read(plan, folder):
    return read_items(plan, folder, folder / "answers.csv", lambda *_: None)


def test_every_row_of_the_table_to_fill_in_has_a_field_for_every_column(tmp_path, masks):
    planned(tmp_path, masks, {"object": 5, "missed": 2000}, box=(14, 16, 19), context=(40, 48, 56))
    header, *rows = csv.reader((tmp_path / "answers.csv").read_text().splitlines())
    assert rows
    assert {len(row) for row in rows} == {len(header)}


@pytest.mark.parametrize("kinds", [{"slice": 40}, {"box": 2000}, {"object": 5, "missed": 2000}])
def test_all_items_corrected_give_the_truth_itself(tmp_path, masks, truth, kinds):
    """Every unit was drawn: the number is that of the truth, without doubt, by slices, by boxes and by objects."""
    plan = planned(tmp_path, masks, kinds, box=(14, 16, 19), context=(40, 48, 56))
    correct(tmp_path, {"cell": truth})
    answers, problems = read(plan, tmp_path)
    assert not problems
    number = {"slice": (truth > 0).sum()}.get(plan.items[0].kind, 5)
    plan = plan if "slice" not in kinds else only_of_slices(plan)
    by_quantity = {finding.quantity: finding for finding in findings(plan, answers)}
    if "slice" in kinds:
        assert by_quantity["volume_fraction"].estimate.value == pytest.approx(100 * number / truth.size)
        assert by_quantity["volume_fraction"].masks.value == pytest.approx(100 * (masks > 0).sum() / truth.size)
        return
    assert by_quantity["count"].masks.value == 5
    for quantity, true in (("count", 5), ("mean_volume", (truth > 0).sum() / 5)):
        assert by_quantity[quantity].estimate.value == pytest.approx(true)
        assert by_quantity[quantity].estimate.half_width == pytest.approx(0, abs=1e-6 * true)


def only_of_slices(plan):
    return replace(plan, quantities=["volume_fraction"])


def test_what_is_not_said_to_be_done_and_was_not_changed_is_skipped(tmp_path, masks, truth):
    plan = planned(tmp_path, masks, {"slice": 8})
    answers, _ = read(plan, tmp_path)
    assert all(answer.skipped for answer in answers)
    correct(tmp_path, {"cell": truth}, skip=("002",), done=False)
    answers, problems = read(plan, tmp_path)
    assert not problems
    differs = [not np.array_equal(truth[item.position], masks[item.position]) for item in plan.items]
    changed = [any((truth != masks)[z].any() for z in range(item.crop[0][0], item.crop[0][1])) for item in plan.items]
    assert [not answer.skipped for answer in answers] == [c and i != 1 for i, c in enumerate(changed)]
    assert any(differs)
    fill_in(tmp_path, {"002": {"done": "yes"}})
    answers, _ = read(plan, tmp_path)
    assert answers[1].values == {"all": plan.items[1].masks["all"]}


def test_numbers_stand_for_labels(tmp_path, masks):
    plan = planned(tmp_path, masks, {"slice": 8})
    fill_in(tmp_path, {"001": {"all": 77}, "003": {"all": 5, "done": "yes"}, "004": {"done": "no"}})
    answers, problems = read(plan, tmp_path)
    assert not problems
    assert (answers[0].values, answers[0].by) == ({"all": 77}, "CSV")
    assert answers[2].values == {"all": 5}
    assert answers[3].skipped


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"001": {"all": "many"}}, "all is 'many'; it must be a number from 0 to 2688"),
        ({"001": {"all": -1}}, "from 0 to 2688"),
        ({"001": {"all": 2689}}, "from 0 to 2688"),
        ({"001": {"all": "nan"}}, "from 0 to 2688"),
        ({"001": {"all": "1.344"}}, "all is '1.344', and must be a whole number"),
        ({"001": {"done": "perhaps"}}, "done is 'perhaps'"),
        ({"001": {"all": 3, "done": "no"}}, "keep one of the two"),
    ],
)
def test_an_answer_that_cannot_be_is_a_problem_and_the_item_skipped(tmp_path, masks, cells, words):
    plan = planned(tmp_path, masks, {"slice": 8})
    fill_in(tmp_path, cells)
    answers, problems = read(plan, tmp_path)
    assert answers[0].skipped
    assert len(problems) == 1
    assert words in problems[0].what


def test_labels_and_numbers_that_differ_are_a_problem(tmp_path, masks, truth):
    plan = planned(tmp_path, masks, {"slice": 8})
    correct(tmp_path, {"cell": np.ones_like(truth)}, done=False)
    fill_in(tmp_path, {"001": {"all": 3}})
    answers, problems = read(plan, tmp_path)
    assert answers[0].skipped
    assert "answers.csv says 3 all, but the corrected labels 2688" in problems[0].what


@pytest.mark.parametrize("row", ["099,cell", "001,cell\n001,cell"])
def test_rows_of_other_items_are_refused(tmp_path, masks, row):
    plan = planned(tmp_path, masks, {"slice": 8})
    (tmp_path / "answers.csv").write_text(f"item,case\n{row}\n")
    with pytest.raises(PlanewiseError, match="it must have a row for each item that was drawn, and no other"):
        read(plan, tmp_path)


def test_labels_of_another_shape_or_damaged_are_a_problem(tmp_path, masks):
    plan = planned(tmp_path, masks, {"slice": 8})
    write_labels(tmp_path / "labels" / "001.tiff", Volume(np.zeros((2, 3, 4), np.uint8)))
    (tmp_path / "labels" / "002.tiff").write_bytes(b"nothing")
    (tmp_path / "labels" / "003.tiff").unlink()
    fill_in(tmp_path, {"003": {"done": "yes"}, "004": {"done": "yes"}})
    answers, problems = read(plan, tmp_path)
    assert [problem.where for problem in problems] == ["item 001", "item 002", "item 003"]
    assert [answer.skipped for answer in answers[:4]] == [True, True, True, False]


def test_what_was_drawn_may_not_be_changed(tmp_path, masks):
    plan = planned(tmp_path, masks, {"slice": 8})
    path = tmp_path / "drawn" / "002.tiff"
    volume = read_labels(path)
    write_labels(path, volume.with_voxels(volume.voxels * 0))
    with pytest.raises(PlanewiseError, match="is not what was drawn for item 002"):
        read(plan, tmp_path)


def test_a_skipped_item_widens_the_interval_to_all_that_it_may_hold(tmp_path, masks, truth):
    plan = only_of_slices(planned(tmp_path, masks, {"slice": 8}))
    correct(tmp_path, {"cell": truth})
    (known,) = findings(plan, read(plan, tmp_path)[0])
    fill_in(tmp_path, {"002": {"done": "no"}})
    (by_quantity,) = findings(plan, read(plan, tmp_path)[0])
    assert (by_quantity.skipped, known.skipped) == (1, 0)
    assert by_quantity.estimate.low <= known.estimate.low
    assert by_quantity.estimate.high >= known.estimate.high
    whole = 100 / 8  # what one of eight slices may hold, in % of the volume
    assert by_quantity.estimate.high - by_quantity.estimate.low > whole
