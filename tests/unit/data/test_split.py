import json

import pytest

from planewise.data.split import draw_split, read_split, split_rows, write_split
from planewise.errors import PlanewiseError

PATIENTS = {"a1": "a", "a2": "a", "b": "b", "c": "c", "d": "d", "t": "t"}
TRAIN = ["a1", "a2", "b", "c", "d"]


def draw(patients=PATIENTS, train=TRAIN, tests=("t",), classes=lambda case: frozenset(), share=0.25, seed=0):
    return draw_split(patients, list(train), list(tests), classes, share, seed)


def write(folder, content):
    path = folder / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("seed", range(8))
def test_a_drawn_split_has_every_case_once_and_every_patient_on_one_side(seed):
    split = draw(seed=seed)
    assert sorted(split["train"] + split["valid"]) == TRAIN
    assert split["test"] == ["t"]
    assert len({PATIENTS[case] for case in split["valid"]}) == 1
    assert {PATIENTS[case] for case in split["valid"]}.isdisjoint(PATIENTS[case] for case in split["train"])


def test_the_same_seed_draws_the_same_and_another_another():
    assert draw(seed=3) == draw(seed=3)
    assert len({str(draw(seed=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize("seed", range(8))
def test_without_test_cases_a_share_of_the_patients_is_kept_for_the_test(seed):
    patients = {name: PATIENTS[name] for name in TRAIN}
    split = draw_split(patients, TRAIN, [], lambda case: frozenset(), 0.25, seed, test_share=0.25)
    assert sorted(case for part in split.values() for case in part) == TRAIN
    sides = [{PATIENTS[case] for case in split[part]} for part in ("train", "valid", "test")]
    assert [len(side) for side in sides] == [2, 1, 1]
    assert len(set.union(*sides)) == 4


def test_test_cases_that_are_there_are_the_test(capsys):
    def draw_with(tests, train=TRAIN):
        return draw_split(PATIENTS, train, tests, lambda case: frozenset(), 0.25, 0, test_share=0.5)

    assert draw_with(["t"])["test"] == ["t"]
    assert draw_with([], ["b"]) == {"train": ["b"], "valid": [], "test": []}
    assert "There is one patient: none is kept for the test" in capsys.readouterr().err


def test_each_set_of_classes_gets_its_share():
    patients = {f"p{i}": f"p{i}" for i in range(20)}
    rare = {f"p{i}" for i in range(4)}
    for seed in range(8):
        split = draw(patients, patients, (), lambda case: frozenset({2 if case in rare else 1}), 0.5, seed)
        assert len(rare & set(split["valid"])) == 2
        assert len(split["valid"]) == 10


def test_training_cases_of_tested_patients_are_left_out_and_said(capsys):
    split = draw(PATIENTS | {"t0": "t"}, [*TRAIN, "t0"])
    assert not any("t0" in names for names in split.values())
    assert "1 training cases are of patients in the test part, and left out: t0" in capsys.readouterr().err


def test_nobody_left_to_train_on_is_refused():
    with pytest.raises(PlanewiseError, match="every patient of imagesTr is tested"):
        draw({"t0": "t", "t": "t"}, ["t0"])
    with pytest.raises(PlanewiseError, match="--valid_share"):
        draw(share=0.99)


def test_one_patient_is_trained_on_and_said(capsys):
    assert draw({"a1": "a", "a2": "a"}, ["a1", "a2"], ())["train"] == ["a1", "a2"]
    assert "validation is on training slices" in capsys.readouterr().err


def test_a_split_is_read_and_what_it_leaves_out_is_said(tmp_path, capsys):
    path = write(tmp_path, {"train": ["a1"], "test": ["t"]})
    assert read_split(path, PATIENTS) == {"train": ["a1"], "valid": [], "test": ["t"]}
    assert "4 cases in no part of it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": 5}, "train must be a list"),
        ({"train": None}, "train must be a list"),
        ({"train": ["a1"], "valid": [5]}, "valid must be a list"),
        ({"train": ["a1"], "val": ["b"]}, "has train, val"),
        ([{"train": ["a1"]}], "is no object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"train": ' + "[" * 100_000, "nested too deeply"),
        ("{", "not a JSON file"),
        ('{"train": ["\\ud800"]}', "lone surrogate"),
        ({"train": ["nobody"]}, "not there: nobody"),
        ({"train": []}, "train is empty"),
        ({}, "train is empty"),
        ({"train": ["a1"], "valid": ["a2"]}, "patient a is in train and valid; each must be in one part"),
        ({"train": ["a1", "a1"]}, "twice: a1"),
    ],
)
def test_a_bad_split_is_refused_by_name(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(PlanewiseError, match=words) as refusal:
        read_split(path, PATIENTS)
    assert str(refusal.value).startswith(f"--split {path}")


def test_the_split_is_written_as_published_and_patients_beside(tmp_path):
    split = {"train": ["b", "a1"], "valid": [], "test": ["t"]}
    write_split(tmp_path, split, PATIENTS)
    assert json.loads((tmp_path / "split.json").read_text()) == {"train": ["a1", "b"], "valid": [], "test": ["t"]}
    assert json.loads((tmp_path / "patients.json").read_text()) == PATIENTS
    assert read_split(tmp_path / "split.json", PATIENTS)["train"] == ["a1", "b"]


def test_a_row_for_each_patient():
    rows = split_rows({"train": ["a1", "a2", "b"], "valid": ["c"], "test": ["t"]}, PATIENTS)
    assert rows == [
        ("a", "train", "a1, a2"),
        ("b", "train", "b"),
        ("c", "valid", "c"),
        ("t", "test", "t"),
        ("d", "left out", "d"),
    ]
