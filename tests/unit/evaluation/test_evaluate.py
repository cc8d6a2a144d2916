import numpy as np
import pytest
import tifffile

from planewise.data.classes import CLASS_1
from planewise.errors import PlanewiseError
from planewise.evaluation.evaluate import evaluate_pairs
from planewise.evaluation.pairs import MISSING, OK, Pair, pair_files
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


@pytest.fixture
def folders(tmp_path, balls):
    for name in ("pred", "truth"):
        (tmp_path / name).mkdir()
        for case in "abc":
            write_labels(tmp_path / name / f"{case}.tiff", Volume(balls))
    return tmp_path / "pred", tmp_path / "truth"


def statuses(folders):
    return {row["case"]: row["status"] for row in evaluate_pairs(pair_files(*folders))}


def test_a_copy_of_the_truth_scores_one_and_nothing_scores_zero(folders, balls):
    write_labels(folders[0] / "b.tiff", Volume(np.zeros_like(balls)))
    rows = {row["case"]: row for row in evaluate_pairs(pair_files(*folders))}
    assert rows["a"]["voxel_iou"] == rows["a"]["f1_50"] == rows["a"]["mean_accuracy"] == rows["a"]["pq_50"] == 1
    assert rows["b"]["voxel_iou"] == rows["b"]["f1_50"] == rows["b"]["pq_50"] == 0
    assert rows["b"]["fn_50"] == 5


def test_a_missing_prediction_counts_as_found_nothing_and_says_so(folders):
    (folders[0] / "b.tiff").unlink()
    row = next(row for row in evaluate_pairs(pair_files(*folders)) if row["case"] == "b")
    assert row["status"] == MISSING
    assert (row["n_truth"], row["n_pred"], row["f1_50"], row["voxel_dice"]) == (5, 0, 0, 0)


def test_what_cannot_be_scored_is_a_row_with_its_reason(folders, balls):
    pred = folders[0]
    path = pred / "a.tiff"
    path.write_bytes(path.read_bytes()[:400])
    write_labels(pred / "b.tiff", Volume(balls[:-1]))
    tifffile.imwrite(pred / "c.tiff", balls + 0.5)
    write_labels(pred / "only_here.tiff", Volume(balls))
    found = statuses(folders)
    assert "a.tiff" in found["a"]
    assert "(39, 48, 56)" in found["b"]
    assert "(40, 48, 56)" in found["b"]
    assert "fractions" in found["c"]
    assert "no truth" in found["only_here"]


def test_names_are_paired_across_endings_and_channel_numbers(folders, balls):
    pred, _ = folders
    (pred / "a.tiff").rename(pred / "a_0000.tif")
    (pred / "b.tiff").unlink()
    write_labels(pred / "b.nii.gz", Volume(balls))
    assert statuses(folders) == {"a": OK, "b": OK, "c": OK}


def test_the_planes_files_are_passed_over(folders, balls):
    for plane in ("xy", "xz", "yz"):
        write_labels(folders[0] / f"a_{plane}.tiff", Volume(balls))
    assert set(statuses(folders)) == {"a", "b", "c"}


def test_a_case_that_is_named_like_a_plane_is_a_case(folders, balls):
    write_labels(folders[0] / "sample_xy.tiff", Volume(balls))
    write_labels(folders[1] / "sample_xy.tiff", Volume(balls))
    assert statuses(folders)["sample_xy"] == OK


def test_two_files_for_one_case(folders, balls):
    write_labels(folders[0] / "a.tif", Volume(balls))
    told = statuses(folders)["a"]
    assert "several files for one case, a: a.tif, a.tiff" in told


def test_orientations_are_brought_together(tmp_path, balls):
    flipped = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
    write_labels(tmp_path / "a.nii.gz", Volume(balls, unit="mm"))
    there = Volume(balls[:, ::-1, ::-1], unit="mm", origin=(0.0, 47.0, 55.0), direction=flipped)
    write_labels(tmp_path / "b.nii.gz", there)
    row = evaluate_pairs([Pair("a", tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")])[0]
    assert row["voxel_iou"] == 1


def test_a_semantic_truth_has_no_instance_columns(folders, balls):
    write_labels(folders[1] / "a.tiff", Volume(np.where(balls > 3, 2, balls > 0)))
    row = evaluate_pairs(pair_files(*folders), CLASS_1)[0]
    assert row["voxel_recall"] == 1
    assert row["voxel_precision"] == pytest.approx((balls[balls > 0] <= 3).mean())
    assert "n_truth" not in row
    assert "f1_50" not in row


def test_two_files_and_mixed_arguments(folders):
    assert evaluate_pairs(pair_files(folders[0] / "a.tiff", folders[1] / "b.tiff"))[0]["f1_50"] == 1
    with pytest.raises(PlanewiseError, match="two volumes or two folders"):
        pair_files(folders[0] / "a.tiff", folders[1])
    with pytest.raises(PlanewiseError, match="no such file"):
        pair_files(folders[0] / "nowhere", folders[1])
    (folders[0] / "empty").mkdir()
    with pytest.raises(PlanewiseError, match="holds no volumes"):
        pair_files(folders[0], folders[0] / "empty")
