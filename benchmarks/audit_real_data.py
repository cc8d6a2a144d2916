"""200 audits of real masks, corrected by the ground truth: coverage and width of the intervals, by number of items.

The masks are those of a published U-Net, beside their ground truth (evaluation/); a plain threshold on the electron
microscopy of Dataset003 and of the test volume of Dataset001; and with --prediction those of a model, {case}.tiff in a
folder.

    python benchmarks/audit_real_data.py DATA FIGURE.png [--prediction FOLDER]
"""

import argparse
from pathlib import Path

import cc3d
import numpy as np
from bench_audit_coverage import Audit, of_boxes, of_slices, source
from scipy import ndimage

from planewise.audit.population import box_edges, boxes_of, objects_of, slices_of
from planewise.report.figures import new_figure
from planewise.volumes.files import open_volume
from planewise.volumes.labels import read_labels
from planewise.volumes.volume import Volume

AUDITS = 200
ITEMS = (10, 15, 20, 30, 45)
QUANTITIES = ("volume fraction, slices", "number, boxes", "mean volume, boxes")
DARK = 98  # smoothed grey value below which a voxel counts as part of an organelle
SMALLEST = 5000  # voxels of an object
SMOOTHING = 4.0  # voxels
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")


def threshold(image: np.ndarray) -> np.ndarray:
    """Return the connected dark bodies of an image: a first attempt without any training."""
    dark = ndimage.gaussian_filter(image.astype(np.float32), SMOOTHING) < DARK
    labels = cc3d.connected_components(ndimage.binary_opening(dark, iterations=3))
    sizes = np.bincount(labels.ravel())
    kept = np.flatnonzero(sizes >= SMALLEST)
    renumbered = np.zeros(len(sizes), np.uint16)
    renumbered[kept[kept > 0]] = np.arange(1, (kept > 0).sum() + 1)
    return renumbered[labels]


def pairs(data: Path, predictions: Path | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return truth and masks by name."""
    samples = {}
    evaluation = [read_labels(data / "evaluation" / f"hippo_{name}.tiff").read() for name in ("gt", "unet")]
    samples["published U-Net"] = (evaluation[0], evaluation[1])
    cases = {"hippo_lower": data / "Dataset003_HippocampusLower", "hippo_test1": data / "Dataset001_HippocampusMito"}
    for case, folder in cases.items():
        truth = read_labels(folder / "instancesTs" / f"{case}.tiff").read()
        masks = threshold(open_volume(folder / "imagesTs" / f"{case}_0000.tiff").read())
        samples[f"{folder.name[:10]}, threshold"] = (truth, masks)
        if predictions is not None and (predictions / f"{case}.tiff").exists():
            samples[f"{folder.name[:10]}, {predictions.name}"] = (
                truth,
                read_labels(predictions / f"{case}.tiff").read(),
            )
    return samples


def audits_of(truth: np.ndarray, masks: np.ndarray, items: int) -> dict[str, list[Audit]]:
    """Return 200 audits of each quantity."""
    rng = np.random.default_rng(0)
    of_masks, of_truth = (slices_of(source(labels), {"all": None})[0] for labels in (masks, truth))
    objects, true_objects = (objects_of(source(labels)) for labels in (masks, truth))
    edges = box_edges(Volume(masks), items, len(objects.labels), None)
    boxes, true = boxes_of(source(masks), objects, edges), boxes_of(source(truth), true_objects, edges)
    audits: dict[str, list[Audit]] = {quantity: [] for quantity in QUANTITIES}
    for _ in range(AUDITS):
        audits[QUANTITIES[0]].append(of_slices(of_masks, of_truth, "stratified", rng, items))
        for quantity, audit in of_boxes(boxes, true, rng, items).items():
            audits[quantity].append(audit)
    return audits


def main(data: Path, figure: Path, predictions: Path | None) -> None:
    """Print coverage and widths, and draw them."""
    drawn = new_figure(12, 6.2)
    above, below = drawn.subplots(2, len(QUANTITIES), sharex=True, height_ratios=(1, 2))
    coverages, panels = dict(zip(QUANTITIES, above)), dict(zip(QUANTITIES, below))
    print(f"{AUDITS} audits each; coverage in %, half width in % of the truth (without the masks)")
    print("| masks | quantity | " + " | ".join(f"{items} items" for items in ITEMS) + " |")
    print("|---|---|" + "---:|" * len(ITEMS))
    for colour, (name, (truth, masks)) in zip(COLOURS, pairs(data, predictions).items()):
        by_items = {items: audits_of(truth, masks, items) for items in ITEMS}
        for quantity, axes in panels.items():
            cells, held, widths, plain = [], [], [], []
            for items in ITEMS:
                audits = by_items[items][quantity]
                coverage = 100 * np.mean([audit.estimate.holds(audit.truth) for audit in audits])
                held.append(coverage)
                for values, which in ((widths, "found"), (plain, "plain")):
                    ends = [getattr(audit, which).half_width / audit.truth for audit in audits]
                    values.append(100 * float(np.median(ends)) if np.isfinite(ends).mean() > 0.5 else np.nan)
                without = "none" if np.isnan(plain[-1]) else f"{plain[-1]:.1f}"
                width = "none" if np.isnan(widths[-1]) else f"{widths[-1]:.1f}"
                cells.append(f"{coverage:.1f}, {width} ({without})")
            print(f"| {name} | {quantity} | " + " | ".join(cells) + " |", flush=True)
            coverages[quantity].plot(ITEMS, held, "o-", color=colour, clip_on=False)
            axes.plot(ITEMS, widths, "o-", color=colour, label=name)
            axes.plot(ITEMS, plain, "--", color=colour, alpha=0.6)
    for quantity, axes in panels.items():
        coverages[quantity].set(title=quantity, ylim=(80, 100))
        coverages[quantity].axhline(95, color="#666666", linewidth=0.8, linestyle="dotted")
        axes.set(xlabel="items corrected", yscale="log", xticks=ITEMS)
        for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "125" else "")
    coverages[QUANTITIES[0]].set_ylabel("coverage, %")
    panels[QUANTITIES[0]].set_ylabel("half width of the 95 % interval, % of the truth")
    panels[QUANTITIES[0]].plot([], [], "--", color="#666666", label="without the masks")
    panels[QUANTITIES[0]].legend(fontsize=7)
    drawn.savefig(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("figure", type=Path)
    parser.add_argument("--prediction", type=Path)
    options = parser.parse_args()
    main(options.data, options.figure, options.prediction)
