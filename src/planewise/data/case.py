"""A case: a name, its image, its truth. File names are interpreted only here.

::

    {case}.tiff  {case}_0000.tiff  {case}_pred.nii.gz  {case}_consensus.tiff   are all of case {case}
    {case}_0001.tiff beside {case}_0000.tiff                                   is another channel of it
    {case}_1000.tiff alone                                                     is a case of that whole name

nnU-Net counts channels from 0000, and dataset.json names them: other numbers are part of the name, see ``is_channel``.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from planewise.data.image_sequences import SequenceChoice, is_sequence_folder, slices_of, stack_name
from planewise.errors import PlanewiseError, Problem
from planewise.options import printable
from planewise.progress import say, say_once
from planewise.volumes.channel_numbers import PREDICTED, channels_named, is_channel
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.image_sequence import SLICES
from planewise.volumes.slices import PLANES

COMPANIONS = (".json", ".csv", ".txt", ".md", ".log", ".yaml", ".yml", ".html", ".pdf", ".xml", ".ini", ".db")
LIKE_SLICES = (*SLICES, ".jpg", ".jpeg", ".bmp")  # endings of files that people export slices to

_RESULT = r"(?:_(?:consensus|prediction|pred))*"  # endings that programs give their results
_NAME = re.compile(rf"(?P<full>(?P<case>.+?){_RESULT}(?:_(?P<channel>(?!19|20)\d{{4}}))?){_RESULT}", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One image with its truth, which a test case may lack.

    ``instances``: whether the truth holds instance ids. ``channel``: the channel of the image file, if it has several.
    ``ignore_geometry``: match truth and image voxel by voxel, and ignore the geometry in their files.
    """

    name: str
    image: Path
    truth: Path | None
    instances: bool
    channel: int | None = None
    ignore_geometry: bool = False


# ---- names


def case_name(path: Path, known: Collection[str] = (), labels: bool = False) -> str:
    """Return the case that a file belongs to: its name without ending, channel number, ``_pred`` and ``_consensus``.

    ``known``: case names to keep unchanged: if PAT_0001 is one, its ``_0001`` is not a channel number. ``labels``: the
    file holds labels, which have no channels: only ``_0000`` is left out, as some programs copy it from the image.
    """
    name = _Name.of(path, labels)
    return next((text for text in (name.stem, name.full) if text in known), name.case if name.channel else name.full)


def channel_number(path: Path) -> int | None:
    """Return nnU-Net's channel number in a file's name, None if there is none."""
    name = _Name.of(path)
    return name.number if name.channel else None


def channel_within(path: Path | Series, channel: int | None) -> int | None:
    """Return which channel within the image at ``path`` is meant by ``--channel``; None if its name says it already.

    If it is not known whether the number in its name is a channel's, it is not where the image has that channel within.
    """
    if not channel or not isinstance(path, Path):
        return channel
    name = _Name.of(path)
    if name.number != channel or name.channel is False:
        return channel
    return channel if name.channel is None and _has_within(path, channel) else None


def _has_within(path: Path, channel: int) -> bool:
    try:
        open_volume(path, channel)
    except PlanewiseError:
        return False
    return True


def numbered_cases(predictions: Iterable[Path], truths: Iterable[Path]) -> set[str]:
    """Return the names of truths ending in a number that looks like a channel number but belongs to the case.

    That is assumed if predictions have the number too, but not for ``{case}_0000`` alone.
    """
    names = [_Name.of(path) for path in truths]
    numbered = {name.full for name in names if name.number is not None}
    shared = sorted(numbered & {_Name.of(path).full for path in predictions})
    alike = [name[:-5] for name in shared]
    bases = {name[:-5] for name in shared if not name.endswith("_0000") or alike.count(name[:-5]) > 1}
    return {name for name in numbered if name[:-5] in bases}


def plane_of(case: str) -> str:
    """Return the case for which ``case`` would be the name of a single plane's result ({case}_xy ...), or ""."""
    base = re.sub(rf"_({'|'.join(PLANES)})$", "", case)
    return base if base != case else ""


@dataclass(frozen=True)
class _Name:
    """The parts of a file's name; accents are one character each, however the file system stores them.

    Bytes that are not UTF-8 are escaped, so that a table can show the name of a case whose files are refused.

    ``full``: without what programs call their results; ``case``: without a number of four digits at its end either;
    ``number``: that; ``channel``: whether it is nnU-Net's channel number, see ``is_channel``; of ``labels`` only 0 is.
    """

    stem: str
    full: str
    case: str
    number: int | None = None
    channel: bool | None = None

    @classmethod
    def of(cls, path: Path, labels: bool = False) -> "_Name":
        stem = unicodedata.normalize("NFC", printable(stem_of(path)))
        match = _NAME.fullmatch(stem)
        if match is None:
            name = unicodedata.normalize("NFC", printable(path.name))
            return cls(stem, name, name)
        full, case, digits = match.group("full", "case", "channel")
        if digits is None:
            return cls(stem, case, case)
        return cls(stem, full, case, int(digits), int(digits) == 0 if labels else is_channel(path, digits))


