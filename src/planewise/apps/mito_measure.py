"""mito measure: label volumes of any method become tables of objects, contacts and volumes, and conditions compared."""

import math
from pathlib import Path

import numpy as np

from planewise.apps.mito_label_options import MitoMeasure
from planewise.apps.mito_measured_cases import (
    Sources,
    cases_of,
    class_names_of,
    label_volumes,
    refuse_other_cases,
    things_of,
)
from planewise.correction.journal import classes_behind_note, correction_note
from planewise.data.case import channel_within, is_volume, refuse_missing
from planewise.data.manifest import MANIFEST, edited_outputs
from planewise.data.object_tables import read_confidences
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.data.space import laid_on, with_spacing_of
from planewise.errors import PlanewiseError, Problem
from planewise.measurement.columns import DISTRIBUTED
from planewise.measurement.groups import Comparison, Member, as_files_are_named, compare, read_groups, refuse_too_few
from planewise.measurement.measured import Measured
from planewise.measurement.measuring import measure_volume
from planewise.measurement.plots import animals_picture, distributions_picture
from planewise.measurement.tables import (
    animal_rows,
    class_contact_rows,
    comparison_rows,
    contact_rows,
    distribution_rows,
    document,
    name_of,
    object_rows,
    volume_rows,
    write_csv,
)
from planewise.progress import say
from planewise.report.tables import print_table, report_problems
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.json_files import read_json, write_json
from planewise.volumes.labels import open_labels
from planewise.volumes.machine import machine_memory
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume, access

CASES = "cases"  # the folder of what each case gave
TOGETHER = "all cases together"  # in the manifest
KEPT_BYTES = 2**29  # of a volume's voxels, which are read once; more are read slab by slab, where the format allows it
DECISIVE = {"channel", "ignore_geometry"}
COMPARED_VOLUMES = ("number_density", "volume_fraction")


def measure_mito(options: MitoMeasure) -> int:
    """Measure label volumes. Returns the exit code.

    Raises PlanewiseError, before any work, for options, groups or an output folder that cannot be used.
    """
    refuse_missing(options.classes, "--classes")
    members = [] if options.groups is None else read_groups(options.groups)
    volumes, problems = label_volumes(options.labels)
    if not volumes and not problems:
        raise PlanewiseError(f"{' '.join(map(str, options.labels))}: no label volumes (.tiff, .nii.gz, .ome.zarr, ...)")
    cases = cases_of(volumes, options, problems)
    members = as_files_are_named(members, volumes)
    refuse_other_cases(members, volumes, problems, options)
    output = options.output or _beside(options.labels[0])
    inputs = [*volumes.values(), *(path for case in cases for path in case.inputs)]
    refuse_folder_of_inputs(inputs, output, "--output")
    decisive = options.model_dump(mode="json", include=DECISIVE)
    decisive["references"] = [text.partition("=")[0] for text in options.reference]
    if options.classes is not None:
        decisive["classes"] = sorted({str(class_names_of(case.classes, ())) for case in cases if case.classes})
        things = {case.name: things_of(case.classes) for case in cases if case.classes}
        if any(of_case is not None for of_case in things.values()):
            decisive["things"] = sorted({str(of_case) for of_case in things.values()})
    names = [*(case.name for case in cases), TOGETHER]
    run = Run.begin(output / MANIFEST, "mito measure", decisive, None, names, options.overwrite)
    finished = {}
    for case in cases:
        try:
            finished[case.name] = _measured(case, options, run, output)
        except Exception as error:  # whatever one case does to us, the others are still wanted
            problems.append(Problem.of(case.labels, error))
    if finished:
        try:
            _write_together(finished, members, options, run, output, problems)
        except PlanewiseError as error:
            problems.append(Problem.of(output, error))
        if len(finished) < len(volumes):
            say(f"They hold {len(finished)} of {len(volumes)} cases: the others could not be measured.")
    return report_problems(problems)


def _beside(labels: Path) -> Path:
    folder = labels.parent if is_volume(labels) else labels
    return folder / "measures"


# ---- one case


