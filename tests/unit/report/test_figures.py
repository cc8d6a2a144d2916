"""The pictures' layout: found once, or fixed where it holds whatever is drawn."""

import numpy as np
import pytest
from PIL import Image

from planewise.evaluation.class_evaluation import ClassEvaluation
from planewise.evaluation.presence import Slices, presence_scores
from planewise.report import figures
from planewise.report.figures import new_figure, roc_picture, save_figure, training_curve


def opened(path):
    with Image.open(path) as picture:
        return picture.convert("L")


def drawn(figure, monkeypatch):
    """Count how often the figure is drawn."""
    times = []
    draw = figure.draw
    monkeypatch.setattr(figure, "draw", lambda renderer: times.append(1) or draw(renderer))
    return times


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_figure_is_drawn_once(tmp_path, monkeypatch, layout):
    figure = new_figure(3, 2, layout=layout)
    axes = figure.subplots()
    axes.set(xlabel="a label that needs room", ylabel="y")
    times = drawn(figure, monkeypatch)
    save_figure(figure, tmp_path / "figure.png")
    assert len(times) == 1
    assert opened(tmp_path / "figure.png").size == (390, 260)


def test_a_layout_leaves_room_for_labels(tmp_path):
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.set(xlabel="step", ylabel="loss")
    save_figure(figure, tmp_path / "figure.png")
    assert axes.xaxis.label.get_window_extent().y0 >= 0
    assert axes.yaxis.label.get_window_extent().x0 >= 0


@pytest.mark.parametrize("loss", [0.1234, 12.34])  # within one power of ten, where the numbers are longest
def test_no_number_of_a_training_curve_is_cut_off(tmp_path, loss):
    metrics = tmp_path / "metrics.csv"
    rows = [f"{step},{step / 1e5},{loss - loss * step / 1000},{loss},0.5" for step in range(1, 4)]
    metrics.write_text("\n".join(["step,learning_rate,total,val_loss,val_score", *rows]))
    training_curve(metrics, tmp_path / "curve.png", "panoptic quality")
    grey = opened(tmp_path / "curve.png")
    for edge in ((0, 0, 8, grey.height), (grey.width - 8, 0, grey.width, grey.height), (0, 0, grey.width, 4)):
        assert grey.crop(edge).getextrema() == (255, 255)


@pytest.fixture
def saved(monkeypatch):
    """Collect the figures that are saved."""
    kept = []

    def keep(figure, target):
        save_figure(figure, target)
        kept.append(figure)

    monkeypatch.setattr(figures, "save_figure", keep)
    return kept


def legends_apart(figure):
    """Return whether every legend lies within the figure and on no axes."""
    legends = [axes.get_legend().get_window_extent() for axes in figure.axes if axes.get_legend()]
    clear = [not legend.overlaps(axes.get_window_extent()) for legend in legends for axes in figure.axes]
    inside = [figure.bbox.contains(*corner) for legend in legends for corner in legend.get_points()]
    return bool(legends) and all(clear + inside)


def test_the_legend_of_a_training_curve_lies_over_no_line(tmp_path, saved):
    metrics = tmp_path / "metrics.csv"
    rows = [f"{step},1e-4,{3 / step},{0.3 / step if step % 1000 == 0 else ''},0.5" for step in range(1, 3001)]
    metrics.write_text("\n".join(["step,learning_rate,total,val_loss,val_score", *rows]))
    training_curve(metrics, tmp_path / "curve.png", "Dice")
    (figure,) = saved
    assert legends_apart(figure)


def test_the_legend_of_roc_curves_lies_over_no_curve(tmp_path, saved):
    truth = np.array([True, False, True, False])
    presence = {"lesion": presence_scores([Slices(truth, ~truth)], [np.array([0.1, 0.9, 0.2, 0.3])])}  # below chance
    of_methods = [ClassEvaluation(f"boxes of method {number}", [], presence) for number in range(5)]
    roc_picture(of_methods, ["lesion"], tmp_path / "roc.png")
    (figure,) = saved
    assert legends_apart(figure)
