import math

import numpy as np
import pytest
import tifffile

from planewise.data.classes import LabelDefinition
from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import MISSING, OK, Pair, with_labels
from planewise.evaluation.result import OBJECTS, Benchmark
from planewise.evaluation.standings import differences, standings
from planewise.evaluation.tolerance import Tolerance
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SPACING = (30.0, 8.0, 10.0)
TWO_MM = Tolerance({"mm": 2.0})
DIAGONAL = math.sqrt((40 * 30) ** 2 + (48 * 8) ** 2 + (56 * 10) ** 2)


@pytest.fixture
def write(tmp_path):
    def write(name, labels):
        write_labels(tmp_path / f"{name}.nii.gz", Volume(labels, SPACING, "mm"))
        return tmp_path / f"{name}.nii.gz"

    return write


def scores_of(truth, prediction):
    benchmark = Benchmark("d", {"m": [Pair("c", prediction, truth)]}, {}, {})
    return compare([benchmark], TWO_MM).results[0]


def test_a_copy_is_perfect_in_everything(write, balls):
    truth = write("truth", balls)
    scores = scores_of(truth, truth).scores
    for metric in ("f1_50", "f1_95", "pq_50", "nsd", "object_nsd", "matched_nsd"):
        assert scores[metric] == 1
    for metric in ("vi_split", "vi_merge", "rand_error", "hd95_mm", "assd_mm", "object_hd95_mm", "merges", "fn_50"):
        assert scores[metric] == 0


def test_missing_more_objects_does_not_improve_the_boundary(write, balls):
    truth = write("truth", balls)
    shifted = np.roll(balls, 2, axis=2)
    all_predicted = scores_of(truth, write("all", shifted)).scores
    one_predicted = scores_of(truth, write("one", shifted * (shifted == 1))).scores
    assert one_predicted["matched_hd95_mm"] == all_predicted["matched_hd95_mm"] == 20  # two voxels of 10 mm
    assert all_predicted["object_hd95_mm"] == 20
    assert one_predicted["object_hd95_mm"] == pytest.approx((20 + 4 * DIAGONAL) / 5)
    assert one_predicted["object_nsd"] < all_predicted["object_nsd"]
    assert one_predicted["hd95_mm"] > all_predicted["hd95_mm"]
    assert one_predicted["fn_50"] == 4


def test_nothing_found_and_nothing_there(write, balls):
    truth, empty = write("truth", balls), write("empty", balls * 0)
    nothing = scores_of(truth, empty).scores
    assert nothing["hd95_mm"] == nothing["object_assd_mm"] == pytest.approx(DIAGONAL)
    assert nothing["nsd"] == nothing["f1_50"] == 0
    assert nothing["vi_merge"] == pytest.approx(math.log2(5))
    invented = scores_of(empty, truth).scores
    assert invented["hd95_mm"] == pytest.approx(DIAGONAL)
    assert math.isnan(invented["object_hd95_mm"])
    neither = scores_of(empty, empty).scores
    assert math.isnan(neither["f1_50"])
    assert math.isnan(neither["hd95_mm"])


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
def test_the_boundary_of_the_foreground_as_monai_measures_it(write, balls):
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    predicted = np.roll(balls, (1, 3), axis=(0, 1))
    scores = scores_of(write("truth", balls), write("predicted", predicted)).scores
    tensors = [torch.from_numpy((labels > 0)[None, None].astype(np.float32)) for labels in (predicted, balls)]
    keywords = {"include_background": True, "spacing": list(SPACING)}
    assert scores["hd95_mm"] == pytest.approx(float(compute_hausdorff_distance(*tensors, percentile=95, **keywords)))
    assert scores["nsd"] == pytest.approx(float(compute_surface_dice(*tensors, [2.0], **keywords)))


def test_classes_that_were_missed_are_the_diagonal_away(write, balls):
    truth = np.where(balls > 3, 2, balls > 0).astype(np.uint8)
    benchmark = Benchmark(
        "d", {"m": [Pair("c", write("p", truth * (truth == 1)), write("t", truth))]}, {}, {1: "a", 2: "b", 9: "c"}
    )
    by_class = {result.class_name: result.scores for result in compare([benchmark], Tolerance()).results}
    assert (by_class["a"]["dsc"], by_class["a"]["hd95_mm"], by_class["a"]["missed"]) == (1, 0, 0)
    assert (by_class["b"]["dsc"], by_class["b"]["hd95_mm"], by_class["b"]["missed"]) == (0, pytest.approx(DIAGONAL), 1)
    assert math.isnan(by_class["c"]["dsc"])
    assert math.isnan(by_class["c"]["hd95_mm"])


