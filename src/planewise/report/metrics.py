"""What each score is called, what it means, and which way is better: one table for every page and file."""

from dataclasses import dataclass
from typing import Literal

UNITS = {"nm": "nm", "mm": "mm", "voxel": "voxels", "ml": "ml", "um3": "µm³", "voxels": "voxels"}


@dataclass(frozen=True)
class Metric:
    """A score's short name, what it means, and whether higher or lower is better ("" where neither is)."""

    name: str
    meaning: str
    better: Literal["higher", "lower", ""]


METRICS = {  # those in a unit without it: hd95_nm is under hd95
    "f1_50": Metric("F1", "objects matched one to one at IoU of at least 0.5: 2 TP / (2 TP + FP + FN)", "higher"),
    "f1_75": Metric("F1 at 0.75", "the same at IoU of at least 0.75", "higher"),
    "mean_accuracy": Metric("mean accuracy", "TP / (TP + FP + FN), mean over IoU 0.50:0.05:0.95", "higher"),
    "pq_50": Metric("PQ", "panoptic quality: sum of the matches' IoU / (TP + FP / 2 + FN / 2)", "higher"),
    "dsc": Metric("Dice", "2 |A and B| / (|A| + |B|) of the class in 3D", "higher"),
    "dsc_slices": Metric("Dice by slice", "mean over the slices in which it is defined", "higher"),
    "iou": Metric("IoU", "intersection over union of the class", "higher"),
    "voxel_iou": Metric("voxel IoU", "intersection over union of the foreground", "higher"),
    "voxel_dice": Metric("voxel Dice", "Dice of the foreground", "higher"),
    "fn_50": Metric("missed", "true objects without a match at IoU of at least 0.5", "lower"),
    "fp_50": Metric("false", "predicted objects without a match at IoU of at least 0.5", "lower"),
    "missed": Metric("missed", "the class is there and nothing of it was predicted: 1, else 0", "lower"),
    "merges": Metric("merges", "predicted objects that hold a quarter of several true ones", "lower"),
    "splits": Metric("splits", "true objects of which several predicted ones lie a quarter inside", "lower"),
    "nsd": Metric("surface Dice", "share of both surfaces within the tolerance of the other", "higher"),
    "hd95": Metric(
        "HD95",
        "the larger of the two directed 95th percentiles of surface distances; the image's diagonal where only one of "
        "truth and prediction is empty",
        "lower",
    ),
    "assd": Metric("surface distance", "mean over both surfaces; the image's diagonal as for HD95", "lower"),
    "object_nsd": Metric("object surface Dice", "mean over the true objects; 0 for a missed one", "higher"),
    "object_hd95": Metric("object HD95", "mean over the true objects; the image's diagonal for a missed one", "lower"),
    "object_assd": Metric(
        "object surface distance", "mean over the true objects; the image's diagonal for a missed one", "lower"
    ),
    "matched_nsd": Metric("matched surface Dice", "mean over the matched objects alone", "higher"),
    "matched_hd95": Metric("matched HD95", "mean over the matched objects alone", "lower"),
    "matched_assd": Metric("matched surface distance", "mean over the matched objects alone", "lower"),
    "vi_split": Metric("VI split", "H(prediction | truth) in bits, over the true objects' voxels", "lower"),
    "vi_merge": Metric("VI merge", "H(truth | prediction) in bits, over the true objects' voxels", "lower"),
    "rand_error": Metric("Rand error", "adapted Rand error over the true objects' voxels", "lower"),
    "false_positive": Metric("false positive", "predicted volume in cases without the class", "lower"),
}
RANKING = {  # the columns of the ranking: of instances, of classes
    True: ("mean_accuracy", "pq_50", "voxel_iou", "nsd", "hd95", "object_hd95", "fn_50", "fp_50", "merges", "splits",
           "vi_split", "vi_merge", "rand_error"),
    False: ("iou", "missed", "nsd", "hd95", "assd", "false_positive"),
}  # fmt: skip
COUNTS = ("fn_50", "fp_50", "missed", "merges", "splits")  # their means are shown as they are
TESTED = ("f1_50", "dsc", "voxel_iou", "hd95", "object_hd95", "nsd", "vi_split", "vi_merge", "rand_error")


def base_of(key: str) -> str:
    """Return a score's key in ``METRICS``: ``hd95`` of ``hd95_nm``; itself where it has no unit."""
    stem, _, unit = key.rpartition("_")
    return stem if unit in UNITS and stem in METRICS else key


def title_of(key: str) -> str:
    """Return what a score is called, with its unit."""
    base = base_of(key)
    unit = "" if base == key else f", {UNITS[key.rpartition('_')[2]]}"
    return (METRICS[base].name if base in METRICS else base.replace("_", " ")) + unit
