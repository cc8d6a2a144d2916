"""Pictures: the distributions of the objects' measures in each case, and each animal of the compared conditions."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from planewise.measurement.groups import MIXED, Comparison, Member, animal_means
from planewise.measurement.tables import name_of
from planewise.measurement.volume_measures import Measured
from planewise.report.figures import new_figure, save_figure
from planewise.volumes.atomic import atomic_path

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
SHOWN = ("volume", "surface", "sphericity", "surface_to_volume", "length", "radius")  # of the distributions
LOGARITHMIC = {"volume", "surface", "length"}
MANY_CASES = 8  # most cases that a legend names
POINTS = 200  # most objects of an animal that are drawn
COLUMNS = 3
ALIKE = 1.001  # values up to this times the smallest one count as equal, and give no scale


def distributions_picture(cases: Mapping[str, Measured], picture: Path) -> None:
    """Draw, for each measure and case, the share of whole objects that is smaller, weighted for the border."""
    from matplotlib.ticker import FixedLocator

    figure = new_figure(11, 6.4)
    panels = figure.subplots(2, COLUMNS).ravel()
    for axes, key in zip(panels, SHOWN):
        for i, (case, measured) in enumerate(cases.items()):
            values, weight = measured.objects[key], measured.objects["weight"]
            keep = (weight > 0) & np.isfinite(values) & ((values > 0) | (key not in LOGARITHMIC))
            if not keep.any():
                continue
            order = np.argsort(values[keep])
            share = np.cumsum(weight[keep][order]) / weight[keep].sum()
            look = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.4}
            ordered = values[keep][order]
            axes.step([ordered[0], *ordered], [0, *share], where="post", label=f"{case} ({keep.sum()})", **look)
        if not axes.lines:
            axes.text(0.5, 0.5, "no whole objects", transform=axes.transAxes, ha="center", va="center")
        elif key in LOGARITHMIC:
            drawn = np.concatenate([line.get_xdata() for line in axes.lines])
            if drawn.max() < ALIKE * drawn.min():
                axes.set_xlim(drawn.min() / 2, drawn.max() * 2)
            axes.set_xscale("log")
            low, high = axes.get_xlim()
            if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:  # fewer than two powers of ten are shown
                axes.xaxis.set_major_locator(FixedLocator(np.geomspace(low, high, 5)[1:-1].tolist()))
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
            axes.xaxis.set_minor_formatter("")  # numbers at all ticks would overlap
        units = dict.fromkeys(name_of(key, measured.physical) for measured in cases.values())
        axes.set(xlabel=" or ".join(units), ylabel="share of whole objects", ylim=(-0.03, 1.03))
    handles, names = panels[0].get_legend_handles_labels()
    if handles and len(cases) <= MANY_CASES:
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    with atomic_path(picture) as temporary:
        save_figure(figure, temporary)


def animals_picture(
    members: Sequence[Member],
    measures: dict[str, dict[str, np.ndarray]],
    comparisons: Sequence[Comparison],
    physical: bool,
    picture: Path,
) -> None:
    """Draw each animal by condition: its mean large, up to ``POINTS`` of its objects small; the effect above."""
    compared = list(dict.fromkeys(row.measure for row in comparisons))
    conditions = list(dict.fromkeys(member.condition for member in members))
    rows = max(1, math.ceil(len(compared) / COLUMNS))
    figure = new_figure(11, 3.4 * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, key in zip(panels, compared):
        means = animal_means(members, measures[key])
        for place, condition in enumerate(conditions):
            colour = COLOURS[place % len(COLOURS)]
            of = list(dict.fromkeys(m.animal for m in members if m.condition == condition and m.animal in means))
            spots = place + (np.linspace(-0.3, 0.3, len(of)) if len(of) > 1 else np.zeros(len(of)))
            for spot, animal in zip(spots, of):
                values = np.concatenate([measures[key].get(m.case, np.zeros(0)) for m in members if m.animal == animal])
                values = values[np.isfinite(values)]
                rng = np.random.default_rng(0)
                values = rng.choice(values, POINTS, replace=False) if len(values) > POINTS else values
                if len(values) > 1:
                    spread = spot + rng.uniform(-0.05, 0.05, len(values))
                    axes.scatter(spread, values, s=8, color=colour, alpha=0.5, linewidths=0)
                axes.scatter([spot], [means[animal]], s=60, color=colour, edgecolor="black", zorder=3)
                at = (spot, means[animal])
                axes.annotate(animal, at, (0, 6), textcoords="offset points", ha="center", fontsize=6)
            if of:
                mean = np.mean([means[animal] for animal in of])
                axes.hlines(mean, place - 0.38, place + 0.38, color="black", linewidth=1.2, zorder=2)
        axes.set_xticks(range(len(conditions)), conditions)
        axes.margins(y=0.12)  # for the names of the animals
        axes.set(xlim=(-0.6, len(conditions) - 0.4), ylabel=name_of(key, physical))
        axes.set_title("\n".join(_effect(row) for row in comparisons if row.measure == key), fontsize=7, loc="left")
    for axes in panels[len(compared) :]:
        axes.set_axis_off()
    with atomic_path(picture) as temporary:
        save_figure(figure, temporary)


def _effect(row: Comparison) -> str:
    """Return a comparison as one line."""
    method = "mixed model" if row.method == MIXED else "Welch"
    interval = "" if math.isnan(row.low) else f" [{row.low:.3g}, {row.high:.3g}], p = {row.p:.2g}"
    return f"{row.second} - {row.first}: {row.difference:.3g}{interval} ({method})"
