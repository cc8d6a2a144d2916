"""DICOM segmentations that leave out empty slices, as highdicom writes them, beside their series and other labels."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dicom import CORONAL, write_dicom, write_sparse_segmentation
from planewise import compare
from planewise.data.space import filled_around, laid_on
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import from_canonical, to_canonical
from planewise.volumes.labels import open_labels, write_labels
from planewise.volumes.volume import Volume

pytest.importorskip("highdicom", reason="DICOM segmentations are written by it: pip install planewise[dicom]")

TAGS = {
    "FrameOfReferenceUID": "1.2.9", "PatientName": "Doe^Jane", "PatientBirthDate": "", "PatientSex": "",
    "AccessionNumber": "", "StudyID": "", "StudyTime": "", "SpacingBetweenSlices": 5.0,
}  # fmt: skip
KEPT = {"ends empty": [2, 3, 4], "middle empty": [0, 1, 5, 7], "both": [1, 6], "one slice": [4], "none empty": range(8)}


def labels_on_slices(slices):
    labels = np.zeros((8, 10, 12), np.uint8)
    for z in slices:
        labels[z, 2:5, 3 : 6 + z % 3] = 1 + z % 2
    return labels


def written(folder, labels, **geometry):
    """Write a series and a segmentation of it; return where the latter is, and the series as it is read."""
    files = write_dicom(folder / "P1", np.zeros(labels.shape, np.int16), **TAGS, **geometry)
    return write_sparse_segmentation(folder / "P1.seg.dcm", files, labels), open_volume(folder / "P1")


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize(
    "geometry", [{}, {"orientation": CORONAL, "origin": (3.0, 4.0, 5.0)}, {"tilt": (-1.5, 0.0)}],
    ids=["axial", "coronal", "tilted"],
)  # fmt: skip
def test_slices_that_are_left_out_are_empty(tmp_path, kept, geometry, capsys):
    labels = labels_on_slices(kept)
    path, image = written(tmp_path, labels, **geometry)
    segmentation = open_labels(path)
    assert segmentation.shape[0] == max(kept) - min(kept) + 1
    placed = laid_on(segmentation, path, image, tmp_path / "P1")
    np.testing.assert_array_equal(placed.read(), labels)
    assert (placed.origin, placed.tilt, placed.spacing) == (image.origin, image.tilt, image.spacing)
    printed = " ".join(capsys.readouterr().err.split())
    if segmentation.shape == image.shape:
        assert "taken as empty" not in printed
    else:
        assert printed.count("on its grid; around them it is taken as empty") == 1
        assert placed.labels.names == {value: f"class {value}" for value in range(1, labels.max() + 1)}


@pytest.mark.parametrize("kept", [[2, 3, 4], [1, 6]])
def test_an_image_whose_slices_run_the_other_way(tmp_path, kept):
    labels = labels_on_slices(kept)
    path, image = written(tmp_path, labels)
    turned = replace(
        image, voxels=np.zeros((10, 8, 12)), spacing=(2.5, 5.0, 2.5), direction=((0, -1, 0), (1, 0, 0), (0, 0, 1)),
        origin=(35.0, 0.0, 0.0),
    )  # fmt: skip
    assert to_canonical(turned).origin == pytest.approx(image.origin)
    placed = laid_on(open_labels(path), path, turned, tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(to_canonical(placed).read(), labels)
    np.testing.assert_array_equal(placed.read(), from_canonical(labels, turned).read())


ELSEWHERE = {
    "half a slice off": lambda image: replace(image, origin=(2.5, 0.0, 0.0)),
    "half a pixel off": lambda image: replace(image, origin=(0.0, 1.25, 0.0)),
    "reaches out": lambda image: replace(image, origin=(15.0, 0.0, 0.0)),
    "another spacing": lambda image: replace(image, spacing=(5.0, 2.4, 2.5)),
    "thinner slices": lambda image: replace(image, spacing=(2.5, 2.5, 2.5)),
    "another direction": lambda image: replace(image, direction=((1, 0, 0), (0, 0.995, 0.0998), (0, -0.0998, 0.995))),
    "tilted": lambda image: replace(image, tilt=(1.5, 0.0)),
    "without a place": lambda image: replace(image, has_origin=False),
    "without a unit": lambda image: replace(image, unit="pixel"),
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_no_part_of_the_grid_is_refused(tmp_path, change):
    path, image = written(tmp_path, labels_on_slices([2, 3, 4]))
    with pytest.raises(PlanewiseError, match="does not lie in the space of") as refused:
        laid_on(open_labels(path), path, change(image), tmp_path / "P1")
    assert "a DICOM segmentation that omits empty slices must lie on voxels of the other" in str(refused.value)


def test_the_same_part_of_any_other_format_is_refused(tmp_path):
    path, image = written(tmp_path, labels_on_slices([2, 3, 4]))
    of_nifti = replace(open_labels(path), sparse=False)
    with pytest.raises(PlanewiseError, match=r"shape \(3, 10, 12\) and \(8, 10, 12\)\); they must agree$"):
        laid_on(of_nifti, tmp_path / "P1.nii.gz", image, tmp_path / "P1")
    assert filled_around(of_nifti, path, [(tmp_path / "P1", image)]) is of_nifti


PAIRS = {"apart": ([0, 1], [5, 6]), "crossing": ([1, 2, 4], [3, 5]), "within": ([1, 6], [2, 4]), "around": ([3], [0])}
GEOMETRIES = {"axial": {}, "coronal": {"orientation": CORONAL}, "tilted": {"tilt": (-1.5, 0.0)}}


def scores(methods, truth):
    """Return what is scored but for what counts slices of no file, and the size of the whole."""
    rows = compare(methods, truth, classes={1: "odd", 2: "even"}).rows
    names = ("dsc", "iou", "precision", "dsc_slices", "nsd", "truth_ml", "predicted_ml", "slice_sensitivity")
    return [[None if math.isnan(row.scores[name]) else round(row.scores[name], 6) for name in names] for row in rows]


@pytest.mark.parametrize(("truth", "predicted"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_two_that_leave_out_different_slices_are_scored_on_a_grid_that_holds_both(tmp_path, truth, predicted, geometry):
    """As the same labels are where nothing is left out."""
    files = write_dicom(tmp_path / "P1", np.zeros((8, 10, 12), np.int16), **TAGS, **geometry)
    image, sparse, whole = open_volume(tmp_path / "P1"), {}, {}
    for name, slices in (("truth", truth), ("one", predicted), ("other", [2, 4, 5])):
        labels = labels_on_slices(slices)
        sparse[name] = write_sparse_segmentation(tmp_path / name / "P1.seg.dcm", files, labels)
        whole[name] = tmp_path / f"{name}_whole" / "P1.nrrd"
        write_labels(whole[name], image.with_voxels(labels))
    truth, truth_whole = sparse.pop("truth"), whole.pop("truth")
    wanted = scores(whole, truth_whole)
    mixed = {"one": sparse["one"], "other": whole["other"]}
    for methods in (sparse,) if "tilt" in geometry else (sparse, whole, mixed):  # NRRD says of no tilt
        assert scores(methods, truth) == wanted
    assert scores({name: path.parent for name, path in sparse.items()}, truth.parent) == wanted


def test_of_two_that_leave_out_different_slices_one_is_not_laid_on_the_other(tmp_path):
    path, _ = written(tmp_path / "a", labels_on_slices([0, 1]))
    other, _ = written(tmp_path / "b", labels_on_slices([5, 6]))
    with pytest.raises(PlanewiseError, match=r"write it with all slices of its series \(highdicom: omit_empty_frames"):
        laid_on(open_labels(path), path, open_labels(other), other)


def test_only_segmentations_are_read_as_sparse(tmp_path):
    path, image = written(tmp_path, labels_on_slices([2]))
    assert open_volume(path).sparse
    assert not image.sparse
    assert not Volume(np.zeros((1, 1, 1))).sparse
