import numpy as np
import pytest

from planewise.data.case import Case
from planewise.data.classes import LabelDefinition
from planewise.data.panoptic import DIVISOR, PanopticClasses, class_of, panoptic_classes, read_panoptic
from planewise.data.phantom import ORGANELLES, organelle_phantom
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

NAMES = {1: "mito", 2: "nucleus", 3: "er"}
CLASSES = PanopticClasses(NAMES, (1, 2))


def case_of(tmp_path, semantic, ids=None):
    """A case of a volume (1, 1, n): labelsTr, and instancesTr if there are ids."""
    semantic = np.array(semantic, np.uint8).reshape(1, 1, -1)
    write_volume(tmp_path / "imagesTr" / "a_0000.tiff", Volume(semantic))
    write_labels(tmp_path / "labelsTr" / "a.tiff", Volume(semantic))
    truth = tmp_path / "labelsTr" / "a.tiff"
    if ids is not None:
        truth = tmp_path / "instancesTr" / "a.tiff"
        write_labels(truth, Volume(np.array(ids, np.uint32).reshape(1, 1, -1)))
    return Case("a", tmp_path / "imagesTr" / "a_0000.tiff", truth, ids is not None)


def values_of(*args, classes=CLASSES):
    return read_panoptic(case_of(*args), classes).ravel().tolist()


def test_things_are_named_by_the_dataset_and_the_rest_is_stuff():
    classes = panoptic_classes(LabelDefinition(NAMES, ignore=4), ("nucleus", "mito"), "--things")
    assert classes == PanopticClasses(NAMES, (1, 2), 4)
    assert classes.kinds == (True, True, False)
    assert "with separate objects: mito (1), nucleus (2); stuff: er (3); ignored: ignore (4)" in str(classes)


@pytest.mark.parametrize(
    ("labels", "things", "words"),
    [
        (NAMES, ("golgi",), "--things: golgi: no such class; there are mito, nucleus, er"),
        ({1: "mito"}, ("mito",), "names mito; leave it out"),
        ({1: "mito", 3: "er"}, ("mito",), "values are 1, 3; several classes must be 1 to 2"),
    ],
)
def test_classes_that_make_no_sense_are_refused(labels, things, words):
    with pytest.raises(PlanewiseError, match=words):
        panoptic_classes(LabelDefinition(labels), things, "--things")


def test_ids_are_numbered_class_by_class_and_stuff_has_none(tmp_path):
    read = values_of(tmp_path, [0, 1, 1, 2, 1, 3, 3, 0], [0, 70, 70, 9, 8, 0, 0, 0])
    assert read == [0, DIVISOR + 2, DIVISOR + 2, 2 * DIVISOR + 1, DIVISOR + 1, 3 * DIVISOR, 3 * DIVISOR, 0]
    assert class_of(np.array(read)).tolist() == [0, 1, 1, 2, 1, 3, 3, 0]


def test_without_instances_components_are_the_objects(tmp_path):
    assert values_of(tmp_path, [1, 1, 0, 1, 3]) == [DIVISOR + 1, DIVISOR + 1, 0, DIVISOR + 2, 3 * DIVISOR]


def test_a_class_without_any_id_is_split_too_and_it_is_said(tmp_path, capsys):
    read = values_of(tmp_path, [1, 1, 0, 2, 0, 2], [5, 5, 0, 0, 0, 0])
    assert read == [DIVISOR + 1, DIVISOR + 1, 0, 2 * DIVISOR + 1, 0, 2 * DIVISOR + 2]
    assert "a: no nucleus has an id in instancesTr" in capsys.readouterr().err


def test_what_is_ignored_is_not_known_whatever_its_id(tmp_path):
    ignoring = PanopticClasses(NAMES, (1, 2), 4)
    assert values_of(tmp_path, [1, 4, 0, 4], [5, 5, 0, 0], classes=ignoring) == [DIVISOR + 1, -1, 0, -1]


@pytest.mark.parametrize(
    ("semantic", "ids", "words"),
    [
        ([1, 1, 2, 0], [5, 5, 5, 0], "1 object does .*object 5: 2 voxels of mito, 1 voxel of nucleus"),
        ([1, 3, 0, 0], [5, 6, 0, 0], "object 6: 1 voxel of er"),
        ([1, 0, 0, 0], [5, 5, 0, 0], "object 5: 1 voxel of background, 1 voxel of mito"),
        ([1, 1, 1, 0], [5, 0, 0, 0], "2 voxels of mito in labelsTr are in no object"),
        ([0, 0, 0, 0], [0, 0, 0, 0], "holds no voxel of mito, nucleus, er"),
    ],
)
def test_labels_and_instances_that_contradict_each_other_are_refused(tmp_path, semantic, ids, words):
    with pytest.raises(PlanewiseError, match=words):
        read_panoptic(case_of(tmp_path, semantic, ids), CLASSES)


def test_instances_without_classes_are_refused(tmp_path):
    case = case_of(tmp_path, [1, 0], [1, 0])
    (tmp_path / "labelsTr" / "a.tiff").unlink()
    (tmp_path / "labelsTr").rmdir()
    with pytest.raises(PlanewiseError, match="nothing gives their classes: there is no labelsTr"):
        read_panoptic(case, CLASSES)


def test_the_phantom_has_three_classes_that_touch_and_things_that_do_not():
    image, classes, ids = organelle_phantom((40, 72, 80), 8, 0)
    assert set(np.unique(classes)) == {0, *ORGANELLES.values()}
    assert ((ids > 0) == np.isin(classes, (1, 2))).all()
    assert all(len(np.unique(classes[ids == label])) == 1 for label in range(1, ids.max() + 1))
    pairs = {(a, b) for a, b in zip(classes[:, 1:].ravel(), classes[:, :-1].ravel())}
    assert (1, 3) in pairs
    assert (1, 2) not in pairs
    assert image.dtype == np.uint8
