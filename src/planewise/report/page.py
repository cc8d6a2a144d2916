"""The report as one self-contained HTML page: no server, no network."""

import math
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from planewise.errors import PlanewiseError
from planewise.evaluation.comparison import OBJECTS, Comparison, Result
from planewise.evaluation.standings import Standing, differences, groups, standings
from planewise.evaluation.statistics import ENOUGH_PATIENTS, Difference, Summary
from planewise.evaluation.voxels import mean_of_defined
from planewise.report.comparison_files import tested_metrics, write_comparison_files
from planewise.report.html import write_html
from planewise.report.metrics import COUNTS, METRICS, base_of, title_of
from planewise.report.plots import METHOD_COLOURS, cases_plot, histogram_plot, sizes_plot, threshold_plot
from planewise.report.ranking import Ranking, delivered_text, rankings
from planewise.report.slides import MISTAKES, CaseSlides, case_slides
from planewise.report.tables import number_text

PAGE = "report.html"
PICTURE_BYTES = 15_000_000  # of all slides; the page stays under 20 MB
SLIDES = 8  # of each plane of a case, at most
SLIDES_IN_ALL = 150


class Report(NamedTuple):
    """Where the page is, and how the methods stand in it."""

    page: Path
    standings: list[Standing]


def write_report(comparison: Comparison, folder: Path, advance: Callable[[], None] = lambda: None) -> Report:
    """Write results.csv, results.json and report.html into ``folder``.

    Raises PlanewiseError if the disk refuses.
    """
    found, between = standings(comparison), differences(comparison, tested_metrics(comparison))
    write_comparison_files(comparison, found, between, folder)
    methods = list(dict.fromkeys(result.method for result in comparison.results))
    places = {name: place for place, name in enumerate(methods)}
    cases, left_out = _cases(comparison, advance)
    path = folder / PAGE
    write_html(
        path,
        "report.html",
        {
            "score": _score,
            "title_of": title_of,
            "interval": _interval,
            "viewer_data": _viewer_data,
            "delivered": delivered_text,
            "number": _number,
        },
        title=", ".join(contest.dataset for contest in comparison.contests),
        today=date.today().isoformat(),
        version=version("planewise"),
        colours={name: METHOD_COLOURS[place % len(METHOD_COLOURS)] for name, place in places.items()},
        rankings=[_ranking_table(ranking) for ranking in rankings(found)],
        notes=_notes(comparison),
        problems=comparison.not_delivered(),
        plots=[_plots(*group, places) for group in groups(comparison)],
        standings=[(standing, [key for key in standing.counted if base_of(key) in METRICS]) for standing in found],
        differences=between,
        enough=ENOUGH_PATIENTS,
        patients=len({(result.dataset, result.patient) for result in comparison.results}),
        cases=cases,
        left_out=left_out,
        tolerance=comparison.tolerance,
        definitions=METRICS,
        most_mistakes=MISTAKES,
    )
    return Report(path, found)


def _score(value: float, key: str = "") -> str:
    """Return a score as it is shown: counts as they are, else three digits after the point, one from 10 on."""
    if math.isnan(value):
        return "-"
    if base_of(key) in COUNTS:
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _interval(summary: Summary | Difference) -> str:
    if math.isnan(summary.low):
        return f"too few {'cases' if summary.n == summary.n_cases else 'patients'} ({summary.n})"
    return f"{_score(summary.low)} to {_score(summary.high)}"


def _number(summary: Summary | Difference) -> str:
    return number_text(summary.n, summary.n_cases)


