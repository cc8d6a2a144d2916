from pathlib import Path

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.viewing.scene import contrast, image_layer, labels_layer, middle, objects, place_of
from planewise.volumes.files import write_volume
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from scenes import CODED, LABELS, SHAPE, SPACING, em_scene


@pytest.fixture
def small_levels(monkeypatch):
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.LEAST_LEVEL", 8)


@pytest.mark.parametrize("ending", [".tiff", ".nii.gz", ".ome.zarr"])
def test_layers_are_what_their_files_hold(tmp_path, ending):
    image, truth, method = em_scene(tmp_path, ending).layers
    assert np.array_equal(image.levels[0].voxels[...], CODED)
    assert image.volume.labels is None
    assert np.array_equal(method.levels[0].voxels[...], LABELS)
    assert method.volume.labels == LabelNames()
    assert (method.name, truth.shown, method.shown) == ("method", False, True)
    unit, size = ("mm", 1e-6) if ending == ".nii.gz" else ("nm", 1)
    assert method.volume.unit == unit
    assert method.volume.spacing == pytest.approx([side * size for side in SPACING])


def test_a_store_has_its_smaller_copies(tmp_path, small_levels):
    image, _, method = em_scene(tmp_path).layers
    assert [level.step for level in image.levels] == [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8)]
    assert np.array_equal(image.levels[2].voxels[...], CODED[::4, ::4, ::4])
    assert method.level_for((4, 8, 8)) == (method.levels[2], (1, 2, 2))
    assert method.level_for((1, 2, 2)) == (method.levels[0], (1, 2, 2))
    assert method.level_for((16, 8, 8)) == (method.levels[3], (2, 1, 1))


def test_thinned_takes_the_finest_that_fits(tmp_path, small_levels):
    image = em_scene(tmp_path).layers[0]
    voxels, step = image.thinned(6 * 10 * 17)
    assert step == (2, 2, 2)
    assert np.array_equal(voxels, CODED[::2, ::2, ::2])
    voxels, step = image.thinned(5)  # less than the smallest copy, 2 x 3 x 5, has
    assert step == (24, 24, 24)
    assert np.array_equal(voxels, CODED[::24, ::24, ::24])


def test_a_patient_is_turned_into_one_orientation(tmp_path):
    """Voxel (z, y, x) of a scene is the same whichever way the file's axes run, as in the report."""
    turned = np.ascontiguousarray(CODED[:, ::-1, ::-1].transpose(2, 1, 0))
    backwards = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))  # of the array's axes x, y, z
    volume = Volume(turned, SPACING[::-1], "mm", direction=backwards)
    write_volume(tmp_path / "image.nii.gz", volume)
    write_labels(tmp_path / "labels.seg.nrrd", volume.with_voxels((turned == CODED[3, 5, 7]) * np.uint8(1)))
    layer, stored = image_layer("ct", tmp_path / "image.nii.gz", None)
    place = tmp_path / "image.nii.gz", stored
    labels, _ = labels_layer("m", tmp_path / "labels.seg.nrrd", LabelNames({1: "a"}), place, False, True)
    assert np.array_equal(layer.levels[0].voxels[...], CODED)
    assert layer.volume.spacing == pytest.approx(SPACING)
    assert place_of(labels, 1) == (3, 5, 7)
    assert labels.volume.labels.names == {1: "a"}  # the file names none


def test_names_in_the_file_come_before_those_of_the_dataset(tmp_path):
    method = em_scene(tmp_path, names={7: "ring"}).layers[2]
    layer, _ = labels_layer("m", method.path, LabelNames({7: "other"}), None, False, True)
    assert layer.volume.labels.names == {7: "ring"}


def test_objects_and_their_places(tmp_path, small_levels, monkeypatch):
    method = em_scene(tmp_path).layers[2]
    assert objects(method) == [7, 300]
    assert place_of(method, 7) in [(z, y, x) for z in (3, 4) for y in (8, 9) for x in (24, 25)]
    assert place_of(method, 300)[0] == 8
    monkeypatch.setattr("planewise.viewing.scene.COUNTED", 200)  # steps of 4, which pass over object 300
    assert objects(method) == [7]
    assert place_of(method, 300) in [(8, 1, 7), (8, 2, 7)]
    with pytest.raises(PlanewiseError, match=r"--object 5: .*labels\.ome\.zarr holds no such label"):
        place_of(method, 5)


def test_contrast_leaves_out_the_extremes(tmp_path):
    voxels = np.full((10, 20, 20), 100, np.int16)
    voxels[5:] = 200
    voxels[0, 0, :3] = -30000
    voxels[0, 1, :3] = 30000
    write_volume(tmp_path / "a.tiff", Volume(voxels))
    layer, _ = image_layer("a", tmp_path / "a.tiff", None)
    assert contrast(layer) == (100, 200)
    write_volume(tmp_path / "b.tiff", Volume(np.zeros((2, 3, 4), np.float32)))
    assert contrast(image_layer("b", tmp_path / "b.tiff", None)[0]) == (0, 1)


def test_labels_of_another_space_are_refused(tmp_path):
    scene = em_scene(tmp_path)
    write_labels(tmp_path / "other.tiff", Volume(LABELS[1:], SPACING, "nm"))
    with pytest.raises(PlanewiseError, match=r"other\.tiff: does not lie in the space of"):
        labels_layer("m", tmp_path / "other.tiff", LabelNames(), (Path("image"), scene.volume), False, True)


def test_the_middle(tmp_path):
    assert middle(em_scene(tmp_path).layers[0]) == tuple(side // 2 for side in SHAPE)
