"""The pictures of measured lungs: slices with classes and regions, densities, extents by region, two readers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from planewise.measurement.density import HIGH_HU, LOW_HU
from planewise.measurement.lung_measures import MeasuredCase
from planewise.measurement.lungs import LungRegions
from planewise.measurement.readers import Agreement
from planewise.measurement.regions import SIDES, ZONES
from planewise.report.figures import new_figure
from planewise.report.pictures import figure_uri
from planewise.report.plots import INK, as_svg
from planewise.volumes.label_names import class_colours

AXIAL = 3  # slices
APART = 6  # two of them are at least 1/APART of the lungs' height apart
MARGIN = 8  # pixels around the lungs
OUTLINE = "#C8FF5A"
DARK = {"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0}  # behind words on a picture
BIN_HU = 10
FIRST_HU, LAST_HU = -1030, 210
BARS = [f"{side}_{zone}" for side in SIDES for zone in ZONES] + ["central", "peripheral"]


def lungs_pictures(
    images: np.ndarray, labels: np.ndarray, regions: LungRegions, names: dict[int, str]
) -> list[tuple[str, str]]:
    """Return a coronal and some axial slices as (name, data URI): classes in colour, the lungs and their regions
    outlined.

    ``images``, ``labels`` (z, y, x) uint8, canonical; the left of the picture is the patient's right.
    """
    measured = np.isin(labels, list(names)) & (regions.sides > 0)
    heights, rows, columns = (np.flatnonzero(regions.sides.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    y = _fullest(measured.sum(axis=(0, 2)), rows)
    step_z, step_y, step_x = regions.spacing_mm
    window_y, window_x = (slice(max(0, shown[0] - MARGIN), shown[-1] + MARGIN + 1) for shown in (rows, columns))
    window_z = slice(max(0, heights[0] - MARGIN), heights[-1] + MARGIN + 1)

    figure, axes = _empty_picture(images[window_z, y, window_x].shape, step_z / step_x)
    _draw(axes, (window_z, y, window_x), images, labels, regions, names, step_z / step_x, lower=True)
    for name, number in ZONES.items():
        inside = np.flatnonzero(regions.zone_of_slice == number)
        if len(inside):
            axes.axhline(inside[-1] + 0.5 - window_z.start, color="white", linewidth=0.9, linestyle="dotted")
            axes.text(1, inside.mean() - window_z.start, name, fontsize=7, va="center", color="white", bbox=DARK)
    pictures = [(f"coronal, y = {y}", figure_uri(figure, 120))]
    for z in most_affected(measured.sum(axis=(1, 2)), heights):
        figure, axes = _empty_picture(images[z, window_y, window_x].shape, step_y / step_x)
        _draw(axes, (z, window_y, window_x), images, labels, regions, names, step_y / step_x, lower=False)
        pictures.append((f"axial, z = {z}", figure_uri(figure, 120)))
    return pictures


def _empty_picture(shape: tuple[int, ...], aspect: float) -> tuple[Any, Any]:
    """Return a figure filled by one slice (rows, columns), and its axes; ``aspect``: a pixel's height over its
    width."""
    figure = new_figure(3.1, min(8.0, 3.1 * aspect * shape[0] / shape[1]), layout=None)
    return figure, figure.add_axes((0, 0, 1, 1))


def _draw(
    axes: Any,
    index: tuple[Any, ...],
    images: np.ndarray,
    labels: np.ndarray,
    regions: LungRegions,
    names: dict[int, str],
    aspect: float,
    lower: bool,
) -> None:
    from matplotlib.colors import to_rgba

    origin = "lower" if lower else "upper"
    axes.imshow(images[index], cmap="gray", vmin=0, vmax=255, aspect=aspect, origin=origin)
    shown = labels[index]
    colours = np.zeros((*shown.shape, 4))
    for value, colour in class_colours(names).items():
        colours[shown == value] = to_rgba(colour, 0.6)
    axes.imshow(colours, aspect=aspect, origin=origin, interpolation="nearest")
    lung = regions.sides[index] > 0
    centre = lung & ~regions.rim[index]
    for mask, style in ((lung, "solid"), (centre, "dashed")):
        if mask.any() and not mask.all():
            axes.contour(mask, [0.5], colors=OUTLINE, linewidths=0.8, linestyles=style)
    axes.set_axis_off()
    for place, side, align in ((0.02, "R", "left"), (0.98, "L", "right")):
        axes.text(place, 0.98, side, transform=axes.transAxes, color="white", va="top", ha=align, bbox=DARK)


def _fullest(amounts: np.ndarray, within: np.ndarray) -> int:
    return int(amounts.argmax()) if amounts.any() else int(within[len(within) // 2])


def most_affected(areas: np.ndarray, heights: np.ndarray) -> list[int]:
    """Return the slices with most labels, from the top down, no two close together; without labels the lungs' middle.

    ``areas`` (z,): pixels with labels; ``heights``: the slices that show lungs, ascending.
    """
    least = max(1, (heights[-1] + 1 - heights[0]) // APART)
    chosen: list[int] = []
    for z in np.argsort(-areas, kind="stable").tolist():
        if areas[z] and len(chosen) < AXIAL and all(abs(z - other) >= least for other in chosen):
            chosen.append(z)
    return sorted(chosen, reverse=True) or [int(heights[len(heights) // 2])]


def density_plot(hu: np.ndarray) -> str:
    """Draw the histogram of the lungs' voxels (n,) in HU as SVG, with the ranges of high and low attenuation."""
    figure = new_figure(4.6, 2.9)
    axes = figure.subplots()
    axes.axvspan(*HIGH_HU, color="#D55E00", alpha=0.18, label=f"HAA, {HIGH_HU[0]:g} to {HIGH_HU[1]:g}")
    axes.axvspan(FIRST_HU, LOW_HU, color="#0072B2", alpha=0.18, label=f"LAA, below {LOW_HU:g}")
    edges = np.arange(FIRST_HU, LAST_HU + 1, BIN_HU)
    counts, _ = np.histogram(np.clip(hu, FIRST_HU, LAST_HU), edges)
    axes.stairs(100 * counts / hu.size, edges, color=INK, linewidth=1)
    axes.set(xlabel="HU", ylabel=f"% of the lungs in {BIN_HU} HU", xlim=(FIRST_HU, LAST_HU))
    figure.legend(frameon=False, fontsize=8, labelcolor=INK, loc="outside upper center", ncols=2)
    return as_svg(figure, "Histogram of the Hounsfield units in the lungs")


