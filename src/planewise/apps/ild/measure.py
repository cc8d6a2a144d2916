"""Measures masks of classes in the lungs: extent, place, density, and the agreement of two readers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from planewise.apps.ild.label_options import IldMeasure
from planewise.apps.ild.lungs import find_lungs, laid_mask, take_sides
from planewise.apps.ild.measured_cases import Sources, cases_of, classes_of, label_files
from planewise.apps.ild.measured_files import AGREEMENT, CSV, JSON, PAGE, write_cohort
from planewise.apps.ild.measured_page import shown_number, write_patient_page
from planewise.apps.ild.options import WINDOWS
from planewise.correction.journal import correction_note
from planewise.data.case import channel_within, refuse_missing
from planewise.data.manifest import MANIFEST
from planewise.data.patients import patients_of, patients_or_cases
from planewise.data.prepared import Patient, read_patient
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.data.space import laid_on
from planewise.errors import PlanewiseError, Problem
from planewise.measurement.classes import MeasuredClasses
from planewise.measurement.density import refuse_unless_hu
from planewise.measurement.extent import Extents, count_voxels, extent_measures
from planewise.measurement.lung_columns import PATTERNS
from planewise.measurement.lung_measures import MeasuredCase, defined, lung_densities
from planewise.measurement.lungs import LungRegions, cut_off, sides_by_number, touching
from planewise.measurement.regions import SIDES
from planewise.progress import say
from planewise.report.tables import print_table, report_problems
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels
from planewise.volumes.units import PIXEL

MOST_VALUES = 255  # highest label value that is counted
COHORT = "(all cases)"  # the files of all cases together, in the manifest
OUTSIDE_SHARE = 0.01  # a larger share of a class outside the lungs is reported
FROM_HU = "found from HU"
# against: the inputs alone do not state which of two readers is the first
DECISIVE = {"zones", "periphery_mm", "channel", "series", "ignore_geometry"}


def measure_ild(options: IldMeasure) -> int:
    """Measure the classes of every case in its lungs. Returns the exit code: 1 if a case could not be measured.

    Volumes are read whole: a CT fits in memory. Raises PlanewiseError, before any work, for options or labels that
    cannot be used at all.
    """
    for option in ("lungs", "images", "patients"):
        refuse_missing(getattr(options, option), f"--{option}")
    files = label_files(options.labels)
    ignore, classes = classes_of(options, files)
    cases, problems = cases_of(options, files)
    if not cases:
        report_problems(problems)
        raise PlanewiseError(f"{options.labels[0]}: no case has both labels and a CT; see --images")
    if options.lungs is None:
        say("No --lungs: the lungs are segmented from HU, as by planewise ild lungs.")
    patients = _patients(cases, options)
    for sources in cases.values():
        refuse_folder_of_inputs(sources.files(), options.output, "--output")
    decisive = options.model_dump(mode="json", include=DECISIVE) | {
        "classes": classes.names,
        "fibrosis": classes.fibrosis,
        "lungs": "given" if options.lungs else FROM_HU,
        "columns": [column.name for column in PATTERNS],
    }
    names = [*cases, COHORT]
    run = Run.begin(options.output / MANIFEST, "ild measure", decisive, None, names, options.overwrite, kind=IldMeasure)
    measured: list[MeasuredCase] = []
    for case, sources in cases.items():
        page = options.output / "patients" / f"{case}.html"
        try:
            if run.is_done(case, sources.files()):
                say(f"{case}: done already, from the same data ({page})")
            else:
                with run.making(case, sources.files(), [page]) as decided:
                    decided |= _measure(case, sources, classes, ignore, options, page).stored()
            measured.append(MeasuredCase(**run.cases[case].decided))
        except Exception as error:  # no failure of one case may stop the others
            problems.append(Problem.of(sources.labels, error))
    if measured:
        _write_cohort(run, measured, patients, classes, options, problems)
        if len(measured) < len(cases):
            say(f"They hold {len(measured)} of {len(cases)} cases: the others could not be measured.")
    return report_problems(problems)


def _patients(cases: Iterable[str], options: IldMeasure) -> dict[str, str]:
    """Return the patient of each case; only with two readers are a patient's values averaged, which is then printed."""
    if options.against is not None or options.patients is not None or options.patient_pattern is not None:
        return patients_or_cases(cases, options.patient_pattern, options.patients)
    try:
        return patients_of(cases)
    except PlanewiseError:
        return {case: case for case in cases}


