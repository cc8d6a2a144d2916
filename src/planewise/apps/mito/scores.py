"""The scores of mito: what is scored, how it is printed, and which cases could not be scored."""

from pathlib import Path

from planewise.data.classes import Target
from planewise.errors import Problem
from planewise.evaluation.pairs import Pair
from planewise.evaluation.result import Benchmark, Result
from planewise.progress import say
from planewise.report.tables import SUMMARY, by_class, print_results


def benchmark_of(
    dataset: str, method: str, pairs: list[Pair], target: Target | None, images: dict[str, Path], channel: int | None
) -> Benchmark:
    """Return the benchmark of instances, or, with ``target``, of the voxels of that class."""
    if target is None:
        return Benchmark(dataset, {method: pairs}, images, {}, channel=channel)
    return Benchmark(
        dataset, {method: pairs}, images, {target.values[0]: target.name}, values=target.values, channel=channel
    )


def print_scores(results: list[Result], folder: Path) -> None:
    print_results(results, "Evaluation")
    say(f"The results are in {folder}, to read: {folder / SUMMARY}")


def print_class_scores(results: list[Result], folder: Path) -> None:
    for name, of_class in by_class(results).items():
        print_results(of_class, f"Evaluation of the {'objects' if of_class[0].instances else 'voxels'} of {name}")
    say(f"The results are in {folder}, to read: {folder / SUMMARY}")


def not_delivered(benchmarks: list[Benchmark], results: list[Result]) -> list[Problem]:
    """Return a problem for each case of a method that could not be scored, only once if all classes have the same."""
    pairs = [pair for benchmark in benchmarks for of_method in benchmark.methods.values() for pair in of_method]
    problems = [
        Problem(_file_of(pair, result), result.problem)
        for pair, result in zip(pairs, results, strict=True)
        if not result.delivered
    ]
    return list(dict.fromkeys(problems))


def _file_of(pair: Pair, result: Result) -> str:
    """Return the file that a problem is of: without any scores, it is the truth that cannot be used."""
    files = (pair.prediction, pair.truth) if result.scores else (pair.truth, pair.prediction)
    return str(files[0] or files[1])
