"""One page about a patient: the extent of each class, its place in the lungs, and the most affected slices."""

import math
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from planewise.apps.ild.lungs import NEAR_MM
from planewise.apps.ild.measured_figures import most_affected
from planewise.data.prepared import Patient
from planewise.inference.automatic import SliceFindings
from planewise.measurement.extent import count_voxels
from planewise.measurement.lungs import LungRegions, cut_off
from planewise.measurement.regions import SIDES, ZONES
from planewise.models.reliability import ClassReliability
from planewise.report.figures import new_figure
from planewise.report.html import write_html
from planewise.report.pictures import figure_uri
from planewise.volumes.label_names import class_colours
from planewise.volumes.volume import Spacing


@dataclass(frozen=True)
class Certainties:
    """The model's calibrated estimates for slices (N, classes): ``probabilities`` of presence, and ``dices``, the
    expected Dice of the masks. NaN for classes that were not calibrated; 0 and NaN for slices that were not searched.
    """

    probabilities: np.ndarray
    dices: np.ndarray


def certainties_of(
    findings: SliceFindings, reliability: dict[int, ClassReliability], classes: list[int]
) -> Certainties:
    """Return the estimates from ``findings``, calibrated with the ``reliability`` of each of the ``classes``."""
    certainties = Certainties(*(np.full(findings.scores.shape, np.nan) for _ in range(2)))
    for place, value in enumerate(classes):
        if value in reliability:
            presence, dice = reliability[value].presence, reliability[value].dice
            scores = findings.scores[:, place].tolist()
            certainties.probabilities[:, place] = [presence.share(score) for score in scores]
            certainties.dices[:, place] = [dice.share(iou) for iou in findings.ious[:, place].tolist()]
    return certainties


@dataclass(frozen=True)
class Extent:
    """The extent of a class.

    ``ml``: its volume, of which ``outside_ml`` lie outside the lungs; ``share``: of both lungs; ``shares``: of each
    lung and its thirds, by (side, "all" or third), NaN for an empty region; ``slices``: the number of slices with the
    class.
    """

    name: str
    ml: float
    outside_ml: float
    share: float
    shares: dict[tuple[str, str], float]
    slices: int


def extents(labels: np.ndarray, lungs: np.ndarray, spacing_mm: Spacing, names: dict[int, str]) -> list[Extent]:
    """Return the extent of each class, and last that of all together.

    ``labels`` (z, y, x) by ``names``; ``lungs`` (z, y, x): 1 left, 2 right, in canonical orientation (z upwards). The
    thirds divide the height of both lungs, from the highest slice that shows them to the lowest.
    """
    counted = count_voxels(labels, LungRegions.of(lungs, spacing_mm))

    def extent(name: str, values: tuple[int, ...]) -> Extent:
        shares = {
            (side, zone): counted.percent(values, side if zone == "all" else f"{side}_{zone}") / 100
            for side in SIDES
            for zone in ("all", *ZONES)
        }
        outside_ml, slices = counted.outside_ml(values), np.isin(labels, values).any(axis=(1, 2))
        ml = counted.ml(values) + outside_ml
        return Extent(name, ml, outside_ml, counted.percent(values) / 100, shares, int(slices.sum()))

    return [*(extent(name, (value,)) for value, name in names.items()), extent("all together", tuple(names))]


def write_summary(
    path: Path,
    patient: Patient,
    lungs: np.ndarray,
    labels: np.ndarray,
    certainties: Certainties,
    names: dict[int, str],
    model: str,
    warnings: list[str],
) -> None:
    """Write the page about a patient.

    ``lungs`` (N, H, W): see ``extents``; ``labels`` (N, H, W): the prediction, by ``names``; ``warnings``:
    about the case.
    """
    class_extents = extents(labels, lungs, patient.spacing_mm, names)
    certainty = {
        name: _certainty(certainties, labels == value, place) for place, (value, name) in enumerate(names.items())
    }
    colours = {names[value]: colour for value, colour in class_colours(names).items()}
    voxel_ml = float(np.prod(patient.spacing_mm)) / 1000
    write_html(
        path,
        "patient.html",
        {"percent": _percent},
        case=patient.case,
        extents=class_extents,
        certainty=certainty,
        colours=colours,
        warnings=warnings,
        near_mm=NEAR_MM,
        sides=list(SIDES),
        zones=["all", *ZONES],
        ends=cut_off(lungs),
        slices=len(labels),
        spacing=patient.spacing_mm,
        lungs_ml=[(side, int((lungs == number).sum()) * voxel_ml) for side, number in SIDES.items()],
        pictures=_pictures(patient.images, labels, lungs, names),
        model=model,
        today=date.today().isoformat(),
        version=version("planewise"),
    )


def _certainty(certainties: Certainties, mask: np.ndarray, place: int) -> tuple[float, float]:
    """Return a class's highest probability in any slice, and its mean expected Dice in slices that have it, or NaN."""
    shown = mask.any(axis=(1, 2))
    likely, dices = certainties.probabilities[:, place], certainties.dices[shown, place]
    known, known_dices = likely[~np.isnan(likely)], dices[~np.isnan(dices)]
    return (float(known.max()) if known.size else math.nan, float(known_dices.mean()) if known_dices.size else math.nan)


def _percent(share: float) -> str:
    if np.isnan(share):
        return "-"
    return "0" if share == 0 else "< 0.1" if share < 0.001 else f"{100 * share:.1f}"


def _pictures(
    images: np.ndarray, labels: np.ndarray, lungs: np.ndarray, names: dict[int, str]
) -> list[tuple[str, str, str]]:
    """Return the most affected slices as (name, plain, outlined), data URIs; the left is the patient's right."""
    rows, columns = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    window = tuple(slice(max(0, indices[0] - 12), indices[-1] + 13) for indices in (rows, columns))
    pictures = []
    for z in most_affected((labels > 0).sum(axis=(1, 2)), np.flatnonzero(lungs.any(axis=(1, 2)))):
        plain, outlined = (_picture(images[z][window], shown, names) for shown in (None, labels[z][window]))
        pictures.append((f"slice {z} of 0 to {len(labels) - 1}", plain, outlined))
    return pictures


def _picture(image: np.ndarray, labels: np.ndarray | None, names: dict[int, str]) -> str:
    height, width = image.shape
    figure = new_figure(3.4, 3.4 * height / width, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    axes.text(0.02, 0.98, "R", transform=axes.transAxes, color="white", va="top")
    axes.text(0.98, 0.98, "L", transform=axes.transAxes, color="white", va="top", ha="right")
    for value, colour in class_colours(names).items():
        if labels is not None and (labels == value).any():
            axes.contour(labels == value, [0.5], colors=[colour], linewidths=1.4)
    return figure_uri(figure, 110)
