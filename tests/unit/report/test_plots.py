"""Plots: numbers on an axis can be read."""

from itertools import pairwise, product

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from planewise.evaluation.result import OBJECTS, Result
from planewise.report import plots


@pytest.mark.parametrize("sizes", [[900, 2100], [2000, 2001], [5, 4_000_000], [700, 700], [80, 900], [5, 49]])
def test_sizes_on_the_axis_do_not_overlap(monkeypatch, sizes):
    figures = []
    monkeypatch.setattr(plots, "as_svg", lambda figure, description: figures.append(figure))
    sizes = np.array(sizes, np.int64)
    result = Result("d", "m", "c", "c", OBJECTS, "ok", {}, object_sizes=sizes, object_ious=np.full(len(sizes), 0.5))
    plots.sizes_plot({"m": [result]}, {"m": 0})
    (figure,) = figures
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    shown = [
        tick.label1.get_window_extent()
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        if tick.label1.get_text() and low <= tick.get_loc() <= high
    ]
    shown.sort(key=lambda box: box.x0)
    assert shown
    assert all(left.x1 < right.x0 for left, right in pairwise(shown))


def test_sizes_of_nothing_that_was_scored_are_drawn():
    nothing = Result("d", "m", "c", "c", OBJECTS, "cannot be read", {})
    assert plots.sizes_plot({"m": [nothing]}, {"m": 0}).startswith("<svg")


NAMES = {
    "short": "method{}",
    "nnU-Net's": "nnUNetTrainer__nnUNetPlans__3d_fullres{}",
    "no words": "abcdefghijklmnopqrstuvwxyzabcd{}",
    "wide": 30 * "W" + "{}",
}


@pytest.mark.parametrize(
    ("plot", "name", "number"),
    [*product(["histogram_plot"], NAMES, [1, 3, 8]), *product(["threshold_plot", "sizes_plot"], ["nnU-Net's"], [3])],
)
def test_the_names_of_the_methods_lie_over_no_point_and_take_no_room_from_the_axes(monkeypatch, plot, name, number):
    figures = []
    monkeypatch.setattr(plots, "as_svg", lambda figure, description: figures.append(figure))
    names = [NAMES[name].format(place) for place in range(number)]
    scores = {"dsc": 0.1}
    sizes, ious = np.array([1, 10_000], np.int64), np.array([0.0, 1.0])
    methods = {
        name: [Result("d", name, "c", "c", OBJECTS, "ok", scores, object_sizes=sizes, object_ious=ious)]
        for name in names
    }
    metric = ("dsc", "Dice") if plot == "histogram_plot" else ()
    getattr(plots, plot)(methods, {name: place for place, name in enumerate(names)}, *metric)
    (figure,) = figures
    figure.get_layout_engine().execute(figure)
    (axes,) = figure.axes
    (legend,) = figure.legends
    shown = legend.get_window_extent()
    assert axes.get_legend() is None
    assert not shown.overlaps(axes.get_window_extent())
    assert figure.bbox.contains(*shown.get_points()[0])
    assert figure.bbox.contains(*shown.get_points()[1])
    assert axes.get_window_extent().height > 2.3 * figure.dpi
    assert [text.get_text().replace("\n", "") for text in legend.get_texts()] == names