# ---- a case


def _measure(
    case: str, sources: Sources, classes: MeasuredClasses, ignore: int | None, options: IldMeasure, page: Path
) -> MeasuredCase:
    """Measure a case, and write its page. Raises PlanewiseError if it cannot be measured."""
    channel = channel_within(sources.image, options.channel)
    _refuse_what_cannot_be_measured(sources.image, channel)
    patient, hu = read_patient(case, sources.image, None, *WINDOWS["lung"], channel=channel)
    with _errors_of(sources.image):
        refuse_unless_hu(hu)
    labels = _labels_on(sources.labels, patient, sources.image, options.ignore_geometry)
    sides, parted = _sides(patient, hu, sources, options)
    regions = LungRegions.of(sides, patient.spacing_mm, options.zones, options.periphery_mm)
    extents = count_voxels(labels, regions)
    _refuse_other_values(extents, classes, ignore, sources.labels)
    with _errors_of(sources.image):
        measures = extent_measures(extents, classes.groups()) | lung_densities(hu, sides)
    against = None
    if sources.against is not None:
        other = _labels_on(sources.against, patient, sources.image, options.ignore_geometry)
        by_other = count_voxels(other, regions)
        _refuse_other_values(by_other, classes, ignore, sources.against)
        against = defined(extent_measures(by_other, classes.groups()))
    corrected = [correction_note(path) for path in (sources.labels, sources.against) if path is not None]
    notes = [*_notes(extents, sides, classes, ignore, parted), *filter(None, corrected)]
    result = MeasuredCase(
        case,
        str(sources.labels),
        FROM_HU if sources.lungs is None else str(sources.lungs),
        defined(measures),
        str(sources.against or ""),
        against,
        notes,
    )
    for note in result.notes:
        say(f"{case}: {note}")
    write_patient_page(page, result, classes, patient.images, hu, labels, regions, options)
    return result


@contextmanager
def _errors_of(image: Path | Series) -> Iterator[None]:
    """Name the CT in errors about its voxels that are raised within."""
    try:
        yield
    except PlanewiseError as error:
        raise PlanewiseError(f"{image}: {error}") from error


def _refuse_what_cannot_be_measured(image: Path | Series, channel: int | None) -> None:
    """Raise PlanewiseError if a CT's file lacks what measuring needs, or is not a volume; no voxels are read."""
    volume = open_volume(image, channel)
    if min(volume.shape) == 1:
        raise PlanewiseError(f"{image}: has shape {volume.shape}; lungs are measured in volumes, not in one slice")
    if volume.unit == PIXEL:
        raise PlanewiseError(
            f"{image}: states no spacing in a unit of length, so ml and mm cannot be measured; "
            "give the CT as NIfTI, NRRD, MHA or DICOM"
        )
    if not volume.has_direction:
        raise PlanewiseError(
            f"{image}: does not state the direction of its axes, so left and right, or up and down, are unknown; give "
            "the CT as NIfTI, NRRD, MHA or DICOM"
        )


def _labels_on(path: Path, patient: Patient, image: Path | Series, ignore_geometry: bool) -> np.ndarray:
    """Return a label volume (z, y, x) uint8, canonical, on the grid of the patient's CT."""
    placed = laid_on(open_labels(path), path, patient.geometry, image, ignore_geometry)
    values = to_canonical(placed, labels=True).read()
    if (largest := int(values.max(initial=0))) > MOST_VALUES:
        raise PlanewiseError(f"{path}: holds {largest}; classes are numbers from 1 to {MOST_VALUES}: renumber them")
    return values.astype(np.uint8, copy=False)


