import json

import pytest

from planewise.errors import PlanewiseError
from planewise.viewing.mistakes import read_places
from planewise.viewing.scene import Place


def mistake(kind, truth, predicted, voxels, centre=(1, 2, 3)):
    return {"kind": kind, "truth": truth, "predicted": predicted, "voxels": voxels, "centre": list(centre)}


def entry(method, *mistakes, case="a", dataset="D"):
    return {"dataset": dataset, "method": method, "case": case, "mistakes": list(mistakes)}


def write(tmp_path, *entries):
    (tmp_path / "results.json").write_text(json.dumps({"results": list(entries)}))
    return tmp_path / "results.json"


def test_the_worst_come_first(tmp_path):
    path = write(
        tmp_path,
        entry("imagesTs_m", mistake("missed", [3], [], 40), mistake("merge", [1, 2], [7], 500, (9, 8, 7))),
        entry("other", mistake("false", [], [5], 1000)),
        entry("imagesTs_m", mistake("false", [], [6], 2000), case="b"),
    )
    assert read_places(path, "D", "a", ["m"]) == [
        Place("merge: truth 1, 2; predicted 7; 500 voxels", (9, 8, 7), 500),
        Place("missed: truth 3; 40 voxels", (1, 2, 3), 40),
    ]
    of_both = read_places(path, "D", "a", ["m", "other"])
    assert [place.what for place in of_both][:2] == [
        "other, false: predicted 5; 1,000 voxels",
        "m, merge: truth 1, 2; predicted 7; 500 voxels",
    ]


def test_of_several_datasets_it_is_this_one(tmp_path):
    path = write(tmp_path, entry("m", dataset="x/D"), entry("m", mistake("false", [], [5], 10), dataset="E"))
    assert read_places(path, "D", "a", ["m"]) == []
    assert len(read_places(path, "E", "a", ["m"])) == 1


@pytest.mark.parametrize("content", ["[1]", '{"results": 3}', '{"results": [{"case": "a", "method": "m"}]}'])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(PlanewiseError, match=r"results\.json: is not a results\.json of planewise"):
        read_places(tmp_path / "results.json", "D", "a", ["m"])


def test_a_case_that_was_not_compared(tmp_path):
    path = write(tmp_path, entry("m"))
    with pytest.raises(PlanewiseError, match="has nothing on case b by m"):
        read_places(path, "D", "b", ["m"])
