import json

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.inference.prompts import COLUMNS, Prompt, prompts_from_truth, read_prompts, tight_box

HEADER = ",".join(COLUMNS)
SHAPES, SPACINGS, CLASSES = {"a": (4, 20, 30)}, {"a": (2.0, 0.5, 0.5)}, {1: "cyst", 2: "2"}


def read(path):
    return read_prompts(path, SHAPES, SPACINGS, CLASSES)


def test_boxes_from_the_truth():
    labels = np.zeros((5, 30, 30), np.uint8)
    labels[0:2, 2:5, 2:6] = 1
    labels[3, 20:26, 20:28] = 1  # a second focus, larger in its slice
    labels[4, 20:25, 20:25] = 1
    labels[2, 10:12, 10:12] = 3
    assert prompts_from_truth(labels, "all") == [
        Prompt(1, 0, (2, 2, 6, 5)),
        Prompt(1, 3, (20, 20, 28, 26)),
        Prompt(3, 2, (10, 10, 12, 12)),
    ]
    assert [prompt.z for prompt in prompts_from_truth(labels, "one")] == [3, 2]
    assert tight_box(labels[0] > 0) == (2, 2, 6, 5)


def test_boxes_from_a_file_with_lines_that_do_not_fit(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        f"{HEADER},unit\na,ggo,3,1,2,11,12,voxel\na,2,15,2,4,22,24,mm\nb,1,3,1,2,11,12,\na,9,3,1,2,11,12,\n"
        "a,1,10,1,2,11,12,\na,1,3,1,2,51,12,\na,1,3,one,2,11,12,\n"
    )
    shapes, spacings = {"a": (10, 40, 50)}, {"a": (5.0, 2.0, 2.0)}
    prompts, problems = read_prompts(path, shapes, spacings, {1: "ggo", 2: "hc"})
    assert prompts == {"a": [Prompt(1, 3, (1, 2, 11, 12)), Prompt(2, 3, (1, 2, 11, 12))]}
    assert [problem.split(":")[0] for problem in problems] == [f"line {n}" for n in range(4, 9)]
    for words, problem in zip(("no case b", "no class 9", "0..9", "50 40", "one"), problems):
        assert words in problem


def test_boxes_from_json(tmp_path):
    row = {"case": "a", "class": "2", "slice": 0, "x0": 0, "y0": 0, "x1": 5, "y1": 6}
    (tmp_path / "boxes.json").write_text(json.dumps([row]))
    assert read(tmp_path / "boxes.json")[0] == {"a": [Prompt(2, 0, (0, 0, 5, 6))]}


@pytest.mark.parametrize(("name", "text"), [("b.csv", "case,class\n"), ("b.json", "{"), ("b.csv", None)])
def test_a_file_of_boxes_that_cannot_be_read_is_named(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(PlanewiseError, match=name.replace(".", r"\.")):
        read(tmp_path / name)


def test_both_kinds_of_file_give_the_same(tmp_path):
    (tmp_path / "b.csv").write_text(f"{HEADER},unit\na, cyst, 1, 0, 1, 30, 20, voxel\na,1,4.5,1,1,2,2,mm\n")
    (tmp_path / "b.json").write_text(
        '[{"case": "a", "class": "cyst", "slice": 1, "x0": 0, "y0": 1, "x1": 30, "y1": 20},'
        ' {"case": "a", "class": 1, "slice": 4.5, "x0": 1, "y0": 1, "x1": 2, "y1": 2, "unit": "mm"}]'
    )
    expected = {"a": [Prompt(1, 1, (0, 1, 30, 20)), Prompt(1, 2, (2, 2, 4, 4))]}
    excel = (tmp_path / "b.csv").read_text().replace(",", ";").replace("\n", "\r\n").replace("case;class", "Case;Class")
    (tmp_path / "excel.csv").write_text(excel, "utf-8-sig")
    for name in ("b.csv", "excel.csv", "b.json"):
        assert read(tmp_path / name) == (expected, [])


@pytest.mark.parametrize("slice_", ["inf", "-inf", "1e400", "nan", "x", "", "-1", "4"])
def test_a_slice_that_is_none_is_named_with_its_line(tmp_path, slice_):
    (tmp_path / "b.csv").write_text(f"{HEADER}\na,1,{slice_},1,1,2,2\na,1,1,1,1,2,2\n")
    prompts, problems = read(tmp_path / "b.csv")
    assert prompts == {"a": [Prompt(1, 1, (1, 1, 2, 2))]}
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"case": "a", "class": 1, "slice": Infinity, "x0": 0, "y0": 0, "x1": 1, "y1": 1}', "infinity"),
        ('{"case": "a", "class": 1, "slice": 1' + "0" * 400 + ', "x0": 0, "y0": 0, "x1": 1, "y1": 1}', "too large"),
        ('{"case": "a", "class": 1, "slice": 1, "x0": 0, "y0": 0, "x1": 1}', "has no y1"),
        ('{"case": "a", "class": 1, "slice": [1], "x0": 0, "y0": 0, "x1": 1, "y1": 1}', "number"),
        ('{"case": "a", "class": null, "slice": 1, "x0": 0, "y0": 0, "x1": 1, "y1": 1}', "None"),
        ("7", "is no object"),
        ('"abc"', "is no object"),
        ("null", "is no object"),
    ],
    ids=["infinity", "a large number", "a key missing", "a list", "null", "a number", "a text", "nothing"],
)
def test_a_bad_row_of_json_is_named(tmp_path, row, words):
    (tmp_path / "b.json").write_text(f"[{row}]")
    prompts, problems = read(tmp_path / "b.json")
    assert prompts == {}
    assert len(problems) == 1
    assert problems[0].startswith("line 1: ")
    assert words in problems[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("b.csv", f"{HEADER}\na,1,{'1' * 200_000},1,1,2,2\n", "field larger than"),
        ("b.csv", "case,class\n", "has no column slice"),
        ("b.csv", "", "has no column"),
        ("b.json", "[" * 100_000, "nested too deeply"),
        ("b.json", '{"a": ' * 100_000, "nested too deeply"),
        ("b.json", '{"a": 1}', "holds no list"),
        ("b.json", "1", "holds no list"),
        ("b.json", f"[{'1' * 5000}]", "is not a JSON file"),
        ("b.json", "[", "is not a JSON file"),
    ],
    ids=[
        "a long field",
        "a column missing",
        "nothing",
        "deep",
        "deep in a key",
        "an object",
        "a number",
        "digits",
        "cut",
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(PlanewiseError, match=rf"^{tmp_path / name}: [^\n]*{words}[^\n]*$"):
        read(tmp_path / name)


def test_a_class_that_nobody_names_is_said_with_those_that_there_are(tmp_path):
    (tmp_path / "b.csv").write_text(f"{HEADER}\na,ground_glass,1,1,1,2,2\n")
    assert read(tmp_path / "b.csv") == ({}, ["line 2: there is no class ground_glass; there are cyst (1)"])
    unnamed = {value: str(value) for value in range(1, 255)}
    _, problems = read_prompts(tmp_path / "b.csv", SHAPES, SPACINGS, unnamed)
    assert problems == ["line 2: there is no class ground_glass; classes are numbers, 1 to 254"]


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(PlanewiseError, match=r"none\.csv: no such file; boxes are a CSV or JSON file with case, class"):
        read(tmp_path / "none.csv")
