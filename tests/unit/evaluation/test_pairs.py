import numpy as np
import pytest

from planewise.evaluation.pairs import OK, pair_files
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from scored import evaluate_pairs


@pytest.fixture
def corner():
    """Labels that no flip leaves as they are, (4, 6, 8)."""
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:2, :3, :3] = 1
    return labels


def label_files(folder, names, labels):
    for name in names:
        write_labels(folder / name, Volume(labels))
    return folder


def test_truth_and_prediction_pair_by_case_however_they_are_called(tmp_path, corner):
    truths = label_files(tmp_path / "truth", ["a.tiff", "b_consensus.tiff", "c_0000.tif", "d_pred.nii.gz"], corner)
    predictions = ["a_pred.nii.gz", "b_0000.tif", "c_consensus.tiff", "d.tiff", "a_xy.tiff", "a_xz.tiff"]
    pairs = pair_files(label_files(tmp_path / "pred", predictions, corner), truths)
    assert [(pair.case, pair.prediction.name) for pair in pairs] == [
        ("a", "a_pred.nii.gz"),
        ("b", "b_0000.tif"),
        ("c", "c_consensus.tiff"),
        ("d", "d.tiff"),
    ]
    assert [row["status"] for row in evaluate_pairs(pairs)] == [OK] * 4


def test_two_files_for_a_case_are_refused_for_that_case_alone(tmp_path, corner):
    truths = label_files(tmp_path / "truth", ["a.tiff", "b.tiff", "c.tiff", "c_0000.tiff"], corner)
    predictions = label_files(tmp_path / "pred", ["a.tiff", "a_pred.tiff", "b.tiff", "c.tiff"], corner)
    status = {row["case"]: row["status"] for row in evaluate_pairs(pair_files(predictions, truths))}
    assert "several files for one case, a: a.tiff, a_pred.tiff" in status["a"]
    assert status["b"] == OK
    assert "several files for one case, c: c.tiff, c_0000.tiff" in status["c"]


def test_cases_that_end_in_a_number_pair_by_it(tmp_path, corner):
    names = [f"PAT_{number:04d}.tiff" for number in range(1, 4)]
    truths = label_files(tmp_path / "labelsTs", names, corner)
    both, one = label_files(tmp_path / "both", names, corner), label_files(tmp_path / "one", names[2:], corner)
    assert [pair.case for pair in pair_files(both, truths)] == ["PAT_0001", "PAT_0002", "PAT_0003"]
    assert {pair.case for pair in pair_files(one, truths, [both, one]) if pair.truth} == {name[:8] for name in names}
    (both / "PAT_0002.tiff").unlink()
    (both / "PAT_0003.tiff").unlink()
    assert [pair.prediction is None for pair in pair_files(both, truths)] == [False, True, True]


def test_a_truth_in_slices(tmp_path, corner):
    for z, labels in enumerate(corner):
        write_labels(tmp_path / "truth" / "a" / f"z{z:03d}.tif", Volume(labels[None]))
    write_labels(tmp_path / "pred" / "a.tiff", Volume(corner))
    rows = evaluate_pairs(pair_files(tmp_path / "pred", tmp_path / "truth"))
    assert [(row["case"], row["status"], row["voxel_dice"]) for row in rows] == [("a", OK, 1)]


def test_a_number_that_no_channel_has_is_no_other_case(tmp_path, corner):
    truths = label_files(tmp_path / "truth", ["a.tif", "cell.tif"], corner)
    predictions = label_files(tmp_path / "pred", ["a.tif", "cell_1000.tif"], corner)
    (_, missing, other) = pair_files(predictions, truths)
    assert (missing.case, missing.prediction) == ("cell", None)
    assert (other.case, other.problem) == ("cell_1000", f"no truth {truths / 'cell_1000'}.*")
    label_files(predictions, ["cell.tif"], corner)
    label_files(truths, ["cell_1000.tif"], corner)
    assert [(pair.case, pair.prediction.name) for pair in pair_files(predictions, truths)] == [
        ("a", "a.tif"),
        ("cell", "cell.tif"),
        ("cell_1000", "cell_1000.tif"),
    ]