def regions_plot(case: MeasuredCase, columns: dict[int, str], names: dict[int, str]) -> str:
    """Draw the share of each region that the classes occupy, as SVG; ``columns``: column names by class value."""
    figure = new_figure(4.6, 2.9)
    axes = figure.subplots()
    words = [bar.replace("_", " ") for bar in BARS]
    starts = np.zeros(len(BARS))
    for value, colour in class_colours(names).items():
        shares = np.array([case.measures[f"{columns[value]}_{bar}_percent"] or 0.0 for bar in BARS])
        axes.barh(words, shares, left=starts, color=colour, label=names[value])
        starts += shares
    axes.invert_yaxis()
    axes.set(xlabel="% of the region", xlim=(0, max(1.0, 1.05 * starts.max())))
    figure.legend(frameon=False, fontsize=8, labelcolor=INK, loc="outside upper center", ncols=4)
    return as_svg(figure, f"Extent of the classes by region, {case.case}")


def cases_plot(measured: Sequence[MeasuredCase], columns: dict[int, str], names: dict[int, str]) -> str:
    """Draw the share of the lungs that the classes occupy in each case, as SVG, largest first."""
    ordered = sorted(measured, key=lambda case: -(case.measures["total_extent_percent"] or 0.0))
    figure = new_figure(6.4, 1.2 + 0.24 * len(ordered))
    axes = figure.subplots()
    starts = np.zeros(len(ordered))
    for value, colour in class_colours(names).items():
        shares = np.array([case.measures[f"{columns[value]}_percent"] or 0.0 for case in ordered])
        axes.barh([case.case for case in ordered], shares, left=starts, color=colour, label=names[value])
        starts += shares
    axes.invert_yaxis()
    axes.set(xlabel="% of the lungs", xlim=(0, max(1.0, 1.05 * starts.max())))
    figure.legend(frameon=False, fontsize=8, labelcolor=INK, loc="outside upper center", ncols=4)
    return as_svg(figure, "Extent of the classes in every case")


def bland_altman_plot(one: Agreement) -> str:
    """Draw the difference of two readers against their mean, a point for each patient, with mean and limits, as SVG."""
    figure = new_figure(4.6, 3.2)
    axes = figure.subplots()
    axes.scatter((one.first + one.second) / 2, one.first - one.second, s=24, color="#0072B2", zorder=3)
    for interval, style in ((one.limits.lower, "dashed"), (one.limits.mean, "solid"), (one.limits.upper, "dashed")):
        if np.isfinite(interval.low):
            axes.axhspan(interval.low, interval.high, color="#999999", alpha=0.2, linewidth=0)
            axes.axhline(interval.value, color=INK, linewidth=1, linestyle=style)
    if not np.ptp(one.first - one.second):  # no limits, and nothing to scale the axes by
        axes.set_ylim(*(one.limits.mean.value + np.array([-1, 1])))
    axes.locator_params(axis="x", nbins=4)  # longer tick labels would overlap
    axes.set(xlabel=f"mean of both, {one.measure}", ylabel="first - second")
    return as_svg(figure, f"Bland-Altman plot of {one.measure}")
