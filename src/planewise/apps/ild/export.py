"""Exports labels and measures for the clinic: DICOM segmentations and structured reports on the original series."""

from pathlib import Path

from planewise.apps.ild.codes import segments_of
from planewise.apps.ild.cohort import dicom_cases
from planewise.apps.ild.dicom_report import write_report
from planewise.apps.ild.dicom_results import algorithm_of
from planewise.apps.ild.label_options import IldExport
from planewise.apps.ild.measured_cases import LISTED, label_files, labels_meant
from planewise.data.case import one_file_each, refuse_missing
from planewise.data.manifest import MANIFEST, manifest_of, read_manifest
from planewise.data.preparation import fingerprint
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.data.space import laid_on
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import class_names
from planewise.measurement.classes import named_by_options
from planewise.measurement.lung_measures import MeasuredCase
from planewise.measurement.regions import LUNG_NAMES
from planewise.progress import first_few, say
from planewise.report.tables import report_problems
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.dicom.segmentation import Segment, write_segmentation
from planewise.volumes.formats.dicom.sources import RESEARCH_USE, require_highdicom
from planewise.volumes.geometry import from_canonical, to_canonical
from planewise.volumes.json_files import read_json
from planewise.volumes.labels import open_labels


def export_ild(options: IldExport) -> int:
    """Write each case's labels as a DICOM segmentation of its series, and its measures as a report.

    Returns the exit code: 1 if a case could not be written. Raises PlanewiseError, before any work, for options that
    cannot be used at all.
    """
    require_highdicom()
    files = label_files((options.labels,))
    cases, problems = _cases(options, files)
    segments = segments_of(_names(options, files), options.codes)
    measured = {} if options.measures is None else _measured(options.measures)
    refuse_folder_of_inputs(
        [*files, *(path for one, _ in cases.values() for path in one.files)], options.output, "--output"
    )
    decisive = {
        "segments": {value: [segment.name, *vars(segment.type).values()] for value, segment in segments.items()},
        "made_by": options.made_by,
        "measures": options.measures is not None,
        "ignore_geometry": options.ignore_geometry,
    }
    run = Run.begin(options.output / MANIFEST, "ild export", decisive, None, cases, options.overwrite, kind=IldExport)
    for case, (series, labels) in cases.items():
        target, report = options.output / f"{case}.seg.dcm", options.output / f"{case}.sr.dcm"
        inputs = [labels, *series.files, *([options.measures] if options.measures else [])]
        outputs = [*([report] if options.measures else []), target]
        try:
            if run.is_done(case, inputs):
                say(f"{case}: done already, from the same data ({target})")
                continue
            with run.making(case, inputs, outputs):
                _export(case, series, labels, segments, measured, options, outputs)
        except Exception as error:  # no failure of one case may stop the others
            problems.append(Problem.of(labels, error))
            continue
        say(f"{case}: {', '.join(str(path) for path in reversed(outputs))}. {RESEARCH_USE}.")
    return report_problems(problems)


def _cases(options: IldExport, files: list[Path]) -> tuple[dict[str, tuple[Series, Path]], list[Problem]]:
    """Return the series and the labels of each case, and the problems of others."""
    problems: list[Problem] = []
    refuse_missing(options.images, "--images")
    series = dicom_cases(options.images, options.series, problems)
    if not series and not problems:
        raise PlanewiseError(f"--images {options.images}: holds no DICOM series to export results for")
    if len(files) == len(series) == 1 and files == [options.labels]:  # both were given by path, whatever their names
        return {case: (one, files[0]) for case, one in series.items()}, problems
    labels, refused = one_file_each(files, series, labels=True)
    problems += refused.values()
    without = [case for case in labels if case not in series]
    there = f"but of {first_few(sorted(series), LISTED)}" if series else "but none at all"
    problems += [
        Problem(str(labels[case]), f"has no series: --images holds none of case {case}, {there}") for case in without
    ]
    if left_out := sorted(series.keys() - labels.keys()):
        say(f"{len(left_out)} of {len(series)} series have no labels, and are left out.")
    return {case: (series[case], path) for case, path in labels.items() if case in series}, problems


def _names(options: IldExport, files: list[Path]) -> dict[int, str]:
    """Return the names of the classes by value: ``ild lungs`` has its own, others are as ``labels_meant`` says."""
    if options.classes:
        named_by_options(options.classes)  # a name without its value says nothing here
    made = None if options.classes or options.dataset is not None else manifest_of(files[0])
    if made is not None and made.made_from.options.get("command") == "ild lungs":
        return LUNG_NAMES
    definition = labels_meant((options.labels,), files, options.classes, options.dataset)
    names = class_names(definition, files)
    if not names:
        raise PlanewiseError(f"{options.labels}: nothing names its classes; give --dataset, or --classes NAME=VALUE")
    if definition.source is not None:
        say(f"Names of the classes: {definition.source}")
    return names


def _measured(path: Path) -> dict[str, tuple[MeasuredCase, str]]:
    """Return the measures of each case, and the fingerprint of the labels that they were computed from."""
    content, manifest = read_json(path), read_manifest(path.parent / MANIFEST)
    try:
        fields = MeasuredCase.__dataclass_fields__
        cases = [MeasuredCase(**{name: one[name] for name in fields}) for one in content["cases"]]
    except (KeyError, TypeError) as error:
        raise PlanewiseError(f"--measures {path}: is not a measures.json of planewise ild measure") from error
    made = {} if manifest is None else manifest.cases
    of_labels = {
        case.case: made[case.case].inputs.get(str(Path(case.labels).resolve()), "") if case.case in made else ""
        for case in cases
    }
    return {case.case: (case, of_labels[case.case]) for case in cases}


def _export(
    case: str,
    series: Series,
    path: Path,
    segments: dict[int, Segment],
    measured: dict[str, tuple[MeasuredCase, str]],
    options: IldExport,
    outputs: list[Path],
) -> None:
    """Write a case. Raises PlanewiseError if that fails."""
    algorithm = algorithm_of(path, options.made_by)
    measures = None if options.measures is None else _measures_of(case, path, measured, options.measures)
    image = open_volume(series)
    placed = laid_on(open_labels(path), path, image, series, options.ignore_geometry)
    labels = from_canonical(to_canonical(placed, labels=True).read(), image).read()
    *reports, target = outputs
    write_segmentation(target, series, labels, segments, algorithm)
    if measures is not None:
        write_report(reports[0], series, target, measures, segments, algorithm)


def _measures_of(case: str, labels: Path, measured: dict[str, tuple[MeasuredCase, str]], path: Path) -> MeasuredCase:
    """Return the measures of a case. Raises PlanewiseError unless they belong to the labels in their present state."""
    if case not in measured:
        raise PlanewiseError(f"{path}: holds no measures of case {case}")
    measures, of_labels = measured[case]
    if of_labels != fingerprint(labels):
        raise PlanewiseError(
            f"{path}: its measures of case {case} do not belong to the present labels; run planewise ild measure "
            "on them again"
        )
    return measures
