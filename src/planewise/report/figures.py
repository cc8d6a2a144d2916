"""Pictures: the curves of a training, and a prediction beside the truth."""

import csv
import re
from itertools import cycle
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from planewise.evaluation.class_evaluation import ClassEvaluation
from planewise.volumes.atomic import atomic_path
from planewise.volumes.label_names import CLASS_COLOURS, class_colours

TRUTH_COLOUR, PREDICTION_COLOUR = "#E69F00", "#56B4E9"  # Okabe and Ito: distinct for colour-blind readers


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Any:
    """Return an empty figure, width and height in inches; without ``layout`` its axes stay where they are put."""
    from matplotlib.figure import Figure  # without pyplot: no state, no display

    return Figure(figsize=(width, height), layout=layout, dpi=130)


def save_figure(figure: Any, target: Path | IO[Any], **options: Any) -> None:
    """Write a figure into a file or a buffer; ``options``: those of Matplotlib's ``savefig``.

    The axes are laid out here, since ``savefig`` draws everything once more for a layout that is not done.
    """
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    figure.savefig(target, **options)


def in_lines(name: str, most: int) -> str:
    """Return a name in lines of up to ``most`` letters: folded at ``_``, ``-``, ``/`` or a space, else anywhere."""
    line = rf".{{1,{most - 1}}}[_ /-]|.{{{most}}}"
    return re.sub(rf"(?!.{{0,{most}}}$)({line})", r"\1\n", name)


def legend_outside(
    figure: Any, handles: list[Any], names: list[str], where: Literal["upper", "lower"], most: int, **options: Any
) -> None:
    """Put a legend above or below all axes, in as many columns as fit, up to ``most``; the figure grows by its height.

    ``options``: those of Matplotlib's ``legend``.
    """
    for columns in range(most, 0, -1):
        legend = figure.legend(handles, names, loc=f"outside {where} center", ncols=columns, frameon=False, **options)
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)


def training_curve(metrics: Path, picture: Path, score: str) -> None:
    """Draw loss, validation and learning rate over the steps of a ``metrics.csv``; ``score``: the score's name."""
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = np.array([int(row["step"]) for row in rows])
    loss = np.array([float(row["total"]) for row in rows])
    window = max(1, len(loss) // 100)
    smooth = np.convolve(np.pad(loss, (window - 1, 0), mode="edge"), np.full(window, 1 / window), mode="valid")
    validated, scored = ([row for row in rows if row.get(f"val_{name}")] for name in ("loss", "score"))

    figure = new_figure(10, 3.7, layout=None)  # finding the places would take longer than all the rest
    places = {"left": 0.145, "right": 0.985, "bottom": 0.215, "top": 0.91, "wspace": 0.36}
    loss_axes, score_axes, rate_axes = figure.subplots(1, 3, gridspec_kw=places)
    loss_axes.plot(steps, smooth, color="#0072B2", label="training" + (f", mean of {window}" if window > 1 else ""))
    at = [int(row["step"]) for row in validated]
    loss_axes.plot(at, [float(row["val_loss"]) for row in validated], "o-", color="#D55E00", label="validation")
    loss_axes.set(xlabel="step", ylabel="loss", yscale="log", title="Loss")
    below = (0.5, -0.17)  # the axes and the name of the steps, where no line can lie
    loss_axes.legend(loc="upper center", bbox_to_anchor=below, ncols=2, frameon=False, fontsize=8)
    at = [int(row["step"]) for row in scored]
    score_axes.plot(at, [float(row["val_score"]) for row in scored], "o-", color="#D55E00")
    score_axes.set(xlabel="step", ylabel=score, ylim=(0, 1), title="Validation")
    rate_axes.plot(steps, [float(row["learning_rate"]) for row in rows], color="#0072B2")
    rate_axes.set(xlabel="step", ylabel="learning rate", title="Learning rate")
    with atomic_path(picture) as temporary:
        save_figure(figure, temporary)


def fullest_slice(truth: np.ndarray | None, predicted: np.ndarray) -> int:
    """Return the slice along z with most labels in both volumes (z, y, x), or in ``predicted`` if there is no truth."""
    shown = predicted > 0 if truth is None else (truth > 0) | (predicted > 0)
    return int(shown.sum(axis=(1, 2)).argmax())


def comparison_picture(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, z: int, picture: Path, title: str
) -> None:
    """Draw slice ``z``: the ``image`` (y, x) alone, then with the outlines of the objects of both volumes (z, y, x)."""
    plain, outlined = (axes := new_figure(11, 5.6)).subplots(1, 2)
    for ax in (plain, outlined):
        ax.imshow(image, cmap="gray", interpolation="nearest")
        ax.set_axis_off()
    plain.set_title(f"{title}, slice z = {z}", loc="left")
    layers = [
        ("truth", truth[z], TRUTH_COLOUR, "solid"),
        ("prediction", predicted[z], PREDICTION_COLOUR, "dashed"),
    ]
    handles = []
    for name, labels, colour, style in layers:
        for label in np.unique(labels[labels > 0]):
            outlined.contour(labels == label, [0.5], colors=[colour], linestyles=style, linewidths=1.6)
        handles.append(outlined.plot([], [], color=colour, linestyle=style, label=name)[0])
    outlined.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False)
    with atomic_path(picture) as temporary:
        save_figure(axes, temporary)


