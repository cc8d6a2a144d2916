"""metrics.csv: what a training logs at each step, and its score at the end."""

import csv
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError

METRICS = "metrics.csv"


class MetricsFile:
    """metrics.csv: a row per step, flushed, with the validation's columns filled where there was one."""

    COLUMNS = ("step", "learning_rate", "total", "images_per_second")

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.columns: list[str] = list(self.COLUMNS)
        if start and path.exists():  # what was logged after the checkpoint is trained again
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                self.columns = list(reader.fieldnames or self.COLUMNS)
                self.rows = [row for row in reader if int(row["step"]) <= start]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite()

    def add(self, row: dict[str, Any]) -> None:
        rounded = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        self.rows.append(rounded)
        new = [name for name in rounded if name not in self.columns]
        if new:  # the first step and the first validation add columns
            self.columns += new
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(rounded)

    def _rewrite(self) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        temporary.replace(self.path)


def score_at_end(folder: Path) -> float:
    """Return the score of the last validation in a training's folder; 0 where there was nothing to score.

    Raises PlanewiseError if its metrics are gone.
    """
    if not (folder / METRICS).is_file():
        raise PlanewiseError(
            f"{folder / METRICS}: is gone, and is needed for the score of the training; train again, into a new folder"
        )
    with (folder / METRICS).open(newline="", encoding="utf-8") as file:
        scores = [row["val_score"] for row in csv.DictReader(file) if row.get("val_score")]
    return float(scores[-1]) if scores else 0.0
