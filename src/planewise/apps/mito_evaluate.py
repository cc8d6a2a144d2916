"""mito evaluate: predicted instances, or the voxels of a class, scored against the truth; no network is needed."""

from pathlib import Path

import numpy as np

from planewise.apps.mito_options import MitoEvaluate
from planewise.data.case import one_file_each
from planewise.data.classes import LabelDefinition, Target, holds_instances, labels_above
from planewise.data.derived import Derived
from planewise.data.nnunet import Dataset
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.comparison import ScoredCase, compare
from planewise.evaluation.pairs import Pair, pair_files, with_ignored
from planewise.evaluation.result import Contest, Result
from planewise.evaluation.tolerance import Tolerance
from planewise.progress import progress, say
from planewise.report.album import Album
from planewise.report.figures import comparison_picture, fullest_slice
from planewise.report.page import FILES, write_report
from planewise.report.slides import open_image
from planewise.report.tables import (
    RESULTS,
    SUMMARY,
    conclude,
    print_results,
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
    labels = labels_above(options.truth)
    target = _scored_class(options, labels)
    if target is None and labels.ignore is not None and not holds_instances(options.truth):
        raise PlanewiseError(
            f"{options.truth}: {labels.source} has the ignore label {labels.ignore}; say with --semantic_class which "
            "class is scored if this is a semantic map, or call its folder instancesTs if it holds instances"
        )
    pairs = with_ignored(pairs, labels.ignore, instances=target is None)
    ignored = f"ignore ({labels.ignore}) in the labels beside" if any(pair.ignored for pair in pairs) else "nothing"
    scored = f"All instances are scored; ignored: {ignored}."
    say(labels.sentence(target, "scored voxel by voxel") if target else scored)
    contest = _contest(options.truth.resolve().parent.name, options.predictions.name, pairs, target, {}, None)
    derived = Derived.begin(folder, "mito evaluate", contest.made_with(), contest.files(), (RESULTS, SUMMARY))
    if derived.is_done():
        say(f"{folder}: done already, from the same files; to read: {folder / SUMMARY}")
        return 0
    with progress("evaluating", len(pairs), unit="cases") as advance:
        comparison = compare([contest], Tolerance(), advance=advance, overlap_alone=True)
    with derived.making() as made:
        write_results(comparison.results, folder)
        problems = _not_delivered(pairs, comparison.results)
        made |= {"problems": len(problems), "notes": say_notes(comparison)}
    _print_results(comparison.results, folder)
    return conclude(problems)


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
    dataset: Dataset, target: Target | None, folder: Path, pictures: Path, problems: list[Problem]
) -> None:
    """Evaluate the predictions of the test cases against their truth, and draw each.

    ``target``: the class that is scored where the truth is semantic. ``folder``: of the predictions, in whose
    ``evaluation`` the results lie; ``pictures``: where each case's picture does. What goes wrong joins ``problems``.
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
    scored = None if instances else target
    if scored is not None:
        say(f"There is no instancesTs: {scored.name} of labelsTs is scored voxel by voxel.")
    written, several = one_file_each(volumes_in(folder), {case.name for case in dataset.test}, labels=True)
    doubtful = {name: problem.what for name, problem in several.items()}
    pairs = [
        Pair(case.name, written.get(case.name), case.truth, doubtful.get(case.name, ""), case.ignore_geometry)
        for case in with_truth
    ]
    pairs = with_ignored(pairs, dataset.labels.ignore, instances)
    images = {case.name: case.image for case in with_truth}
    contest = _contest(dataset.folder.resolve().name, folder.name, pairs, scored, images, with_truth[0].channel)
    try:
        names = (RESULTS, SUMMARY, *FILES)
        derived = Derived.begin(results, "mito train", contest.made_with(), contest.files(), names)
    except PlanewiseError as error:
        problems.append(Problem.of(results, error))
        return
    drawn = {case.name: pictures / f"{case.name}.png" for case in with_truth}
    if derived.is_done() and all(picture.exists() for picture in drawn.values()):
        say(f"{results}: done already, from the same files")
        return
    album = Album([contest])

    def draw(case: ScoredCase) -> None:
        album.draw(case)
        _draw(case, drawn[case.case])

    with progress("evaluating", len(pairs), unit="cases") as advance:
        comparison = compare([contest], Tolerance(), draw, advance)
    with derived.making() as made:
        write_results(comparison.results, results)
        page = write_report(comparison, album, results).page
        wrong = [*_not_delivered(pairs, comparison.results), *album.problems]
        made |= {"problems": len(wrong), "notes": say_notes(comparison)}
    problems += wrong
    _print_results(comparison.results, results)
    say(f"Tolerance of surface Dice: {tolerance_text(comparison)}")
    say(f"The report is {page}")


def _draw(scored: ScoredCase, picture: Path) -> None:
    """Draw the prediction of a test case beside the truth; the report says why, where one of the files is damaged."""
    if scored.truth is None:
        return
    path = scored.contest.images[scored.case]
    for volume in scored.predictions.values():
        truth, predicted = scored.truth.read(), volume.read()
        truth = np.isin(truth, scored.contest.values) if scored.contest.values else truth
        z = fullest_slice(truth, predicted)
        try:
            image = scored.lay_on_truth(open_image(path, scored.contest.channel), path)
            shown = read_voxels(image, path, slice(z, z + 1))[0]
        except PlanewiseError:
            continue
        comparison_picture(shown, truth, predicted, z, picture, scored.case)
        say(f"A picture of {scored.case} is {picture}")


# ---- both


def _contest(
    dataset: str, method: str, pairs: list[Pair], target: Target | None, images: dict[str, Path], channel: int | None
) -> Contest:
    """Return what is scored: instances, or the voxels of ``target``."""
    if target is None:
        return Contest(dataset, {method: pairs}, images, {}, channel=channel)
    return Contest(
        dataset, {method: pairs}, images, {target.values[0]: target.name}, values=target.values, channel=channel
    )


def _print_results(results: list[Result], folder: Path) -> None:
    print_results(results, "Evaluation")
    say(f"The results are in {folder}, to read: {folder / SUMMARY}")


def _not_delivered(pairs: list[Pair], results: list[Result]) -> list[Problem]:
    """Return a problem for every case of a method that could not be scored as it is."""
    return [
        Problem(str(pair.prediction or pair.truth), result.problem)
        for pair, result in zip(pairs, results, strict=True)
        if not result.delivered
    ]
