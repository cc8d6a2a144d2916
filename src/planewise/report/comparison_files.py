"""A comparison as files: results.csv, a row for each number, and results.json, with everything."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

from planewise.evaluation.metrics import METRICS, base_of
from planewise.evaluation.result import Comparison
from planewise.evaluation.standings import MethodDifference, Standing
from planewise.report.tables import cell
from planewise.volumes.atomic import atomic_path
from planewise.volumes.json_files import finite, write_json

CSV, JSON = "results.csv", "results.json"
TESTED = ("f1_50", "dsc", "voxel_iou", "hd95", "object_hd95", "nsd", "vi_split", "vi_merge", "rand_error")


def write_comparison_files(
    comparison: Comparison, ranked: list[Standing], between: list[MethodDifference], folder: Path
) -> None:
    """Write both files. In the CSV, ``delivered`` is a metric too: 0 if the other scores are of an empty prediction.

    In the JSON, ``n`` of a summary or a difference is the number of patients.
    """
    with atomic_path(folder / CSV) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("dataset", "method", "case", "class", "metric", "value", "patient"))
        for result in comparison.results:
            place = (result.dataset, result.method, result.case, result.class_name)
            scores = {"delivered": int(result.delivered)} | {key: cell(value) for key, value in result.scores.items()}
            writer.writerows((*place, metric, value, result.patient) for metric, value in scores.items())
    write_json(folder / JSON, finite(_content(comparison, ranked, between)))


def tested_metrics(comparison: Comparison) -> list[str]:
    """Return the metrics that methods are compared by, in the units that occur."""
    keys = dict.fromkeys(metric for result in comparison.results for metric in result.scores)
    return [key for key in keys if base_of(key) in TESTED]


def _content(comparison: Comparison, ranked: list[Standing], between: list[MethodDifference]) -> dict[str, Any]:
    return {
        "metrics": {key: asdict(metric) for key, metric in METRICS.items()},
        "tolerance": {
            **{unit: low if low == high else [low, high] for unit, (low, high) in comparison.tolerances().items()},
            **{f"{name}, {unit}": value for (unit, name), value in comparison.tolerance.by_class.items()},
        },
        "standings": [
            {key: value for key, value in asdict(standing).items() if key != "instances"} for standing in ranked
        ],
        "differences": [asdict(difference) for difference in between],
        "results": [
            {
                "dataset": result.dataset,
                "method": result.method,
                "case": result.case,
                "patient": result.patient,
                "class": result.class_name,
                "status": result.status,
                "tolerance": result.tolerance,
                "scores": result.scores,
                "mistakes": [asdict(mistake) for mistake in result.mistakes],
                "object_sizes": result.object_sizes.tolist(),
                "object_ious": result.object_ious.tolist(),
            }
            for result in comparison.results
        ],
    }
