"""A results.json is read, or refused by name."""

import json

import pytest

from planewise.errors import PlanewiseError
from planewise.report.listed_mistakes import read_mistakes

MISTAKE = {"kind": "missed", "truth": [1], "predicted": [], "voxels": 3, "centre": [1, 2, 3]}


def listing(**more):
    entry = {"dataset": "D", "method": "predicted_m", "case": "c", "mistakes": [MISTAKE | more]}
    return json.dumps({"results": [entry]})


def test_what_is_listed_is_read(tmp_path):
    (tmp_path / "results.json").write_text(listing())
    (one,) = read_mistakes(tmp_path / "results.json")
    assert (one.case, one.mistakes[0].centre, one.mistakes[0].truth) == ("c", (1, 2, 3), (1,))


@pytest.mark.parametrize(
    "content",
    ["[]", '{"results": 3}', listing(centre=[1, 2]), listing(truth=None), listing(voxels=float("inf")),
     listing(centre=[0, 0, float("nan")])],
    ids=["a list", "a number", "two coordinates", "no labels", "infinity", "NaN"],
)  # fmt: skip
def test_a_damaged_list_is_refused_by_name(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(PlanewiseError, match=r"results\.json: is not a results\.json of planewise compare"):
        read_mistakes(tmp_path / "results.json")
