"""The 2D slices that a training uses: cut from its dataset, or existing ones."""

from dataclasses import dataclass, field
from pathlib import Path

from planewise.apps.mito.train_options import MitoTrain
from planewise.data.case import Case
from planewise.data.classes import Target, semantic_beside
from planewise.data.intensity_rule import IntensityRule
from planewise.data.nnunet import Dataset
from planewise.data.panoptic import DIVISOR, PanopticClasses
from planewise.data.preparation import RECORD, MadeFrom, Record, check_same, fingerprint, fingerprints, read_record
from planewise.errors import PlanewiseError, Problem
from planewise.progress import progress, say
from planewise.training.kept_slices import folders_for, keep_slices, kept_slices
from planewise.training.slice_folder import Label, write_slice_folder
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import planes_sharp_in_all, sharp_planes
from planewise.volumes.slices import PLANES, Plane

TRAINED = "base model's intensities"
PAINTED = "those with an area"  # which partly painted slices are used; goes with LAYOUT
LAYOUT = 2  # increased when the same data and options give other slices


@dataclass(frozen=True)
class Slices:
    """Slices in ``folder``, with their record if they have one, and the cases that are not among them."""

    folder: Path
    record: Record | None
    left_out: list[Problem] = field(default_factory=list)


def slices_to_train_on(
    options: MitoTrain,
    dataset: Dataset,
    target: Target | PanopticClasses | None,
    intensities: IntensityRule,
    trained_on: Path,
    cut: bool = True,
) -> Slices:
    """Return the slices of a dataset's training cases, cut now unless they exist or are to be reused.

    ``target``: the class, or classes, of a semantic truth; None for instances. ``trained_on``: the record of a resumed
    training; without ``cut`` that training is finished, and its slices need not exist. Raises PlanewiseError if
    existing slices were made from something else, or if the resumed training used other slices.
    """
    beside = options.dataset_path.parent / f"{options.dataset_path.resolve().name}_2d"
    first = options.output_data_path or beside
    unfinished = options.resume and not trained_on.exists()  # of an older version, which kept no records
    if (options.skip_conversion or (unfinished and first.exists())) and read_record(first / RECORD) is None:
        say(f"Using the slices in {first} as they are: they have no record of what they were made from")
        if options.resume and trained_on.exists():
            check_same(trained_on, None)
        return Slices(first, None)
    planes = planes_to_train_in(options, dataset)
    made_from = _made_from(dataset.train, planes, wanted_target(dataset, target), intensities)
    folders = (first,) if options.output_data_path else folders_for(beside, made_from)
    if options.skip_conversion:
        slices = _kept(first, folders, made_from)
        if options.resume:
            check_same(trained_on, slices.record)
        return slices
    if options.resume:
        check_same(trained_on, Record(made_from))
    if not cut:
        return Slices(first, Record(made_from))

    def write(folder: Path) -> list[Problem]:
        if not all(case.instances for case in dataset.train):  # a target may also be set for test cases only
            say("There is no instancesTr: the 26-connected components of labelsTr are used as instances.")
        return cut_slices(dataset, target, intensities, planes, folder)

    folder, left_out = keep_slices(folders, made_from, write)
    say(f"The slices are in {folder}")
    return Slices(folder, Record(made_from), left_out)


def cut_slices(
    dataset: Dataset,
    target: Target | PanopticClasses | None,
    intensities: IntensityRule,
    planes: tuple[Plane, ...],
    folder: Path,
    label: Label | None = None,
) -> list[Problem]:
    """Cut a dataset's training cases into slices in ``folder``; see ``write_slice_folder``."""
    wanted = wanted_target(dataset, target)
    with progress(f"cutting slices ({', '.join(planes)})", len(dataset.train), unit="cases") as advance:
        return write_slice_folder(
            dataset.train, folder, planes, lambda name: advance(1, name), wanted, intensities, label=label
        )


def planes_to_train_in(options: MitoTrain, dataset: Dataset) -> tuple[Plane, ...]:
    """Return the planes that slices are cut in."""
    return options.train_planes or _default_planes(dataset.train)


def wanted_target(dataset: Dataset, target: Target | PanopticClasses | None) -> Target | PanopticClasses:
    """Return the training target: ``target``, or the instances if it is None."""
    return target or Target("instances", (), dataset.labels.ignore)


def _kept(first: Path, folders: tuple[Path, ...], made_from: MadeFrom) -> Slices:
    """Return the slices in ``first`` if they are the requested ones, whatever model they were cut for."""
    record = read_record(first / RECORD)
    if record is not None:
        of_their_model = {TRAINED: record.made_from.options.get(TRAINED)}
        served = MadeFrom(made_from.options | of_their_model, made_from.data)
        if record.made_from.key == served.key != made_from.key:
            say(f"The slices were cut for a base model with other intensities ({served.differences(made_from)})")
            folders, made_from = (first,), served
    folder, left_out = kept_slices(folders, made_from)
    return Slices(folder, Record(made_from), left_out)


def _made_from(
    cases: list[Case], planes: tuple[Plane, ...], target: Target | PanopticClasses, intensities: IntensityRule
) -> MadeFrom:
    """Return the data and options that determine the slices."""
    with progress("checking what is there", len(cases), unit="cases") as advance:
        data = fingerprints(cases, lambda name: advance(1, name))
    several = isinstance(target, PanopticClasses)
    if target.ignore is not None or several:  # given by the semantic truth beside instances
        for case in cases:
            if case.truth is not None and case.instances:
                data[f"{case.name} ({'classes' if several else 'ignored'})"] = _beside(case.truth, case.name)
    trained = intensities.trained
    contrast = trained.contrast  # it decides which cases are refused as inverted; usually of one polarity
    decisive = {
        "layout": LAYOUT,
        "planes": planes,
        "class": _trained(target),
        "ignore label": target.ignore,
        TRAINED: (trained.low, trained.high, contrast.fine if contrast.fine == contrast.broad else str(contrast)),
        "intensity": intensities.given,
        "invert": intensities.invert,
    }
    if target.ignore is not None:
        decisive["painted slices"] = PAINTED
    return MadeFrom(decisive, data)


def _trained(target: Target | PanopticClasses) -> object:
    """Return which classes are in the slices, and how."""
    if isinstance(target, PanopticClasses):
        return {"names": target.names, "things": target.things, "divisor": DIVISOR}
    return target.values or "instances"


def _beside(truth: Path, case: str) -> str:
    try:
        semantic = semantic_beside(truth, case)
    except PlanewiseError as error:  # the case is left out for it when slices are cut
        return str(error)
    return "nothing" if semantic is None else fingerprint(semantic)


def _default_planes(cases: list[Case]) -> tuple[Plane, ...]:
    """Return the planes in which the pixels of each case are square."""
    volumes = {case.name: open_volume(case.image, case.channel) for case in cases}
    planes = planes_sharp_in_all(volumes.values())
    if not planes:
        listed = ", ".join(f"{name} {'/'.join(sharp_planes(v.spacing, v.shape))}" for name, v in volumes.items())
        raise PlanewiseError(f"--train_planes: no plane has square pixels in all cases ({listed}); name the planes")
    uneven = [volume.spacing for volume in volumes.values() if len(set(volume.spacing)) > 1]
    if planes != PLANES and uneven:
        spacing = uneven[0]
        what = f"Voxels are anisotropic ({spacing}): training on {', '.join(planes)} slices"
        say(f"{what}; --train_planes chooses others.")
    return planes
