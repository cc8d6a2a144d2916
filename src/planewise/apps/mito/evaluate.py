"""mito evaluate: score predicted instances, or the voxels of a class, against the truth; no network is needed."""

from pathlib import Path

import numpy as np

from planewise.apps.mito.class_scores import class_benchmarks
from planewise.apps.mito.label_options import MitoEvaluate
from planewise.apps.mito.scores import benchmark_of, not_delivered, print_class_scores, print_scores
from planewise.data.case import images_beside
from planewise.data.classes import LabelDefinition, Target, dataset_files_above, holds_instances, labels_above
from planewise.data.derived import Derived
from planewise.data.panoptic import CLASSES, panoptic_classes
from planewise.data.run import refuse_folder_of_inputs
from planewise.errors import PlanewiseError
from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import Pair, pair_files, with_labels
from planewise.evaluation.result import Benchmark, Result, made_from
from planewise.evaluation.tolerance import Tolerance
from planewise.progress import progress, say, warn
from planewise.report.tables import RESULTS, SUMMARY, report_problems, say_notes, write_results
from planewise.volumes.formats import ending_of

EVALUATION = "evaluation"  # where the tables go, in the folder of the predictions


def evaluate_mito(options: MitoEvaluate) -> int:
    """Score predictions against the truth. Returns the exit code: 1 if a case could not be scored as it is.

    Raises PlanewiseError, before any work, for paths, a class or an output folder that cannot be used.
    """
    pairs = pair_files(options.predictions, options.truth, ignore_geometry=options.ignore_geometry)
    home = _home(options.predictions)
    folder = options.output or home / EVALUATION
    if (home / CLASSES).is_dir() and not options.things:
        say(f"{home / CLASSES} gives the class of each object; --things NAMES... scores each class separately")
    labels = labels_above(options.truth)
    if options.things:
        return _evaluate_classes(options, pairs, labels, folder)
    target = _scored_class(options, labels)
    if target is None and labels.ignore is not None and not holds_instances(options.truth):
        raise PlanewiseError(
            f"{options.truth}: {labels.source} has the ignore label {labels.ignore}; if this is a semantic map, choose "
            "the class to score with --semantic_class; if it holds instances, name its folder instancesTs"
        )
    pairs = with_labels(pairs, labels, instances=target is None)
    ignored = f"ignore ({labels.ignore}) in the labels beside" if any(pair.ignored for pair in pairs) else "nothing"
    scored = f"All instances are scored; ignored: {ignored}."
    benchmark = benchmark_of(options.truth.resolve().parent.name, options.predictions.name, pairs, target, {}, None)
    derived = _begin(options, [benchmark], folder)
    if derived.is_done():
        say(f"{folder}: done already, from the same files; to read: {folder / SUMMARY}")
        return 0
    say(labels.sentence(target, "scored voxel by voxel") if target else scored)
    with progress("evaluating", len(pairs), unit="cases") as advance:
        comparison = compare([benchmark], Tolerance(), advance=advance, overlap_alone=True)
    problems = not_delivered([benchmark], comparison.results)
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return report_problems(problems)
    with derived.making() as made:
        write_results(comparison.results, folder)
        made |= {"problems": len(problems), "notes": say_notes(comparison)}
    print_scores(comparison.results, folder)
    if target is not None:
        _warn_of_no_truth(target, comparison.results)
    return report_problems(problems)


def _warn_of_no_truth(target: Target, results: list[Result]) -> None:
    """Warn if no truth holds the scored class: its sensitivity by slices is then not defined."""
    shares = [result.scores["slice_sensitivity"] for result in results if result.scores]
    if shares and np.isnan(shares).all():
        values = ", ".join(map(str, target.values))
        warn(
            f"no truth holds {target.name} ({values}) in voxels that are scored, so the scores say nothing; "
            "--semantic_class chooses the value that is scored"
        )


def _evaluate_classes(options: MitoEvaluate, pairs: list[Pair], labels: LabelDefinition, folder: Path) -> int:
    """Score each of several classes separately; see ``evaluate_mito``."""
    if options.semantic_class is not None:
        raise PlanewiseError(f"--semantic_class {options.semantic_class}: is for one class, --things for several")
    if labels.source is None:
        sought = " nor ".join(map(str, dataset_files_above(options.truth)))
        raise PlanewiseError(
            f"--things: no file names the classes: there is no {sought}; put it there, or leave --things out"
        )
    classes = panoptic_classes(labels, options.things, "--things")
    pairs = with_labels(pairs, labels, instances=holds_instances(options.truth))
    say(f"Classes: {classes}.")
    name = options.truth.resolve().parent.name
    benchmarks = class_benchmarks(name, options.predictions.name, pairs, classes, {})
    derived = _begin(options, benchmarks, folder)
    if derived.is_done():
        say(f"{folder}: done already, from the same files; to read: {folder / SUMMARY}")
        return 0
    with progress("evaluating", len(pairs) * len(benchmarks), unit="cases") as advance:
        comparison = compare(benchmarks, Tolerance(), advance=advance, overlap_alone=True)
    problems = not_delivered(benchmarks, comparison.results)
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return report_problems(problems)
    with derived.making() as made:
        write_results(comparison.results, folder, classes=True)
        made |= {"problems": len(problems), "notes": say_notes(comparison)}
    print_class_scores(comparison.results, folder)
    return report_problems(problems)


def _begin(options: MitoEvaluate, benchmarks: list[Benchmark], folder: Path) -> Derived:
    """Begin the tables in ``folder``: they may lie beside the predictions, but not among the truth or its images."""
    made_with, files = made_from(benchmarks)
    pairs = [pair for benchmark in benchmarks for of_method in benchmark.methods.values() for pair in of_method]
    truth = options.truth.parent if ending_of(options.truth) else options.truth
    others = files.keys() - {pair.prediction for pair in pairs}
    inputs = [*others, *images_beside(truth).values()]
    refuse_folder_of_inputs(inputs, folder, "--output", _home(options.predictions) / EVALUATION)
    return Derived.begin(folder, "mito evaluate", made_with, files, (RESULTS, SUMMARY))


def _home(predictions: Path) -> Path:
    """Return the folder of the predictions, which are a volume or a folder of volumes."""
    return predictions.parent if ending_of(predictions) else predictions


def _scored_class(options: MitoEvaluate, labels: LabelDefinition) -> Target | None:
    """Return the class of a semantic truth; None if the truth holds instances."""
    wanted = options.semantic_class
    if wanted is None and not options.truth.name.startswith("labels"):
        return None
    if wanted is None and labels.source is None:
        say(f"{options.truth} is a semantic map, by its name: class 1 is scored; --semantic_class chooses another")
        wanted = "1"
    return labels.target(wanted, "--semantic_class")