def histogram(values: list[float], picture: Path, title: str, note: str) -> None:
    """Draw a histogram of scores in 0..1, with their number, mean and median; ``note``: their origin."""
    figure = new_figure(5.4, 3.6)
    axes = figure.subplots()
    axes.hist(values, bins=np.linspace(0, 1, 21), color="#0072B2", edgecolor="white")
    axes.set(xlabel="Dice", ylabel="cases", xlim=(0, 1), title=title)
    axes.yaxis.get_major_locator().set_params(integer=True)
    summary = f"n = {len(values)}"
    if values:
        summary += f", mean {np.mean(values):.3f}, median {np.median(values):.3f}"
        axes.axvline(float(np.mean(values)), color="#D55E00")
    axes.text(0.02, 0.97, f"{summary}\n{note}", transform=axes.transAxes, va="top", fontsize=8)
    with atomic_path(picture) as temporary:
        save_figure(figure, temporary)


def roc_picture(evaluations: list[ClassEvaluation], names: list[str], picture: Path) -> None:
    """Draw, for each class, the ROC of its presence in slices; the point is that of the prediction itself."""
    figure = new_figure(3.6 * len(names), 4.0 + 0.08 * len(evaluations))
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="dotted")
        points = []
        for evaluation, (colour, marker) in zip(evaluations, zip(cycle(CLASS_COLOURS), cycle("osD^vP"))):
            presence = evaluation.presence[name]
            area = "" if np.isnan(presence.auc) else f"area {presence.auc:.3f}"
            axes.plot(*presence.curve.T, color=colour)
            points += axes.plot(
                1 - presence.specificity, presence.sensitivity, marker, color=colour, label=area, clip_on=False
            )
        axes.set(xlabel="false positive rate of slices", ylabel="sensitivity of slices", title=in_lines(name, 24))
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", anchor="S")  # no gap to the legends
        if not all(np.isnan(evaluation.presence[name].auc) for evaluation in evaluations):
            below = (0.5, -0.16)  # the axes, where no curve can lie
            axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=below, ncols=2, frameon=False)
    prompts = [in_lines(evaluation.prompts, 32 * len(names)) for evaluation in evaluations]
    legend_outside(figure, points, prompts, "lower", 1, fontsize=7)
    with atomic_path(picture) as temporary:
        save_figure(figure, temporary)


def overlay_picture(
    image: np.ndarray, truth: np.ndarray | None, predicted: np.ndarray, names: dict[int, str], picture: Path, title: str
) -> None:
    """Draw the slice (y, x) of ``image`` (z, y, x) with most labels: truth (if given) and prediction as colours."""
    z = fullest_slice(truth, predicted)
    panels = [("prediction", predicted[z])] if truth is None else [("truth", truth[z]), ("prediction", predicted[z])]
    figure = new_figure(5.5 * len(panels), 6.3)
    colours = class_colours(names)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, labels) in zip(all_axes, panels):
        axes.imshow(image[z], cmap="gray", interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(f"{title}, z = {z}: {name}", loc="left", fontsize=10)
        for value, colour in colours.items():
            if (labels == value).any():
                axes.contourf(labels == value, [0.5, 1.5], colors=[colour], alpha=0.45)
    handles = [all_axes[0].plot([], [], "s", color=colours[value], label=name)[0] for value, name in names.items()]
    all_axes[-1].legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, frameon=False, fontsize=8
    )
    with atomic_path(picture) as temporary:
        save_figure(figure, temporary)
