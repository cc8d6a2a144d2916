"""One patient's scans of several dates: segmented, registered, measured, and compared with the first.

A change is called one only beyond the smallest detectable change of this patient: how much the same measures differ in
retakes of both scans, which are perturbed and predicted again.
"""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from planewise.apps.ild.followed_files import CSV, JSON, PAGE, Pair, write_followed
from planewise.apps.ild.followed_scans import scan_of, scans_by_date
from planewise.apps.ild.followed_slides import pair_slides
from planewise.apps.ild.lungs import find_lungs, near_lungs
from planewise.apps.ild.options import WINDOWS, IldFollow
from planewise.apps.ild.segmenting import about_case
from planewise.data.manifest import MANIFEST
from planewise.data.prepared import read_patient
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.data.space import laid_on
from planewise.data.window import apply_window
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem, first_line
from planewise.inference.automatic import Place, SliceFindings, segment_within
from planewise.inference.novelty import Novelty, novelty_of
from planewise.inference.propagation import Encoder, PropagationOptions
from planewise.measurement.classes import MeasuredClasses, choose_classes
from planewise.measurement.density import refuse_unless_hu
from planewise.measurement.extent import count_voxels
from planewise.measurement.lungs import LungRegions, cut_off
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.zoo import located
from planewise.progress import progress, say
from planewise.report.tables import print_table, report_problems
from planewise.serial.change import carried_extents, changes, measures_of
from planewise.serial.comparability import Scan, doubts, reasons_against
from planewise.serial.detectable import LEAST_RETAKES
from planewise.serial.missing import missing_pieces_ml
from planewise.serial.registration import register
from planewise.serial.retakes import AIR_HU, Variation, noise_of, retake, variation_between
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import to_canonical
from planewise.volumes.json_files import read_json, write_json
from planewise.volumes.labels import open_labels, write_labels
from planewise.volumes.volume import Spacing

CACHED_SLICES = 64
COMPARISON = "(comparison)"  # the files of all dates together, in the manifest
Segmented = tuple[np.ndarray, SliceFindings, Novelty | None]  # labels uint8, what led to them, how new the scan is
Predict = Callable[[np.ndarray, np.ndarray, Spacing], Segmented]  # of HU and lungs, canonical, mm


@dataclass(frozen=True)
class Examined:
    """A scan that was segmented: HU, labels and the lungs' regions (z, y, x), canonical."""

    scan: Scan
    image: Path | Series
    hu: np.ndarray
    labels: np.ndarray
    regions: LungRegions


def follow_ild(options: IldFollow) -> int:
    """Compare every later scan of a patient with the first. Returns the exit code: 1 if something could not be done.

    Raises PlanewiseError, before any work, for a folder, a model or options that cannot be used at all.
    """
    device = choose_device(options.device)
    images, problems = scans_by_date(options.patient, options.series)
    source = located(Path(options.trained_model))
    weights = load_sam2(source, options.image_size)
    if weights.tokens is None:
        raise PlanewiseError(
            f"--trained_model {source}: was trained with drawn boxes alone; train it with --train_prompts mixed"
        )
    if len(images) < 2:
        report_problems(problems)
        there = f"one scan that can be used ({', '.join(images)})" if images else "no scans that can be used"
        raise PlanewiseError(
            f"{options.patient}: holds {there}, and two dates are needed: DICOM series of several study dates, or a "
            "folder for each date with one CT (2023-01-10/ct.nii.gz)"
        )
    classes = choose_classes(weights.tokens.names, (), options.fibrosis)
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    decisive = options.model_dump(mode="json", include={"image_size", "bbox_shift", "series", "retakes", "fibrosis"})
    decisive |= {"precision": "bf16" if half else "32"}
    names = [*images, *(_retakes_of(day) for day in images), COMPARISON]
    run = Run.begin(
        options.output / MANIFEST, "ild follow", decisive, source if source.exists() else None, names, options.overwrite
    )
    inputs = [file for image in images.values() for file in _files(image)]
    refuse_folder_of_inputs(inputs, options.output, "--output")
    try:
        done = run.is_done(COMPARISON, inputs) and not run.cases[COMPARISON].decided["problems"]
    except PlanewiseError as error:  # of the files that it names
        raise PlanewiseError(str(error).removeprefix(f"{COMPARISON}: ")) from error
    if done:
        say(f"{options.patient}: done already, by the same model from the same data ({options.output / PAGE})")
        return report_problems(problems)
    predict = _predictor(weights, options, device, half)
    examined: list[Examined] = []
    for day, image in images.items():
        try:
            examined.append(_examine(day, image, predict, run, options.output / f"{day}.nii.gz", classes))
        except Exception as error:  # whatever one scan does to us, the others are still wanted
            problems.append(Problem.of(image, error))
    if len(examined) < 2:
        return report_problems(problems)
    first, *later = examined
    against = {each.scan.name: reasons_against(first.scan, each.scan) for each in later}
    for name, reasons in against.items():
        problems += [Problem(f"{first.scan.name} and {name}", f"cannot be compared: {reason}") for reason in reasons]
    doubtful = {
        each.scan.name: doubts([before.scan for before in examined[:number]], each.scan)
        for number, each in enumerate(later, 1)
    }
    for name, about_pair in doubtful.items():
        for doubt in about_pair:
            say(f"WARNING: {first.scan.name} and {name}: {doubt}")
    compared = [each for each in later if not against[each.scan.name]]
    retaken: dict[str, list[dict[tuple[str, str, str], float]]] = {}
    if compared:
        variation = _widest([variation_between(first.scan, each.scan, 0.0) for each in compared])
        for each in (first, *compared):
            try:
                retaken[each.scan.name] = _retakes(each, variation, predict, classes, run, inputs, options)
            except Exception as error:  # as above
                problems.append(Problem.of(each.image, error))
                reason = f"the retakes of {each.scan.name} failed: {first_line(error)}"
                for other in later if each is first else [each]:
                    against[other.scan.name].append(reason)
        compared = [each for each in compared if not against[each.scan.name]]
    outputs = [options.output / name for name in (PAGE, CSV, JSON)]
    with run.making(COMPARISON, inputs, outputs) as decided:
        pairs = []
        for each in later:
            pair = Pair(first.scan, each.scan, tuple(against[each.scan.name]), tuple(doubtful[each.scan.name]))
            if each in compared:
                try:
                    pair = _compare(first, each, pair, retaken, classes)
                except PlanewiseError as error:
                    problems.append(Problem.of(f"{first.scan.name} and {each.scan.name}", error))
                    pair = replace(pair, reasons=(str(error),))
            pairs.append(pair)
        write_followed(options, pairs, classes, source.name, problems)
        decided["problems"] = len(problems)
    for pair in pairs:
        _print(pair, classes)
    say(f"Research software, not a diagnosis. To look at: {options.output / PAGE}")
    return report_problems(problems)