def test_instances_against_a_truth_of_one_class(write, balls):
    benchmark = Benchmark("d", {"m": [Pair("c", write("p", balls), write("t", (balls > 0) * 3))]}, {}, {3: "a"})
    comparison = compare([benchmark], Tolerance())
    (result,) = comparison.results
    assert (result.scores["dsc"], result.scores["hd95_mm"]) == (1, 0)
    assert comparison.errors[0].along[0].sum() == 0


def test_a_tolerance_for_one_class(write, balls):
    truth = (balls > 0).astype(np.uint8) + (balls > 3)
    pairs = [Pair("c", write("p", np.roll(truth, 1, axis=2)), write("t", truth))]
    benchmark = Benchmark("d", {"m": pairs}, {}, {1: "a", 2: "b"})
    results = compare([benchmark], Tolerance({"mm": 2.0}, {("mm", "b"): 10.0})).results
    by_class = {result.class_name: result.scores for result in results}
    assert by_class["a"]["nsd"] < 1
    assert by_class["b"]["nsd"] == 1


def test_what_a_method_did_not_deliver_counts_as_nothing_in_one_mean_and_not_in_the_other(write, balls, tmp_path):
    truth = write("truth", balls)
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(truth.read_bytes()[:300])
    flat, fractions = write("flat", balls[:-1]), tmp_path / "fractions.tiff"
    tifffile.imwrite(fractions, balls + 0.5)
    files = {"good": truth, "gone": None, "broken": broken, "flat": flat, "fractions": fractions}
    pairs = [Pair(case, path, truth) for case, path in files.items()]
    other = [Pair(case, truth, truth) for case in files]
    comparison = compare([Benchmark("d", {"m": pairs, "all": other}, {}, {})], Tolerance())
    status = {result.case: result.status for result in comparison.results if result.method == "m"}
    assert status["good"] == OK
    assert status["gone"] == MISSING
    assert "broken.nii.gz" in status["broken"]
    assert "(39, 48, 56)" in status["flat"]
    assert "fractions" in status["fractions"]
    assert all("counted as an empty prediction" in reason for case, reason in status.items() if case != "good")
    best, worst = standings(comparison)
    assert (best.method, worst.method) == ("all", "m")
    assert (worst.n_cases, worst.n_delivered) == (5, 1)
    assert worst.counted["f1_50"].mean == pytest.approx(0.2)
    assert worst.left_out["f1_50"].mean == 1
    (difference,) = differences(comparison, ["f1_50"])
    assert (difference.first, difference.second, difference.difference.mean) == ("m", "all", pytest.approx(-0.8))
    assert math.isnan(difference.difference.p)


def test_a_truth_that_cannot_be_read_gives_no_scores(write, balls, tmp_path):
    truth = write("truth", balls)
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(truth.read_bytes()[:300])
    result = scores_of(broken, truth)
    assert result.class_name == OBJECTS
    assert result.scores == {}
    assert "broken.nii.gz" in result.status


def test_slabs_of_any_thickness_give_the_same(write, balls, monkeypatch):
    truth, predicted = write("t", balls), write("p", np.roll(balls, (1, 2, 2), axis=(0, 1, 2)))
    whole = scores_of(truth, predicted)
    monkeypatch.setattr("planewise.volumes.labels.SLAB_VOXELS", 0)
    for planes in (1, 7, 39):
        monkeypatch.setattr("planewise.volumes.labels.SLAB_PLANES", planes)
        parts = scores_of(truth, predicted)
        assert parts.scores == whole.scores
        assert parts.mistakes == whole.mistakes


def test_a_region_is_one_class_and_the_ignore_label_counts_nowhere(write):
    truth = np.zeros((6, 8, 8), np.uint8)
    truth[1:4, 1:4, 1:4], truth[1:4, 1:4, 4:6], truth[5], truth[0] = 1, 2, 3, 4
    predicted = np.zeros_like(truth)
    predicted[1:4, 1:4, 1:6], predicted[5] = 7, 8  # the region, as an instance of whatever number, and what is ignored
    labels = LabelDefinition({1: "a", 2: "b", 4: "c"}, ignore=3)
    pair = with_labels([Pair("c", write("p", predicted), write("t", truth))], labels, instances=False)
    benchmark = Benchmark("d", {"m": pair}, {}, {1: "both"}, values=(1, 2))
    comparison = compare([benchmark], Tolerance())
    scores = comparison.results[0].scores
    assert scores["dsc"] == scores["nsd"] == 1
    assert sum(int(along.sum()) for along in comparison.errors[0].along) == 0
    benchmark = Benchmark("d", {"m": pair}, {}, {1: "a", 2: "b"})  # classes by number: nothing is predicted of them
    assert [result.scores["dsc"] for result in compare([benchmark], Tolerance()).results] == [0, 0]
