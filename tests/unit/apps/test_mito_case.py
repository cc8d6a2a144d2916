"""What the options of mito predict become where slices are grouped, and what its classes are called."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from planewise.apps.mito_case import Results, grouping_of, things_text, write_class_names
from planewise.apps.mito_options import MitoPredict
from planewise.data.panoptic import PanopticClasses
from planewise.errors import PlanewiseError
from planewise.inference.gathering import GroupingOptions

FILES = {"trained_model": Path("M.yaml"), "input": Path("a.tiff"), "output": Path("out")}


def test_every_option_of_the_grouping_reaches_it():
    given = {
        "confidence_thr": 0.6, "center_confidence_thr": 0.2, "min_distance_object_centers": 5, "median_kernel": 7,
        "downsampling": 2, "min_size": 60, "min_extent": 3, "min_agreement": 0.4, "repair": "on",
    }  # fmt: skip
    grouping = grouping_of(MitoPredict(**FILES, **given))
    assert grouping == GroupingOptions(0.6, 0.2, 5, 7, 2, 60, 3, 0.4, True)
    published = asdict(GroupingOptions())
    of_options = {name for name in published if name != "things"}  # which the model says
    assert all(getattr(grouping, name) != published[name] for name in of_options)


def test_names_of_classes_are_replaced_only_where_they_were_written_so_and_all_is_made_again(tmp_path):
    results = Results.named(tmp_path, "a", ".tiff", (), classes=True)
    results.classes.parent.mkdir()
    path = results.classes.with_name("dataset.json")
    old, new = PanopticClasses({1: "mito", 2: "er"}, (1,)), PanopticClasses({1: "mito", 2: "er", 3: "golgi"}, (1,))
    write_class_names(results, old)
    write_class_names(results, old)
    with pytest.raises(PlanewiseError, match="names classes of other results"):
        write_class_names(results, new)
    write_class_names(results, new, replace=True)
    assert json.loads(path.read_text()) == {
        "labels": {"background": 0, "mito": 1, "er": 2, "golgi": 3},
        "things": ["mito"],
    }
    path.write_text(json.dumps({"labels": {"background": 0, "mito": 1}, "numTraining": 3}))  # somebody's dataset
    with pytest.raises(PlanewiseError, match="names classes of other results"):
        write_class_names(results, new, replace=True)


def test_where_nothing_is_a_thing_no_objects_are_said():
    names = {1: "mito", 2: "er"}
    assert things_text(PanopticClasses(names, (1,)), [3, 1]) == "3 mito; voxels of every class in classes/"
    assert things_text(PanopticClasses(names, ()), [3, 1]) == "voxels of every class in classes/"