def _files(image: Path | Series) -> list[Path]:
    return [image] if isinstance(image, Path) else list(image.files)


def _predictor(weights: Sam2Weights, options: IldFollow, device: str, half: bool) -> Predict:
    """Return what segments a CT within its lungs."""
    import torch

    segmenter = BoxSegmenter(weights.network, weights.tokens).to(device).frozen()
    level, width = weights.window or WINDOWS["lung"]
    tracking = PropagationOptions(margin=options.bbox_shift)

    def predict(hu: np.ndarray, lungs: np.ndarray, spacing_mm: Spacing) -> Segmented:
        encoder = Encoder(segmenter, apply_window(hu, level, width), CACHED_SLICES)
        consecutive = np.ones(len(hu) - 1, bool)
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=half) if half else nullcontext():
            place = Place(lungs, near_lungs(lungs, spacing_mm))
            segmented = segment_within(encoder, place, consecutive, tracking, lambda _: None, weights.reliability)
            novelty = None if weights.seen is None else novelty_of(encoder, lungs, spacing_mm[0], weights.seen)
        return *segmented, novelty

    return predict


def _examine(
    day: str, image: Path | Series, predict: Predict, run: Run, target: Path, classes: MeasuredClasses
) -> Examined:
    """Read and segment a scan, or read the labels that were written before."""
    patient, hu = read_patient(day, image, None, *WINDOWS["lung"])
    refuse_unless_hu(hu)
    lungs = find_lungs(hu, patient.spacing_mm)
    if run.is_done(day, _files(image)):
        say(f"{day}: segmented already ({target})")
        placed = laid_on(open_labels(target), target, patient.geometry, image)
        labels = to_canonical(placed, labels=True).read().astype(np.uint8)
    else:
        with run.making(day, _files(image), [target]) as decided:
            labels, findings, novelty = predict(hu, lungs, patient.spacing_mm)
            decided |= about_case(patient, findings, novelty).decided
            write_labels(target, patient.restore(labels).as_labels(classes.names))
        say(f"{day}: segmented; {target}")
    warnings = tuple(run.cases[day].decided.get("warnings", ()))
    for warning in warnings:
        say(f"WARNING: {day}: {warning}")
    lungs_ml = float((lungs > 0).sum() * np.prod(patient.spacing_mm)) / 1000
    scan = scan_of(day, image, patient.spacing_mm, lungs_ml, cut_off(lungs))
    scan = replace(scan, noise_hu=noise_of(hu), warnings=warnings, voxels=_hash_of(hu))
    return Examined(scan, image, hu, labels, LungRegions.of(lungs, patient.spacing_mm))


def _hash_of(hu: np.ndarray) -> str:
    return hashlib.sha256(f"{hu.shape}".encode() + np.ascontiguousarray(hu).tobytes()).hexdigest()


def _widest(variations: list[Variation]) -> Variation:
    """Return a variation that is as wide as each of several."""
    return Variation(*(max(each) for each in zip(*(vars(variation).values() for variation in variations))))


