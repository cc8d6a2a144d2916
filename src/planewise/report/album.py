"""The page's pictures, drawn case by case as they are scored, while their volumes are open."""

import math

from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.comparison import ScoredCase
from planewise.evaluation.result import Benchmark, Result
from planewise.report.slides import CaseSlides, case_slides

PICTURE_BYTES = 12_000_000  # of all pictures, so that the page stays under 15 MB
CASE_BYTES = 10_000_000  # of one case, so that a page of few cases is made and opened quickly
SOLIDS = 40  # objects of a method in a case that are drawn in 3D, at most
SOLIDS_IN_ALL = 400


def goodness(results: list[Result]) -> float:
    """Return the mean of a case's main scores; a case that could not be scored comes first.

    An undefined score belongs to a case without truth and prediction, and counts as 1.
    """
    scores = [result.scores.get("f1_50", result.scores.get("dsc")) for result in results]
    counted = [1.0 if math.isnan(score) else score for score in scores if score is not None]
    return sum(counted) / len(counted) if counted else -1.0


class Album:
    """The slides of cases by (dataset, case), for as many of the worst cases as a page has room for.

    ``left_out``: why a case has none. ``problems``: damaged images, whose pictures are missing.
    """

    def __init__(self, benchmarks: list[Benchmark]) -> None:
        n_cases = sum(len(benchmark.cases()) for benchmark in benchmarks)
        n_methods = max((len(benchmark.methods) for benchmark in benchmarks), default=1)
        self._room = min(CASE_BYTES, PICTURE_BYTES // max(1, n_cases))
        self._solids = min(SOLIDS, SOLIDS_IN_ALL // max(1, n_cases * n_methods))
        self._goodness: dict[tuple[str, str], float] = {}
        self.slides: dict[tuple[str, str], CaseSlides] = {}
        self.left_out: dict[tuple[str, str], str] = {}
        self.problems: list[Problem] = []

    def draw(self, scored: ScoredCase) -> None:
        """Draw a case that was just scored."""
        place = scored.benchmark.dataset, scored.case
        try:
            slides = case_slides(scored, self._room, self._solids, self.problems)
        except PlanewiseError as error:
            self.left_out[place] = str(error)
            return
        if slides is None:
            return
        self.slides[place], self._goodness[place] = slides, goodness(scored.results)
        while sum(drawn.size for drawn in self.slides.values()) > PICTURE_BYTES:
            best = max(self.slides, key=lambda place: self._goodness[place])
            del self.slides[best]
            self.left_out[best] = "the page would be too large"