def _measured(case: Sources, options: MitoMeasure, run: Run, output: Path) -> Measured:
    """Return what was measured of a case, now or before."""
    record = output / CASES / f"{case.name}.json"
    if run.is_done(case.name, case.inputs):
        say(f"{case.name}: done already, from the same data ({record})")
        return Measured.from_json(read_json(record))
    with run.making(case.name, case.inputs, [record]) as decided:
        labels = open_labels(case.labels)
        image = None
        if case.image is not None:
            opened = open_volume(case.image, channel_within(case.image, options.channel))
            image = _placed(opened, case.image, labels, case.labels, options)
        references = {
            name: _placed(open_labels(path), path, labels, case.labels, options)
            for name, path in case.references.items()
        }
        placed = resident(with_spacing_of(to_canonical(labels, labels=True), case.image))
        if labels.unit == PIXEL != placed.unit:
            say(f"{case.name}: its labels say no unit of their spacing; that of {case.image} is taken")
        classes, names, things = None, {}, None
        if case.classes is not None:
            names, things = class_names_of(case.classes, case.references), things_of(case.classes)
            if note := classes_behind_note(case.labels, case.classes):
                say(f"WARNING: {note}")
            classes = _placed(open_labels(case.classes), case.classes, labels, case.labels, options)
        measured = measure_volume(
            placed, image, references, case.name, classes=classes, class_names=names, things=things
        )
        if case.confidence is not None:
            known = read_confidences(case.confidence)
            if known is not None:
                confidence = [known.get(label, math.nan) for label in measured.labels.tolist()]
                measured.objects["confidence"] = np.array(confidence, float)
        decided |= {"spacing": _spacing_text(measured), "objects": len(measured.labels)}
        if note := correction_note(case.labels):
            decided["corrected"] = note
            say(note)
        write_json(record, measured.as_json())
    _say_of(case, measured)
    return measured


def _placed(volume: Volume, path: Path, labels: Volume, labels_path: Path, options: MitoMeasure) -> Volume:
    """Return a volume where it fits the canonical labels voxel by voxel."""
    return resident(to_canonical(laid_on(volume, path, labels, labels_path, options.ignore_geometry)))


