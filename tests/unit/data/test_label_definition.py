import json

import pytest

from planewise.data.classes import LabelDefinition, Target, labels_above, read_labels_of, semantic_beside
from planewise.errors import DatasetError, PlanewiseError


def definition(folder, labels):
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return read_labels_of(folder / "dataset.json")


def test_classes_regions_and_the_ignore_label(tmp_path):
    read = definition(tmp_path, {"background": 0, "b": 2, "a": 1, "both": [1, 2], "ignore": 3})
    assert read.classes == {1: "a", 2: "b"}
    assert read.regions == {"both": (1, 2)}
    assert read.ignore == 3
    assert definition(tmp_path, {"0": "background", "1": "mito"}).classes == {1: "mito"}  # nnU-Net's version 1


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ({"a": 1, "ignore": 1}, "ignore is 1, and another label is 1"),
        ({"a": [1, 4], "ignore": 3}, "another label is 4"),
        ({"a": 1, "ignore": 0}, "one value above 0"),
        ({"a": 1, "ignore": [2, 3]}, "one value above 0"),
        ({"a": 1, "b": 1}, "are both 1"),
        ({"a": "1"}, "a is '1'"),
        ({"a": 1.5}, "whole number"),
        ({"a": True}, "whole number"),
        ({"a": -1}, "whole number"),
        ({"a": []}, "whole number"),
        ({"a": [0, 1]}, "whole number"),
        ({"background": 1}, "must be 0"),
    ],
    ids=str,
)
def test_labels_without_sense_are_refused_by_name(tmp_path, labels, what):
    with pytest.raises(DatasetError, match=what):
        definition(tmp_path, labels)


def test_the_only_class_needs_no_name(tmp_path):
    read = definition(tmp_path, {"background": 0, "mito": 4, "ignore": 5})
    assert read.target(None, "--class") == Target("mito", (4,), 5)
    assert definition(tmp_path, {"all": [1, 2]}).target(None, "--class") == Target("all", (1, 2))


def test_one_of_several_is_chosen_by_name_or_value(tmp_path):
    read = definition(tmp_path, {"mito": 1, "er": 2, "both": [1, 2], "rest": [2, 6], "ignore": 7})
    assert read.target("er", "--class") == read.target("2", "--class") == Target("er", (2,), 7)
    assert read.target("both", "--class") == Target("both", (1, 2), 7)
    assert read.target("6", "--class") == Target("class 6", (6,), 7)  # known from a region only
    with pytest.raises(PlanewiseError, match=r"several classes, mito \(1\), er \(2\), both \(1, 2\).*--class"):
        read.target(None, "--class")
    with pytest.raises(PlanewiseError, match="--class golgi: no such class; there are mito"):
        read.target("golgi", "--class")
    with pytest.raises(PlanewiseError, match="is the ignore label"):
        read.target("7", "--class")


def test_without_a_dataset_only_a_value_can_be_meant():
    assert LabelDefinition().target("3", "--semantic_class") == Target("class 3", (3,))
    for wanted in (None, "mito", "0", "-1"):
        with pytest.raises(PlanewiseError, match="--semantic_class"):
            LabelDefinition().target(wanted, "--semantic_class")


def test_what_is_trained_scored_and_ignored_in_a_line(tmp_path):
    read = definition(tmp_path, {"mito": 1, "er": 2, "ignore": 3})
    line = read.sentence(read.target("mito", ""), "trained")
    assert line == "Classes: mito (1) is trained; background: er (2); ignored: ignore (3)."


def test_regions_are_refused_by_name_where_every_voxel_has_one_class(tmp_path):
    with pytest.raises(DatasetError, match=r"both \[1, 2\]: is a region"):
        definition(tmp_path, {"a": 1, "both": [1, 2]}).class_names()


def test_the_dataset_above_a_truth_folder_or_file(tmp_path):
    definition(tmp_path, {"a": 1})
    (tmp_path / "labelsTs").mkdir()
    (tmp_path / "labelsTs" / "c.tiff").write_bytes(b"")
    for truth in (tmp_path / "labelsTs", tmp_path / "labelsTs" / "c.tiff"):
        assert labels_above(truth).classes == {1: "a"}
    (tmp_path / "deeper" / "labelsTs").mkdir(parents=True)
    assert labels_above(tmp_path / "deeper" / "labelsTs") == LabelDefinition()
    with pytest.raises(DatasetError, match=r"none\.json"):
        labels_above(tmp_path / "labelsTs", tmp_path / "none.json")


def test_the_labels_beside_instances(tmp_path):
    (tmp_path / "instancesTr").mkdir()
    instances = tmp_path / "instancesTr" / "c.tiff"
    assert semantic_beside(instances, "c") is None
    (tmp_path / "labelsTr").mkdir()
    with pytest.raises(PlanewiseError, match=r"labelsTr/c\.\*: is missing"):
        semantic_beside(instances, "c")
    (tmp_path / "labelsTr" / "c.tif").write_bytes(b"")
    assert semantic_beside(instances, "c") == tmp_path / "labelsTr" / "c.tif"


@pytest.mark.parametrize(
    ("labels", "values", "advice"),
    [
        ({"a": 1, "b": 2}, (1, 255), '"ignore": 255 under labels (nnU-Net takes 3 alone, the next value after the'),
        ({"a": 1, "b": 2}, (1, 3), 'whatever is unlabelled is named "ignore": 3 under labels'),
        ({"a": 1, "b": 4}, (1, 2), '"ignore": 5 under labels, and has the value 5 in the file'),
        ({"a": 1, "ignore": 7}, (1, 7, 255), "whatever is unlabelled has the value 7 in the file"),
        ({"both": [1, 2]}, (1, 2, 9), '"ignore": 9 under labels (nnU-Net takes 3 alone'),
        ({"a": 1}, (255,), "if it is a in a mask of 0 and 255, write 1 for 255 in the file; a mistake is corrected"),
    ],
)
def test_what_has_no_name_and_what_to_do(tmp_path, labels, values, advice):
    what = definition(tmp_path, labels).unnamed(dict.fromkeys((0, *values), 5))
    assert what.startswith(f"holds {values[-1]} (5 voxels), which no label of dataset.json names; those are ")
    assert what.endswith(advice) or advice in what
    marked = int(advice.partition('"ignore": ')[2].split()[0].rstrip(",") or 7) if '"ignore": ' in advice else 7
    assert definition(tmp_path, labels | {"ignore": marked}).ignore == marked  # what is advised is taken


def test_where_nothing_is_unnamed(tmp_path):
    read = definition(tmp_path, {"background": 0, "a": 1, "both": [1, 2], "ignore": 3})
    assert read.unnamed({0: 9, 1: 1, 2: 1, 3: 1}) == ""
    assert LabelDefinition().unnamed({0: 1, 77: 1}) == ""
    assert LabelDefinition(ignore=3).unnamed({0: 1, 77: 1}) == ""
