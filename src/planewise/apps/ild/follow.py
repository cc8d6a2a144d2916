"""One patient's scans of several dates: segmented, registered, measured, and compared with the first.

Only changes beyond this patient's smallest detectable change count as changes. It is estimated from retakes of both
scans, which are perturbed and predicted again: how much do the same measures differ in them?
"""

from dataclasses import dataclass, replace
from pathlib import Path

from planewise.apps.ild.followed_files import CSV, JSON, PAGE, write_followed
from planewise.apps.ild.followed_pairs import Pair, compare
from planewise.apps.ild.followed_retakes import read_retakes, write_retakes
from planewise.apps.ild.followed_scans import files_of, scans_by_date
from planewise.apps.ild.followed_segmentation import Examined, Predict, examine, predictor
from planewise.apps.ild.options import IldFollow
from planewise.data.manifest import MANIFEST
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem, first_line
from planewise.measurement.classes import MeasuredClasses, choose_classes
from planewise.models.sam2_files import load_sam2
from planewise.models.zoo import located
from planewise.progress import say, warn
from planewise.report.tables import print_table, report_problems
from planewise.serial.change import Measures
from planewise.serial.comparability import Scan, doubts, reasons_against
from planewise.serial.retakes import Variation, variation_between, widest
from planewise.volumes.formats.dicom import Series

COMPARISON = "(comparison)"  # the case of the manifest for the files about all dates


@dataclass(frozen=True)
class Job:
    """The inputs of each step. ``inputs``: the files of all dates; ``problems``: what could not be done so far."""

    options: IldFollow
    run: Run
    inputs: list[Path]
    classes: MeasuredClasses
    predict: Predict
    problems: list[Problem]


def follow_ild(options: IldFollow) -> int:
    """Compare the later scans of a patient with the first. Returns the exit code: 1 if something could not be done.

    Raises PlanewiseError, before any work, for a folder, a model or options that cannot be used at all.
    """
    device = choose_device(options.device)
    images, problems = scans_by_date(options.patient, options.series)
    source = located(Path(options.trained_model))
    weights = load_sam2(source, options.image_size)
    if weights.tokens is None:
        raise PlanewiseError(
            f"--trained_model {source}: was trained with drawn boxes only; train it with --train_prompts mixed"
        )
    if len(images) < 2:
        report_problems(problems)
        there = f"one scan that can be used ({', '.join(images)})" if images else "no scans that can be used"
        raise PlanewiseError(
            f"{options.patient}: holds {there}, but two dates are needed: DICOM series of several study dates, or a "
            "folder for each date with one CT (2023-01-10/ct.nii.gz)"
        )
    classes = choose_classes(weights.tokens.names, (), options.fibrosis)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    run = _begin(options, list(images), source, half)
    inputs = [file for image in images.values() for file in files_of(image)]
    refuse_folder_of_inputs(inputs, options.output, "--output")
    if _is_compared(run, inputs):
        say(f"{options.patient}: done already, by the same model from the same data ({options.output / PAGE})")
        return report_problems(problems)
    job = Job(options, run, inputs, classes, predictor(weights, options, device, half), problems)
    examined = _examined(job, images)
    if len(examined) < 2:
        return report_problems(problems)
    pairs = _pairs(job, [each.scan for each in examined])
    pairs, retaken = _retaken(job, pairs, examined)
    outputs = [options.output / name for name in (PAGE, CSV, JSON)]
    with run.making(COMPARISON, inputs, outputs) as decided:
        pairs = _compared(job, pairs, examined, retaken)
        write_followed(options, pairs, classes, source.name, problems)
        decided["problems"] = len(problems)
    for pair in pairs:
        _print(pair)
    say(f"Research software, not a diagnosis. To look at: {options.output / PAGE}")
    return report_problems(problems)


def _begin(options: IldFollow, days: list[str], source: Path, half: bool) -> Run:
    """Return the manifest; its cases are the scans, their retakes, and the comparison."""
    decisive = options.model_dump(mode="json", include={"image_size", "bbox_shift", "series", "retakes", "fibrosis"})
    decisive |= {"precision": "bf16" if half else "32"}
    names = [*days, *map(_retakes_of, days), COMPARISON]
    model = source if source.exists() else None
    return Run.begin(options.output / MANIFEST, "ild follow", decisive, model, names, options.overwrite, kind=IldFollow)


def _retakes_of(day: str) -> str:
    return f"retakes of {day}"


