"""The plots of a comparison as SVG for a page: text stays text, and takes the page's colour, light or dark."""

import io
import math
import re
import zlib
from typing import Any

import numpy as np

from planewise.evaluation.instances import ACCURACY_THRESHOLDS
from planewise.evaluation.result import Result
from planewise.evaluation.statistics import mean_by_patient
from planewise.evaluation.voxels import mean_of_defined
from planewise.report.figures import in_lines, legend_outside, new_figure, save_figure

INK = "#010203"  # stands for the page's own colour until the SVG is written
# Okabe and Ito, without the truth's orange
METHOD_COLOURS = ("#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
MARKERS = "osD^vP"
DASHES = ("solid", "dashed", "dotted", "dashdot")
MANY_POINTS = 2000  # beyond them points become an image

Methods = dict[str, list[Result]]
Places = dict[str, int]  # of all methods of the page, so that each looks the same in all plots


def style(place: int) -> dict[str, Any]:
    """Return the style of the method at this place, which differs not only in colour."""
    return {"color": METHOD_COLOURS[place % len(METHOD_COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def cases_plot(methods: Methods, places: Places, metric: str, title: str) -> str:
    """Draw each case as a point, by method; a missing prediction is hollow. A bar is the median over patients."""
    figure = new_figure(1.4 + 1.1 * len(methods), 3.2)
    axes = figure.subplots()
    for place, (name, results) in enumerate(methods.items()):
        scored = [r for r in results if not math.isnan(r.scores.get(metric, math.nan))]
        values = np.array([r.scores[metric] for r in scored])
        spread = place + np.random.default_rng(0).uniform(-0.22, 0.22, len(values)) * (len(values) > 1)
        look = style(places[name])
        for delivered, face in ((True, look["color"]), (False, "none")):
            chosen = np.array([r.delivered is delivered for r in scored], bool)
            axes.scatter(
                spread[chosen],
                values[chosen],
                s=26,
                marker=look["marker"],
                facecolor=face,
                edgecolor=look["color"],
                label=name,
                rasterized=len(values) > MANY_POINTS,
            )
        if len(values):
            median = np.median(mean_by_patient(values.tolist(), [r.patient for r in scored]))
            axes.hlines(median, place - 0.3, place + 0.3, color=INK, linewidth=1.5)
    axes.set_xticks(range(len(methods)), [in_lines(name, 12) for name in methods])
    axes.set(ylabel=title, xlim=(-0.6, len(methods) - 0.4), ylim=(-0.03, 1.03))
    return as_svg(figure, f"{title} of each case, by method")


def threshold_plot(methods: Methods, places: Places) -> str:
    """Draw F1, mean over patients, against the IoU from which objects count as detected."""
    figure = new_figure(4.6, 3.0)
    axes = figure.subplots()
    for name, results in methods.items():
        place = places[name]
        keys, patients = [f"f1_{round(100 * t)}" for t in ACCURACY_THRESHOLDS], [r.patient for r in results]
        curve = [
            mean_of_defined(mean_by_patient([r.scores.get(key, math.nan) for r in results], patients)) for key in keys
        ]
        axes.plot(
            ACCURACY_THRESHOLDS, curve, **style(place), linestyle=DASHES[place % len(DASHES)], label=name, clip_on=False
        )
    axes.set(xlabel="IoU threshold", ylabel="F1", ylim=(-0.03, 1.03))
    _legend(axes)
    return as_svg(figure, "F1 against the IoU threshold, by method")


def sizes_plot(methods: Methods, places: Places) -> str:
    """Draw the size of each true object against its IoU with its best prediction."""
    figure = new_figure(4.6, 3.0)
    axes = figure.subplots()
    for name, results in methods.items():
        sizes = np.concatenate([r.object_sizes for r in results])
        ious = np.concatenate([r.object_ious for r in results])
        axes.scatter(
            sizes, ious, s=16, alpha=0.75, **style(places[name]), label=name, rasterized=len(sizes) > MANY_POINTS
        )
    axes.axhline(0.5, color=INK, linewidth=0.8, linestyle="dotted")
    sizes = np.concatenate([r.object_sizes for results in methods.values() for r in results])
    scale = "log" if len(sizes) else "linear"  # a logarithmic one cannot be drawn where no case was scored
    axes.set(xlabel="size of the true object, voxels", ylabel="best IoU", xscale=scale, ylim=(-0.03, 1.03))
    _ticks_apart(axes.xaxis, sizes)
    _legend(axes)
    return as_svg(figure, "IoU of every true object with its best prediction against its size, by method")


def _ticks_apart(axis: Any, values: np.ndarray) -> None:
    """Put ticks on a logarithmic axis whose numbers do not overlap: at powers of ten, or a few within one."""
    from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

    axis.set_minor_formatter(NullFormatter())
    if len(values) and values.max() < 10 * values.min():
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def histogram_plot(methods: Methods, places: Places, metric: str, title: str) -> str:
    """Draw how the cases' scores are distributed, by method."""
    figure = new_figure(4.6, 3.0)
    axes = figure.subplots()
    values = [
        [r.scores[metric] for r in results if not math.isnan(r.scores.get(metric, math.nan))]
        for results in methods.values()
    ]
    colours = [style(places[name])["color"] for name in methods]
    axes.hist(values, bins=np.linspace(0, 1, 11), color=colours, label=list(methods))
    axes.set(xlabel=title, ylabel="cases", xlim=(0, 1))
    axes.yaxis.get_major_locator().set_params(integer=True)
    _legend(axes)
    return as_svg(figure, f"Histogram of {title}, by method")


def _legend(axes: Any) -> None:
    """Name the methods above the axes, where no point lies."""
    handles, names = axes.get_legend_handles_labels()
    words = [in_lines(name, 24) for name in names]
    legend_outside(axes.figure, handles, words, "upper", 3, fontsize=8, labelcolor=INK)


def as_svg(figure: Any, description: str) -> str:
    """Return a figure as an SVG element whose text and lines take the colour of the text around it."""
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.patch.set_visible(False)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for name, spine in axes.spines.items():
            spine.set_color(INK)
            spine.set_visible(name in ("left", "bottom"))
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        save_figure(figure, buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].replace(INK, "currentColor")
    # Names of parts are the same in every plot, and one page holds many.
    salt = f"p{zlib.crc32(svg.encode()):x}"
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{salt}", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