def _sides(patient: Patient, hu: np.ndarray, sources: Sources, options: IldMeasure) -> tuple[np.ndarray, bool]:
    """Return the lungs, 1 left and 2 right, and whether two connected lungs had to be separated."""
    if sources.lungs is None:
        with _errors_of(sources.image):
            sides = find_lungs(hu, patient.spacing_mm)
        return sides, touching(sides)
    mask = laid_mask(sources.lungs, patient, sources.image, options.ignore_geometry)
    sides = take_sides(mask, hu, patient.spacing_mm)
    return sides, sides_by_number(mask) is None and touching(sides)


def _refuse_other_values(extents: Extents, classes: MeasuredClasses, ignore: int | None, path: Path) -> None:
    """Raise PlanewiseError if labels hold a value that belongs to no class: its meaning is unknown."""
    there = np.flatnonzero(extents.counts.sum(axis=(1, 2, 3)))
    others = sorted({int(value) for value in there} - {0, ignore} - set(classes.known))
    if others:
        listed = ", ".join(map(str, others[:6])) + (" ..." if len(others) > 6 else "")
        raise PlanewiseError(
            f"{path}: holds {listed}, which no class has; there are {', '.join(map(str, classes.known))}: name them in "
            "the dataset.json (--dataset), or with --classes NAME=VALUE. With all in a dataset.json, --classes NAME "
            "chooses which are measured"
        )


def _notes(
    extents: Extents, sides: np.ndarray, classes: MeasuredClasses, ignore: int | None, parted: bool
) -> list[str]:
    """Return notes for the reader of a case's numbers."""
    notes = []
    if parted:
        notes.append("the two lungs are connected; they were separated by shape, uncertain where they touch")
    notes += [f"there is no {side} lung" for side in SIDES if not extents.lung_ml(side)]
    if ends := cut_off(sides):
        words = " and the ".join(ends)
        notes.append(f"the lungs reach the {words} of the scan: volumes and thirds refer to the scanned part")
    for value, name in classes.names.items():
        outside, within = extents.outside_ml((value,)), extents.ml((value,))
        if outside > OUTSIDE_SHARE * (outside + within):
            words = f"{outside:.1f} of {outside + within:.1f} ml of {name} lie outside the lungs"
            notes.append(f"{words}, and are in none of the other numbers")
    if ignore is not None and (unknown := extents.ml((ignore,))):
        notes.append(f"{unknown:.1f} ml of the lungs have the ignore label: they count as lung, but for no class")
    return notes


# ---- all cases


def _write_cohort(
    run: Run,
    measured: list[MeasuredCase],
    patients: dict[str, str],
    classes: MeasuredClasses,
    options: IldMeasure,
    problems: list[Problem],
) -> None:
    """Write the files of all cases together, and print the main numbers. Edited files are kept, with a problem."""
    files = [options.output / name for name in (CSV, JSON, PAGE)]
    if options.against is not None:
        files.append(options.output / AGREEMENT)
    try:
        run.is_done(COHORT, [])  # refuses to replace what somebody has changed
        with run.making(COHORT, [], files):
            write_cohort(options.output, measured, patients, classes, options, problems)
    except PlanewiseError as error:
        problems.append(Problem.of(options.output, error))
        return
    columns = ["lungs_ml", "total_extent_percent", "total_fibrosis_percent", "lungs_haa_percent", "lungs_laa_percent"]
    shown = [column for column in columns if column in measured[0].measures]
    rows = [(case.case, *(shown_number(case.measures[column]) for column in shown)) for case in measured]
    print_table("Lungs", ("case", *shown), rows)
    if options.against is not None:
        bounds = ", ".join(f"{bound:g}" for bound in options.categories)
        kappa = f"kappa with {options.kappa_weights} weights of categories bounded by {bounds} %"
        say(f"Two readers: {AGREEMENT} has Bland-Altman limits, ICC(2,1), and {kappa}.")
    say(f"The measures are in {options.output}, to look at: {options.output / PAGE}")
