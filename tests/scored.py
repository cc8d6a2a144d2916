"""Predictions scored as ``mito evaluate`` and ``ild evaluate`` score them, as rows to look into."""

from planewise.data.classes import Target
from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import Pair
from planewise.evaluation.result import Benchmark, Result
from planewise.evaluation.tolerance import Tolerance
from planewise.report.tables import OF_A_CLASS


def evaluate_pairs(pairs: list[Pair], target: Target | None = None) -> list[dict]:
    """Return a row for every pair: its case, status and scores by column."""
    classes = {} if target is None else {target.values[0]: target.name}
    benchmark = Benchmark("d", {"m": pairs}, {}, classes, values=() if target is None else target.values)
    rows = []
    for result in compare([benchmark], Tolerance(), overlap_alone=True).results:
        columns = {column: result.scores[key] for column, key in OF_A_CLASS.items() if key in result.scores}
        scores = columns if target is not None else result.scores
        rows.append({"case": result.case, "status": result.status, **scores})
    return rows


def evaluate_classes(pairs: list[Pair], names: dict[int, str]) -> list[Result]:
    """Return the result of every case and class."""
    benchmark = Benchmark("d", {"m": pairs}, {}, names, unit="mm", any_label=False)
    return compare([benchmark], Tolerance({"mm": 2.0})).results
