"""Defines each score once: its name, unit, formula, which direction is better, and its value in empty cases.

Tables, files, pages and the terminal read this table; a test computes all empty cases and compares them with it.
"""

from dataclasses import dataclass
from typing import Literal

from planewise.evaluation.instances import ACCURACY_THRESHOLDS

UNITS = {"nm": "nm", "mm": "mm", "voxel": "voxels", "ml": "ml", "um3": "µm³", "voxels": "voxels"}

Edge = Literal["0", "diagonal", "undefined", "counted"]
"""The value of a score if something is empty: 0, the image's diagonal, not defined, or as its formula gives."""


@dataclass(frozen=True)
class Metric:
    """A score; ``better``: "" if neither direction is. ``unit``: the kind of unit that is appended to its key, if any.

    ``truth_empty``: its value if the truth is empty and the prediction is not; ``prediction_empty``: the reverse;
    ``both_empty``. A missing prediction counts as an empty one or, if the truth is empty, as a false positive; scores
    without a fixed value for that are undefined. So a missing prediction never has the best score.
    """

    name: str
    formula: str
    better: Literal["higher", "lower", ""]
    truth_empty: Edge
    prediction_empty: Edge
    both_empty: Edge = "undefined"
    unit: Literal["", "count", "distance", "volume"] = ""

    @property
    def edges(self) -> str:
        """Its values in empty cases, as text."""
        words = {"0": "0", "diagonal": "the image's diagonal", "undefined": "not defined", "counted": "as computed"}
        shown = [words[edge] for edge in (self.truth_empty, self.prediction_empty, self.both_empty)]
        if shown == ["as computed"] * 3:
            return ""
        return f"truth empty: {shown[0]}; prediction empty: {shown[1]}; both: {shown[2]}"


def _share(name: str, formula: str) -> Metric:
    return Metric(name, formula, "higher", "0", "0")


def _precision(name: str, formula: str) -> Metric:
    return Metric(name, formula, "higher", "0", "undefined")


def _recall(name: str, formula: str) -> Metric:
    return Metric(name, formula, "higher", "undefined", "0")


def _count(name: str, formula: str, better: Literal["lower", ""] = "") -> Metric:
    return Metric(name, formula, better, "counted", "counted", "counted", "count")


def _distance(name: str, formula: str) -> Metric:
    return Metric(name, formula, "lower", "diagonal", "diagonal", unit="distance")


def _of_objects(name: str, formula: str) -> Metric:
    return Metric(name, formula, "lower", "undefined", "diagonal", unit="distance")


def _of_matches(name: str, better: Literal["higher", "lower"], unit: Literal["", "distance"]) -> Metric:
    return Metric(name, "mean over the matched objects only", better, "undefined", "undefined", unit=unit)


def _partition(name: str, formula: str) -> Metric:
    return Metric(name, formula, "lower", "undefined", "counted")


def _volume(name: str, formula: str) -> Metric:
    return Metric(name, formula, "", "counted", "counted", "counted", "volume")


def _at(threshold: float) -> dict[str, Metric]:
    """Return the scores of objects that are matched at this IoU."""
    at = f"at IoU {threshold:g}"
    scores = {
        "f1": _share(f"F1 {at}", f"objects matched one to one {at} or more: 2 TP / (2 TP + FP + FN)"),
    }
    if threshold in (0.5, 0.75):
        scores |= {
            "precision": _precision(f"precision {at}", "TP / (TP + FP) of objects"),
            "recall": _recall(f"recall {at}", "TP / (TP + FN) of objects"),
            "accuracy": _share(f"accuracy {at}", "TP / (TP + FP + FN) of objects (doi:10.1038/s41592-019-0612-7)"),
        }
    return {f"{key}_{round(100 * threshold)}": metric for key, metric in scores.items()}


