import json
import math

import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.json_files import read_json, without_nan, write_json


def test_what_was_written_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"größe": [1, 2.5, None]}), "utf-8")
    assert read_json(tmp_path / "a.json") == {"größe": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not a JSON file"),
        (b"\xff\xfe", "not a JSON file"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b"1" * 5000, "not a JSON file"),
    ],
    ids=["cut", "no text", "deep list", "deep object", "surrogate", "digits"],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(PlanewiseError, match=rf"a\.json: .*{words}"):
        read_json(tmp_path / "a.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(PlanewiseError, match="no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(PlanewiseError, match="cannot be read"):
        read_json(tmp_path)


def test_what_json_does_not_know_becomes_null_at_any_depth(tmp_path):
    write_json(tmp_path / "a.json", without_nan({"a": [1.5, math.nan, (math.inf, {"b": -math.inf})], "c": "nan"}))
    assert read_json(tmp_path / "a.json") == {"a": [1.5, None, [None, {"b": None}]], "c": "nan"}
