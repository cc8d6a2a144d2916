"""Figures of measured lungs: axes can be read."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from planewise.apps.ild import measured_figures
from planewise.measurement.agreement import bland_altman, icc_2_1
from planewise.measurement.readers import Agreement


@pytest.mark.parametrize("second", [[3.166, 3.167, 3.168], [2.851, 2.877, 2.887]], ids=["the same", "nearly"])
def test_two_readers_who_agree_have_axes_that_can_be_read(monkeypatch, second):
    figures = []
    monkeypatch.setattr(measured_figures, "as_svg", lambda figure, description: figures.append(figure))
    pair = np.array([3.166, 3.167, 3.168]), np.array(second)
    measured_figures.bland_altman_plot(
        Agreement("ground_glass_percent", *pair, bland_altman(*pair), icc_2_1(np.stack(pair, axis=1)), None)
    )
    (figure,) = figures
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert high - low > 0.01  # percent, and no rounding of numbers
    ticks = [tick.label1 for tick in axes.xaxis.get_major_ticks()]
    shown = sorted((tick.get_window_extent() for tick in ticks if tick.get_text()), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(shown))


def test_the_names_of_the_ranges_lie_over_no_density(monkeypatch):
    figures = []
    monkeypatch.setattr(measured_figures, "as_svg", lambda figure, description: figures.append(figure))
    measured_figures.density_plot(np.linspace(-1030, 210, 5000))
    (figure,) = figures
    FigureCanvasAgg(figure).draw()
    (axes,), (legend,) = figure.axes, figure.legends
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
