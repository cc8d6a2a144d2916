import numpy as np
import pytest
import tifffile

from planewise.data.classes import CLASS_1, LabelDefinition, Target
from planewise.errors import PlanewiseError
from planewise.evaluation.pairs import MISSING, OK, Pair, pair_files, with_labels
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from scored import evaluate_pairs


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
    by_case = statuses(folders)
    assert "a.tiff" in by_case["a"]
    assert "(39, 48, 56)" in by_case["b"]
    assert "(40, 48, 56)" in by_case["b"]
    assert "fractions" in by_case["c"]
    assert "no truth" in by_case["only_here"]


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
    reason = statuses(folders)["a"]
    assert "several files for one case, a: a.tif, a.tiff" in reason


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


def test_ignored_voxels_count_neither_as_missed_nor_as_invented(tmp_path):
    truth = np.array([[[1, 1, 0, 0, 3, 3, 3, 2]]], np.uint8)
    predicted = np.array([[[1, 0, 0, 9, 9, 9, 0, 0]]], np.uint8)
    for name, labels in (("truth", truth), ("predicted", predicted)):
        write_labels(tmp_path / f"{name}.tiff", Volume(labels))
    pair = Pair("a", tmp_path / "predicted.tiff", tmp_path / "truth.tiff")
    (marked,) = with_labels([pair], LabelDefinition({1: "a", 2: "b"}, ignore=3), instances=False)
    row = evaluate_pairs([marked], CLASS_1)[0]  # right 1, missed 1, invented 1 (and 2 where nobody knows)
    assert (row["voxel_iou"], row["voxel_precision"], row["voxel_recall"]) == pytest.approx((1 / 3, 1 / 2, 1 / 2))
    assert evaluate_pairs([pair], CLASS_1)[0]["voxel_precision"] == pytest.approx(1 / 4)
    region = evaluate_pairs([marked], Target("both", (1, 2), 3))[0]
    assert region["voxel_recall"] == pytest.approx(1 / 3)


def test_instances_are_ignored_by_the_labels_beside_them(tmp_path):
    volumes = {
        "instancesTs/a": [[[5, 5, 5, 5, 0, 8, 8]]],
        "labelsTs/a": [[[1, 1, 1, 1, 2, 2, 2]]],
        "p/a": [[[4, 4, 4, 0, 6, 6, 6]]],
    }
    for name, labels in volumes.items():
        write_labels(tmp_path / f"{name}.tiff", Volume(np.array(labels, np.uint8)))
    pairs = pair_files(tmp_path / "p", tmp_path / "instancesTs")
    row = evaluate_pairs(with_labels(pairs, LabelDefinition({1: "a"}, ignore=2), instances=True))[0]
    assert (row["n_truth"], row["n_pred"], row["tp_50"], row["voxel_iou"]) == (1, 1, 1, 0.75)
    assert evaluate_pairs(pairs)[0]["n_pred"] == 2
    (tmp_path / "labelsTs" / "a.tiff").unlink()
    row = evaluate_pairs(with_labels(pairs, LabelDefinition({1: "a"}, ignore=2), instances=True))[0]
    assert row.keys() == {"case", "status"}  # not scored as empty: the prediction is not to blame
    assert f"{tmp_path}/labelsTs/a.*: is missing; one label volume beside its instances" in row["status"]