def resident(volume: Volume) -> Volume:
    """Return a volume with its voxels in memory, unless they are many, and read piece by piece without reading all."""
    size = math.prod(volume.shape) * volume.voxels.dtype.itemsize
    piecemeal = access(volume.voxels) in ("chunks", "rows")
    if size >= (KEPT_BYTES if piecemeal else machine_memory() // 2):
        return volume
    return volume.with_voxels(volume.read())


def _spacing_text(measured: Measured) -> str:
    sides = " x ".join(f"{size:.6g}" for size in measured.spacing)
    return f"{sides} µm" if measured.physical else f"{sides}, without a unit"


def _say_of(case: Sources, measured: Measured) -> None:
    count = len(measured.labels)
    say(f"{case.name}: {count} object{'s' * (count != 1)}, voxels of {_spacing_text(measured)} (z, y, x)")
    for doubt in [] if measured.classes is None else measured.classes.doubts:
        say(f"WARNING: {case.name}: by {case.classes}, {doubt}")
    if not measured.physical:
        say(
            f"{case.name}: no file says the unit of its spacing, and none is guessed: lengths are in the smallest side "
            "of a voxel, and columns end in _voxels; give --image with a spacing, or a sidecar"
        )
    if count == 0:
        say(f"{case.name}: holds no objects: all of its voxels are 0")
    if count == 1 and (measured.labels[0] == 255 or measured.objects["pieces"][0] > 1):
        pieces = float(measured.objects["pieces"][0])
        of = "" if math.isnan(pieces) else f", in {pieces:.0f} piece{'s' * (pieces != 1)}"
        say(
            f"{case.name}: label {measured.labels[0]} is its only one{of}: a label is one object; if this is a "
            "semantic mask, give its objects labels of their own first"
        )
    if count and not (measured.objects["weight"] > 0).any():
        say(f"{case.name}: the border may cut every one of its objects: there are no distributions of whole ones")
    if measured.too_large:
        say(
            f"WARNING: {case.name}: label {', '.join(map(str, measured.too_large[:5]))}: too large for this machine's "
            "memory: its surface and centre line are left empty"
        )


# ---- all cases together


def _write_together(
    cases: dict[str, Measured],
    members: list[Member],
    options: MitoMeasure,
    run: Run,
    output: Path,
    problems: list[Problem],
) -> None:
    """Write the tables and pictures of all cases."""
    measures: dict[str, dict[str, np.ndarray]] = {}
    comparisons: list[Comparison] = []
    if members:
        try:
            members, measures, comparisons = _compared(cases, members, options)
        except PlanewiseError as error:
            problems.append(Problem.of(options.groups, error))
            members = []
    together = [cases[member.case] for member in members] or cases.values()  # those in no condition may lack a unit
    physical = all(measured.physical for measured in together)
    classes = [output / "class_contacts.csv"] if any(measured.classes for measured in cases.values()) else []
    tables = [output / f"{name}.csv" for name in ("objects", "contacts", "volumes", "distributions")]
    pictures = [output / "distributions.png"]
    of_groups = [output / "comparisons.csv", output / "animals.csv", output / "animals.png"] if members else []
    everything = output / "measures.json"
    edited = [path for path in edited_outputs(output) if path.parent == output]
    if edited and not options.overwrite:
        raise PlanewiseError(
            f"{min(edited)}: was changed after it was made, and is kept, with the tables beside it as they were; "
            "--overwrite makes them again"
        )
    inputs = [output / CASES / f"{name}.json" for name in cases]
    inputs += [options.groups] if options.groups is not None and members else []
    with run.making(TOGETHER, inputs, [*tables, *classes, *pictures, *of_groups, everything]):
        write_csv(tables[0], object_rows(cases), ("case", "label"))
        write_csv(
            tables[1], contact_rows(cases), ("case", "first_label", "second_label", name_of("contact_area", physical))
        )
        write_csv(tables[2], volume_rows(cases))
        write_csv(tables[3], distribution_rows(cases))
        for path in classes:
            write_csv(path, class_contact_rows(cases), ("case", "first_class", "second_class"))
        distributions_picture(cases, pictures[0])
        compared, animals = comparison_rows(comparisons, physical), animal_rows(members, measures, physical)
        if members:
            write_csv(of_groups[0], compared)
            write_csv(of_groups[1], animals)
            animals_picture(members, measures, comparisons, physical, of_groups[2])
        write_json(everything, document(cases, compared, animals))
    _print_volumes(cases)
    if classes:
        _print_class_contacts(cases)
    if members:
        _print_comparisons(comparisons, physical)
        if left_out := measures.keys() - {row.measure for row in comparisons}:
            names = ", ".join(name_of(key, physical) for key in measures if key in left_out)
            say(f"Not compared, as too few animals have whole objects: {names}")
    written = [*tables, *classes, *of_groups, everything, *pictures]
    say(f"The tables are in {output}: {', '.join(path.name for path in written)}")


def _compared(
    cases: dict[str, Measured], members: list[Member], options: MitoMeasure
) -> tuple[list[Member], dict[str, dict[str, np.ndarray]], list[Comparison]]:
    """Return the members that were measured, their values by measure and case, and the comparisons."""
    members = [member for member in members if member.case in cases]
    refuse_too_few(members, f"of the cases of {options.groups} that were measured")
    units = {cases[member.case].physical for member in members}
    if len(units) > 1:
        without = [member.case for member in members if not cases[member.case].physical]
        raise PlanewiseError(
            f"{options.groups}: no file says the unit of the spacing of {', '.join(without[:5])}, that of the others "
            "is known: they cannot be compared; give --image with a spacing, or a sidecar"
        )
    measures: dict[str, dict[str, np.ndarray]] = {}
    for key in DISTRIBUTED:
        chosen = {member.case: cases[member.case].objects for member in members}
        if all(key in objects for objects in chosen.values()):
            measures[key] = {case: objects[key][objects["weight"] > 0] for case, objects in chosen.items()}
    for key in COMPARED_VOLUMES:
        measures[key] = {member.case: np.array([cases[member.case].volume[key]]) for member in members}
    return members, measures, compare(members, measures)


def _print_volumes(cases: dict[str, Measured]) -> None:
    rows = []
    for case, measured in cases.items():
        volume, size = measured.volume, measured.distributions["volume"]
        rows.append(
            (
                case,
                str(volume["objects"]),
                str(volume["touching_border"]),
                _short(volume["volume_fraction"]),
                _short(volume["number_density"]),
                _short(size.mean),
                "µm" if measured.physical else "voxels",
            )
        )
    header = ("case", "objects", "at the border", "volume fraction", "number density", "mean volume", "unit")
    print_table("Volumes", header, rows)


def _print_class_contacts(cases: dict[str, Measured]) -> None:
    rows = []
    for row in class_contact_rows(cases):
        case, first, second, area, ours, theirs = row.values()
        counts = ("-" if count is None else str(count) for count in (ours, theirs))
        rows.append((case, first, second, _short(area), *counts, "µm²" if cases[case].physical else "voxels²"))
    header = ("case", "class", "touches", "area", "objects of the first", "of the second", "unit")
    print_table("Contacts of classes", header, rows)


def _print_comparisons(comparisons: list[Comparison], physical: bool) -> None:
    rows = []
    for row in comparisons:
        interval = "-" if math.isnan(row.low) else f"{_short(row.low)} to {_short(row.high)}"
        rows.append(
            (
                name_of(row.measure, physical),
                f"{row.second} - {row.first}",
                _short(row.difference),
                interval,
                _short(row.p),
                _short(row.p_holm),
                f"{row.animals[0]} and {row.animals[1]}",
                row.method,
            )
        )
    header = ("measure", "conditions", "difference", "95 % interval", "p", "p (Holm)", "animals", "by")
    print_table("Conditions", header, rows)


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
