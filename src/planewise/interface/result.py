"""Scores as a table, or as single numbers by name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planewise.errors import PlanewiseError
from planewise.evaluation import result
from planewise.progress import counted

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Result:
    """Scores: one row for each method, case and class; for the metrics see docs/evaluation.md."""

    rows: tuple[result.Result, ...]

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas table: one row for each method, case and class, one column for each metric.

        ``status``: "ok", or why a case was scored as an empty prediction. An undefined score is NaN.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "method": row.method,
                    "case": row.case,
                    "class": row.class_name,
                    "status": row.status,
                    **row.scores,
                    "tolerance": row.tolerance,
                    "unit": row.unit,
                }
                for row in self.rows
            ]
        )

    def __getitem__(self, metric: str) -> float:
        """Return a score, if there is a single method, case and class. Raises PlanewiseError if there are several."""
        if len(self.rows) != 1:
            raise PlanewiseError(f"{metric}: there are {len(self.rows)} rows, each with its score; see to_frame()")
        scores = self.rows[0].scores
        if metric not in scores:
            raise PlanewiseError(f"{metric}: there is no such score here; there are {', '.join(scores)}")
        return scores[metric]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the scored files, each once."""
        return tuple(dict.fromkeys(note for row in self.rows for note in row.notes))

    def __repr__(self) -> str:
        methods = ", ".join(dict.fromkeys(row.method for row in self.rows))
        return f"Result({counted(len(self.rows), 'row')} of {methods}; to_frame() has the scores)"

    def _repr_html_(self) -> Any:
        return self.to_frame().to_html(index=False)
