"""The scores of methods: one result for each method, case and class, from which all tables and pages are written."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.changes import Input
from planewise.evaluation.mistakes import Mistake
from planewise.evaluation.object_table import ObjectTable
from planewise.evaluation.pairs import MISSING, OK, Pair
from planewise.evaluation.presence import Slices
from planewise.evaluation.tolerance import Tolerance

OBJECTS = "objects"  # in the place of a class if the labels are instances
PRIMARY = {True: "f1_50", False: "dsc"}  # the metric that ranks methods, for instances and for classes


@dataclass(frozen=True)
class Benchmark:
    """A dataset, and the predictions of each method.

    ``methods``: the cases' pairs by method, all methods' in the same order. ``images``: by case, for pictures; may lack
    any; ``channel``: which of theirs. ``classes``: names of the labels of a semantic truth; empty if labels are
    instances. ``any_label``: of a truth with one class all that is predicted counts as it, so that instances can be
    compared with it; ``values``: what is that class in the truth, where it is not just its number. ``things``: the
    class that labels are instances of, where there are several, see ``Pair.of_class``. ``notes``: by
    method, what a reader must know. ``patients``: whose scan a case is; a case that is not named is a patient of its
    own. ``unit``: that of all distances, which a case without a known voxel size then lacks; None: that of the files,
    or voxels.
    """

    dataset: str
    methods: dict[str, list[Pair]]
    images: dict[str, Path]
    classes: dict[int, str]
    notes: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    values: tuple[int, ...] = ()
    channel: int | None = None
    unit: str | None = None
    any_label: bool = True
    things: str = ""

    @property
    def takes_any_label(self) -> bool:
        """Whether all that is predicted counts as the one class; see ``any_label``."""
        return self.any_label and len(self.classes) == 1

    def cases(self) -> list[str]:
        """Return the cases' names, in their order."""
        return list(dict.fromkeys(pair.case for pairs in self.methods.values() for pair in pairs))

    def files(self) -> dict[Path, Input]:
        """Return every file that its scores and pictures are made from, and what it is; of two things, the first."""
        files: dict[Path, Input] = {}
        for method, pairs in self.methods.items():
            predicted = "the prediction" if len(self.methods) == 1 else f"the prediction by {method}"
            for pair in pairs:
                of_class = pair.of_class
                read = {
                    "the truth": pair.truth,
                    predicted: pair.prediction,
                    "the labels beside the truth": None if pair.ignored is None else pair.ignored[0],
                    "the classes of the truth": None if of_class is None else of_class.truth,
                    f"the classes of {predicted}": None if of_class is None else of_class.prediction,
                    "the image": self.images.get(pair.case),
                }
                for what, path in read.items():
                    if path is not None:
                        files.setdefault(path, Input(what, pair.case))
        return files

    def made_with(self) -> dict[str, Any]:
        """Return what else the scores depend on, by the names that messages give it, for the manifest beside them.

        Of a dataset.json that is the names of the scored values, and which values have a name, since others are
        refused; the rest of it changes no score.
        """
        pairs = [pair for of_method in self.methods.values() for pair in of_method]
        named = {value for pair in pairs if pair.semantic is not None for value in pair.semantic[1].values()}
        things = sorted({pair.of_class.classes.things for pair in pairs if pair.of_class is not None})
        problems = {
            method: [(pair.problem, pair.truth_problem) for pair in of_method if pair.problem or pair.truth_problem]
            for method, of_method in self.methods.items()
        }
        facts = {
            "the methods": list(self.methods),
            "the classes that are scored": [self.classes, self.values, self.things, things],
            "the values that have a name": sorted(named),
            "the ignore label": sorted({pair.ignored[1] for pair in pairs if pair.ignored is not None}),
            "the patients": {case: patient for case, patient in self.patients.items() if patient != case},
            "what is known of the methods": self.notes,
            "the channel of the images": self.channel,
            "how labels are read": [self.unit, self.any_label],
            "which files cannot be used": {method: of for method, of in problems.items() if of},
        }
        ignore_geometry = {"--ignore_geometry": any(pair.ignore_geometry for pair in pairs)}
        return {f"{name} in {self.dataset}": value for name, value in facts.items()} | ignore_geometry


