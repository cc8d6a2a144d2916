import json

import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.json_files import finite, read_json, write_json


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


def test_what_json_does_not_know_becomes_null(tmp_path):
    content = {"a": (1, float("nan")), "b": [{"c": float("-inf")}], "d": "nan"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", content)
    assert not (tmp_path / "a.json").exists()
    write_json(tmp_path / "a.json", finite(content))
    assert read_json(tmp_path / "a.json") == {"a": [1, None], "b": [{"c": None}], "d": "nan"}