def _retakes_of(day: str) -> str:
    return f"retakes of {day}"


def _retakes(
    examined: Examined,
    variation: Variation,
    predict: Predict,
    classes: MeasuredClasses,
    run: Run,
    inputs: list[Path],
    options: IldFollow,
) -> list[dict[tuple[str, str, str], float]]:
    """Return the measures of retakes of a scan, each segmented anew, lungs and all; those that were made are read.

    Left out are retakes that show no lungs, or whose lungs lack a piece of the scan's, or hold one more: such a scan
    would not be compared. Raises PlanewiseError if too few are left.
    """
    day = examined.scan.name
    target = options.output / f"{day}_retakes.json"
    if not run.is_done(_retakes_of(day), inputs):
        varied = replace(variation, noise_hu=noise_of(examined.hu))
        spacing_mm = examined.regions.spacing_mm
        with (
            run.making(_retakes_of(day), inputs, [target]),
            progress(f"{day}: retakes", options.retakes, unit="retakes") as advance,
        ):
            stored = []
            for number in range(options.retakes):
                rng = np.random.default_rng([number, *day.encode()])
                hu = retake(examined.hu, examined.regions.sides, spacing_mm, varied, rng)
                advance(1)
                try:
                    lungs = find_lungs(hu, spacing_mm)
                except PlanewiseError:
                    continue
                if any(missing_pieces_ml(examined.regions.sides, lungs, spacing_mm)):
                    continue
                extents = count_voxels(predict(hu, lungs, spacing_mm)[0], LungRegions.of(lungs, spacing_mm))
                measures = measures_of(extents, classes.groups())
                stored.append({"/".join(key): None if np.isnan(value) else value for key, value in measures.items()})
            if len(stored) < LEAST_RETAKES:
                raise PlanewiseError(
                    f"the lungs of {day} are not found, or otherwise, in {options.retakes - len(stored)} of "
                    f"{options.retakes} retakes; {LEAST_RETAKES} are the least from which a smallest detectable change "
                    "is estimated, for a standard deviation of two says next to nothing: look at the lungs, or give "
                    "more --retakes, with --overwrite"
                )
            write_json(
                target,
                {
                    "variation": asdict(varied),
                    "version": version("planewise"),
                    "left_out": options.retakes - len(stored),
                    "retakes": stored,
                },
            )
    content = read_json(target)
    if left_out := content.get("left_out"):
        say(
            f"WARNING: {day}: {left_out} of {options.retakes} retakes {'is' if left_out == 1 else 'are'} left out: the "
            "lungs were not found there, or otherwise"
        )
    read = content["retakes"]
    return [{_key(name): np.nan if value is None else float(value) for name, value in each.items()} for each in read]


def _key(name: str) -> tuple[str, str, str]:
    group, region, unit = name.split("/")
    return group, region, unit


def _compare(
    first: Examined,
    second: Examined,
    pair: Pair,
    retaken: dict[str, list[dict[tuple[str, str, str], float]]],
    classes: MeasuredClasses,
) -> Pair:
    """Register two scans and return what has changed. Raises PlanewiseError if they cannot be registered."""
    say(f"{first.scan.name} and {second.scan.name}: registering")
    registration = register(
        first.hu,
        first.regions.sides,
        first.regions.spacing_mm,
        second.hu,
        second.regions.sides,
        second.regions.spacing_mm,
    )
    groups = classes.groups()
    before = count_voxels(first.labels, first.regions)
    rows = changes(
        measures_of(before, groups),
        measures_of(count_voxels(second.labels, second.regions), groups),
        measures_of(carried_extents(second.labels, second.regions.sides, registration, first.regions), groups),
        retaken[first.scan.name],
        retaken[second.scan.name],
        before.lung_ml,
    )
    level, width = WINDOWS["lung"]
    carried_hu = registration.carry(second.hu, labels=False, fill=AIR_HU)
    slides = pair_slides(
        apply_window(first.hu, level, width),
        apply_window(carried_hu, level, width),
        first.labels,
        registration.carry(second.labels),
        first.regions.sides,
        classes.names,
        first.regions.spacing_mm[1:],
    )
    return replace(
        pair, rows=tuple(rows), overlap=registration.overlap, folded=registration.folded, slides=tuple(slides)
    )


def _print(pair: Pair, classes: MeasuredClasses) -> None:
    rows = [row for row in pair.rows if not row.region and row.unit == "percent"]
    if rows:
        header = ("class", pair.first.name, pair.second.name, "change", "smallest detectable", "")
        table = [
            (row.group, *map(_number, (row.first, row.second, row.change, row.detectable)), row.category)
            for row in rows
        ]
        print_table(f"Percent of the lungs, {pair.first.name} and {pair.second.name}", header, table)
    main = pair.main()
    if main is not None and main.category == "none seen":
        say(
            f"WARNING: {pair.first.name} and {pair.second.name}: nothing was segmented in either scan or any retake of "
            "them, which says nothing about a change; look at the scans, and whether the model suits them"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
