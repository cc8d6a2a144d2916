"""The items of ``planewise correct``: which mistakes of a results.json are those of a result."""

import json

import numpy as np
import pytest

from planewise.apps.correct_items import items_of, volumes_of
from planewise.apps.correct_options import Correct
from planewise.errors import PlanewiseError
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def test_labels_that_end_in_numbers_are_of_cases_of_that_name(tmp_path):
    for case in ("pat_0001", "pat_0002"):
        write_labels(tmp_path / f"{case}.tif", Volume(np.ones((4, 4, 4), np.uint8)))
    assert list(volumes_of(tmp_path, None)) == ["pat_0001", "pat_0002"]


def entry(dataset, method, label):
    mistake = {"kind": "merge", "predicted": [label], "truth": [1, 2], "centre": [1, 1, 1], "voxels": 9}
    return {"dataset": dataset, "method": method, "case": "a", "mistakes": [mistake]}


def labels_of(tmp_path, results, **options):
    """Return the objects of the items for the result of method m in dataset D1, given as a file."""
    (tmp_path / "results.json").write_text(json.dumps({"results": results}))
    result = tmp_path / "D1" / "imagesTs_m" / "a.tiff"
    write_labels(result, Volume(np.ones((4, 4, 4), np.uint8)))
    given = Correct(result=result, worklist=tmp_path, **options)
    return [item.labels for item in items_of(given, volumes_of(result, None), None)]


def test_of_cases_that_are_called_alike_those_of_the_dataset_are_meant(tmp_path):
    results = [entry("above/D1", "m", 3), entry("above/D2", "m", 4), entry("above/D1", "n", 5)]
    assert labels_of(tmp_path, results) == [(3,)]
    assert labels_of(tmp_path, results, method="n") == [(5,)]


@pytest.mark.parametrize("table", [None, "label,confidence,voxels\n1,,64\n"], ids=["no table", "not calibrated"])
def test_where_nothing_has_a_confidence_it_is_said_what_to_go_by(tmp_path, table):
    write_labels(tmp_path / "a.tiff", Volume(np.ones((4, 4, 4), np.uint8)))
    if table is not None:
        (tmp_path / "a_objects.csv").write_text(table)
    given = Correct(result=tmp_path / "a.tiff", worklist="confidence")
    with pytest.raises(PlanewiseError, match=r"has confidences, .* not calibrated; give --worklist agreement"):
        items_of(given, volumes_of(given.result, None), None)


@pytest.mark.parametrize("wrong", ["mistakes", "method", "dataset"])
def test_a_file_that_lacks_something_is_refused(tmp_path, wrong):
    there = entry("D1", "m", 3)
    del there[wrong]
    with pytest.raises(PlanewiseError, match=f"is not a results.json of planewise compare or evaluate .'{wrong}'"):
        labels_of(tmp_path, [there])
