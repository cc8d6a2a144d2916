"""What the options of mito predict become with a model, and where slices are grouped."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from planewise.apps.mito.case import VolumeToPredict
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict_settings import decisive, grouping_of, settled
from planewise.data.panoptic import PanopticClasses
from planewise.errors import PlanewiseError
from planewise.inference.gathering import GroupingOptions
from planewise.models.model_file import SHIPPED, ObjectSizes, read_model_file
from planewise.volumes.volume import Volume

FILES = {"trained_model": Path("M.yaml"), "input": Path("a.tiff"), "output": Path("out")}


def test_every_option_of_the_grouping_reaches_it():
    given = {
        "confidence_thr": 0.6, "center_confidence_thr": 0.2, "min_distance_object_centers": 5, "median_kernel": 7,
        "downsampling": 2, "min_size": 60, "min_extent": 3, "min_agreement": 0.4, "repair": "on", "extend": "on",
    }  # fmt: skip
    grouping = grouping_of(MitoPredict(**FILES, **given))
    assert grouping == GroupingOptions(0.6, 0.2, 5, 7, 2, 60, 3, 0.4, True, True)
    published = asdict(GroupingOptions())
    of_options = {name for name in published if name != "things"}  # which the model says
    assert all(getattr(grouping, name) != published[name] for name in of_options)


def test_published_is_all_of_it_and_refuses_what_says_otherwise():
    model = read_model_file(SHIPPED / "MitoNet_small.yaml")
    asked = settled(MitoPredict(**FILES, published=True, min_size=500), model)
    assert grouping_of(asked) == GroupingOptions()
    assert asked.pixel_vote_thr == 2
    of_model = grouping_of(settled(MitoPredict(**FILES), model))
    assert (of_model.min_agreement, of_model.repair, of_model.extend) == (0.2, True, True)
    several = PanopticClasses({1: "mito", 2: "er"}, (1,))
    assert not grouping_of(settled(MitoPredict(**FILES), model.with_classes(several)), several).extend
    with pytest.raises(PlanewiseError, match=r"^--extend on: is for a model of one class"):
        settled(MitoPredict(**FILES, extend="on"), model.with_classes(several))
    for name, value in (("min_size", 50), ("min_agreement", 0.2), ("repair", "on"), ("confidence_thr", 0.3)):
        with pytest.raises(PlanewiseError, match=rf"^--published: says --{name} "):
            MitoPredict(**FILES, published=True, **{name: value})


@pytest.mark.parametrize(
    ("classes", "given", "said"),
    [
        (None, {}, True),
        (None, {"min_size": 500}, False),
        (PanopticClasses({1: "mito", 2: "er"}, (1,)), {}, True),
        (PanopticClasses({1: "er", 2: "lumen"}, ()), {}, False),
    ],
    ids=["not known", "given", "things", "stuff alone"],
)
def test_of_a_model_that_does_not_know_its_objects_the_published_size_is_taken_and_said_once(
    classes, given, said, capsys
):
    model = read_model_file(SHIPPED / "MitoNet_v1.yaml")
    model = model if classes is None else model.with_classes(classes)
    options = settled(MitoPredict(**FILES, **given), model)
    assert ("Objects under 500 voxels are left out, as published" in capsys.readouterr().err) == said
    case = VolumeToPredict.of(Volume(np.zeros((8, 8, 8), np.uint8), (30.0,) * 3, "nm"), Path("a"), None, model, options)
    assert grouping_of(case.sized(model, options), classes).min_size == 500
    assert not any("objects under" in note for note in case.notes(options, model))
    as_before = decisive(options, model, half=False)
    assert as_before["min_size"] == 500


def test_another_size_of_the_trained_objects_makes_other_results():
    model = read_model_file(SHIPPED / "MitoNet_small.yaml")
    small, large = (
        model.model_copy(update={"object_sizes": ObjectSizes(voxels=voxels, objects=9, whole=True)})
        for voxels in (400, 1200)
    )
    options = MitoPredict(**FILES)
    assert decisive(settled(options, small), small, False) != decisive(settled(options, large), large, False)
    options = MitoPredict(**FILES, published=True)
    assert decisive(settled(options, small), small, False) == decisive(settled(options, large), large, False)
