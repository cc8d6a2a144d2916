"""The page about a patient whose lungs were measured: numbers, slices, densities."""

from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from planewise.apps.ild.label_options import IldMeasure
from planewise.apps.ild.measured_figures import density_plot, lungs_pictures, regions_plot
from planewise.measurement.classes import MeasuredClasses
from planewise.measurement.density import PERCENTILES
from planewise.measurement.lung_columns import GROUPS, PATTERNS, REGION_MEANINGS, RESEARCH
from planewise.measurement.lung_measures import MeasuredCase
from planewise.measurement.lungs import LungRegions
from planewise.measurement.regions import SIDES, ZONES
from planewise.report.html import write_html
from planewise.volumes.label_names import class_colours


def write_patient_page(
    path: Path,
    case: MeasuredCase,
    classes: MeasuredClasses,
    images: np.ndarray,
    hu: np.ndarray,
    labels: np.ndarray,
    regions: LungRegions,
    options: IldMeasure,
) -> None:
    """Write the page. ``images`` (windowed, uint8), ``hu`` and ``labels`` are (z, y, x), canonical, of the same shape.

    Raises PlanewiseError if it cannot be written.
    """
    columns = classes.columns()
    colours = {columns[value]: colour for value, colour in class_colours(classes.names).items()}
    titles = {columns[value]: name for value, name in classes.names.items()} | {
        "total_fibrosis": "fibrosis: " + " + ".join(classes.names[value] for value in classes.fibrosis),
        "total_extent": "all together",
    }
    write_html(
        path,
        "measured_patient.html",
        {"number": shown_number},
        case=case,
        measures=case.measures,
        groups=list(classes.groups()),
        titles=titles,
        colours=colours,
        sides=["", *SIDES],
        zones=["", *ZONES],
        percentiles=PERCENTILES,
        zone_rule=options.zones,
        periphery_mm=options.periphery_mm,
        spacing=regions.spacing_mm,
        slices=len(labels),
        pictures=lungs_pictures(images, labels, regions, classes.names),
        research=RESEARCH,
        plots=[regions_plot(case, columns, classes.names), density_plot(hu[regions.sides > 0])],
        definitions=PATTERNS,
        group_meanings=GROUPS,
        region_meanings=REGION_MEANINGS,
        today=date.today().isoformat(),
        version=version("planewise"),
    )


def shown_number(value: float | None) -> str:
    """Return a measure as text: one decimal, none from 1000 on; - where it is not defined."""
    if value is None:
        return "-"
    if 0 < abs(value) < 0.05:
        return "< 0.1"
    return f"{value:.0f}" if abs(value) >= 1000 or value == 0 else f"{value:.1f}"
