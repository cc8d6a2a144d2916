"""Score predictions, class by class; those of several kinds of prompts side by side."""

from pathlib import Path

from planewise.apps.ild.options import IldEvaluate
from planewise.data.case import images_beside
from planewise.data.classes import labels_above
from planewise.data.patients import patients_or_cases
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import ClassEvaluation, ClassOptions, class_names, evaluate_folder
from planewise.evaluation.comparison import TOLERANCES, Contest, Tolerance, compare
from planewise.evaluation.pairs import MISSING, OK, Pair, pair_files, with_ignored
from planewise.evaluation.provenance import read_prompts_note
from planewise.progress import say
from planewise.report.class_tables import print_class_means, write_class_results
from planewise.report.page import write_report
from planewise.report.tables import conclude


def evaluate_ild(options: IldEvaluate) -> int:
    """Score predictions, class by class. Returns the exit code; see ``prepare_ild`` for errors."""
    every = [options.predictions, *options.beside]
    labels = labels_above(options.truth, options.dataset)
    pairs = {path: pair_files(path, options.truth, every, options.ignore_geometry) for path in every}
    pairs = {path: with_ignored(found, labels.ignore, instances=False) for path, found in pairs.items()}
    if options.predicted_only:
        pairs = _predicted(pairs)
    notes = _notes(every)
    names = class_names(labels, [pair.truth for pair in pairs[options.predictions] if pair.truth])
    if labels.ignore is not None:
        say(f"Voxels of the ignore label ({labels.ignore}) are not scored.")
    cases = [pair.case for of_folder in pairs.values() for pair in of_folder if pair.truth]
    patients = patients_or_cases(cases, options.patient_pattern, options.patients)
    scoring = ClassOptions(names, options.tolerance_mm, patients)
    evaluations = [evaluate_folder(_home(path), pairs[path], notes[path], scoring) for path in every]
    folder = options.output or _home(options.predictions) / "evaluation"
    write_class_results(evaluations, names, folder, options.tolerance_mm)
    print_class_means(evaluations, names)
    methods = {notes[path] if options.beside else _home(path).name: path for path in every}
    contest = Contest(
        options.truth.resolve().parent.name,
        {method: [pair for pair in pairs[path] if pair.truth] for method, path in methods.items()},
        images_beside(options.truth), names, {method: f"boxes from {notes[path]}" for method, path in methods.items()},
        patients,
    )  # fmt: skip
    tolerance = Tolerance(TOLERANCES | {"mm": options.tolerance_mm})
    say(f"The results are in {folder}, to look at: {write_report(compare([contest], tolerance), folder).page}")
    return conclude([problem for found in evaluations for problem in _problems(found, bool(options.beside))])


def _predicted(pairs: dict[Path, list[Pair]]) -> dict[Path, list[Pair]]:
    """Return the cases that have a prediction in any folder, and say how many have none."""
    predicted = {pair.case for of_folder in pairs.values() for pair in of_folder if pair.prediction}
    without = {pair.case for of_folder in pairs.values() for pair in of_folder} - predicted
    if without:
        listed = ", ".join(sorted(without)[:5]) + (" ..." if len(without) > 5 else "")
        say(f"{len(without)} cases of the truth have no prediction, and are not scored: {listed}")
    if not predicted:
        raise PlanewiseError(f"{next(iter(pairs))}: holds no prediction of a case")
    return {path: [pair for pair in of_folder if pair.case in predicted] for path, of_folder in pairs.items()}


def _home(predictions: Path) -> Path:
    return predictions if predictions.is_dir() else predictions.parent


def _notes(every: list[Path]) -> dict[Path, str]:
    """Return where the boxes of each folder came from; with the folder, where several say the same."""
    notes = {path: read_prompts_note(_home(path)) for path in every}
    said = list(notes.values())
    return {path: note if said.count(note) == 1 else f"{note}, {path}" for path, note in notes.items()}


def _problems(found: ClassEvaluation, several: bool) -> list[Problem]:
    """Return what is wrong with the cases of an evaluation, each once."""
    told = {row["case"]: row["status"] for row in found.rows if row["status"] != OK}
    where = f" ({found.prompts})" if several else ""
    return [
        Problem(case + where, "has no prediction: counted as found nothing" if status == MISSING else status)
        for case, status in told.items()
    ]