# ---- files of cases


def group_by_case(
    paths: Iterable[Path], known: Collection[str] = (), channel: int | None = None, labels: bool = False
) -> dict[str, list[Path]]:
    """Return all files of each case; see ``case_name``.

    Where it is not known whether the number in an image's name is a channel's, it is taken for one if it is
    ``channel``, if a channel of another case has the same number, or if several files differ only in their numbers.
    """
    files = list(paths)
    names = {path: _Name.of(path, labels) for path in files}
    unclear = {
        path: name
        for path, name in names.items()
        if name.number and name.channel is None and name.full not in known and name.stem not in known
    }
    alike = Counter(name.case for name in unclear.values())
    used = {name.number for name in names.values() if name.channel}
    groups: dict[str, list[Path]] = {}
    for path in files:
        number = names[path].number
        is_channel = path in unclear and (
            alike[names[path].case] > 1
            or number in used
            or (number == channel and channel_within(path, channel) is None)
        )
        groups.setdefault(names[path].case if is_channel else case_name(path, known, labels), []).append(path)
    return groups


def _channel_of(path: Path, case: str) -> int | None:
    """Return the channel number in the name of a file of ``case``; None if there is none, or if it is the case's."""
    name = _Name.of(path)
    return name.number if name.case == case else None


def one_file_each(
    paths: Iterable[Path], known: Collection[str] = (), channel: int | None = None, labels: bool = False
) -> tuple[dict[str, Path], dict[str, Problem]]:
    """Return the file of each case, and a problem for each case with several files, none of which is used.

    With ``channel``, the file with that number is taken if several differ in it. ``labels``: see ``case_name``.
    """
    chosen: dict[str, Path] = {}
    refused: dict[str, Problem] = {}
    for name, files in group_by_case(paths, known, channel, labels).items():
        try:
            chosen[name] = _one_of(name, files, channel)
        except PlanewiseError as error:
            refused[name] = Problem.of(files[0], error)
    return chosen, refused


def _one_of(case: str, files: list[Path], channel: int | None) -> Path:
    """Return the file of ``case``, with several the one of ``channel``. Raises PlanewiseError if it is not clear."""
    numbers = [_channel_of(path, case) for path in files]
    if len(files) > 1:
        if channel is None or None in numbers or numbers.count(channel) != 1:
            raise PlanewiseError(several_files(case, files, channel))
        return files[numbers.index(channel)]
    if channel is not None and numbers[0] not in (None, 0, channel):
        raise PlanewiseError(f"is of channel {numbers[0]}, not of --channel {channel}")
    if channel is None and numbers[0] and _Name.of(files[0]).channel is None:
        raise PlanewiseError(
            f"seems to be of channel {numbers[0]}, as other files beside it are, and no {case}_0000 lies beside it: "
            "choose with --channel N, or rename it if it is a separate image"
        )
    return files[0]


def several_files(case: str, files: list[Path], channel: int | None = None) -> str:
    """Return the message about several files for one case, with the remedy."""
    message = f"several files for one case, {case}: {', '.join(path.name for path in files)}"
    numbers = {_channel_of(path, case) for path in files}
    if None in numbers or len(numbers) < len(files):
        return f"{message}; keep one, or rename the others"
    message += "; _NNNN at the end of a name is nnU-Net's channel number: "
    if channel is not None:
        return f"{message}none of them is of --channel {channel}"
    message += "choose with --channel N, or rename them if they are separate images"
    flat = all(ending_of(path) in SLICES for path in files)
    return f"{message}; slices of one volume belong in a separate folder" if flat else message


def is_volume(path: Path, option: str = "") -> bool:
    """Whether ``path`` is a volume, not a folder of volumes; ``option``: the option that gave it, for the error.

    Raises PlanewiseError if nothing is there.
    """
    refuse_missing(path, option)
    return bool(ending_of(path)) or path.is_file()


def refuse_missing(path: Path | None, option: str) -> None:
    """Raise PlanewiseError if the path given by ``option`` does not exist; None is accepted."""
    if path is not None and not path.exists():
        raise PlanewiseError(f"{option} {path}: no such file or folder".lstrip())


def label_volumes_at(path: Path, option: str = "") -> list[Path]:
    """Return the label volumes at a path: itself, or those in the folder. Raises PlanewiseError if it is missing.

    See ``is_volume``.
    """
    return [path] if is_volume(path, option) else label_volumes_in(path)