def made_from(benchmarks: list[Benchmark], several_datasets: bool = False) -> tuple[dict[str, Any], dict[Path, Input]]:
    """Return the settings that determine the scores of ``benchmarks``, and the files that they are computed from.

    Of two things that a file is, the first counts. ``several_datasets``: the benchmarks are of a dataset each, and not
    of a class each: the dataset is then part of what a file is, since several may have cases of one name.
    """
    made_with: dict[str, Any] = {}
    files: dict[Path, Input] = {}
    for benchmark in benchmarks:
        made_with |= benchmark.made_with()
        for path, given in benchmark.files().items():
            what = f"{given.what} in {benchmark.dataset}" if several_datasets else given.what
            files.setdefault(path, Input(what, given.case))
    return made_with, files


@dataclass(frozen=True)
class Result:
    """What a method achieved in one class of one case.

    ``patient``: whose scan the case is. ``status``: "ok", or why there is no prediction to score: the scores are then
    those of what was not delivered; see ``metrics``. ``scores`` by metric; NaN where one is not defined; none at all if
    there is no truth to score against. ``has_truth``: whether there is a file for it. ``tolerance``: within what
    distance surfaces agree, in ``unit``.
    ``object_sizes``, ``object_ious``: of every true object its voxels and its IoU with its best prediction.
    ``objects``: every object with its best counterpart; None of classes, and where nothing was delivered.
    ``slices``: in which the class is. ``notes``: what a reader must know of the files that were scored. ``of_things``:
    whether the class is one of things, whose objects were scored.
    """

    dataset: str
    method: str
    case: str
    patient: str
    class_name: str
    status: str
    scores: dict[str, float]
    mistakes: list[Mistake] = field(default_factory=list)
    object_sizes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    object_ious: np.ndarray = field(default_factory=lambda: np.zeros(0))
    objects: ObjectTable | None = None
    slices: Slices | None = None
    tolerance: float = float("nan")
    unit: str = ""
    has_truth: bool = True
    notes: tuple[str, ...] = ()
    of_things: bool = False

    @property
    def instances(self) -> bool:
        """Whether objects were scored, rather than the voxels of a class."""
        return self.of_things or self.class_name == OBJECTS

    @property
    def delivered(self) -> bool:
        """Whether there was a prediction that could be scored."""
        return self.status == OK

    @property
    def problem(self) -> str:
        """Why there was none, for the table of problems."""
        return "has no prediction: counted as an empty prediction" if self.status == MISSING else self.status

    @property
    def detected_something(self) -> bool:
        """Whether any voxel of the prediction is right."""
        return self.delivered and self.scores.get("voxel_dice", self.scores.get("dsc", 0.0)) > 0


@dataclass(frozen=True)
class CaseErrors:
    """Where a method is wrong: the number of wrong voxels in each slice along z, y and x."""

    dataset: str
    method: str
    case: str
    along: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """All results, and where the cases are wrong."""

    benchmarks: list[Benchmark]
    tolerance: Tolerance
    results: list[Result]
    errors: list[CaseErrors]

    def nothing_scored(self) -> bool:
        """Whether no case has scores, not even those of nothing in the place of what was not delivered."""
        return not any(result.scores for result in self.results)

    def not_delivered(self) -> list[Result]:
        """Return a result of every method and case without a prediction that could be scored, whatever its classes."""
        missing = {(r.dataset, r.method, r.case): r for r in self.results if not r.delivered}
        return list(missing.values())

    def notes(self) -> list[tuple[str, str, str]]:
        """Return the notes for readers, each once, as (dataset, method, note)."""
        notes = [(c.dataset, method, note) for c in self.benchmarks for method, note in c.notes.items()]
        notes += [(result.dataset, result.method, note) for result in self.results for note in result.notes]
        return list(dict.fromkeys(notes))

    def tolerances(self) -> dict[str, tuple[float, float]]:
        """Return by unit the lowest and the highest distance within which surfaces agreed, but of classes with one of
        their own."""
        used: dict[str, list[float]] = {}
        for result in self.results:
            if result.unit and (result.unit, result.class_name) not in self.tolerance.by_class:
                used.setdefault(result.unit, []).append(result.tolerance)
        return {unit: (min(values), max(values)) for unit, values in used.items()}
