"""mito evaluate: predicted instances, or the voxels of a class, scored against the truth; no network is needed."""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.mito_class_scores import class_benchmarks
from planewise.apps.mito_label_options import MitoEvaluate
from planewise.data.case import one_file_each
from planewise.data.classes import LabelDefinition, Target, dataset_files_above, holds_instances, labels_above
from planewise.data.derived import Derived
from planewise.data.nnunet import Dataset
from planewise.data.panoptic import CLASSES, PanopticClasses, panoptic_classes
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.comparison import ScoredCase, compare
from planewise.evaluation.pairs import Pair, pair_files, with_labels
from planewise.evaluation.result import Benchmark, Result
from planewise.evaluation.tolerance import Tolerance
from planewise.progress import progress, say
from planewise.report.album import Album
from planewise.report.figures import comparison_picture, fullest_slice
from planewise.report.page import FILES, write_report
from planewise.report.slides import open_image
from planewise.report.tables import (
    RESULTS,
    SUMMARY,
    by_class,
    print_results,
    report_problems,
    say_notes,
    tolerance_text,
    write_results,
)
from planewise.volumes.files import read_voxels, volumes_in
from planewise.volumes.formats import ending_of


def evaluate_mito(options: MitoEvaluate) -> int:
    """Score predictions against the truth. Returns the exit code: 1 if a case could not be scored as it is.

    Raises PlanewiseError, before any work, for paths, a class or an output folder that cannot be used.
    """
    pairs = pair_files(options.predictions, options.truth, ignore_geometry=options.ignore_geometry)
    home = options.predictions.parent if ending_of(options.predictions) else options.predictions
    folder = options.output or home / "evaluation"
    if (home / CLASSES).is_dir() and not options.things:
        say(f"{home / CLASSES} says of which class each object is; --things NAMES... scores each class by itself")
    labels = labels_above(options.truth)
    if options.things:
        return _evaluate_classes(options, pairs, labels, folder)
    target = _scored_class(options, labels)
    if target is None and labels.ignore is not None and not holds_instances(options.truth):
        raise PlanewiseError(
            f"{options.truth}: {labels.source} has the ignore label {labels.ignore}; say with --semantic_class which "
            "class is scored if this is a semantic map, or call its folder instancesTs if it holds instances"
        )
    pairs = with_labels(pairs, labels, instances=target is None)
    ignored = f"ignore ({labels.ignore}) in the labels beside" if any(pair.ignored for pair in pairs) else "nothing"
    scored = f"All instances are scored; ignored: {ignored}."
    say(labels.sentence(target, "scored voxel by voxel") if target else scored)
    benchmark = _benchmark(options.truth.resolve().parent.name, options.predictions.name, pairs, target, {}, None)
    derived = Derived.begin(folder, "mito evaluate", benchmark.made_with(), benchmark.files(), (RESULTS, SUMMARY))
    if derived.is_done():
        say(f"{folder}: done already, from the same files; to read: {folder / SUMMARY}")
        return 0
    with progress("evaluating", len(pairs), unit="cases") as advance:
        comparison = compare([benchmark], Tolerance(), advance=advance, overlap_alone=True)
    problems = _not_delivered([benchmark], comparison.results)
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return report_problems(problems)
    with derived.making() as made:
        write_results(comparison.results, folder)
        made |= {"problems": len(problems), "notes": say_notes(comparison)}
    _print_results(comparison.results, folder)
    if target is not None:
        _warn_of_no_truth(target, comparison.results)
    return report_problems(problems)


def _warn_of_no_truth(target: Target, results: list[Result]) -> None:
    """Warn where no truth holds the class that is scored: its sensitivity by slices is then not defined."""
    shares = [result.scores["slice_sensitivity"] for result in results if result.scores]
    if shares and np.isnan(shares).all():
        values = ", ".join(map(str, target.values))
        say(
            f"WARNING: no truth holds {target.name} ({values}) in voxels that are scored, so the scores say nothing; "
            "--semantic_class chooses the value that is scored"
        )


