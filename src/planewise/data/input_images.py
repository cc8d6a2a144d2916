"""The images in a command's input, by case: what is read of a path, what is passed over, and what is not clear."""

from collections.abc import Collection
from pathlib import Path

from planewise.data.case import CaseName, case_name, group_by_case, is_volume, one_file_each, one_of, plane_of
from planewise.data.image_sequences import SequenceChoice, slices_of, stack_name
from planewise.data.manifest import MANIFEST, Manifest
from planewise.data.own_results import prediction_manifest, without_results
from planewise.errors import PlanewiseError, Problem
from planewise.options import real_path
from planewise.progress import first_few, say, say_once
from planewise.volumes.channel_numbers import channels_named
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.formats.image_sequence import SLICES

COMPANIONS = (".json", ".csv", ".txt", ".md", ".log", ".yaml", ".yml", ".html", ".pdf", ".xml", ".ini", ".db")
LIKE_SLICES = (*SLICES, ".jpg", ".jpeg", ".bmp")  # endings of files that people export slices to


def cases_in(
    path: Path, channel: int | None = None, sequence: SequenceChoice = "no", without: Collection[Path] = ()
) -> tuple[dict[str, Path], list[Problem]]:
    """Return the images in a command's input, by case, and a problem for each one without a clear name.

    ``path``: a volume, or a folder of volumes. With ``sequence`` "auto" or "yes" a folder of 2D images is one volume,
    and so is each such folder within it, except for folders of results; this decision is printed. ``without``: volumes
    in ``path`` that are not read. The result may be empty.

    Raises PlanewiseError if ``path`` is missing, or if its 2D images may be either one volume or several.
    """
    if is_volume(path):
        return image_alone(path, channel)
    problems: list[Problem] = []
    stacks: dict[Path, list[Path]] = {path: slices_of(path, sequence, channel)}
    loose = not stacks[path]
    if loose and sequence != "no":
        within = sorted(item for item in path.iterdir() if item.is_dir() and not ending_of(item))
        for folder in without_results([item for item in within if not item.name.startswith(".")]):
            try:
                stacks[folder] = slices_of(folder, sequence, channel)
            except PlanewiseError as error:
                problems.append(Problem.of(folder, error))
        _say_pictures([folder for folder, slices in stacks.items() if not slices and folder != path])
    images, several = one_file_each(
        [
            *(volume for volume in volumes_in(path) if loose and volume not in without),
            *(folder for folder, slices in stacks.items() if slices),
        ],
        channel=channel,
    )
    if not loose:
        images = {case_name(Path(stack_name(stacks[path]) or path.resolve().name)): path}
    for folder in (path, *(folder for folder, slices in stacks.items() if slices and folder != path)):
        say_passed_over(folder)
    for name, image in images.items():
        if stacks.get(image):
            decision = f"{image}: its {len(stacks[image])} images are the slices of one volume, case {name}"
            say(f"{decision}; --sequence no makes each a volume" if sequence == "auto" else decision)
    if sequence == "yes" and not any(stacks.values()):
        raise PlanewiseError(f"--sequence yes: {path} holds no images {', '.join(SLICES)}, nor folders of them")
    _say_numbers(images)
    return images, [*problems, *several.values()]


def images_to_segment(
    path: Path, channel: int | None = None, sequence: SequenceChoice = "no"
) -> tuple[dict[str, Path], list[Problem]]:
    """Return ``cases_in`` an input without the volumes that planewise predicted, which are printed.

    Raises PlanewiseError, as ``cases_in`` does, or naming what they were predicted from, if there are no others.
    """
    volumes = [path] if is_volume(path) else volumes_in(path)
    predicted = {volume: found for volume in volumes if (found := prediction_manifest(volume)) is not None}
    if path in predicted:
        raise PlanewiseError(_no_images(path, predicted))
    images, problems = cases_in(path, channel, sequence, predicted)
    if not predicted:
        return images, problems
    if not images and not problems:
        raise PlanewiseError(_no_images(path, predicted))
    command = f"planewise {next(iter(predicted.values())).command}"
    say(f"{path}: passed over what {command} wrote: {first_few([volume.name for volume in predicted])}")
    return images, problems


def refuse_result(path: Path) -> None:
    """Raise PlanewiseError, naming what it was predicted from, if planewise predicted the volume at ``path``."""
    if (manifest := prediction_manifest(path)) is not None:
        raise PlanewiseError(_no_images(path, {path: manifest}))


