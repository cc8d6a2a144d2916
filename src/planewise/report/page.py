"""The report as one self-contained HTML page: no server, no network."""

import math
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from planewise.evaluation.metrics import METRICS, base_of, metric_of, title_of
from planewise.evaluation.result import OBJECTS, Comparison, Result
from planewise.evaluation.standings import Standing, differences, groups, mean_in, standings
from planewise.evaluation.statistics import ENOUGH_PATIENTS, Difference, Summary
from planewise.report.album import Album, goodness
from planewise.report.comparison_files import CSV, JSON, tested_metrics, write_comparison_files
from planewise.report.html import write_html
from planewise.report.object_rows import OBJECTS_CSV, ObjectRow, object_rows, worst_objects, write_objects
from planewise.report.plots import METHOD_COLOURS, cases_plot, histogram_plot, sizes_plot, threshold_plot
from planewise.report.ranking import Ranking, delivered_text, number_in, rankings
from planewise.report.slides import MISTAKES, CaseSlides
from planewise.report.tables import number_text, tolerance_text
from planewise.volumes.label_names import class_colours

PAGE = "report.html"
FILES = (PAGE, CSV, JSON, OBJECTS_CSV)  # of a report
OBJECT_ROWS = 100  # of a method in a case that the page lists, at most
OBJECT_ROWS_IN_ALL = 3000


class Report(NamedTuple):
    """The path of the page, and its ranking of the methods."""

    page: Path
    standings: list[Standing]


def write_report(comparison: Comparison, album: Album, folder: Path) -> Report:
    """Write results.csv, results.json, report.html and, for instances, objects.csv into ``folder``; predictions without
    a truth are left out.

    Raises PlanewiseError if they cannot be written.
    """
    comparison = replace(comparison, results=[result for result in comparison.results if result.has_truth])
    ranked, between = standings(comparison), differences(comparison, tested_metrics(comparison))
    write_comparison_files(comparison, ranked, between, folder)
    write_objects(comparison.results, folder)
    methods = list(dict.fromkeys(result.method for result in comparison.results))
    places = {name: place for place, name in enumerate(methods)}
    used = dict.fromkeys(base_of(key) for result in comparison.results for key in result.scores)
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
        title=", ".join(benchmark.dataset for benchmark in comparison.benchmarks),
        today=date.today().isoformat(),
        version=version("planewise"),
        colours={name: METHOD_COLOURS[place % len(METHOD_COLOURS)] for name, place in places.items()},
        rankings=[_ranking_table(ranking) for ranking in rankings(ranked)],
        notes=comparison.notes(),
        problems=comparison.not_delivered(),
        plots=[_plots(*group, places) for group in groups(comparison)],
        standings=ranked,
        differences=[difference for difference in between if difference.difference.n > 1],
        enough=ENOUGH_PATIENTS,
        patients=len({(result.dataset, result.patient) for result in comparison.results}),
        cases=_cases(comparison, album),
        left_out=[f"{dataset}, {case}: {why}" for (dataset, case), why in album.left_out.items()],
        tolerance=tolerance_text(comparison),
        definitions=[METRICS[base] for base in used],
        most_mistakes=MISTAKES,
        objects_csv=OBJECTS_CSV,
        class_colours=_class_colours(comparison),
    )
    return Report(path, ranked)


def _score(value: float, key: str = "") -> str:
    """Return a score as text: counts as integers, others with three decimals, or one from 10 on."""
    if math.isnan(value):
        return "-"
    if key and metric_of(key).unit == "count":
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _interval(summary: Summary | Difference) -> str:
    if math.isnan(summary.low):
        return f"too few {'cases' if summary.n == summary.n_cases else 'patients'} ({summary.n})"
    return f"{_score(summary.low)} to {_score(summary.high)}"


def _number(summary: Summary | Difference) -> str:
    return number_text(summary.n, summary.n_cases)


# ---- the ranking


def _ranking_table(ranking: Ranking) -> dict[str, Any]:
    """Return what the page shows of a ranking; values that are equal in all rows are stated once."""
    return {
        "dataset": "" if len({row.dataset for row in ranking.rows}) > 1 else ranking.rows[0].dataset,
        "missing": any(row.n_delivered < row.n_cases for row in ranking.rows),
        "what": ranking.what,
        "instances": ranking.instances,
        "primary": ranking.primary,
        "unit": ranking.unit,
        "columns": [(key, metric_of(key)) for key in ranking.columns],
        "rows": [_ranking_row(row, ranking.columns, ranking.rows) for row in ranking.rows],
    }