def _evaluate_classes(options: MitoEvaluate, pairs: list[Pair], labels: LabelDefinition, folder: Path) -> int:
    """Score each of several classes by itself; see ``evaluate_mito``."""
    if options.semantic_class is not None:
        raise PlanewiseError(f"--semantic_class {options.semantic_class}: is of one class, --things of several")
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
    derived = Derived.begin(folder, "mito evaluate", *_made_from(benchmarks), (RESULTS, SUMMARY))
    if derived.is_done():
        say(f"{folder}: done already, from the same files; to read: {folder / SUMMARY}")
        return 0
    with progress("evaluating", len(pairs) * len(benchmarks), unit="cases") as advance:
        comparison = compare(benchmarks, Tolerance(), advance=advance, overlap_alone=True)
    problems = _not_delivered(benchmarks, comparison.results)
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return report_problems(problems)
    with derived.making() as made:
        write_results(comparison.results, folder, classes=True)
        made |= {"problems": len(problems), "notes": say_notes(comparison)}
    _print_classes(comparison.results, folder)
    return report_problems(problems)


def _made_from(benchmarks: list[Benchmark]) -> tuple[dict[str, Any], list[Path]]:
    """Return what decides on scores, and the files that they are made from."""
    made_with = {key: value for benchmark in benchmarks for key, value in benchmark.made_with().items()}
    return made_with, list(dict.fromkeys(path for benchmark in benchmarks for path in benchmark.files()))


def _scored_class(options: MitoEvaluate, labels: LabelDefinition) -> Target | None:
    """Return the class of a semantic truth; None if the truth holds instances."""
    wanted = options.semantic_class
    if wanted is None and not options.truth.name.startswith("labels"):
        return None
    if wanted is None and labels.source is None:
        say(f"{options.truth} is a semantic map by its name: class 1 is scored; --semantic_class chooses another")
        wanted = "1"
    return labels.target(wanted, "--semantic_class")


# ---- the test cases of a training


def evaluate_test_cases(
    dataset: Dataset, target: Target | PanopticClasses | None, folder: Path, pictures: Path, problems: list[Problem]
) -> None:
    """Evaluate the predictions of the test cases against their truth, and draw each.

    ``target``: the class that is scored where the truth is semantic, or several. ``folder``: of the predictions, in
    whose ``evaluation`` the results lie; ``pictures``: where each case's picture does. What goes wrong joins
    ``problems``.
    """
    with_truth = [case for case in dataset.test if case.truth is not None]
    for case in dataset.test:
        if case.truth is None:
            problems.append(Problem(str(case.image), "has no truth: predicted, not scored"))
    if not with_truth:
        say("No test case has a truth: nothing to evaluate.")
        return
    results = folder / "evaluation"
    instances = with_truth[0].instances
    classes = target if isinstance(target, PanopticClasses) else None
    scored = None if instances or isinstance(target, PanopticClasses) else target
    if scored is not None:
        say(f"There is no instancesTs: {scored.name} of labelsTs is scored voxel by voxel.")
    written, ambiguous = one_file_each(volumes_in(folder), {case.name for case in dataset.test}, labels=True)
    doubtful = {name: problem.what for name, problem in ambiguous.items()}
    pairs = [
        Pair(case.name, written.get(case.name), case.truth, doubtful.get(case.name, ""), case.ignore_geometry)
        for case in with_truth
    ]
    pairs = with_labels(pairs, dataset.labels, instances)
    images = {case.name: case.image for case in with_truth}
    name, channel = dataset.folder.resolve().name, with_truth[0].channel
    if classes is None:
        benchmarks = [_benchmark(name, folder.name, pairs, scored, images, channel)]
    else:
        benchmarks = class_benchmarks(name, folder.name, pairs, classes, images, channel)
    try:
        names = (RESULTS, SUMMARY, *FILES)
        derived = Derived.begin(results, "mito train", *_made_from(benchmarks), names)
    except PlanewiseError as error:
        problems.append(Problem.of(results, error))
        return
    drawn = {
        (benchmark.dataset, case.name): pictures / f"{case.name}{f'_{of_class}' if classes else ''}.png"
        for benchmark, of_class in zip(benchmarks, classes.names.values() if classes else ("",))
        for case in with_truth
    }
    if derived.is_done() and all(picture.exists() for picture in drawn.values()):
        say(f"{results}: done already, from the same files")
        return
    album = Album(benchmarks)

    def draw(case: ScoredCase) -> None:
        album.draw(case)
        _draw(case, drawn[case.benchmark.dataset, case.case])

    with progress("evaluating", len(pairs) * len(benchmarks), unit="cases") as advance:
        comparison = compare(benchmarks, Tolerance(), draw, advance)
    wrong = [*_not_delivered(benchmarks, comparison.results), *album.problems]
    problems += wrong
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return
    with derived.making() as made:
        write_results(comparison.results, results, classes=classes is not None)
        page = write_report(comparison, album, results).page
        made |= {"problems": len(wrong), "notes": say_notes(comparison)}
    (_print_results if classes is None else _print_classes)(comparison.results, results)
    say(f"Tolerance of surface Dice: {tolerance_text(comparison)}")
    say(f"The report is {page}")


