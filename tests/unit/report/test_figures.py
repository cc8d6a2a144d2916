"""The pictures' layout: found once, or fixed where it holds whatever is drawn."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from planewise.evaluation.class_evaluation import ClassEvaluation
from planewise.evaluation.presence import Slices, presence_scores
from planewise.report import figures
from planewise.report.figures import in_lines, new_figure, roc_picture, save_figure, training_curve


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
    """Return whether every text and legend lies within the figure, and no legend on any axes or another legend."""
    own = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    legends = [legend.get_window_extent() for legend in [*own, *figure.legends]]
    labels = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    texts = [text.get_window_extent() for text in labels if text.get_text()]
    clear = [not legend.overlaps(axes.get_window_extent()) for legend in legends for axes in figure.axes]
    clear += [not one.overlaps(other) for one, other in combinations([*legends, *texts], 2)]
    inside = [figure.bbox.contains(*corner) for box in [*legends, *texts] for corner in box.get_points()]
    return bool(legends) and all(clear + inside)


def test_the_legend_of_a_training_curve_lies_over_no_line(tmp_path, saved):
    metrics = tmp_path / "metrics.csv"
    rows = [f"{step},1e-4,{3 / step},{0.3 / step if step % 1000 == 0 else ''},0.5" for step in range(1, 3001)]
    metrics.write_text("\n".join(["step,learning_rate,total,val_loss,val_score", *rows]))
    training_curve(metrics, tmp_path / "curve.png", "Dice")
    (figure,) = saved
    assert legends_apart(figure)


ILD = ["consolidation", "ground_glass", "honeycombing"]


@pytest.mark.parametrize(
    ("classes", "prompts", "methods"),
    [
        (["lesion"], "auto", 1),
        (["lesion"], "auto" + 20 * "/segs", 6),
        (ILD, "auto, segs/MedSAM2-Tiny-ILD_auto", 2),
        (ILD, 50 * "m", 3),
    ],
    ids=["short", "folded", "a path", "no words"],
)
def test_the_legends_of_roc_curves_lie_over_nothing(tmp_path, saved, classes, prompts, methods):
    truth = np.array([True, False, True, False])
    scores = presence_scores([Slices(truth, ~truth)], [np.array([0.1, 0.9, 0.2, 0.3])])  # below chance
    presence = dict.fromkeys(classes, scores)
    of_methods = [ClassEvaluation(f"{prompts}{number}", [], presence) for number in range(methods)]
    roc_picture(of_methods, classes, tmp_path / "roc.png")
    (figure,) = saved
    assert legends_apart(figure)
    (of_prompts,) = figure.legends
    shown = [text.get_text().replace("\n", "") for text in of_prompts.get_texts()]
    assert shown == [evaluation.prompts for evaluation in of_methods]
    for axes in figure.axes:
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["area 0.000"] * methods


def test_a_class_that_no_slice_shows_has_no_area_in_its_roc_curve(tmp_path, saved):
    nowhere = np.zeros(4, bool)
    scores = presence_scores([Slices(nowhere, nowhere)], [np.array([0.1, 0.9, 0.2, 0.3])])
    roc_picture([ClassEvaluation("auto", [], {"a": scores})], ["a"], tmp_path / "roc.png")
    (figure,) = saved
    assert figure.axes[0].get_legend() is None
    assert (tmp_path / "roc.png").exists()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("nnU-Net", ["nnU-Net"]),
        ("twelve_of_12", ["twelve_of_12"]),
        ("nnUNetTrainer__nnUNetPlans__3d_fullres", ["nnUNetTraine", "r__", "nnUNetPlans_", "_3d_fullres"]),
        ("auto, segs/MedSAM2", ["auto, segs/", "MedSAM2"]),
        ("abcdefghijklm", ["abcdefghijkl", "m"]),
    ],
)
def test_a_long_name_is_folded_between_its_words_or_else_anywhere(name, lines):
    assert in_lines(name, 12).split("\n") == lines