def _notes(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return what a reader must know, as (dataset, method, note)."""
    notes = [(c.dataset, method, note) for c in comparison.contests for method, note in c.notes.items()]
    for result in comparison.results:
        if result.delivered and result.scores.get("n_pred") == 1 < result.scores.get("n_truth", 0):
            note = f"{result.case} is predicted as one object; of a semantic map only the voxel scores mean something"
            notes.append((result.dataset, result.method, note))
    return notes


# ---- the ranking


def _ranking_table(ranking: Ranking) -> dict[str, Any]:
    return {
        "what": ranking.what,
        "instances": ranking.instances,
        "primary": ranking.primary,
        "unit": ranking.unit,
        "columns": [(key, METRICS[base_of(key)]) for key in ranking.columns],
        "rows": [_ranking_row(row, ranking.columns, ranking.rows) for row in ranking.rows],
    }


def _ranking_row(standing: Standing, columns: list[str], rows: list[Standing]) -> dict[str, Any]:
    rivals = [row for row in rows if (row.dataset, row.class_name) == (standing.dataset, standing.class_name)]

    def cell_of(which: str, key: str) -> dict[str, Any]:
        value = _mean(getattr(standing, which), key)
        values = [v for v in (_mean(getattr(rival, which), key) for rival in rivals) if not math.isnan(v)]
        better = METRICS[base_of(key)].better
        best = max(values, default=math.nan) if better == "higher" else min(values, default=math.nan)
        return {"key": key, "value": value, "best": value == best and len(set(values)) > 1}  # none where all are equal

    return {
        "standing": standing,
        "counted": cell_of("counted", standing.primary),
        "left_out": cell_of("left_out", standing.primary),
        "cells": [cell_of("counted", key) for key in columns],
    }


def _mean(summaries: dict[str, Summary], key: str) -> float:
    return summaries[key].mean if key in summaries else math.nan


# ---- plots


def _plots(where: tuple[str, str], methods: dict[str, list[Result]], places: dict[str, int]) -> dict[str, Any]:
    dataset, class_name = where
    cases = {result.case: result.patient for results in methods.values() for result in results}
    several = len(set(cases.values())) < len(cases)
    unit, median = ("patients", "the median over patients") if several else ("cases", "the median")
    if class_name == OBJECTS:
        figures = [
            cases_plot(methods, places, "f1_50", title_of("f1_50")),
            threshold_plot(methods, places),
            sizes_plot(methods, places),
        ]
        captions = [
            f"F1 at IoU 0.5: every case a point, hollow where nothing was delivered; the bar is {median}.",
            f"F1, mean over {unit}, against the IoU from which an object counts as found.",
            "Every true object: its size, and its IoU with its best prediction.",
        ]
    else:
        figures = [
            cases_plot(methods, places, "dsc", title_of("dsc")),
            histogram_plot(methods, places, "dsc", title_of("dsc")),
        ]
        captions = [
            f"Dice in 3D: every case a point, hollow where nothing was delivered; the bar is {median}.",
            "How many cases reached which Dice.",
        ]
    return {"dataset": dataset, "class_name": class_name, "figures": list(zip(figures, captions))}


# ---- cases


def _cases(comparison: Comparison, advance: Callable[[], None]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what the page shows of each case, worst first, and the cases whose pictures there was no room for."""
    found, left_out = [], []
    every = list(dict.fromkeys((result.dataset, result.case) for result in comparison.results))
    by_case = {place: [r for r in comparison.results if (r.dataset, r.case) == place] for place in every}
    per_plane = max(1, min(SLIDES, SLIDES_IN_ALL // (3 * max(1, len(every)))))
    contests = {contest.dataset: contest for contest in comparison.contests}
    room = PICTURE_BYTES
    for dataset, case in sorted(every, key=lambda place: _goodness(by_case[place])):
        results = by_case[dataset, case]
        errors = [error for error in comparison.errors if (error.dataset, error.case) == (dataset, case)]
        delivered = {result.method for result in results if result.delivered}
        errors = [error for error in errors if error.method in delivered] or errors
        slides: CaseSlides | None = None
        if errors and room > 0:
            try:
                slides = case_slides(contests[dataset], case, errors, results, per_plane)
            except PlanewiseError as error:
                left_out.append(f"{dataset}, {case}: {error}")
        elif errors:
            left_out.append(f"{dataset}, {case}: the page would be too large")
        if slides is not None and slides.size > room:
            left_out.append(f"{dataset}, {case}: the page would be too large")
            slides = None
        room -= slides.size if slides else 0
        found.append(
            {"dataset": dataset, "case": case, "patient": results[0].patient, "results": results, "slides": slides}
        )
        advance()
    return found, left_out


def _goodness(results: list[Result]) -> float:
    """Return the mean of a case's main scores; a case without any comes first."""
    mean = mean_of_defined(r.scores.get("f1_50", r.scores.get("dsc", math.nan)) for r in results)
    return -1.0 if math.isnan(mean) else mean


def _viewer_data(slides: CaseSlides) -> dict[str, Any]:
    """Return what the page's script needs to draw a case's slides."""
    return {
        "aspect": slides.aspect,
        "step": slides.step,
        "slides": [
            {
                "plane": slide.plane, "index": slide.index, "width": slide.width, "height": slide.height,
                "image": slide.image, "outlines": slide.outlines, "wrong": slide.wrong,
            }
            for slide in slides.slides
        ],
    }  # fmt: skip
