"""compare: score each method's predictions against the truth with the same code, in one report."""

from dataclasses import replace
from pathlib import Path

from planewise.apps.compare_options import Compare, read_distances
from planewise.data.case import label_volumes_in, predictions_beside, truth_of_tests
from planewise.data.classes import labels_above
from planewise.data.derived import Derived
from planewise.data.patients import patients_or_cases
from planewise.data.run import refuse_folder_of_inputs
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import class_names
from planewise.evaluation.comparison import compare
from planewise.evaluation.folders import benchmark_of_folders
from planewise.evaluation.metrics import METRICS, UNITS, base_of
from planewise.evaluation.result import OBJECTS, Benchmark, Comparison, made_from
from planewise.evaluation.standings import Standing, mean_in
from planewise.evaluation.tolerance import Tolerance
from planewise.progress import progress, say, warn
from planewise.report.album import Album
from planewise.report.page import FILES, PAGE, write_report
from planewise.report.ranking import Ranking, delivered_text, number_in, rankings
from planewise.report.tables import print_table, report_problems, say_notes, short, tolerance_text
from planewise.volumes.channel_numbers import PREDICTED

TOLERANCES = {"tolerance_nm", "tolerance_mm", "tolerance_voxels"}
SHOWN = 6  # columns of the ranking that are shown on the terminal


def compare_methods(options: Compare) -> int:
    """Write the report. Returns the exit code: 1 if a case could not be scored or was not delivered.

    Raises PlanewiseError if no dataset can be used.
    """
    problems: list[Problem] = []
    benchmarks = []
    for folder in options.datasets:
        try:
            benchmarks.append(_benchmark(folder, options, problems))
        except PlanewiseError as error:
            problems.append(Problem.of(folder, error))
    if not benchmarks:
        raise PlanewiseError("; ".join(f"{problem.where}: {problem.what}" for problem in problems))
    for method in options.method:
        if not any(_folder_given(method, folder) for folder in options.datasets):
            raise PlanewiseError(f"--method {method}: no dataset has a folder of that name, and there is no such path")
    benchmarks = [replace(benchmark, patients=_patients(benchmark, options)) for benchmark in benchmarks]
    tolerance = _tolerance(options, benchmarks)
    made_with = {f"--{name}": value for name, value in options.model_dump(mode="json", include=TOLERANCES).items()}
    of_benchmarks, files = made_from(benchmarks, several_datasets=len(benchmarks) > 1)
    refuse_folder_of_inputs(files, options.output, "--output")
    derived = Derived.begin(options.output, "compare", made_with | of_benchmarks, files, FILES)
    if derived.is_done():
        say(f"{options.output / PAGE}: done already, from the same files with the same options")
        return report_problems(problems)
    album = Album(benchmarks)
    with progress(
        "scoring and drawing", sum(len(benchmark.cases()) for benchmark in benchmarks), unit="cases"
    ) as advance:
        comparison = compare(benchmarks, tolerance, album.draw, advance)
    problems += _not_delivered(comparison) + album.problems
    if comparison.nothing_scored():
        derived.say_nothing_scored()
        return report_problems(problems)
    with derived.making() as made:
        report = write_report(comparison, album, options.output)
        made |= {"problems": len(problems), "notes": [*say_notes(comparison), *_say_unused(comparison)]}
    for ranking in rankings(report.standings):
        _print_ranking(ranking)
    say(f"Tolerance of surface Dice: {tolerance_text(comparison)}")
    say(f"The report is {report.page}")
    return report_problems(problems)


def _folders_of_methods(dataset: Path, options: Compare) -> dict[str, Path]:
    """Return the folders of predictions of a dataset, by method: those in it, and those of --method.

    Raises PlanewiseError if one of the latter has the name of one of the former.
    """
    folders = predictions_beside(dataset)
    for text in options.method:
        name, path = text.partition("=")[0], _folder_given(text, dataset)
        if path is None:
            continue
        if name in folders and not folders[name].samefile(path):
            raise PlanewiseError(f"--method {text}: {folders[name]} is the method {name}; give another name")
        folders[name] = path
    return folders


def _folder_given(method: str, dataset: Path) -> Path | None:
    """Return the folder of ``method``, NAME=FOLDER, in a dataset or where its path leads; None if there is none."""
    where = method.partition("=")[2]
    return next((path for path in (dataset / where, Path(where)) if path.is_dir()), None)