def _no_images(path: Path, predicted: dict[Path, Manifest]) -> str:
    """Return the message about an input that is a result of planewise's, or holds nothing else."""
    command = f"planewise {next(iter(predicted.values())).command}"
    records = [
        record
        for volume, manifest in predicted.items()
        for record in manifest.cases.values()
        if record.outputs.keys() & {volume.name, real_path(volume).name}
    ]
    sources = [Path(next(iter(record.inputs))) for record in records if record.inputs]
    before = sorted(set(sources if path in predicted else [source.parent for source in sources]))
    models = sorted({manifest.model for manifest in predicted.values()})
    what = "is a result" if path in predicted else "holds only results"
    return (
        f"{path}: {what} of {command}, made with {first_few(models)} according to its {MANIFEST}, and results are no "
        f"images: give what was segmented, {first_few(before)}"
    )


def image_alone(path: Path, channel: int | None) -> tuple[dict[str, Path], list[Problem]]:
    """Return the image at ``path`` by its case, for results that are named after the case.

    Returns a problem instead, as for its folder, if its number may be a channel's: the results of a_0001 and of a_0002
    would then both be called a.
    """
    name = CaseName.of(path)
    if name.number is None or channels_named(path):
        return {case_name(path): path}, []
    numbered = [
        other
        for other in sorted(path.parent.iterdir())
        if ending_of(other) == ending_of(path) and CaseName.of(other).number is not None
    ]
    if path not in numbered:  # given in another spelling than the folder's: upper case, or accents
        numbered = [path, *(other for other in numbered if not (other.exists() and other.samefile(path)))]
    case, files = next(group for group in group_by_case(numbered, channel=channel).items() if path in group[1])
    try:
        chosen = one_of(case, files, channel)
    except PlanewiseError as error:
        return {}, [Problem.of(path, error)]
    if chosen != path:
        return {}, [Problem(str(path), f"is of channel {name.number}, not of --channel {channel}")]
    _say_numbers({case: path})
    return {case: path}, []


def _say_numbers(images: dict[str, Path]) -> None:
    """Print for which images it is only assumed that the number at the end of the name is part of it."""
    for case, path in images.items():
        name = CaseName.of(path)
        if name.number is not None and name.channel is None and case == name.full:
            say_once(
                f"{path}: is case {case}: _{name.number:04d} is taken for part of its name, not for nnU-Net's channel "
                f"number, because there is no {name.case}_0000 beside it"
            )


def say_passed_over(folder: Path) -> None:
    """Print which files of a folder of volumes are not read: those of other formats, and PNGs with a volume's name.

    Text files, tables and the data file of a header (.raw beside .mhd) are not mentioned.
    """
    read = volumes_in(folder)
    headed = {stem_of(path) for path in read if ending_of(path) in (".mhd", ".nhdr")}
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    others = [path for path in files if path.suffix and not ending_of(path) and path.suffix.lower() not in COMPANIONS]
    for passed_over, why in (
        ([path for path in others if path.stem not in headed], "its format is not read; convert a volume"),
        ([path for path in files if ending_of(path) and path not in read], "a picture of the volume with its name"),
    ):
        if passed_over:
            names = ", ".join(path.name for path in passed_over[:3]) + " ..." * (len(passed_over) > 3)
            each = "is passed over" if len(passed_over) == 1 else f"({len(passed_over)} files) are passed over, each"
            say(f"{folder}: {names} {each}: {why}")


def _say_pictures(folders: list[Path]) -> None:
    """Print which folders beside volumes hold image files that are not read as a volume."""
    for folder in folders:
        images = [item for item in sorted(folder.iterdir()) if item.suffix.lower() in LIKE_SLICES]
        if len(images) > 1:
            say(
                f"{folder}: is passed over: its {len(images)} files, {images[0].name} ..., are not greyscale 2D images "
                f"{', '.join(SLICES)}, so not the slices of a volume"
            )


def refuse_names_of_planes(cases: dict[str, Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Return the cases whose results cannot be confused with the plane results of another, and a problem for each
    other.

    The results of case ``a`` are ``a`` and ``a_xy``; the result of a case named ``a_xy`` would replace the latter.
    """
    refused: dict[str, Problem] = {}
    for name, path in cases.items():
        if (base := plane_of(name)) in cases:
            message = (
                f"plane {name[-2:]} of case {base} ({cases[base].name}) and the result of case {name} ({path.name}) "
                f"would both be called {name}: rename one of the two"
            )
            for case in (base, name):
                refused.setdefault(case, Problem(str(cases[case]), message))
    return {name: path for name, path in cases.items() if name not in refused}, list(refused.values())
