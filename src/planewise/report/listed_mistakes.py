"""The mistakes that a results.json lists, method by method and case by case."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError
from planewise.evaluation.mistakes import Mistake
from planewise.report.comparison_files import JSON
from planewise.volumes.channel_numbers import PREDICTED
from planewise.volumes.json_files import read_json


@dataclass(frozen=True)
class ListedMistakes:
    """The mistakes of one method in a case of a dataset; ``method``: its folder's name without the prefix."""

    dataset: str
    method: str
    case: str
    mistakes: list[Mistake]


def read_mistakes(path: Path) -> list[ListedMistakes]:
    """Return what a results.json lists. Raises PlanewiseError if it is no such file."""
    content = read_json(path)
    try:
        return [_listed(entry) for entry in content["results"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PlanewiseError(f"{path}: is not a {JSON} of planewise compare or evaluate ({error})") from error


def of_dataset(listed: list[ListedMistakes], dataset: str) -> list[ListedMistakes]:
    """Return those of the dataset whose folder has this name, where several have cases that may be called alike."""
    if len({entry.dataset for entry in listed}) > 1:
        return [entry for entry in listed if entry.dataset.rpartition("/")[2] == dataset]
    return listed


def _listed(entry: dict[str, Any]) -> ListedMistakes:
    method = str(entry["method"]).removeprefix(PREDICTED)  # compare leaves out this prefix, evaluate does not
    mistakes = [_mistake(mistake) for mistake in entry["mistakes"]]
    return ListedMistakes(str(entry["dataset"]), method, str(entry["case"]), mistakes)


def _mistake(row: dict[str, Any]) -> Mistake:
    z, y, x = (int(side) for side in row["centre"])
    truth, predicted = (tuple(int(label) for label in row[of]) for of in ("truth", "predicted"))
    return Mistake(str(row["kind"]), truth, predicted, int(row["voxels"]), (z, y, x))