def _benchmark(folder: Path, options: Compare, problems: list[Problem]) -> Benchmark:
    """Return a dataset's truth and predictions; what is wrong with some of them is added to ``problems``.

    Raises PlanewiseError if there is no truth, or no method that can be compared with it.
    """
    if not folder.is_dir():
        raise PlanewiseError(f"{folder}: no such folder")
    truth = truth_of_tests(folder)
    if truth is None:
        contents = ", ".join(sorted(item.name for item in folder.iterdir())[:12]) or "nothing"
        raise PlanewiseError(f"{folder}: has neither instancesTs nor labelsTs (it holds {contents})")
    predictions = _folders_of_methods(folder, options)
    labels = labels_above(truth)
    classes = {} if truth.name == "instancesTs" else class_names(labels, label_volumes_in(truth))
    if not any(label_volumes_in(path) for path in predictions.values()):
        raise PlanewiseError(
            f"{folder}: has no predictions; they are expected in {PREDICTED}{{method}}, or give --method"
            + "".join(f"; {path} holds no volumes" for path in predictions.values())
        )
    dataset = _dataset_name(folder, options)
    benchmark, unscored = benchmark_of_folders(dataset, predictions, truth, labels, classes, options.ignore_geometry)
    problems += unscored
    return benchmark


def _patients(benchmark: Benchmark, options: Compare) -> dict[str, str]:
    cases = [pair.case for pairs in benchmark.methods.values() for pair in pairs]
    return patients_or_cases(cases, options.patient_pattern, options.patients)


def _dataset_name(folder: Path, options: Compare) -> str:
    """Return the folder's name, with as many of the folders around it as tell it from the other datasets."""
    path = folder.resolve()
    others = [other.resolve().parts for other in options.datasets if other.resolve() != path]
    depths = range(1, len(path.parts) + 1)
    depth = next(depth for depth in depths if all(other[-depth:] != path.parts[-depth:] for other in others))
    return Path(*path.parts[-depth:]).as_posix()


def _tolerance(options: Compare, benchmarks: list[Benchmark]) -> Tolerance:
    known = {name for benchmark in benchmarks for name in benchmark.classes.values()} | {OBJECTS}
    by_unit = {} if options.tolerance_voxels is None else {"voxel": options.tolerance_voxels}
    by_class = {}
    for unit, values in (("nm", options.tolerance_nm), ("mm", options.tolerance_mm)):
        general, of_classes = read_distances(values)
        if general is not None:
            by_unit[unit] = general
        for name, distance in of_classes.items():
            if name not in known:
                classes = ", ".join(sorted(known))
                raise PlanewiseError(f"--tolerance_{unit} {name}={distance:g}: no such class; there are {classes}")
            by_class[unit, name] = distance
    return Tolerance(by_unit, by_class)


def _say_unused(comparison: Comparison) -> list[str]:
    """Warn of tolerances in units that no case is measured in, and return the warnings."""
    given = {*comparison.tolerance.by_unit, *(unit for unit, _ in comparison.tolerance.by_class)}
    notes = [
        f"--tolerance_{UNITS[unit]} changes nothing: no case has distances in {UNITS[unit]}"
        for unit in sorted(given - {result.unit for result in comparison.results})
    ]
    for note in notes:
        warn(note)
    return notes


def _not_delivered(comparison: Comparison) -> list[Problem]:
    """Return a problem for each case of a method that could not be scored."""
    return [
        Problem(f"{result.dataset} {result.method} {result.case}", result.problem)
        for result in comparison.not_delivered()
    ]


def _print_ranking(ranking: Ranking) -> None:
    """Print the means, in which missing cases count; if any is missing, also the main score without them."""
    columns = list(dict.fromkeys(map(base_of, ranking.columns)))[:SHOWN]  # a score in different units shares one column
    missing = any(row.n_delivered < row.n_cases for row in ranking.rows)
    header = ("dataset", *(() if ranking.instances else ("class",)), "method", ranking.unit, ranking.primary)
    header += ("delivered only",) if missing else ()
    table = [_ranking_cells(row, columns, ranking.instances, missing) for row in ranking.rows]
    title = f"{ranking.what}: means over {ranking.unit}, missing cases counted; n where not all have the score"
    print_table(title, (*header, *(METRICS[base].name for base in columns)), table)


def _ranking_cells(row: Standing, columns: list[str], instances: bool, missing: bool) -> tuple[str, ...]:
    place = (row.dataset, row.method) if instances else (row.dataset, row.class_name, row.method)
    alone = (_mean(row, row.primary, delivered_alone=True),) if missing else ()
    scores = ("; ".join(_mean(row, key) for key in row.counted if base_of(key) == base) or "-" for base in columns)
    return (*place, delivered_text(row), _mean(row, row.primary), *alone, *scores)


def _mean(row: Standing, key: str, delivered_alone: bool = False) -> str:
    """Return a mean with its unit, and with the number of cases unless it is over all of them."""
    mean = short(mean_in(row.left_out if delivered_alone else row.counted, key))
    unit = f" {UNITS[key.rpartition('_')[2]]}" if base_of(key) != key and mean != "-" else ""
    number = number_in(row, key, delivered_alone)
    return f"{mean}{unit}" + (f" ({number})" if number and mean != "-" else "")
