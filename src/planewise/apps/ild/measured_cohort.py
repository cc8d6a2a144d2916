"""The page about all measured cases: a table, their extents, and how two readers agree."""

import math
from datetime import date
from importlib.metadata import version
from pathlib import Path

from planewise.apps.ild.label_options import IldMeasure
from planewise.apps.ild.measured_figures import bland_altman_plot, cases_plot
from planewise.apps.ild.measured_page import shown_number
from planewise.errors import Problem
from planewise.measurement.agreement import Interval
from planewise.measurement.classes import MeasuredClasses
from planewise.measurement.lung_columns import GROUPS, PATTERNS, REGION_MEANINGS, RESEARCH, Column
from planewise.measurement.lung_measures import MeasuredCase
from planewise.measurement.readers import AGREEMENT_COLUMNS, Agreement
from planewise.report.html import write_html

MAIN = ("lungs_ml", "lungs_mean_hu", "lungs_haa_percent", "lungs_laa_percent")


def write_cohort_page(
    path: Path,
    measured: list[MeasuredCase],
    patients: dict[str, str],
    classes: MeasuredClasses,
    columns: dict[str, Column],
    agreements: list[Agreement],
    options: IldMeasure,
    problems: list[Problem],
) -> None:
    """Write the page. ``agreements``: one for each column; empty without a second reader."""
    whole = [f"{name}_percent" for name in classes.groups()]
    main = [one for one in agreements if one.measure in whole]
    write_html(
        path,
        "measured_cohort.html",
        {"number": shown_number, "interval": _interval},
        cases=measured,
        patients=patients,
        columns=[columns[name] for name in (*MAIN[:1], *whole, *MAIN[1:])],
        plot=cases_plot(measured, classes.columns(), classes.names),
        agreements=main,
        against=options.against,
        agreement_plots=[(one, bland_altman_plot(one)) for one in main if one.limits.n > 1],
        categories=", ".join(f"{bound:g}" for bound in options.categories),
        weights=options.kappa_weights,
        problems=problems,
        research=RESEARCH,
        definitions=PATTERNS,
        group_meanings=GROUPS,
        region_meanings=REGION_MEANINGS,
        agreement_columns=AGREEMENT_COLUMNS,
        today=date.today().isoformat(),
        version=version("planewise"),
    )


def _interval(interval: Interval | None) -> str:
    """Return a value with its interval as text; - where it is not defined."""
    if interval is None or math.isnan(interval.value):
        return "-"
    if math.isnan(interval.low):
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
