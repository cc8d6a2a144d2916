"""The page's pictures, drawn case by case as they are scored, while their volumes are open."""

import math

from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.comparison import ScoredCase
from planewise.evaluation.result import Contest, Result
from planewise.evaluation.voxels import mean_of_defined
from planewise.report.slides import CaseSlides, case_slides

PICTURE_BYTES = 12_000_000  # of all pictures; the page stays under 15 MB
CASE_BYTES = 10_000_000  # of a case's, so that a page of few cases is made and opened in a moment
SOLIDS = 40  # objects of a method in a case that are drawn in 3D, at most
SOLIDS_IN_ALL = 400


def goodness(results: list[Result]) -> float:
    """Return the mean of a case's main scores; a case without any comes first."""
    mean = mean_of_defined(r.scores.get("f1_50", r.scores.get("dsc", math.nan)) for r in results)
    return -1.0 if math.isnan(mean) else mean


class Album:
    """The slides of cases by (dataset, case): of the worst, as many as a page has room for.

    ``left_out``: why a case has none. ``problems``: images that are damaged, each of which cost its pictures.
    """

    def __init__(self, contests: list[Contest]) -> None:
        n_cases = sum(len(contest.cases()) for contest in contests)
        n_methods = max((len(contest.methods) for contest in contests), default=1)
        self._room = min(CASE_BYTES, PICTURE_BYTES // max(1, n_cases))
        self._solids = min(SOLIDS, SOLIDS_IN_ALL // max(1, n_cases * n_methods))
        self._goodness: dict[tuple[str, str], float] = {}
        self.slides: dict[tuple[str, str], CaseSlides] = {}
        self.left_out: dict[tuple[str, str], str] = {}
        self.problems: list[Problem] = []

    def draw(self, scored: ScoredCase) -> None:
        """Draw a case that was just scored."""
        place = scored.contest.dataset, scored.case
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
