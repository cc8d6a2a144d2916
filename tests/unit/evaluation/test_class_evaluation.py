import math

import numpy as np

from planewise.evaluation.class_evaluation import evaluate_presence
from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import Pair
from planewise.evaluation.presence import presence_file, write_presence
from planewise.evaluation.result import Benchmark
from planewise.evaluation.tolerance import Tolerance
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

NAMES = {1: "a", 2: "b"}


def evaluated(folder, cases):
    benchmark = Benchmark("d", {"m": [Pair(case, *files) for case, files in cases.items()]}, {}, NAMES, any_label=False)
    results = compare([benchmark], Tolerance()).results
    return evaluate_presence(folder, "boxes", results, NAMES)


def test_slices_that_were_not_delivered_are_missed_and_right_nowhere(tmp_path):
    labels = np.zeros((4, 6, 6), np.uint8)
    labels[1, 2:4, 2:4] = 1
    truth = tmp_path / "t.nii.gz"
    write_labels(truth, Volume(labels))
    alone, problems = evaluated(tmp_path, {"x": (truth, truth)})
    assert problems == []
    assert [alone.presence["a"].sensitivity, alone.presence["a"].specificity] == [1, 1]
    with_missing, _ = evaluated(tmp_path, {"x": (truth, truth), "y": (None, truth)})
    presence = with_missing.presence["a"]
    assert (presence.n_with, presence.n_without) == (2, 3)
    assert (presence.sensitivity, presence.specificity) == (0.5, 1)
    assert with_missing.presence["b"].n_without == 4
    assert math.isnan(with_missing.presence["b"].sensitivity)


def test_scores_of_presence_come_from_beside_the_predictions_and_a_damaged_table_is_a_problem(tmp_path):
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[1, 2:4, 2:4] = 1
    truth = tmp_path / "t.nii.gz"
    write_labels(truth, Volume(labels))
    unknown = np.full((3, 2), np.nan)
    write_presence(presence_file(tmp_path, "x"), np.array([[0.1, 0], [2, 0], [1, 0]]), NAMES, unknown, unknown)
    evaluation, problems = evaluated(tmp_path, {"x": (truth, truth)})
    assert evaluation.presence["a"].auc == 1
    assert problems == []
    presence_file(tmp_path, "x").write_text("slice,class,score\n9,1,2\n")
    evaluation, (problem,) = evaluated(tmp_path, {"x": (truth, truth)})
    assert math.isnan(evaluation.presence["a"].auc)
    assert problem.where == "x"
    assert "predict the case again" in problem.what
    assert evaluation.of_class("a")[0].scores["dsc"] == 1