METRICS = {  # keys are without units: hd95_nm is under hd95
    "voxel_iou": _share("voxel IoU", "TP / (TP + FP + FN) of foreground voxels (Jaccard 1912)"),
    "voxel_dice": _share("voxel Dice", "2 TP / (2 TP + FP + FN) of foreground voxels (doi:10.2307/1932409)"),
    "voxel_precision": _precision("voxel precision", "TP / (TP + FP) of foreground voxels"),
    "voxel_recall": _recall("voxel recall", "TP / (TP + FN) of foreground voxels"),
    "n_truth": _count("true objects", "labels above 0 in the truth"),
    "n_pred": _count("predicted objects", "labels above 0 in the prediction"),
    "tp_50": _count("true positives", "objects matched one to one at IoU of at least 0.5"),
    "fp_50": _count("false positives", "predicted objects without a match at IoU of at least 0.5", "lower"),
    "fn_50": _count("false negatives", "true objects without a match at IoU of at least 0.5", "lower"),
    **{key: metric for threshold in ACCURACY_THRESHOLDS for key, metric in _at(threshold).items()},
    "mean_accuracy": _share("mean accuracy, IoU 0.50:0.05:0.95", "accuracy of objects, mean over these thresholds"),
    "pq_50": _share(
        "panoptic quality (PQ)", "sum of the matches' IoU / (TP + FP / 2 + FN / 2), at IoU 0.5 (arXiv:1801.00868)"
    ),
    "sq_50": Metric(
        "segmentation quality (SQ)", "mean IoU of the matches (ibid.)", "higher", "undefined", "undefined"
    ),
    "rq_50": _share("recognition quality (RQ)", "F1 at IoU 0.5 (ibid.)"),
    "dsc": _share("Dice in 3D", "2 |A and B| / (|A| + |B|) of the class (doi:10.2307/1932409)"),
    "iou": _share("IoU in 3D", "|A and B| / |A or B| of the class (Jaccard 1912)"),
    "precision": _precision("precision", "|A and B| / |B| of the class, B the prediction"),
    "recall": _recall("recall", "|A and B| / |A| of the class, A the truth"),
    "dsc_slices": _share("Dice by slice", "mean over the slices in which it is defined"),
    "n_slices": _count("slices", "those with the class in truth or prediction"),
    "nsd": _share(
        "surface Dice", "share of both surfaces that lies within the tolerance of the other; all surface voxels count "
        "equally (doi:10.2196/26151)",
    ),
    "hd95": _distance("HD95", "the larger of the two directed 95th percentiles of surface distances"),
    "assd": _distance("surface distance", "mean over the surface voxels of both (doi:10.1109/TMI.2009.2013851)"),
    "object_nsd": _recall("object surface Dice", "mean over the true objects; 0 for an object without a match"),
    "object_hd95": _of_objects(
        "object HD95", "mean over the true objects; the image's diagonal for an object without a match"
    ),
    "object_assd": _of_objects(
        "object surface distance", "mean over the true objects; the image's diagonal for an object without a match"
    ),
    "matched_nsd": _of_matches("matched surface Dice", "higher", ""),
    "matched_hd95": _of_matches("matched HD95", "lower", "distance"),
    "matched_assd": _of_matches("matched surface distance", "lower", "distance"),
    "vi_split": _partition(
        "VI split", "H(prediction | truth) in bits, over the true objects' voxels (doi:10.1016/j.jmva.2006.11.013)"
    ),
    "vi_merge": _partition("VI merge", "H(truth | prediction) in bits, over the same voxels (ibid.)"),
    "rand_error": _partition(
        "Rand error", "adapted Rand error, 1 - F of the pairs of voxels in one object, over the same voxels "
        "(doi:10.3389/fnana.2015.00142)",
    ),
    "missed": _count(
        "missed", "true objects to which no predicted object belongs; for a class 1 if all of it is missed, else 0",
        "lower",
    ),
    "merges": _count("merges", "predicted objects that belong to several true objects", "lower"),
    "splits": _count("splits", "true objects to which several predicted objects belong", "lower"),
    "false_positive": Metric(
        "false positive", "predicted volume in cases without the class", "lower", "counted", "undefined", "counted",
        "volume",
    ),
    "truth": _volume("true volume", "volume of the class in the truth"),
    "predicted": _volume("predicted volume", "volume of the class in the prediction"),
    "slice_sensitivity": _recall("slice sensitivity", "share of the slices with the class in which it is predicted"),
    "slice_specificity": Metric(
        "slice specificity", "share of the slices without the class in which it is not predicted", "higher", "counted",
        "counted", "counted",
    ),
    "n_with": _count("slices with it", "slices of all cases together that have the class"),
    "n_without": _count("slices without", "slices of all predicted cases together that do not have it"),
    "sensitivity": _recall("sensitivity", "slice sensitivity, the slices of all cases together"),
    "specificity": Metric(
        "specificity", "slice specificity, the slices of all predicted cases together", "higher", "counted", "counted",
        "counted",
    ),
    "auc": Metric(
        "area under the ROC", "how often a slice with the class has a higher score than one without", "higher",
        "undefined", "counted",
    ),
}  # fmt: skip


def base_of(key: str) -> str:
    """Return a score's key in ``METRICS``: ``hd95`` for ``hd95_nm``; itself if it has no unit."""
    stem, _, unit = key.rpartition("_")
    return stem if unit in UNITS and stem in METRICS else key


def metric_of(key: str) -> Metric:
    """Return the entry of ``METRICS`` for a score, whatever its unit."""
    return METRICS[base_of(key)]


def title_of(key: str) -> str:
    """Return the name of a score, with its unit."""
    unit = "" if base_of(key) == key else f", {UNITS[key.rpartition('_')[2]]}"
    return metric_of(key).name + unit


def as_not_delivered(scores: dict[str, float], truth_empty: bool, diagonal: float) -> dict[str, float]:
    """Return the scores of a missing prediction, computed from those of an empty one; see ``Metric``."""
    if not truth_empty:
        return scores
    fixed = {"0": 0.0, "diagonal": diagonal}
    judged = {key: metric_of(key) for key in scores if metric_of(key).better}
    return scores | {key: fixed.get(metric.truth_empty, float("nan")) for key, metric in judged.items()}