def _ranking_row(standing: Standing, columns: list[str], rows: list[Standing]) -> dict[str, Any]:
    place = standing.dataset, standing.class_name
    rows_of_place = [row for row in rows if (row.dataset, row.class_name) == place]
    rivals = [row for row in rows_of_place if row.detected_something]  # a method that detects nothing is never best

    def cell_of(which: str, key: str) -> dict[str, Any]:
        value = mean_in(getattr(standing, which), key)
        values = [v for v in (mean_in(getattr(rival, which), key) for rival in rivals) if not math.isnan(v)]
        best = max(values, default=math.nan) if metric_of(key).better == "higher" else min(values, default=math.nan)
        everyone = {v for v in (mean_in(getattr(row, which), key) for row in rows_of_place) if not math.isnan(v)}
        starred = standing.detected_something and value == best and len(everyone) > 1  # no star if all are equal
        return {"key": key, "value": value, "best": starred, "n": number_in(standing, key, which == "left_out")}

    return {
        "standing": standing,
        "counted": cell_of("counted", standing.primary),
        "left_out": cell_of("left_out", standing.primary),
        "cells": [cell_of("counted", key) for key in columns],
    }


# ---- plots


def _plots(where: tuple[str, str], methods: dict[str, list[Result]], places: dict[str, int]) -> dict[str, Any]:
    dataset, class_name = where
    cases = {result.case: result.patient for results in methods.values() for result in results}
    several = len(set(cases.values())) < len(cases)
    unit, median = ("patients", "the median over patients") if several else ("cases", "the median")
    if any(result.instances for results in methods.values() for result in results):
        figures = [
            cases_plot(methods, places, "f1_50", title_of("f1_50")),
            threshold_plot(methods, places),
            sizes_plot(methods, places),
        ]
        captions = [
            f"F1 at IoU 0.5: each point is a case, hollow if its prediction is missing; the bar is {median}.",
            f"F1, mean over {unit}, against the IoU from which an object counts as detected.",
            "Each true object: its size, and its IoU with its best prediction.",
        ]
    else:
        figures = [
            cases_plot(methods, places, "dsc", title_of("dsc")),
            histogram_plot(methods, places, "dsc", title_of("dsc")),
        ]
        captions = [
            f"Dice in 3D: each point is a case, hollow if its prediction is missing; the bar is {median}.",
            "The distribution of Dice over cases.",
        ]
    return {"dataset": dataset, "class_name": class_name, "figures": list(zip(figures, captions))}


# ---- cases


def _cases(comparison: Comparison, album: Album) -> list[dict[str, Any]]:
    """Return what the page shows of each case, worst first."""
    by_case: dict[tuple[str, str], list[Result]] = {}
    for result in comparison.results:
        by_case.setdefault((result.dataset, result.case), []).append(result)
    most = min(OBJECT_ROWS, max(10, OBJECT_ROWS_IN_ALL // max(1, len(comparison.results))))
    return [
        {
            "dataset": place[0],
            "case": place[1],
            "patient": results[0].patient,
            "results": results,
            "slides": album.slides.get(place),
            "objects": [_Objects.of(result, most, album.slides.get(place)) for result in results if result.objects],
        }
        for place, results in sorted(by_case.items(), key=lambda item: goodness(item[1]))
    ]


class _Objects(NamedTuple):
    """The objects of a method in a case that are listed, each with its pictures, and how many there are."""

    method: str
    rows: list[tuple[ObjectRow, dict[str, str]]]
    there_are: int

    @classmethod
    def of(cls, result: Result, most: int, slides: CaseSlides | None) -> "_Objects":
        assert result.objects is not None
        rows = object_rows(result, worst_objects(result.objects, most))
        pictures = {} if slides is None else slides.solids.objects
        shown = [(row, pictures.get((result.method, row.row), {})) for row in rows]
        return cls(result.method, shown, len(result.objects.truth))


def _class_colours(comparison: Comparison) -> dict[str, str]:
    """Return the colour of each class, the same in all pictures; instances have that of the first."""
    names = [list(benchmark.classes.values()) or [OBJECTS] for benchmark in comparison.benchmarks]
    return {of[place]: colour for of in names for place, colour in class_colours(dict(enumerate(of))).items()}


def _viewer_data(slides: CaseSlides) -> dict[str, Any]:
    """Return what the page's script needs to draw a case's slides."""
    return {
        "aspect": slides.aspect,
        "step": slides.step,
        "depth": slides.depth,
        "slides": [
            {
                "plane": slide.plane,
                "index": slide.index,
                "width": slide.width,
                "height": slide.height,
                "image": slide.image,
                "outlines": slide.outlines,
                "wrong": slide.wrong,
                "close_ups": [asdict(close_up) for close_up in slide.close_ups],
            }
            for slide in slides.slides
        ],
    }
