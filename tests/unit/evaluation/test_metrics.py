"""What the table of metrics says of them is what is computed, and what the documentation shows."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from planewise.evaluation.comparison import compare
from planewise.evaluation.metrics import METRICS, base_of, metric_of, title_of
from planewise.evaluation.pairs import Pair
from planewise.evaluation.result import Benchmark
from planewise.evaluation.tolerance import Tolerance
from planewise.report import class_tables, comparison_files, ranking, tables
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SHAPE, SPACING = (6, 8, 10), (3.0, 2.0, 1.0)
DIAGONAL = math.dist((0, 0, 0), np.multiply(SHAPE, SPACING))
OF_ALL_CASES = {"n_with", "n_without", "sensitivity", "specificity", "auc"}  # of presence: not of a case


@pytest.fixture
def scores(tmp_path):
    """Scores of instances and of a class together, for truth and prediction there or empty, or not delivered."""
    full = np.zeros(SHAPE, np.uint8)
    full[1:4, 2:6, 2:6] = 1
    files = {}
    for name, labels in (("full", full), ("empty", full * 0)):
        files[name] = tmp_path / f"{name}.nii.gz"
        write_labels(files[name], Volume(labels, SPACING, "mm"))

    def scored(truth, prediction):
        pair = Pair("c", files.get(prediction), files[truth])
        benchmarks = [Benchmark(f"d{len(classes)}", {"m": [pair]}, {}, classes) for classes in ({}, {1: "a"})]
        return {key: score for r in compare(benchmarks, Tolerance()).results for key, score in r.scores.items()}

    return scored


@pytest.mark.parametrize(
    ("edge", "truth", "prediction"),
    [("truth_empty", "empty", "full"), ("prediction_empty", "full", "empty"), ("both_empty", "empty", "empty")],
)
def test_every_edge_is_as_declared(scores, edge, truth, prediction):
    computed = scores(truth, prediction)
    assert METRICS.keys() - {base_of(key) for key in computed} == OF_ALL_CASES
    for key, score in computed.items():
        match getattr(metric_of(key), edge):
            case "0":
                assert score == 0, key
            case "diagonal":
                assert score == pytest.approx(DIAGONAL), key
            case "undefined":
                assert math.isnan(score), key
            case "counted":
                assert not math.isnan(score), key


def test_not_to_deliver_is_never_the_best(scores):
    """Neither where there is something to find, nor where there is nothing: then it is as bad as a false prediction."""
    nothing_to_find = scores("empty", "nowhere")
    assert nothing_to_find["dsc"] == nothing_to_find["f1_50"] == nothing_to_find["nsd"] == 0
    assert nothing_to_find["hd95_mm"] == pytest.approx(DIAGONAL)
    for key in ("false_positive_ml", "slice_specificity", "missed", "fp_50", "merges", "splits", "recall"):
        assert math.isnan(nothing_to_find[key]), key
    assert (nothing_to_find["n_truth"], nothing_to_find["predicted_ml"]) == (0, 0)
    missing, empty = scores("full", "nowhere"), scores("full", "empty")
    assert math.isnan(missing.pop("slice_specificity"))
    assert empty.pop("slice_specificity") == 1
    assert {key: str(score) for key, score in missing.items()} == {key: str(score) for key, score in empty.items()}


def test_titles():
    assert (title_of("hd95_nm"), title_of("false_positive_um3"), title_of("dsc")) == (
        "HD95, nm",
        "false positive, µm³",
        "Dice in 3D",
    )
    names = [metric.name for metric in METRICS.values()]
    assert sorted(names) == sorted(set(names))  # one name, one meaning


def test_every_file_and_table_has_its_columns_from_the_table():
    columns = itertools.chain(
        tables.COLUMNS[2:],
        class_tables.CLASS_COLUMNS[4:],
        class_tables.PRESENCE_COLUMNS,
        comparison_files.TESTED,
        *ranking.COLUMNS.values(),
    )
    assert {base_of(column) for column in columns} <= METRICS.keys()
    assert all(metric_of(column).better for column in itertools.chain(*ranking.COLUMNS.values()))


def test_the_documentation_shows_the_table():
    documentation = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text("utf-8")
    words = {"0": "0", "diagonal": "diagonal", "undefined": "-", "counted": "computed"}
    for key, metric in METRICS.items():
        unit = {"distance": "_{unit}", "volume": "_{unit}"}.get(metric.unit, "")
        better = {"higher": "↑", "lower": "↓", "": ""}[metric.better]
        edges = [words[edge] for edge in (metric.truth_empty, metric.prediction_empty, metric.both_empty)]
        formula = metric.formula.replace("|", "\\|")
        row = " | ".join([f"`{key}{unit}`", f"{metric.name} {better}".strip(), formula, *edges])
        assert f"| {row} |\n" in documentation, row
