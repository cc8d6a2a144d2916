from dataclasses import replace

import numpy as np
import pytest

from planewise.data.classes import LabelDefinition
from planewise.errors import PlanewiseError
from planewise.evaluation.open_pairs import Ignored, OpenPair, as_one_class, open_prediction, open_truth, read_slabs
from planewise.evaluation.pairs import OK, Pair, with_labels
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from scored import evaluate_classes, evaluate_pairs

RAS = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
LPS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@pytest.fixture
def corner():
    """Labels that no flip leaves as they are, (4, 6, 8)."""
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:2, :3, :3] = 1
    return labels


def space_cases(corner):
    there = Volume(corner, (3.0, 2.0, 2.0), "mm", (10.0, -40.0, 5.0), RAS)
    return there, {
        "lost header": Volume(corner),
        "other spacing": Volume(corner, (3.0, 2.0, 2.5), "mm", there.origin, RAS),
        "moved": Volume(corner, there.spacing, "mm", (10.0, -38.0, 5.0), RAS),
        "flipped": Volume(corner, there.spacing, "mm", there.origin, LPS),
    }


@pytest.mark.parametrize("what", ["lost header", "other spacing", "moved", "flipped"])
def test_identical_voxels_in_another_space_are_never_ok(tmp_path, corner, what):
    there, others = space_cases(corner)
    write_volume(tmp_path / "truth.nii.gz", there)
    write_volume(tmp_path / "pred.nii.gz", others[what])
    pair = Pair("a", tmp_path / "pred.nii.gz", tmp_path / "truth.nii.gz")
    row = evaluate_pairs([pair])[0]
    assert "does not lie in the space of" in row["status"]
    assert "--ignore_geometry" in row["status"]
    assert "--ignore_geometry" in evaluate_classes([pair], {1: "x"})[0].status
    known = Pair("a", pair.prediction, pair.truth, ignore_geometry=True)
    assert evaluate_pairs([known])[0] | {"status": OK, "voxel_dice": 1} == evaluate_pairs([known])[0]
    assert evaluate_classes([known], {1: "x"})[0].scores["dsc"] == 1


def test_ignored_geometry_needs_equal_arrays(tmp_path, corner):
    write_volume(tmp_path / "truth.nii.gz", Volume(corner, unit="mm"))
    turned = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    write_volume(tmp_path / "pred.nii.gz", Volume(corner.transpose(2, 1, 0), unit="mm", direction=turned))
    pair = Pair("a", tmp_path / "pred.nii.gz", tmp_path / "truth.nii.gz")
    assert np.array_equal(open_prediction(pair, open_truth(pair)).predicted.read(), corner)
    with pytest.raises(PlanewiseError, match=r"shape \(8, 6, 4\) as it is stored"):
        open_prediction(replace(pair, ignore_geometry=True), open_truth(pair))


def test_a_file_that_says_no_orientation_lies_as_the_other_s_array(tmp_path, corner):
    """A TIFF beside a NIfTI that is stored flipped: identical arrays are the same."""
    write_volume(tmp_path / "truth.nii.gz", Volume(corner, (3.0, 2.0, 2.0), "mm", direction=RAS))
    write_labels(tmp_path / "pred.tiff", Volume(corner))
    pair = Pair("a", tmp_path / "pred.tiff", tmp_path / "truth.nii.gz")
    assert evaluate_pairs([pair])[0]["voxel_dice"] == 1
    turned = Pair("a", pair.truth, pair.prediction)
    assert evaluate_pairs([turned])[0]["voxel_dice"] == 1


def test_the_truth_that_is_shown_is_the_one_that_is_scored(tmp_path):
    write_labels(tmp_path / "t.tiff", Volume(np.array([[[1, 3, 2]]], np.uint8)))
    pairs = [Pair("t", None, tmp_path / "t.tiff")]
    assert open_truth(pairs[0]).scored.read().tolist() == [[[1, 3, 2]]]
    (marked,) = with_labels(pairs, LabelDefinition({1: "a", 2: "b"}, ignore=3), instances=False)
    assert open_truth(marked).scored.read().tolist() == [[[1, 0, 2]]]


def test_slabs_have_a_plane_of_the_next_on_either_side_and_zeros_beyond(monkeypatch):
    for limit in ("SLAB_VOXELS", "SLAB_PLANES"):
        monkeypatch.setattr(f"planewise.volumes.labels.{limit}", 2)
    truth = Volume(np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1))
    slabs = list(read_slabs(OpenPair(truth, truth, OK)))
    assert [(slab.start, slab.truth.ravel().tolist()) for slab in slabs] == [(0, [1, 2]), (2, [3, 4]), (4, [5])]
    borders = [slab.truth_with_border.ravel().tolist() for slab in slabs]
    assert borders == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 0]]


def test_thick_chunks_are_read_once_for_all_slabs(monkeypatch):
    for limit in ("SLAB_VOXELS", "SLAB_PLANES"):
        monkeypatch.setattr(f"planewise.volumes.labels.{limit}", 2)

    class Chunked:
        def __init__(self, *values):
            self.content, self.read = np.array(values, np.uint8).reshape(8, 1, 1), []
            self.shape, self.dtype, self.chunks = self.content.shape, self.content.dtype, (4, 1, 1)

        def __getitem__(self, index):
            self.read.extend(range(*index.indices(8)))
            return self.content[index]

    truth, predicted, beside = (
        Chunked(1, 2, 3, 4, 5, 6, 7, 8),
        Chunked(1, 1, 0, 0, 2, 2, 2, 2),
        Chunked(1, 9, 1, 1, 1, 1, 9, 1),
    )
    ignored = Ignored(Volume(beside), 9)
    slabs = list(read_slabs(OpenPair(Volume(truth), Volume(predicted), OK, ignored)))
    assert [slab.truth.ravel().tolist() for slab in slabs] == [[1, 0], [3, 4], [5, 6], [0, 8]]
    assert [slab.predicted.ravel().tolist() for slab in slabs] == [[1, 0], [0, 0], [2, 2], [0, 2]]
    assert [voxels.read for voxels in (truth, predicted, beside)] == [list(range(8))] * 3


def test_labels_are_read_as_one_class():
    labels = Volume(np.array([[[0, 3, 7, 9]]], np.uint16))
    assert as_one_class(labels, 2, (3, 9)).read().tolist() == [[[0, 2, 0, 2]]]
    assert as_one_class(labels, 5).read().tolist() == [[[0, 5, 5, 5]]]
