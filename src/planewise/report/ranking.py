"""The ranking: the methods in its rows and the scores in its columns, on the page and on the terminal."""

from dataclasses import dataclass

from planewise.evaluation.metrics import base_of, title_of
from planewise.evaluation.standings import Standing
from planewise.progress import counted
from planewise.report.tables import number_text

COLUMNS = {  # of the ranking: for instances, for classes
    True: ("mean_accuracy", "pq_50", "voxel_iou", "nsd", "hd95", "object_hd95", "fn_50", "fp_50", "missed", "merges",
           "splits", "vi_split", "vi_merge", "rand_error"),
    False: ("iou", "missed", "nsd", "hd95", "assd", "false_positive"),
}  # fmt: skip


@dataclass(frozen=True)
class Ranking:
    """A table of all standings for instances, or of all for classes.

    ``rows``: by dataset and class, the best first; ``primary``: the score that ranks them; ``columns``: other scores.
    """

    what: str
    instances: bool
    rows: list[Standing]
    columns: list[str]

    @property
    def primary(self) -> str:
        """The title of the score that methods are ranked by."""
        return title_of(self.rows[0].primary)

    @property
    def unit(self) -> str:
        """The unit that means are over: cases, or patients if one has several cases."""
        return "patients" if any(row.n_patients < row.n_cases for row in self.rows) else "cases"


def delivered_text(standing: Standing) -> str:
    """Return how many cases have a prediction that could be scored, out of how many, and of how many patients."""
    cases = f"{standing.n_delivered} of {standing.n_cases}"
    if standing.n_patients == standing.n_cases:
        return cases
    return f"{counted(standing.n_patients, 'patient')} ({cases} cases)"


def number_in(standing: Standing, key: str, delivered_alone: bool = False) -> str:
    """Return the number of patients that a mean is over, if it is not defined in all cases; else ""."""
    summary = (standing.left_out if delivered_alone else standing.counted).get(key)
    n_all = standing.n_delivered if delivered_alone else standing.n_cases
    return "" if summary is None or summary.n_cases == n_all else f"n = {number_text(summary.n, summary.n_cases)}"


def rankings(standings: list[Standing]) -> list[Ranking]:
    """Return a table for the instances and one for the classes, if there are any."""
    tables = []
    for instances, what in ((True, "Instances"), (False, "Classes")):
        rows = [standing for standing in standings if standing.instances is instances and standing.counted]
        if rows:
            keys = list(dict.fromkeys(key for row in rows for key in row.counted))
            columns = [key for base in COLUMNS[instances] for key in keys if base_of(key) == base]
            tables.append(Ranking(what, instances, rows, columns))
    return tables
