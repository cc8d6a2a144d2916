"""Compares the methods: each score over all patients, with and without missing cases, and paired differences."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from planewise.evaluation.result import PRIMARY, Comparison, Result
from planewise.evaluation.statistics import Difference, Summary, paired_difference, summarise


@dataclass(frozen=True)
class Standing:
    """A method in one class of one dataset.

    ``n_cases``: those with a truth, of ``n_patients``; ``n_delivered``: those of them with a prediction that could be
    scored. Each score by metric, over all cases (``counted``: what was not delivered counts as found nothing) and over
    the delivered ones alone (``left_out``); a patient's cases are averaged first. ``detected_something``: whether any
    of its voxels is right. ``instances``: see ``Result``.
    """

    dataset: str
    class_name: str
    method: str
    n_patients: int
    n_cases: int
    n_delivered: int
    counted: dict[str, Summary]
    left_out: dict[str, Summary]
    detected_something: bool
    instances: bool

    @property
    def primary(self) -> str:
        """The metric that the method is ranked by."""
        return PRIMARY[self.instances]


@dataclass(frozen=True)
class MethodDifference:
    """Two methods in one class of one dataset, by one metric, over the cases that both have (missing ones counted)."""

    dataset: str
    class_name: str
    metric: str
    first: str
    second: str
    difference: Difference


def standings(comparison: Comparison) -> list[Standing]:
    """Return the standing of each method, by dataset and class, best first; see ``Standing.primary``."""
    ranked = []
    for (dataset, class_name), methods in groups(comparison):
        group = []
        for method, results in methods.items():
            scored = [result for result in results if result.scores]
            delivered = [result for result in scored if result.delivered]
            n_patients = len({result.patient for result in scored})
            counts = n_patients, len(scored), len(delivered)
            group.append(
                Standing(
                    dataset,
                    class_name,
                    method,
                    *counts,
                    _summaries(scored),
                    _summaries(delivered),
                    any(result.detected_something for result in results),
                    results[0].instances,
                )
            )
        ranked += sorted(group, key=lambda standing: -_rank_score(standing))
    return ranked


def mean_in(summaries: dict[str, Summary], metric: str) -> float:
    """Return the mean of a metric, NaN if there is none."""
    return summaries[metric].mean if metric in summaries else math.nan


def _rank_score(standing: Standing) -> float:
    mean = mean_in(standing.counted, standing.primary)
    return -1.0 if math.isnan(mean) else mean


def _summaries(results: list[Result]) -> dict[str, Summary]:
    metrics = list(dict.fromkeys(metric for result in results for metric in result.scores))
    patients = [result.patient for result in results]
    return {metric: summarise([r.scores.get(metric, math.nan) for r in results], patients) for metric in metrics}


def differences(comparison: Comparison, metrics: list[str]) -> list[MethodDifference]:
    """Return the differences between each two methods in those of ``metrics`` that both have."""
    compared = []
    for (dataset, class_name), methods in groups(comparison):
        for (first, ours), (second, theirs) in combinations(methods.items(), 2):
            scored = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.scores and b.scores]
            for metric in metrics:
                if any(metric in a.scores for a, _ in scored):
                    values = [[r.scores.get(metric, math.nan) for r in side] for side in zip(*scored)]
                    difference = paired_difference(values[0], values[1], [a.patient for a, _ in scored])
                    compared.append(MethodDifference(dataset, class_name, metric, first, second, difference))
    return compared


def groups(comparison: Comparison) -> Iterator[tuple[tuple[str, str], dict[str, list[Result]]]]:
    """Yield the results by (dataset, class), and in it by method; cases are in one order for all methods."""
    grouped: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for result in comparison.results:
        methods = grouped.setdefault((result.dataset, result.class_name), {})
        methods.setdefault(result.method, []).append(result)
    yield from grouped.items()
