"""Score predictions class by class; predictions from several kinds of prompts side by side."""

from pathlib import Path

from planewise.apps.ild.label_options import IldEvaluate
from planewise.data.case import images_beside
from planewise.data.changes import Input
from planewise.data.classes import LabelDefinition, labels_above
from planewise.data.derived import Derived
from planewise.data.patients import patients_or_cases
from planewise.data.run import refuse_folder_of_inputs
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.class_evaluation import evaluate_presence
from planewise.evaluation.classes import class_names, without_classes
from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import Pair, pair_files, with_labels
from planewise.evaluation.presence import presence_file
from planewise.evaluation.provenance import read_prompts_note
from planewise.evaluation.result import Benchmark, Comparison
from planewise.evaluation.tolerance import Tolerance
from planewise.options import given_twice
from planewise.progress import progress, say
from planewise.report.album import Album
from planewise.report.class_tables import files_of, print_class_means, write_class_results
from planewise.report.page import FILES, PAGE, write_report
from planewise.report.tables import report_problems, say_notes, tolerance_text
from planewise.volumes.formats import ending_of


def evaluate_ild(options: IldEvaluate) -> int:
    """Score predictions, class by class. Returns the exit code; see ``prepare_ild`` for errors."""
    predictions = [options.predictions, *options.beside]
    if twice := given_twice(predictions):
        raise PlanewiseError(f"--beside {twice}: these predictions are given twice; each is scored once")
    labels = labels_above(options.truth, options.dataset)
    pairs = _pairs(options, predictions, labels)
    notes = _notes(predictions)
    truths = [pair.truth for pair in pairs[options.predictions] if pair.truth and not pair.truth_problem]
    names = class_names(labels, truths)
    if not names:
        raise PlanewiseError(without_classes(options.truth, truths))
    if not labels.classes:
        say(f"No dataset.json names the classes: each value in the truth is a class: {', '.join(map(str, names))}")
    default = _home(options.predictions) / "evaluation"
    folder = options.output or default
    if labels.ignore is not None:
        say(f"Voxels of the ignore label ({labels.ignore}) are not scored.")
    methods = {notes[path] if options.beside else _home(path).name: path for path in predictions}
    benchmark = _benchmark(options, methods, pairs, notes, names)
    refuse_folder_of_inputs(benchmark.files(), folder, "--output", default)  # pictures are volumes too
    made_with = benchmark.made_with() | {"--tolerance_mm": options.tolerance_mm}
    presence = {
        presence_file(_home(path), case): Input(f"the table of slices in {_home(path)}", case)
        for path in predictions
        for case in benchmark.cases()
    }
    read = benchmark.files() | {path: given for path, given in presence.items() if path.exists()}
    derived = Derived.begin(folder, "ild evaluate", made_with, read, (*FILES, *files_of(len(predictions), names)))
    if derived.is_done():
        say(f"{folder}: done already, from the same files with the same options; to look at: {folder / PAGE}")
        return 0
    album = Album([benchmark])
    tolerance = Tolerance({} if options.tolerance_mm is None else {"mm": options.tolerance_mm})
    with progress("evaluating", len(benchmark.cases()), unit="cases") as advance:
        comparison = compare([benchmark], tolerance, album.draw, advance)
    problems = _not_delivered(comparison, bool(options.beside))
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return report_problems(problems)
    evaluations = []
    for method, path in methods.items():
        results = [result for result in comparison.results if result.method == method]
        evaluation, damaged = evaluate_presence(_home(path), notes[path], results, names)
        evaluations.append(evaluation)
        problems += damaged
    within = tolerance_text(comparison)
    problems += album.problems
    with derived.making() as made:
        write_class_results(evaluations, names, folder, within)
        page = write_report(comparison, album, folder).page
        made |= {"problems": len(problems), "notes": say_notes(comparison)}
    print_class_means(evaluations, names)
    say(f"Tolerance of surface Dice: {within}")
    say(f"The results are in {folder}, to look at: {page}")
    return report_problems(problems)


def _pairs(options: IldEvaluate, predictions: list[Path], labels: LabelDefinition) -> dict[Path, list[Pair]]:
    """Return the cases of each folder beside their truth; with --predicted_only, those that are predicted."""
    pairs = {path: pair_files(path, options.truth, predictions, options.ignore_geometry) for path in predictions}
    pairs = {path: with_labels(paired, labels, instances=False) for path, paired in pairs.items()}
    return _predicted(pairs) if options.predicted_only else pairs


def _predicted(pairs: dict[Path, list[Pair]]) -> dict[Path, list[Pair]]:
    """Return the cases that have a prediction in any folder, and say how many have none."""
    predicted = {pair.case for of_folder in pairs.values() for pair in of_folder if pair.prediction}
    without = {pair.case for of_folder in pairs.values() for pair in of_folder} - predicted
    if without:
        listed = ", ".join(sorted(without)[:5]) + (" ..." if len(without) > 5 else "")
        say(f"{len(without)} true cases have no prediction, and are not scored: {listed}")
    return {path: [pair for pair in of_folder if pair.case in predicted] for path, of_folder in pairs.items()}


def _benchmark(
    options: IldEvaluate,
    methods: dict[str, Path],
    pairs: dict[Path, list[Pair]],
    notes: dict[Path, str],
    names: dict[int, str],
) -> Benchmark:
    cases = [pair.case for of_folder in pairs.values() for pair in of_folder if pair.truth]
    return Benchmark(
        options.truth.resolve().parent.name,
        {method: pairs[path] for method, path in methods.items()},
        images_beside(options.truth),
        names,
        {method: f"boxes from {notes[path]}" for method, path in methods.items()},
        patients_or_cases(cases, options.patient_pattern, options.patients),
        unit="mm",
        any_label=False,
    )


def _home(predictions: Path) -> Path:
    """Return the folder of the predictions: the path itself, or the folder around a single volume or store."""
    return predictions.parent if ending_of(predictions) else predictions


def _notes(predictions: list[Path]) -> dict[Path, str]:
    """Return where the boxes of each folder came from, with the folder's path if several have the same origin."""
    notes = {path: read_prompts_note(_home(path)) for path in predictions}
    prompts = list(notes.values())
    return {path: note if prompts.count(note) == 1 else f"{note}, {path}" for path, note in notes.items()}


def _not_delivered(comparison: Comparison, several: bool) -> list[Problem]:
    """Return the problems of an evaluation's cases, each once; with ``several`` folders, each with its folder's
    name."""
    return [
        Problem(f"{result.case} ({result.method})" if several else result.case, result.problem)
        for result in comparison.not_delivered()
    ]
