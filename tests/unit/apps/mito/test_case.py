"""What is said of a volume before it is predicted, and what its classes are called."""

import json
from pathlib import Path

import numpy as np
import pytest

from planewise.apps.mito.case import Results, VolumeToPredict, say_notes, things_text, write_class_names
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict_settings import grouping_of, settled
from planewise.data.panoptic import PanopticClasses
from planewise.errors import PlanewiseError
from planewise.models.model_file import SHIPPED, ObjectSizes, read_model_file
from planewise.progress import ON_TERMINAL
from planewise.volumes.volume import Volume

FILES = {"trained_model": Path("M.yaml"), "input": Path("a.tiff"), "output": Path("out")}


@pytest.mark.parametrize(
    ("side_nm", "whole", "given", "least", "warned"),
    [
        (5.0, True, None, 500, False),
        (30.0, True, None, 56, False),
        (30.0, True, 500, 500, True),
        (None, True, None, 500, False),
        (30.0, False, None, 500, False),
        (30.0, False, 100, 100, False),
    ],
)
def test_the_least_size_follows_from_what_was_trained_on_and_from_the_voxels(side_nm, whole, given, least, warned):
    """48,000 voxels of 5 nm are 0.006 um^3: 222 voxels of 30 nm, of which a quarter is 56; of cut objects it is 500."""
    sizes = ObjectSizes(voxels=48000, um3=0.006, objects=9, whole=whole)
    model = read_model_file(SHIPPED / "MitoNet_small.yaml").model_copy(update={"object_sizes": sizes})
    spacing, unit = ((side_nm,) * 3, "nm") if side_nm else ((1.0,) * 3, "pixel")
    volume = Volume(np.zeros((8, 8, 8), np.uint8), spacing, unit)
    options = settled(MitoPredict(**FILES, min_size=given), model)
    case = VolumeToPredict.of(volume, Path("a.tiff"), None, model, options)
    sized = case.sized(model, options)
    assert grouping_of(sized).min_size == least
    _planes, uncertain, agreement, said = case.notes(sized, model)
    assert uncertain.startswith("objects have no confidence: the model was not calibrated; ")
    assert agreement.endswith("on less than 0.2 of their voxels; see --min_agreement (from the model's file)")
    assert f"objects under {least} voxels" in said
    assert said.startswith("WARNING") == warned
    assert ("are cut by the faces of their volumes" in said) != whole


@pytest.mark.parametrize(
    ("side_nm", "given", "have"), [(8000.0, None, "have less than a voxel here"), (5.0, 0, "have 48,000 voxels here")]
)
def test_where_no_object_is_too_small_the_sizes_of_the_training_are_said_as_they_are(side_nm, given, have):
    """In voxels of 8 um by a wrong unit, and with --min_size 0."""
    sizes = ObjectSizes(voxels=48000, um3=0.006, objects=9, whole=True)
    model = read_model_file(SHIPPED / "MitoNet_small.yaml").model_copy(update={"object_sizes": sizes})
    volume = Volume(np.zeros((8, 8, 8), np.uint8), (side_nm,) * 3, "nm")
    options = settled(MitoPredict(**FILES, min_size=given), model)
    case = VolumeToPredict.of(volume, Path("a.tiff"), None, model, options)
    *_, said = case.notes(case.sized(model, options), model)
    assert said == (
        f"no object is left out as small; the smaller objects of the model's training data {have}; see --min_size"
    )


def test_a_note_is_said_once_with_the_cases_that_it_is_about(capsys, monkeypatch):
    monkeypatch.setenv(ON_TERMINAL, "1")
    cells = {name: ["WARNING: alike", "large pixels" if name < "e" else "small pixels"] for name in "abcdef"}
    say_notes(cells)
    assert capsys.readouterr().err.splitlines() == [
        "WARNING: all 6 volumes: alike",
        "a, b, c and 1 more: large pixels",
        "e, f: small pixels",
    ]
    say_notes({"a": ["alike"]})
    assert capsys.readouterr().err == "a: alike\n"


@pytest.mark.parametrize(
    ("shape", "votes", "there"), [((8, 8, 8), 3, ""), ((1, 8, 8), 2, ""), ((1, 8, 8), 3, "one plane, xy")]
)
def test_more_votes_than_a_volume_has_planes_are_refused(shape, votes, there):
    model = read_model_file(SHIPPED / "MitoNet_small.yaml")
    options = MitoPredict(**FILES, pixel_vote_thr=votes)
    volume = Volume(np.zeros(shape, np.uint8))
    if not there:
        VolumeToPredict.of(volume, Path("a.tiff"), None, model, options)
        return
    with pytest.raises(PlanewiseError, match=rf"^--pixel_vote_thr 3: .* there is {there}: give --pixel_vote_thr 1, or"):
        VolumeToPredict.of(volume, Path("a.tiff"), None, model, options)


@pytest.mark.parametrize(("axes", "votes"), [(("xy",), 3), (("xy", "xz"), 3), (None, 4)])
def test_votes_that_no_voxel_can_have_are_refused_before_a_volume_is_opened(axes, votes):
    with pytest.raises(PlanewiseError, match=rf"^--pixel_vote_thr {votes}: (no voxel can have so many votes|must be)"):
        MitoPredict(**FILES, axes=axes, pixel_vote_thr=votes)
    MitoPredict(**FILES, axes=axes)


def test_names_of_classes_are_replaced_only_where_they_were_written_so_and_all_is_made_again(tmp_path):
    results = Results.named(tmp_path, "a", ".tiff", (), classes=True)
    results.classes.parent.mkdir()
    path = results.classes.with_name("dataset.json")
    old, new = PanopticClasses({1: "mito", 2: "er"}, (1,)), PanopticClasses({1: "mito", 2: "er", 3: "golgi"}, (1,))
    write_class_names(results, old)
    write_class_names(results, old)
    with pytest.raises(PlanewiseError, match="names the classes of other results"):
        write_class_names(results, new)
    write_class_names(results, new, replace=True)
    assert json.loads(path.read_text()) == {
        "labels": {"background": 0, "mito": 1, "er": 2, "golgi": 3},
        "things": ["mito"],
    }
    path.write_text(json.dumps({"labels": {"background": 0, "mito": 1}, "numTraining": 3}))  # somebody's dataset
    with pytest.raises(PlanewiseError, match="names the classes of other results"):
        write_class_names(results, new, replace=True)


def test_where_nothing_is_a_thing_no_objects_are_said():
    names = {1: "mito", 2: "er"}
    assert things_text(PanopticClasses(names, (1,)), [3, 1]) == "3 mito; voxels of all classes in classes/"
    assert things_text(PanopticClasses(names, ()), [3, 1]) == "voxels of all classes in classes/"
