"""The class scores of one folder of predictions: the origin of its boxes, its results, and the scores of presence."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.presence import PresenceScores, presence_file, presence_scores, read_presence
from planewise.evaluation.result import Result


@dataclass(frozen=True)
class ClassEvaluation:
    """``results``: of every case and class; ``presence``: by class, over all cases that could be scored."""

    prompts: str
    results: list[Result]
    presence: dict[str, PresenceScores]

    def of_class(self, name: str) -> list[Result]:
        """Return the results of a class."""
        return [result for result in self.results if result.class_name == name]

    @property
    def cases(self) -> dict[str, str]:
        """The patient of each case."""
        return {result.case: result.patient for result in self.results}


def evaluate_presence(
    folder: Path, prompts: str, results: list[Result], names: dict[int, str]
) -> tuple[ClassEvaluation, list[Problem]]:
    """Return the evaluation of the predictions in ``folder``, with the scores of presence stored beside them, if any,
    and a problem for each unreadable table of these."""
    presence_of: dict[str, dict[int, np.ndarray]] = {}
    problems = []
    for case, depth in {r.case: len(r.slices.truth) for r in results if r.slices is not None and r.delivered}.items():
        try:
            presence_of[case] = read_presence(presence_file(folder, case), depth)
        except PlanewiseError as error:
            problems.append(Problem(case, str(error)))
    presence = {}
    for value, name in names.items():
        of_class = [(r.slices, r.case) for r in results if r.class_name == name and r.slices is not None]
        scores = [presence_of.get(case, {}).get(value) for _, case in of_class]
        presence[name] = presence_scores([slices for slices, _ in of_class], scores)
    return ClassEvaluation(prompts, results, presence), problems
