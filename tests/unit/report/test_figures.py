"""The pictures' layout: found once, or fixed where it holds whatever is drawn."""

import pytest
from PIL import Image

from planewise.report.figures import new_figure, save_figure, training_curve


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
