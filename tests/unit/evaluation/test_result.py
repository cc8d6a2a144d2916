"""What decides on scores, for the manifest beside them."""

from pathlib import Path

from planewise.data.classes import LabelDefinition
from planewise.evaluation.pairs import Pair, with_labels
from planewise.evaluation.result import Benchmark, made_from


def made_with(labels, classes):
    pairs = with_labels([Pair("a", Path("p/a.tiff"), Path("labelsTs/a.tiff"))], labels, instances=False)
    return Benchmark("D", {"m": pairs}, {}, classes).made_with()


def test_of_a_dataset_json_the_values_decide_and_the_names_that_are_scored():
    scored = {1: "mito"}
    before = made_with(LabelDefinition({1: "mito", 2: "er"}, source=Path("dataset.json")), scored)
    renamed = LabelDefinition({1: "mito", 2: "reticulum"}, source=Path("elsewhere/dataset.json"))
    assert made_with(renamed, scored) == before
    assert made_with(renamed, {1: "mitochondrion"}) != before
    more = made_with(LabelDefinition({1: "mito", 2: "er", 3: "golgi"}), scored)
    assert {name for name in more if more[name] != before[name]} == {"the values that have a name in D"}
    name = "the values that have a name in D"
    assert (before[name], more[name]) == ([1, 2], [1, 2, 3])
    region = made_with(LabelDefinition({1: "mito"}, {"both": (1, 2)}), scored)
    assert region[name] == [1, 2]


def benchmark(dataset, classes):
    pairs = [Pair("a", Path(f"{dataset}/imagesTs_m/a.tiff"), Path(f"{dataset}/labelsTs/a.tiff"))]
    return Benchmark(dataset, {"m": pairs}, {}, classes)


def test_files_of_several_datasets_are_named_by_theirs_and_those_of_several_classes_once():
    two = [benchmark("D", {1: "mito"}), benchmark("E", {1: "mito"})]
    options, files = made_from(two, several_datasets=True)
    assert list(options) == [*two[0].made_with(), *(name for name in two[1].made_with() if name.endswith(" in E"))]
    assert files[Path("D/labelsTs/a.tiff")] == ("the truth in D", "a")
    assert files[Path("E/imagesTs_m/a.tiff")] == ("the prediction in E", "a")
    _, files = made_from([benchmark("D", {1: "mito"}), benchmark("D", {2: "er"})])
    assert files == {
        Path("D/labelsTs/a.tiff"): ("the truth", "a"),
        Path("D/imagesTs_m/a.tiff"): ("the prediction", "a"),
    }
