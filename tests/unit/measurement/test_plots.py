"""Pictures of measures, looked at as figures: axes have numbers, names are whole."""

import matplotlib
import numpy as np
import pytest

from planewise.measurement import plots
from planewise.measurement.groups import Member, compare_conditions
from planewise.measurement.measuring import measure_volume
from planewise.volumes.volume import Volume


@pytest.fixture
def figures(monkeypatch):
    """Return the figures that are drawn."""
    made = []
    new_figure = plots.new_figure
    monkeypatch.setattr(plots, "new_figure", lambda *sides: made.append(new_figure(*sides)) or made[-1])
    return made


def boxes(*sides):
    """Return a volume with a box of each size."""
    labels = np.zeros((20, 20, 20 * len(sides)), np.uint8)
    for i, side in enumerate(sides):
        labels[2 : 2 + side, 2 : 2 + side, 20 * i + 2 : 20 * i + 2 + side] = i + 1
    return measure_volume(Volume(labels, (8.0, 8.0, 8.0), "nm"), None, {}, "a")


def shown_numbers(axis):
    axis.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    return [tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


@pytest.mark.parametrize("sides", [(8, 9), (6, 6), (6,), (2, 16)])
def test_an_axis_of_logarithms_has_numbers_however_alike_the_objects(tmp_path, figures, sides):
    plots.distributions_picture({"a": boxes(*sides)}, tmp_path / "d.png")
    volume = figures[0].axes[0]
    assert volume.get_xscale() == "log"
    assert len(list(filter(None, shown_numbers(volume.xaxis)))) >= 2


def test_the_names_of_animals_lie_within_the_picture(tmp_path, figures):
    members = [Member(name, name, "wt" if name < "c" else "ko") for name in "abcd"]
    values = {member.case: np.array([float(i)]) for i, member in enumerate(members)}
    rows = compare_conditions(members, {"volume": values})
    plots.animals_picture(members, {"volume": values}, rows, True, tmp_path / "a.png")
    axes = figures[0].axes[0]
    names = [child for child in axes.get_children() if isinstance(child, matplotlib.text.Annotation)]
    assert [name.get_text() for name in names] == list("abcd")
    assert all(name.get_window_extent().y1 <= axes.get_window_extent().y1 for name in names)


def test_lengths_that_differ_in_their_last_digit_alone_have_an_axis(tmp_path, figures):
    measured = boxes(6, 6)
    measured.objects["volume"] = np.array([1.0, np.nextafter(1.0, 2.0)])
    plots.distributions_picture({"a": measured}, tmp_path / "d.png")
    low, high = figures[0].axes[0].get_xlim()
    assert low < 0.8 < 1.2 < high
