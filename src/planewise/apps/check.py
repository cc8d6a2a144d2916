"""check: what datasets, volumes and DICOM folders hold, on one screen, before anything is run."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.check_options import Check
from planewise.data.case import cases_in, channel_within
from planewise.data.check import CheckedCase, CheckedImage, check_cases, check_image, impossible_size
from planewise.data.classes import IGNORE
from planewise.data.intensity import choose_range
from planewise.data.leaks import Leak, shared_voxels
from planewise.data.nnunet import Dataset, holds_anything, open_dataset, read_meta
from planewise.data.nnunet_check import missing_sidecars, nnunet_problems
from planewise.data.painted_slices import PAINTED
from planewise.data.patients import patients_of
from planewise.data.split import PARTS, VALID_SHARE, draw_split
from planewise.errors import PlanewiseError, Problem
from planewise.inference.memory import need_in_memory
from planewise.inference.planes import NetworkPredictor, SliceOptions, choose_planes, pixel_note, prepared
from planewise.measurement.density import AIR_AT_MOST_HU
from planewise.models.archive import ARCHIVE
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.models.zoo import of_name
from planewise.progress import progress, say
from planewise.report.tables import print_table, report_problems
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import ending_of, itk
from planewise.volumes.formats.dicom import Contents, read_folder
from planewise.volumes.formats.dicom.stack import stack
from planewise.volumes.json_files import finite, read_json, write_json
from planewise.volumes.machine import machine_memory
from planewise.volumes.slices import AXIS, as_stack
from planewise.volumes.volume import Volume

YAML = (".yaml", ".yml")
BATCH = 4  # slices, as mito predict has them by default
TIMED_SLICES, TIMED_SIDE = 2, 1024  # that the network is timed on, and their side in pixels at most


@dataclass
class Checked:
    """What one path holds. ``notes``: lines to read that are no problems."""

    path: Path
    kind: str
    cases: list[CheckedCase] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def check(options: Check) -> int:
    """Check every path and print what it holds. Returns the exit code: 1 if something is wrong.

    Raises PlanewiseError, before any work, for a model that cannot be used.
    """
    if options.json_file is not None and options.json_file.exists() and not _is_ours(options.json_file):
        raise PlanewiseError(f"--json_file {options.json_file}: is there already, and planewise check did not write it")
    model = None if options.model is None else _Model.load(options.model)
    checked_cases = []
    for path in options.paths:
        try:
            checked = _check_path(path, options)
        except PlanewiseError as error:
            checked = Checked(path, "nothing that can be used", problems=[Problem.of(path, error)])
        if model is not None:
            model.hold_against(checked, options)
        else:
            _note_memory(checked)
        _print(checked)
        checked_cases.append(checked)
    if options.json_file is not None:
        write_json(options.json_file, finite([_as_json(checked) for checked in checked_cases]))
        say(f"All of it is in {options.json_file}")
    return report_problems([problem for checked in checked_cases for problem in checked.problems])


def _is_ours(path: Path) -> bool:
    try:
        content = read_json(path)
    except PlanewiseError:
        return False
    return isinstance(content, list) and all(isinstance(item, dict) and "kind" in item for item in content)


def _note_memory(checked: Checked) -> None:
    """Say what predicting the largest image takes, in the planes that its spacing allows."""
    images = [case.image for case in checked.cases if case.image is not None]
    if images:
        largest = max(images, key=lambda image: math.prod(image.volume.shape))
        need = need_in_memory(largest.volume, largest.planes, BATCH, 1, "cpu")
        streamed = "; it would be streamed" if need.beside_network > machine_memory() // 2 else ""
        checked.notes.append(
            f"mito predict of {largest.path.name} needs {need}{streamed}; --model tells how long it takes"
        )


def _check_path(path: Path, options: Check) -> Checked:
    if not path.exists():
        raise PlanewiseError(f"{path}: no such file or folder")
    if any((path / name).exists() for name in ("dataset.json", "imagesTr", "imagesTs")):
        return _check_dataset(path, options)
    contents = read_folder(path) if path.is_dir() and not ending_of(path) and not volumes_in(path) else None
    if contents is not None and (contents.series or contents.problems):
        return _check_series(path, contents)
    images, problems = cases_in(path, options.channel, options.sequence)
    checked = Checked(path, "volumes", problems=problems)
    if not images and not problems:
        problems.append(Problem(str(path), "holds nothing that is read: no dataset, volume, image or DICOM series"))
    with progress("reading", len(images), unit="volumes") as advance:
        for name, image in images.items():
            case = CheckedCase(name, "")
            checked.cases.append(case)
            try:
                case.image = check_image(image, channel_within(image, options.channel))
                checked.problems += impossible_size(case.image)
                if ending_of(image) in itk.FORMAT.endings and (why := _not_in_hu(case.image)):  # in which CTs come
                    checked.notes.append(f"{image.name}: if it is a CT, {why}")
            except PlanewiseError as error:
                checked.problems.append(Problem.of(image, error))
            advance(1, name)
    return checked


def _check_dataset(path: Path, options: Check) -> Checked:
    meta = read_meta(path)
    train = "dataset" in meta or any(holds_anything(path / f"{what}Tr") for what in ("images", "labels", "instances"))
    dataset = open_dataset(path, train, holds_anything(path / "imagesTs"), options.channel, options.ignore_geometry)
    checked = Checked(path, "nnU-Net raw dataset", problems=list(dataset.problems))
    cases = [(case, "Tr") for case in dataset.train] + [(case, "Ts") for case in dataset.test]
    with progress("reading", len(cases), unit="cases") as advance:
        checked.cases, problems = check_cases(cases, dataset.labels, lambda name: advance(1, name))
    checked.problems += problems
    if "CT" in {str(name).upper() for name in dict(meta.get("channel_names", {})).values()}:
        images = [case.image for case in checked.cases if case.image is not None]
        checked.problems += [Problem(str(image.path), why) for image in images if (why := _not_in_hu(image))]
    checked.notes += [f"WARNING: {note}" for case in checked.cases for note in case.notes]
    if train:
        of_nnunet = [p for p in nnunet_problems(path, meta, dataset.labels) if p not in checked.problems]
        if any((path / truth).is_dir() for truth in ("instancesTr", PAINTED)):  # what planewise trains on, not nnU-Net
            checked.notes += [f"nnU-Net would refuse it: {problem.where}: {problem.what}" for problem in of_nnunet]
        else:
            checked.problems += of_nnunet
        checked.notes += missing_sidecars(path, meta)
    names = [case.name for case, _ in cases]
    try:
        checked.patients = patients_of(names, options.patient_pattern, options.patients)
    except PlanewiseError as error:
        checked.notes.append(str(error))
    checked.leaks = shared_voxels(
        {case.name: case.image for case in dataset.train}, {case.name: case.image for case in dataset.test},
        options.channel,
    )  # fmt: skip
    checked.problems += [Problem(leak.test, f"{leak}: a leak") for leak in checked.leaks]
    checked.problems += _vanishing(dataset, checked)
    if dataset.train and checked.patients and not dataset.train[0].instances:
        _note_split(dataset, checked)
    return checked


def _not_in_hu(image: CheckedImage) -> str:
    """Return that an image, if it is a CT, is not in HU; "" if its values may be. See ``refuse_unless_hu``."""
    seen = image.intensities
    if seen.least <= AIR_AT_MOST_HU:
        return ""
    return (
        f"its values, {seen.least:g} to {seen.most:g}, are not HU, in which air is -1000: planewise ild refuses such a "
        "CT; apply its rescale slope and intercept"
    )


def _vanishing(dataset: Dataset, checked: Checked) -> list[Problem]:
    """Return a problem for every class that no training case has, and if no training case has any object."""
    trained = [case for case in checked.cases if case.part == "Tr" and case.classes]
    if not trained:
        return []
    totals: dict[str, int] = {}
    for case in trained:
        for name, of_class in case.classes.items():
            totals[name] = totals.get(name, 0) + of_class.voxels
    return [
        Problem(str(dataset.folder), f"no training case has {name}: it cannot be learned")
        for name, voxels in totals.items()
        if not voxels and name != IGNORE
    ]


def _note_split(dataset: Dataset, checked: Checked) -> None:
    """Say how ``ild prepare`` would split the patients, by its default share and seed."""
    present = {
        case.name: frozenset(
            number for number, (name, of_class) in enumerate(case.classes.items()) if of_class.voxels and name != IGNORE
        )
        for case in checked.cases
    }
    train, test = ([case.name for case in cases] for cases in (dataset.train, dataset.test))
    try:
        split = draw_split(checked.patients, train, test, present.__getitem__, VALID_SHARE, 0)
    except PlanewiseError as error:
        checked.notes.append(str(error))
        return
    patients = {part: sorted({checked.patients[name] for name in split[part]}) for part in PARTS}
    parts = [f"{part} {', '.join(patients[part]) or 'none'}" for part in PARTS]
    checked.notes.append(f"patients, as planewise ild prepare splits them: {'; '.join(parts)}")


def _check_series(path: Path, contents: Contents) -> Checked:
    """List the DICOM series of a folder, and say of each why it cannot be read, if so."""
    checked = Checked(path, "DICOM folder", problems=list(contents.problems))
    if contents.left_out:
        checked.notes.append(f"{path}: {contents.left_out_text}")
    rows = []
    for entry in contents.series:
        trouble = "ok"
        try:
            stack(entry)
        except PlanewiseError as error:
            trouble = "cannot be read"
            checked.problems.append(Problem.of(entry.folder, error))
        spacing = "" if entry.spacing_mm is None else f"{entry.spacing_mm:g}"
        rows.append(
            (
                entry.patient,
                entry.study_date,
                entry.title,
                entry.kernel,
                str(len(entry.slices)),
                spacing,
                entry.orientation,
                trouble,
            )
        )
    header = ("patient", "date", "series", "kernel", "slices", "mm apart", "orientation", "status")
    print_table(f"{path}: {len(rows)} DICOM series", header, rows)
    return checked


@dataclass(frozen=True)
class _Model:
    """A model to hold images against: ``file`` and network of a MitoNet; of a SAM2 only ``notes`` on it."""

    path: Path
    file: ModelFile | None = None
    predictor: NetworkPredictor | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "_Model":
        """Load the model at ``path``. Raises PlanewiseError if it cannot be used."""
        if path.suffix.lower() in (*YAML, ARCHIVE) or of_name(str(path), "MitoNet"):
            path = find_model_file(path)
            file = read_model_file(path)
            network = inference_network(locate_weights(file, path), file.architecture, "cpu")
            return cls(path, file, NetworkPredictor(network, False))
        from planewise.models.sam2_files import load_sam2

        weights = load_sam2(path, None)
        names = ", ".join(weights.tokens.names.values()) if weights.tokens else "drawn boxes alone"
        window = "no window is stated" if weights.window is None else "window {:g}/{:g} HU".format(*weights.window)
        return cls(
            path, notes=(f"{path.name}: SAM2 {weights.version} hiera {weights.size}, trained for {names}; {window}",)
        )

    def hold_against(self, checked: Checked, options: Check) -> None:
        """Say how the model would see every image, in which planes, and what it would take."""
        checked.notes += self.notes
        if self.file is None or self.predictor is None:
            return
        seconds = None
        for case in checked.cases:
            if case.image is None:
                continue
            volume, profile = case.image.volume, case.image.intensities
            planes, why = choose_planes(volume, self.file.planes, None)
            if unlike := pixel_note(volume, planes, self.file.pixel_nm):
                checked.problems.append(Problem(str(case.image.path), unlike))
            try:
                trained = self.file.trained_intensities()
                range_, seen = choose_range(profile, trained, case.image.path, options.intensity, options.invert)
            except PlanewiseError as error:
                checked.problems.append(Problem.of(case.image.path, error))
                continue
            norms = self.file.norms
            slices = SliceOptions(range_, norms.mean, norms.std, self.file.padding_factor)
            seconds = seconds or self._seconds_a_pixel(volume, slices)
            pixels = len(planes) * math.prod(volume.shape)
            need = need_in_memory(volume, planes, BATCH, 1, "cpu", self.file.outputs)
            streamed = "streamed" if need.beside_network > machine_memory() // 2 else f"needs {need}"
            checked.notes.append(
                f"{case.name}: {seen}; {why}; {streamed}; about {_duration(pixels * seconds)} on this CPU"
            )

    def _seconds_a_pixel(self, volume: Volume, options: SliceOptions) -> float:
        """Return how long the network takes a pixel, timed on a few slices of ``volume``."""
        assert self.predictor is not None
        axis = AXIS["xy"]
        middle = volume.shape[axis] // 2
        part = (slice(middle, middle + TIMED_SLICES), slice(TIMED_SIDE), slice(TIMED_SIDE))
        slices = as_stack(np.asarray(volume.voxels[part]), "xy")
        images = prepared(slices, options)
        self.predictor.outputs(images, slices.shape[1:], 1)  # the first is slower than the rest
        started = time.perf_counter()
        self.predictor.outputs(images, slices.shape[1:], 1)
        return (time.perf_counter() - started) / slices.size


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


# ---- what is printed and written


def _print(checked: Checked) -> None:
    """Print what a path holds: its cases, its classes, and lines to read."""
    if checked.cases:
        rows = [_row(case, checked) for case in checked.cases]
        header = ("case", "part", "patient", "shape z, y, x", "spacing", "type", "uses", "fine structures", "planes")
        print_table(f"{checked.path}: {checked.kind}, {len(rows)} cases", header, rows)
    classes = list(dict.fromkeys(name for case in checked.cases for name in case.classes))
    if classes:
        rows = [_class_row(name, checked.cases) for name in classes]
        print_table("Truth", ("class", "cases with it", "voxels", "share", "objects"), rows)
    for note in checked.notes:
        say(note)


def _row(case: CheckedCase, checked: Checked) -> tuple[str, ...]:
    place = (case.name, case.part, checked.patients.get(case.name, ""))
    if case.image is None:
        return (*place, "cannot be used", "", "", "", "", "")
    volume, seen = case.image.volume, case.image.intensities
    spacing = (
        "not stated" if volume.unit == "pixel" else " x ".join(f"{s:.4g}" for s in volume.spacing) + f" {volume.unit}"
    )
    shape = " x ".join(map(str, volume.shape))
    used = f"{seen.low:.5g} to {seen.high:.5g}"
    return (*place, shape, spacing, str(seen.dtype), used, seen.polarity, " ".join(case.image.planes))


def _class_row(name: str, cases: list[CheckedCase]) -> tuple[str, ...]:
    of_cases = [case.classes[name] for case in cases if name in case.classes]
    there = [of_class for of_class in of_cases if of_class.voxels]
    counted = [of_class.objects for of_class in of_cases if of_class.objects is not None]
    share = float(np.mean([of_class.share for of_class in of_cases]))
    objects = f"{sum(counted):,}" if len(counted) == len(of_cases) else "not counted"
    return name, f"{len(there)} of {len(of_cases)}", f"{sum(c.voxels for c in of_cases):,}", f"{share:.2%}", objects


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "path": str(checked.path),
        "kind": checked.kind,
        "cases": [_case_as_json(case, checked) for case in checked.cases],
        "leaks": [
            {"train": leak.train, "test": leak.test, "share": leak.share, "offset": leak.offset}
            for leak in checked.leaks
        ],
        "notes": checked.notes,
        "problems": [{"where": problem.where, "what": problem.what} for problem in checked.problems],
    }


def _case_as_json(case: CheckedCase, checked: Checked) -> dict[str, Any]:
    content: dict[str, Any] = {"case": case.name, "part": case.part, "patient": checked.patients.get(case.name)}
    if case.image is not None:
        volume, seen = case.image.volume, case.image.intensities
        content |= {
            "image": str(case.image.path), "shape": volume.shape, "spacing": volume.spacing, "unit": volume.unit,
            "dtype": str(seen.dtype), "least": seen.least, "most": seen.most, "used": [seen.low, seen.high],
            "fine_structures": seen.polarity, "planes": case.image.planes,
        }  # fmt: skip
    content["classes"] = {
        name: {"voxels": c.voxels, "share": c.share, "objects": c.objects} for name, c in case.classes.items()
    }
    return content
