"""mito measure: write tables of objects, contacts and volumes from label volumes, and compare conditions."""

import math
from pathlib import Path

import numpy as np

from planewise.apps.mito.label_options import MitoMeasure
from planewise.apps.mito.measured_cases import (
    Sources,
    cases_of,
    class_names_of,
    label_volumes,
    refuse_other_cases,
    things_of,
)
from planewise.apps.mito.measured_together import CASES, TOGETHER, write_together
from planewise.correction.journal import classes_behind_note, correction_note
from planewise.data.case import channel_within, is_volume, refuse_missing
from planewise.data.manifest import MANIFEST
from planewise.data.object_tables import read_confidences
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.data.space import laid_on, with_spacing_of
from planewise.errors import PlanewiseError, Problem
from planewise.measurement.groups import as_files_are_named, read_groups
from planewise.measurement.measuring import measure_volume
from planewise.measurement.volume_measures import Measured
from planewise.progress import counted, say, warn
from planewise.report.tables import report_problems
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.json_files import read_json, write_json
from planewise.volumes.labels import open_labels
from planewise.volumes.machine import machine_memory
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume, access

KEPT_BYTES = 2**29  # volumes up to this size are read once and kept; larger ones slab by slab, if the format allows it
DECISIVE = {"channel", "ignore_geometry"}


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
    default = _beside(options.labels[0])
    output = options.output or default
    inputs = [*volumes.values(), *(path for case in cases for path in case.inputs)]
    refuse_folder_of_inputs(inputs, output, "--output", default)
    decisive = options.model_dump(mode="json", include=DECISIVE)
    decisive["references"] = [text.partition("=")[0] for text in options.reference]
    if options.classes is not None:
        decisive["classes"] = sorted({str(class_names_of(case.classes, ())) for case in cases if case.classes})
        things = {case.name: things_of(case.classes) for case in cases if case.classes}
        if any(of_case is not None for of_case in things.values()):
            decisive["things"] = sorted({str(of_case) for of_case in things.values()})
    names = [*(case.name for case in cases), TOGETHER]
    run = Run.begin(output / MANIFEST, "mito measure", decisive, None, names, options.overwrite, kind=MitoMeasure)
    finished = {}
    for case in cases:
        try:
            finished[case.name] = _measured(case, options, run, output)
        except Exception as error:  # whatever goes wrong with one case, the others are still wanted
            problems.append(Problem.of(case.labels, error))
    if finished:
        try:
            write_together(finished, members, options, run, output, problems)
        except PlanewiseError as error:
            problems.append(Problem.of(output, error))
        if len(finished) < len(volumes):
            say(f"They hold {len(finished)} of {len(volumes)} cases: the others could not be measured.")
    return report_problems(problems)


def _beside(labels: Path) -> Path:
    folder = labels.parent if is_volume(labels) else labels
    return folder / "measures"


def _measured(case: Sources, options: MitoMeasure, run: Run, output: Path) -> Measured:
    """Return the measures of a case, measured now or read if it was done before."""
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
            say(f"{case.name}: its labels state no unit for their spacing; the spacing of {case.image} is used")
        classes, names, things = None, {}, None
        if case.classes is not None:
            names, things = class_names_of(case.classes, case.references), things_of(case.classes)
            if note := classes_behind_note(case.labels, case.classes):
                warn(note)
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
    """Return ``volume`` in canonical orientation; refuse it unless it matches the canonical labels voxel by voxel."""
    return resident(to_canonical(laid_on(volume, path, labels, labels_path, options.ignore_geometry)))


def resident(volume: Volume) -> Volume:
    """Return a volume with its voxels in memory, unless they are too many.

    A file that can only be read as a whole may take up half of the memory; one that is read in pieces, ``KEPT_BYTES``.
    """
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
    say(f"{case.name}: {counted(count, 'object')}, voxels of {_spacing_text(measured)} (z, y, x)")
    for doubt in [] if measured.classes is None else measured.classes.doubts:
        warn(f"{case.name}: classes of {case.classes}: {doubt}")
    if not measured.physical:
        say(
            f"{case.name}: no file states the unit of its spacing, and none is assumed: lengths are in units of the "
            "shortest side of a voxel, and columns end in _voxels; give --image with a spacing, or a sidecar"
        )
    if count == 0:
        say(f"{case.name}: holds no objects: all its voxels are 0")
    if count == 1 and (measured.labels[0] == 255 or measured.objects["pieces"][0] > 1):
        pieces = float(measured.objects["pieces"][0])
        of = "" if math.isnan(pieces) else f", in {pieces:.0f} piece{'s' * (pieces != 1)}"
        say(
            f"{case.name}: label {measured.labels[0]} is its only label{of}. Each label counts as one object: if this "
            "is a semantic mask, first give each object a different label"
        )
    if count and not (measured.objects["weight"] > 0).any():
        say(f"{case.name}: the border may cut all its objects: distributions, which are of whole objects, are left out")
    if measured.too_large:
        warn(
            f"{case.name}: label {', '.join(map(str, measured.too_large[:5]))}: too large for this machine's "
            "memory: surface and centre line are left empty"
        )
