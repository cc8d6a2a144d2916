"""How reliable the confidence of objects is: risk and coverage, calibration error and Brier score.

Each PREDICTIONS is a folder that planewise mito predict wrote with one model, with {case}_objects.csv; with
--min_agreement 0 it also holds objects that would be dropped. TRUTH is the folder of the true instances. An object is
right if it matches a true one at IoU 0.5. Without arguments it runs on made-up objects, whose numbers mean nothing.

    python benchmarks/bench_confidence.py [--tiny] [TRUTH PREDICTIONS ...] [--figure PNG]
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from machine import WORDS, describe

from planewise.inference.confidence import calibrate, write_objects
from planewise.inference.votes import ObjectVotes
from planewise.report.figures import new_figure
from planewise.report.plots import METHOD_COLOURS
from planewise.training.assembled import IOU
from planewise.training.calibration import best_ious
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import stem_of
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.slices import PLANES
from planewise.volumes.volume import Volume

BINS = 5  # of equal width, for the calibration error: there are few objects


def objects_of(predictions: Path, truth: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of each predicted object of a folder, (objects,), and whether the object is right."""
    certain, right = [], []
    for path in volumes_in(truth):
        with (predictions / f"{stem_of(path)}_objects.csv").open(newline="", encoding="utf-8") as file:
            certain += [float(row["confidence"]) for row in csv.DictReader(file)]
        prediction = next(file for file in volumes_in(predictions) if stem_of(file) == stem_of(path))
        labels = read_labels(prediction).read()
        iou, _ = best_ious(read_labels(path).read().astype(np.int64), labels, int(labels.max()))
        right += (iou >= IOU).tolist()
    return np.array(certain), np.array(right, bool)


def risk_coverage(certain: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the objects that are kept, most certain first, and the share of these that is wrong."""
    order = np.argsort(-certain, kind="stable")
    kept = np.arange(1, len(order) + 1)
    return kept / len(order), np.cumsum(~right[order]) / kept


def calibration_bins(certain: np.ndarray, right: np.ndarray) -> list[tuple[float, float, int]]:
    """Return, for each bin that has objects, their mean confidence, the share that is right, and their number."""
    bins = np.minimum((certain * BINS).astype(int), BINS - 1)
    chosen = [bins == place for place in range(BINS)]
    return [(float(certain[of].mean()), float(right[of].mean()), int(of.sum())) for of in chosen if of.any()]


def report(name: str, certain: np.ndarray, right: np.ndarray) -> None:
    """Print the numbers of one run as a row."""
    coverage, risk = risk_coverage(certain, right)
    error = sum(count * abs(mean - share) for mean, share, count in calibration_bins(certain, right)) / len(right)
    brier, of_mean = float(np.mean((certain - right) ** 2)), float(right.mean() * (1 - right.mean()))
    print(
        f"{name:<24}{len(right):>4} objects, {(~right).sum():>3} wrong   ECE {error:.3f}   Brier {brier:.3f} "
        f"(of the mean {of_mean:.3f})   area under risk {float(np.trapezoid(risk, coverage)):.3f}   "
        f"risk of all {risk[-1]:.3f}, of the surer half {risk[(len(risk) - 1) // 2]:.3f}"
    )


def draw(path: Path, runs: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw risk against coverage, a line for each run, and the calibration of all runs together."""
    figure = new_figure(8.0, 3.4)
    left, right = figure.subplots(1, 2)
    for place, (name, (certain, correct)) in enumerate(runs.items()):
        width = 1.2 + 1.6 * (len(runs) - 1 - place)  # so that lines under others show
        colour = METHOD_COLOURS[place % len(METHOD_COLOURS)]
        left.plot(*risk_coverage(certain, correct), color=colour, label=name, linewidth=width, drawstyle="steps-post")
    left.set(xlabel="share of the objects that are kept, most certain first", ylabel="share of these that is wrong")
    left.set(xlim=(0, 1.01))
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8)
    means, shares, counts = zip(*calibration_bins(*(np.concatenate(parts) for parts in zip(*runs.values()))))
    right.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    right.scatter(means, shares, s=[12 + 4 * count for count in counts])
    for mean, share, count in zip(means, shares, counts):
        right.annotate(f"{count}", (mean, share), textcoords="offset points", xytext=(0, -18), ha="center", fontsize=8)
    right.set(xlabel="confidence", ylabel="share that is right", xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    figure.savefig(path, dpi=120)


def make_up(folder: Path) -> None:
    """Write a truth of 8 cubes, and a prediction with 4 more, on which the planes agree less."""
    labels = np.zeros((20, 40, 120), np.uint16)
    for place in range(12):
        y, x = 4 + 18 * (place % 2), 20 * (place // 2)
        labels[4:16, y : y + 12, x : x + 12] = place + 1
    right = np.arange(12) < 8
    write_labels(folder / "truth" / "a.tiff", Volume(np.where(labels <= 8, labels, 0)))
    write_labels(folder / "predicted" / "a.tiff", Volume(labels))
    shares = np.where(right, 0.8, 0.2)
    none = np.zeros(12, np.int64)
    votes = ObjectVotes(np.bincount(labels.ravel())[1:], np.full(12, 3), shares, np.zeros(12), none, none)
    write_objects(folder / "predicted" / "a_objects.csv", votes, votes.voxels, calibrate(shares, right, PLANES))


def main(arguments: argparse.Namespace, folder: Path) -> None:
    """Print a row for each folder, and one for all together."""
    truth, folders = arguments.truth, arguments.predictions
    if truth is None:
        make_up(folder)
        truth, folders = folder / "truth", [folder / "predicted"]
    runs = {path.name: objects_of(path, truth) for path in folders}
    for name, (certain, right) in runs.items():
        report(name, certain, right)
    if len(runs) > 1:
        report("all", *(np.concatenate(parts) for parts in zip(*runs.values())))
    if arguments.figure is not None:
        draw(arguments.figure, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("truth", type=Path, nargs="?")
    parser.add_argument("predictions", type=Path, nargs="*")
    parser.add_argument("--figure", type=Path)
    with tempfile.TemporaryDirectory() as where:
        main(parser.parse_args(WORDS), Path(where))
    print(f"  {describe()}")
