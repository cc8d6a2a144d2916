"""The test cases of a mito training: where their predictions go, and how they are scored and drawn."""

from pathlib import Path

import numpy as np

from planewise.apps.mito.class_scores import class_benchmarks
from planewise.apps.mito.scores import benchmark_of, not_delivered, print_class_scores, print_scores
from planewise.apps.mito.train_options import MitoTrain
from planewise.data.case import Case, one_file_each
from planewise.data.classes import Target
from planewise.data.derived import Derived
from planewise.data.manifest import MANIFEST, edited_outputs, read_manifest
from planewise.data.nnunet import Dataset
from planewise.data.panoptic import PanopticClasses
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.comparison import ScoredCase, compare
from planewise.evaluation.pairs import Pair, with_labels
from planewise.evaluation.result import Benchmark, made_from
from planewise.evaluation.tolerance import Tolerance
from planewise.progress import progress, say
from planewise.report.album import Album
from planewise.report.figures import comparison_picture, fullest_slice
from planewise.report.page import FILES, write_report
from planewise.report.slides import open_image
from planewise.report.tables import RESULTS, SUMMARY, say_notes, tolerance_text, write_results
from planewise.volumes.files import read_voxels, volumes_in

PREDICTIONS = "imagesTs_mitoNet_FT"


def folder_for_predictions(options: MitoTrain, weights: Path) -> Path:
    """Return the folder for the predictions of the test cases by the model that ``weights`` will hold.

    It is the published folder, unless that holds another model's predictions: then it is named after the model. Raises
    PlanewiseError if that folder holds another model's predictions too, or if predictions in it were edited.
    """
    published = options.dataset_path / PREDICTIONS
    named = published.with_name(f"{PREDICTIONS}_{options.model_name}")
    for folder in (published, named):
        before = read_manifest(folder / MANIFEST)
        if before is None or before.model == str(weights.resolve()):
            if edited := edited_outputs(folder):
                raise PlanewiseError(f"{edited[0]}: was changed after it was made, and is not replaced: move it away")
            return folder
        say(f"{folder} holds predictions of another model, {before.model}, which are kept")
    raise PlanewiseError(f"{named}: this model's predictions would go there; move away what is there")


def evaluate_test_cases(
    dataset: Dataset, target: Target | PanopticClasses | None, folder: Path, pictures: Path, problems: list[Problem]
) -> None:
    """Evaluate the predictions of the test cases against their truth, and draw each case.

    ``target``: the class, or the classes, to score if the truth is semantic. ``folder``: of the predictions; the
    results go to its subfolder ``evaluation``. ``pictures``: return the path of each case's picture. Problems are
    added to ``problems``.
    """
    cases = [case for case in dataset.test if case.truth is not None]
    for case in dataset.test:
        if case.truth is None:
            problems.append(Problem(str(case.image), "has no truth: it is predicted but not scored"))
    if not cases:
        say("No test case has a truth: nothing is evaluated.")
        return
    results = folder / "evaluation"
    classes = target if isinstance(target, PanopticClasses) else None
    benchmarks = _benchmarks(dataset, target, cases, folder)
    try:
        names = (RESULTS, SUMMARY, *FILES)
        derived = Derived.begin(results, "mito train", *made_from(benchmarks), names)
    except PlanewiseError as error:
        problems.append(Problem.of(results, error))
        return
    drawn = {
        (benchmark.dataset, case.name): pictures / f"{case.name}{f'_{of_class}' if classes else ''}.png"
        for benchmark, of_class in zip(benchmarks, classes.names.values() if classes else ("",))
        for case in cases
    }
    if derived.is_done() and all(picture.exists() for picture in drawn.values()):
        say(f"{results}: done already, from the same files")
        return
    album = Album(benchmarks)

    def draw(case: ScoredCase) -> None:
        album.draw(case)
        _draw(case, drawn[case.benchmark.dataset, case.case])

    with progress("evaluating", len(cases) * len(benchmarks), unit="cases") as advance:
        comparison = compare(benchmarks, Tolerance(), draw, advance)
    wrong = [*not_delivered(benchmarks, comparison.results), *album.problems]
    problems += wrong
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return
    with derived.making() as made:
        write_results(comparison.results, results, classes=classes is not None)
        page = write_report(comparison, album, results).page
        made |= {"problems": len(wrong), "notes": say_notes(comparison)}
    (print_scores if classes is None else print_class_scores)(comparison.results, results)
    say(f"Tolerance of surface Dice: {tolerance_text(comparison)}")
    say(f"The report is {page}")


def _benchmarks(
    dataset: Dataset, target: Target | PanopticClasses | None, cases: list[Case], folder: Path
) -> list[Benchmark]:
    """Return what is scored of ``cases``, which have a truth: one benchmark, or one for each of several classes."""
    scored = None if cases[0].instances or isinstance(target, PanopticClasses) else target
    if scored is not None:
        say(f"There is no instancesTs: class {scored.name} of labelsTs is scored voxel by voxel.")
    written, ambiguous = one_file_each(volumes_in(folder), {case.name for case in dataset.test}, labels=True)
    doubtful = {name: problem.what for name, problem in ambiguous.items()}
    pairs = [
        Pair(case.name, written.get(case.name), case.truth, doubtful.get(case.name, ""), case.ignore_geometry)
        for case in cases
    ]
    pairs = with_labels(pairs, dataset.labels, cases[0].instances)
    images = {case.name: case.image for case in cases}
    name, channel = dataset.folder.resolve().name, cases[0].channel
    if isinstance(target, PanopticClasses):
        return class_benchmarks(name, folder.name, pairs, target, images, channel)
    return [benchmark_of(name, folder.name, pairs, scored, images, channel)]


def _draw(scored: ScoredCase, picture: Path) -> None:
    """Draw the prediction of a test case beside the truth. A damaged file is not drawn: the report gives the reason."""
    if scored.truth is None:
        return
    path = scored.benchmark.images[scored.case]
    for volume in scored.predictions.values():
        truth, predicted = scored.truth.read(), volume.read()
        of_class = scored.benchmark
        truth = np.isin(truth, of_class.values) if of_class.values else truth
        if of_class.classes and not of_class.any_label:  # both files hold several classes
            truth, predicted = (np.isin(labels, tuple(of_class.classes)) for labels in (truth, predicted))
        z = fullest_slice(truth, predicted)
        try:
            image = scored.lay_on_truth(open_image(path, scored.benchmark.channel), path)
            shown = read_voxels(image, path, slice(z, z + 1))[0]
        except PlanewiseError:
            continue
        comparison_picture(shown, truth, predicted, z, picture, scored.case)
        say(f"The picture of {scored.case} is {picture}")
