"""What makes a training that is resumed another one."""

import pytest

from planewise.apps.mito.train_options import MitoTrain
from planewise.errors import PlanewiseError
from planewise.models.model_file import LittleData
from planewise.options import called
from planewise.training.checkpoint import SAME, TYPED, check_same_training


def options(base):
    return dict.fromkeys(SAME, 1) | {"identity": {"base": base}, "iterations": 2, "counted_in": ("iterations", 1)}


def resume(before, now, tmp_path):
    check_same_training({"ends": [2], "step": 1, "options": options(before)}, options(now), tmp_path / "last.pth")


def test_a_base_is_the_same_however_its_path_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("base", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "base")
    for spelling in ("base", "base/", "./base", "other/../base", "link", str(tmp_path / "base")):
        resume("base", spelling, tmp_path)
        resume(str(tmp_path / "base"), spelling, tmp_path)
    resume("org/model", "org/model", tmp_path)  # an id of the hub
    for other in ("other", "gone", "org/model"):
        with pytest.raises(PlanewiseError, match=f"base: {tmp_path / 'base'} -> {other}"):
            resume(str(tmp_path / "base"), other, tmp_path)
    with pytest.raises(PlanewiseError, match="base: none -> base"):
        resume(None, "base", tmp_path)


def test_options_of_the_identity_are_named_as_they_are_typed():
    fields = MitoTrain.model_fields
    assert {name: called(name, fields[name]) for name in TYPED} == TYPED


def test_a_setting_that_came_later_and_changes_nothing_does_not_refuse_a_training(tmp_path):
    def with_recipe(**recipe):
        return options(None) | {"identity": {"little_data": recipe}}

    before = {"ends": [2], "step": 1, "options": with_recipe(bend=None, microscope=False, weight_averaging=0.9)}
    now = LittleData(weight_averaging=0.9)
    check_same_training(before, with_recipe(**now.model_dump(mode="json")), tmp_path / "last.pth")
    crops = now.model_copy(update={"near_objects": 0.5}).model_dump(mode="json")
    with pytest.raises(PlanewiseError, match=r"\(little_data near_objects: 0.0 -> 0.5\)"):
        check_same_training(before, with_recipe(**crops), tmp_path / "last.pth")


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"classes": "a"}, {}, "classes: a -> none"),
        ({}, {"classes": "a"}, "classes: none -> a"),
        ({"base": "gone"}, {}, "base: gone -> none"),
        ({"little_data": {}}, {}, "another little_data"),
        ({"little_data": None}, {"little_data": {}}, "another little_data"),
    ],
)
def test_what_only_one_of_two_trainings_has_makes_them_different(tmp_path, before, now, said):
    old, new = (options(None) | {"identity": identity} for identity in (before, now))
    with pytest.raises(PlanewiseError, match=rf"\({said}\)"):
        check_same_training({"ends": [2], "step": 1, "options": old}, new, tmp_path / "last.pth")


def test_what_is_none_or_missing_is_the_same(tmp_path):
    old, new = (options(None) | {"identity": identity} for identity in ({"classes": None, "little_data": None}, {}))
    check_same_training({"ends": [2], "step": 1, "options": old}, new, tmp_path / "last.pth")
    del old["warm_up"]
    with pytest.raises(PlanewiseError, match=r"\(warm_up: none -> 1\)"):
        check_same_training({"ends": [2], "step": 1, "options": old}, new, tmp_path / "last.pth")