def _is_compared(run: Run, inputs: list[Path]) -> bool:
    """Whether all dates were compared before, without any problem."""
    try:
        return run.is_done(COMPARISON, inputs) and not run.cases[COMPARISON].decided["problems"]
    except PlanewiseError as error:  # about the files that the manifest names
        raise PlanewiseError(str(error).removeprefix(f"{COMPARISON}: ")) from error


def _examined(job: Job, images: dict[str, Path | Series]) -> list[Examined]:
    """Return the scans that could be segmented, by date."""
    examined = []
    for day, image in images.items():
        target = job.options.output / f"{day}.nii.gz"
        try:
            examined.append(examine(day, image, job.predict, job.run, target, job.classes.names))
        except Exception as error:  # whatever goes wrong with one scan, the others are still wanted
            job.problems.append(Problem.of(image, error))
    return examined


def _pairs(job: Job, scans: list[Scan]) -> list[Pair]:
    """Pair each later scan with the first; print doubts about comparing them."""
    first, *later = scans
    pairs = []
    for number, scan in enumerate(later, 1):
        pair = Pair(first, scan, tuple(reasons_against(first, scan)), tuple(doubts(scans[:number], scan)))
        job.problems.extend(Problem(pair.name, f"cannot be compared: {reason}") for reason in pair.reasons)
        for doubt in pair.doubts:
            warn(f"{pair.name}: {doubt}")
        pairs.append(pair)
    return pairs


def _retaken(job: Job, pairs: list[Pair], examined: list[Examined]) -> tuple[list[Pair], dict[str, list[Measures]]]:
    """Return the pairs, with reasons where retakes failed, and the measures of retakes of all comparable scans.

    All retakes vary as much as the two scans that differ most, so that retakes of the first scan serve all pairs.
    """
    comparable = [pair for pair in pairs if not pair.reasons]
    if not comparable:
        return pairs, {}
    variation = widest([variation_between(pair.first, pair.second, 0.0) for pair in comparable])
    names = {scan.name for pair in comparable for scan in (pair.first, pair.second)}
    retaken: dict[str, list[Measures]] = {}
    failed: dict[str, str] = {}
    for each in examined:
        day = each.scan.name
        if day not in names:
            continue
        try:
            retaken[day] = _retakes(job, each, variation)
        except Exception as error:  # whatever goes wrong with one scan, the others are still wanted
            job.problems.append(Problem.of(each.image, error))
            failed[day] = f"the retakes of {day} failed: {first_line(error)}"
    return [_with_failures(pair, failed) for pair in pairs], retaken


def _retakes(job: Job, examined: Examined, variation: Variation) -> list[Measures]:
    """Return the measures of retakes of a scan; they are read if they were made before."""
    day, count = examined.scan.name, job.options.retakes
    target = job.options.output / f"{day}_retakes.json"
    if not job.run.is_done(_retakes_of(day), job.inputs):
        with job.run.making(_retakes_of(day), job.inputs, [target]):
            write_retakes(target, examined, variation, job.predict, job.classes.groups(), count)
    return read_retakes(target, day, count)


def _with_failures(pair: Pair, failed: dict[str, str]) -> Pair:
    """Return a pair with the reasons why retakes of its scans failed."""
    reasons = [failed[scan.name] for scan in (pair.first, pair.second) if scan.name in failed]
    return replace(pair, reasons=(*pair.reasons, *reasons))


def _compared(job: Job, pairs: list[Pair], examined: list[Examined], retaken: dict[str, list[Measures]]) -> list[Pair]:
    """Return the pairs with their changes, or with the reason why they cannot be registered."""
    first, *later = examined
    compared = []
    for pair, second in zip(pairs, later):
        if not pair.reasons:
            try:
                pair = compare(pair, first, second, retaken, job.classes)
            except PlanewiseError as error:
                job.problems.append(Problem.of(pair.name, error))
                pair = replace(pair, reasons=(str(error),))
        compared.append(pair)
    return compared


def _print(pair: Pair) -> None:
    rows = [row for row in pair.rows if not row.region and row.unit == "percent"]
    if rows:
        header = ("class", pair.first.name, pair.second.name, "change", "smallest detectable", "")
        table = [
            (row.group, *map(_number, (row.first, row.second, row.change, row.detectable)), row.category)
            for row in rows
        ]
        print_table(f"Percent of the lungs, {pair.name}", header, table)
    main = pair.main()
    if main is not None and main.category == "none seen":
        warn(
            f"{pair.name}: nothing was segmented in either scan or in any of their retakes, which "
            "says nothing about a change; look at the scans, and check whether the model suits them"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
