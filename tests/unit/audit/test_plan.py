"""A plan that was changed, or whose items are not those that its seed draws, is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from audited import make_plan
from planewise.audit.items import within
from planewise.audit.measuring import measure_box
from planewise.audit.plan import read_plan, write_plan
from planewise.errors import PlanewiseError


@pytest.fixture
def folder(tmp_path, balls):
    write_plan(make_plan(tmp_path, balls), tmp_path)
    return tmp_path


def edit(folder, change):
    content = json.loads((folder / "plan.json").read_text())
    change(content)
    (folder / "plan.json").write_text(json.dumps(content))


def test_a_plan_is_read_as_it_was_written(folder, balls):
    plan = read_plan(folder)
    again = make_plan(folder, balls)
    assert [replace(item, files={}) for item in plan.items] == [replace(item, files={}) for item in again.items]
    assert replace(plan, items=[]) == replace(again, items=[])
    assert len(plan.items) == 14
    first = plan.items[0]
    assert first.masks["all"] == (balls[first.position] > 0).sum()


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan.update(seed=6),
        lambda plan: plan.update(made="2025-01-01"),
        lambda plan: plan["items"][3].update(position=0),
        lambda plan: plan["items"][3]["masks"].update(all=1.0),
        lambda plan: plan["items"].pop(),
        lambda plan: plan["items"].reverse(),
        lambda plan: plan["populations"][0]["totals"].update(all=1.0),
        lambda plan: plan["items"][0]["files"].update({"drawn/001.tiff": "0"}),
    ],
)
def test_what_was_changed_later_is_refused(folder, change):
    edit(folder, change)
    with pytest.raises(PlanewiseError, match="was changed after it was drawn"):
        read_plan(folder)


def test_an_exchanged_item_is_refused_though_the_chain_was_made_anew(folder):
    plan = read_plan(folder)
    stratum = plan.populations[0].strata[0]
    other = next(place for place in range(stratum.stop) if place not in stratum.drawn)
    strata = [replace(stratum, drawn=tuple(sorted([other, *stratum.drawn[1:]]))), *plan.populations[0].strata[1:]]
    items = [
        replace(item, position=other) if item.kind == "slice" and item.position == stratum.drawn[0] else item
        for item in plan.items
    ]
    populations = [replace(plan.populations[0], strata=strata), *plan.populations[1:]]
    write_plan(replace(plan, items=items, populations=populations), folder)
    with pytest.raises(PlanewiseError, match="its items are not those that its seed, 5, draws"):
        read_plan(folder)
    assert replace(plan, items=items).signature != plan.signature


def test_what_is_no_plan_is_said(tmp_path):
    with pytest.raises(PlanewiseError, match=r"holds no plan\.json"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text('{"signature": "a", "populations": 3}')
    with pytest.raises(PlanewiseError, match="is not a plan of planewise audit"):
        read_plan(tmp_path)


def test_boxes_say_of_the_drawn_labels_what_the_masks_say(tmp_path, balls):
    """An object that the crop cuts is known to begin elsewhere: context of 0 shows next to nothing."""
    plan = make_plan(tmp_path, balls, {"box": 12}, context=(0, 1, 1))
    for item in plan.items:
        crop = tuple(slice(*ends) for ends in item.crop)
        assert measure_box(balls[crop], within(item, balls.shape), list(item.elsewhere)) == item.masks
    assert any(item.elsewhere for item in plan.items)
    assert np.sum([item.masks["objects"] for item in plan.items]) <= 5