def _draw(scored: ScoredCase, picture: Path) -> None:
    """Draw the prediction of a test case beside the truth; the report says why, where one of the files is damaged."""
    if scored.truth is None:
        return
    path = scored.benchmark.images[scored.case]
    for volume in scored.predictions.values():
        truth, predicted = scored.truth.read(), volume.read()
        of_class = scored.benchmark
        truth = np.isin(truth, of_class.values) if of_class.values else truth
        if of_class.classes and not of_class.any_label:  # both hold several classes
            truth, predicted = (np.isin(labels, tuple(of_class.classes)) for labels in (truth, predicted))
        z = fullest_slice(truth, predicted)
        try:
            image = scored.lay_on_truth(open_image(path, scored.benchmark.channel), path)
            shown = read_voxels(image, path, slice(z, z + 1))[0]
        except PlanewiseError:
            continue
        comparison_picture(shown, truth, predicted, z, picture, scored.case)
        say(f"A picture of {scored.case} is {picture}")


# ---- both


def _benchmark(
    dataset: str, method: str, pairs: list[Pair], target: Target | None, images: dict[str, Path], channel: int | None
) -> Benchmark:
    """Return what is scored: instances, or the voxels of ``target``."""
    if target is None:
        return Benchmark(dataset, {method: pairs}, images, {}, channel=channel)
    return Benchmark(
        dataset, {method: pairs}, images, {target.values[0]: target.name}, values=target.values, channel=channel
    )


def _print_results(results: list[Result], folder: Path) -> None:
    print_results(results, "Evaluation")
    say(f"The results are in {folder}, to read: {folder / SUMMARY}")


def _print_classes(results: list[Result], folder: Path) -> None:
    for name, of_class in by_class(results).items():
        print_results(of_class, f"Evaluation of {name}, its {'objects' if of_class[0].instances else 'voxels'}")
    say(f"The results are in {folder}, to read: {folder / SUMMARY}")


def _not_delivered(benchmarks: list[Benchmark], results: list[Result]) -> list[Problem]:
    """Return a problem for every case of a method that could not be scored as it is, once for all classes."""
    pairs = [pair for benchmark in benchmarks for of_method in benchmark.methods.values() for pair in of_method]
    problems = [
        Problem(str(pair.prediction or pair.truth), result.problem)
        for pair, result in zip(pairs, results, strict=True)
        if not result.delivered
    ]
    return list(dict.fromkeys(problems))