def label_volumes_in(folder: Path) -> list[Path]:
    """Return the volumes of ``folder``: those of ``volumes_in``, and folders of slices."""
    folders = (path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    return sorted([*volumes_in(folder), *(path for path in folders if is_sequence_folder(path))])


def truth_of_tests(dataset: Path) -> Path | None:
    """Return the folder of the truth of a dataset's test cases, of instances if there is one; None if there is none."""
    return next((dataset / name for name in ("instancesTs", "labelsTs") if (dataset / name).is_dir()), None)


def predictions_beside(dataset: Path) -> dict[str, Path]:
    """Return the folders of predictions in a dataset, ``imagesTs_{method}``, by method."""
    folders = (path for path in sorted(dataset.glob(f"{PREDICTED}*")) if path.is_dir())
    return {path.name.removeprefix(PREDICTED): path for path in folders}


def without_labels(folder: Path, expected: str) -> str:
    """Return the message that ``folder`` holds no label volumes; ``expected``: what they look like."""
    message = f"{folder}: holds no volumes; {expected}"
    if lies_in(folder, ".dcm"):
        message += (
            "; it holds .dcm files: the name of a DICOM segmentation ends in .seg.dcm, so rename those that are one"
        )
    return message


def lies_in(folder: Path, ending: str) -> bool:
    """Whether a file name in ``folder`` has this ending, in upper or lower case."""
    return folder.is_dir() and any(path.name.lower().endswith(ending) for path in folder.iterdir())


def file_of_case(case: str, folder: Path, what: str) -> Path:
    """Return the file of ``case`` in ``folder``; ``what`` names it in the error if there is not exactly one."""
    files = group_by_case(label_volumes_in(folder), {case}, labels=True).get(case, [])
    if not files:
        raise PlanewiseError(f"{folder / case}.*: is missing; one {what} is needed")
    if len(files) > 1:
        message = several_files(case, files)
        raise PlanewiseError(f"{folder}: holds {len(files)} files of case {case}; one {what} is needed: {message}")
    return files[0]


def images_beside(truth: Path) -> dict[str, Path]:
    """Return the images beside the folder of their truth, by case; there may be none. They come from ``imagesTr``
    beside ``labelsTr`` or ``instancesTr``, and from ``imagesTs`` beside any other folder.

    For an image of several channels, the first channel is returned.
    """
    folder = truth.absolute().parent / ("imagesTr" if truth.absolute().name.endswith("Tr") else "imagesTs")
    if not folder.is_dir():
        return {}
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {name: paths[0] for name, paths in group_by_case([*volumes_in(folder), *folders]).items()}


def cases_in(
    path: Path, channel: int | None = None, sequence: SequenceChoice = "no"
) -> tuple[dict[str, Path], list[Problem]]:
    """Return the images in a command's input, by case, and a problem for each one without a clear name.

    ``path``: a volume, or a folder of volumes. With ``sequence`` "auto" or "yes" a folder of 2D images is one volume,
    and so is each such folder within it; this decision is printed. The result may be empty.

    Raises PlanewiseError if ``path`` is missing, or if its 2D images may be either one volume or several.
    """
    if is_volume(path):
        return image_alone(path, channel)
    problems: list[Problem] = []
    stacks: dict[Path, list[Path]] = {path: slices_of(path, sequence, channel)}
    loose = not stacks[path]
    if loose and sequence != "no":
        for folder in sorted(item for item in path.iterdir() if item.is_dir() and not ending_of(item)):
            try:
                stacks[folder] = [] if folder.name.startswith(".") else slices_of(folder, sequence, channel)
            except PlanewiseError as error:
                problems.append(Problem.of(folder, error))
        _say_pictures([folder for folder, slices in stacks.items() if not slices and folder != path])
    images, several = one_file_each(
        [*(volumes_in(path) if loose else []), *(folder for folder, slices in stacks.items() if slices)],
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


def image_alone(path: Path, channel: int | None) -> tuple[dict[str, Path], list[Problem]]:
    """Return the image at ``path`` by its case, for results that are named after the case.

    Returns a problem instead, as for its folder, if its number may be a channel's: the results of a_0001 and of a_0002
    would then both be called a.
    """
    name = _Name.of(path)
    if name.number is None or channels_named(path):
        return {case_name(path): path}, []
    numbered = [
        other
        for other in sorted(path.parent.iterdir())
        if ending_of(other) == ending_of(path) and _Name.of(other).number is not None
    ]
    if path not in numbered:  # given in another spelling than the folder's: upper case, or accents
        numbered = [path, *(other for other in numbered if not (other.exists() and other.samefile(path)))]
    case, files = next(group for group in group_by_case(numbered, channel=channel).items() if path in group[1])
    try:
        chosen = _one_of(case, files, channel)
    except PlanewiseError as error:
        return {}, [Problem.of(path, error)]
    if chosen != path:
        return {}, [Problem(str(path), f"is of channel {name.number}, not of --channel {channel}")]
    _say_numbers({case: path})
    return {case: path}, []


def _say_numbers(images: dict[str, Path]) -> None:
    """Print for which images it is only assumed that the number at the end of the name is part of it."""
    for case, path in images.items():
        name = _Name.of(path)
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
        if len(images) > 1 and not folder.name.startswith("."):
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
