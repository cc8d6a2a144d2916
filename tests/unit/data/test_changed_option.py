"""How messages say that an option differs."""

import pytest

from planewise.apps.mito.options import MitoPredict
from planewise.data.changed_option import changed_option


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (["xy"], ["xy", "xz"], "x: xy -> xy xz"),
        (None, True, "x: none -> yes"),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, "x a: 1 -> none; x b: 2 -> 3; x c: none -> 4"),
        ({"a": {"b": 1, "c": [2]}}, {"a": {"b": 3, "c": [2]}}, "x a b: 1 -> 3"),
        (dict.fromkeys("abcde", 1), {}, "x a: 1 -> none; x b: 1 -> none; x c: 1 -> none and 2 more"),
        ({"a": 1}, {"a": 1, "c": None}, "another x"),
        ({"a": 1, "b": {}}, {"a": 1, "b": {"c": None}}, "another x b"),
        ({"train": ["a"]}, {"train": ["b"]}, "another x"),
        (None, {"a": 1}, "another x"),
        ({"a": 1}, None, "another x"),
    ],
)
def test_values_are_named_as_people_write_them(before, now, said):
    assert changed_option("x", before, now) == said


def test_options_of_a_command_are_named_as_they_are_typed():
    assert changed_option("axes", ["xy"], ["xz"], MitoPredict) == "--axes xy -> xz"
