"""A case: a name, its image, its truth. Names of files are understood here and nowhere else.

::

    {case}.tiff  {case}_0000.tiff  {case}_pred.nii.gz  {case}_consensus.tiff   are all of case {case}
    {case}_0001.tiff beside {case}_0000.tiff                                   is another channel of it
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.data.image_sequences import SequenceChoice, is_sequence_folder, slices_of, stack_name
from planewise.errors import PlanewiseError, Problem
from planewise.options import printable
from planewise.progress import say
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.image_sequence import SLICES
from planewise.volumes.slices import PLANES

PREDICTED = "imagesTs_"  # begins the folder of a method's predictions in a dataset; the rest is the method's name
COMPANIONS = (".json", ".csv", ".txt", ".md", ".log", ".yaml", ".yml", ".html", ".pdf", ".xml", ".ini", ".db")
LIKE_SLICES = (*SLICES, ".jpg", ".jpeg", ".bmp")  # endings of files that people export slices to

_RESULT = r"(?:_(?:consensus|prediction|pred))*"  # what programs call their results
_NAME = re.compile(rf"(?P<full>(?P<case>.+?){_RESULT}(?:_(?P<channel>(?!19|20)\d{{4}}))?){_RESULT}", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One image with its truth, which a test case may lack.

    ``instances``: whether the truth holds instance ids. ``channel``: which of the image file's, if it has several.
    ``ignore_geometry``: truth and image fit voxel by voxel as their arrays lie, whatever their files say of the place.
    """

    name: str
    image: Path
    truth: Path | None
    instances: bool
    channel: int | None = None
    ignore_geometry: bool = False


# ---- names


def case_name(path: Path, known: Collection[str] = ()) -> str:
    """Return the case that a file belongs to: its name without ending, channel number, ``_pred`` and ``_consensus``.

    ``known``: names of cases, which stay as they are: if PAT_0001 is one, its ``_0001`` is no channel number.
    """
    parts = _parts(path)
    stem = unicodedata.normalize("NFC", stem_of(path))
    return next((name for name in (stem, parts["full"]) if name in known), parts["case"])


def channel_number(path: Path) -> int | None:
    """Return nnU-Net's channel number in a file's name, None if there is none."""
    digits = _parts(path)["channel"]
    return None if digits is None else int(digits)


def channel_within(path: Path | Series, channel: int | None) -> int | None:
    """Return which channel of the image at ``path`` is meant by ``--channel``: None where its name says it already."""
    named = isinstance(path, Path) and channel_number(path) == channel
    return None if channel and named else channel


def numbered_cases(predictions: Iterable[Path], truths: Iterable[Path]) -> set[str]:
    """Return the names of truths that end in a number which looks like a channel's, but is the case's own.

    It is where predictions have it too; of ``{case}_0000`` alone that is not to be thought.
    """
    numbered = {_parts(path)["full"] for path in truths if channel_number(path) is not None}
    shared = sorted(numbered & {_parts(path)["full"] for path in predictions})
    alike = [name[:-5] for name in shared]
    bases = {name[:-5] for name in shared if not name.endswith("_0000") or alike.count(name[:-5]) > 1}
    return {name for name in numbered if name[:-5] in bases}


def plane_of(case: str) -> str:
    """Return the case whose plane's own result would be called ``case`` ({case}_xy ...), empty if there is none."""
    base = re.sub(rf"_({'|'.join(PLANES)})$", "", case)
    return base if base != case else ""


def _parts(path: Path) -> dict[str, Any]:
    """Return the parts of a file's name; accents as one character each, whichever way its system stores them.

    Bytes that are no UTF-8 are written out, so that a table can hold the name of a case whose files are refused.
    """
    stem, name = (unicodedata.normalize("NFC", printable(text)) for text in (stem_of(path), path.name))
    match = _NAME.fullmatch(stem)
    return match.groupdict() if match else {"full": name, "case": name, "channel": None}


# ---- files of cases


def group_by_case(paths: Iterable[Path], known: Collection[str] = ()) -> dict[str, list[Path]]:
    """Return all files of every case; see ``case_name``."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(case_name(path, known), []).append(path)
    return groups


def one_file_each(
    paths: Iterable[Path], known: Collection[str] = (), channel: int | None = None, labels: bool = False
) -> tuple[dict[str, Path], dict[str, Problem]]:
    """Return the file of every case, and what is wrong with each case that has several: none of them is taken.

    With ``channel`` the file of that number is taken where several differ in it. ``labels``: they are no images.
    """
    chosen: dict[str, Path] = {}
    refused = {}
    for name, files in group_by_case(paths, known).items():
        wanted = [path for path in files if channel_number(path) == channel] if channel is not None else files
        number = channel_number(files[0])
        if channel is not None and len(files) == 1 and number not in (None, 0, channel):
            refused[name] = Problem(str(files[0]), f"is of channel {number}, not of --channel {channel}")
        elif len(files) == 1 or len(wanted) == 1:
            chosen[name] = (files if len(files) == 1 else wanted)[0]
        else:
            refused[name] = Problem(str(files[0]), several_files(name, files, channel, labels))
    return chosen, refused


def several_files(case: str, files: list[Path], channel: int | None = None, labels: bool = False) -> str:
    """Return what is wrong with several files for one case, and what to do."""
    message = f"several files for one case, {case}: {', '.join(path.name for path in files)}"
    numbers = {channel_number(path) for path in files}
    if None in numbers or len(numbers) < len(files):
        return f"{message}; keep one, or rename the others"
    message += "; _NNNN at the end of a name is nnU-Net's channel number: "
    if channel is not None:
        return f"{message}none of them is of --channel {channel}"
    if labels:
        return f"{message}labels have none; keep one, or rename the others"
    message += "choose with --channel N, or rename them if they are images of their own"
    flat = all(ending_of(path) in SLICES for path in files)
    return f"{message}; slices of one volume belong in a folder of their own" if flat else message


def is_volume(path: Path, option: str = "") -> bool:
    """Whether ``path`` is a volume, and not a folder of volumes; ``option``: what gave it, for the error.

    Raises PlanewiseError if nothing is there.
    """
    refuse_missing(path, option)
    return bool(ending_of(path)) or path.is_file()


def refuse_missing(path: Path | None, option: str) -> None:
    """Raise PlanewiseError if an ``option`` names a file or folder that is not there; None names nothing."""
    if path is not None and not path.exists():
        raise PlanewiseError(f"{option} {path}: no such file or folder".lstrip())


def label_volumes_at(path: Path, option: str = "") -> list[Path]:
    """Return the label volumes that a path names: itself, or those in a folder. Raises PlanewiseError if it is missing.

    See ``is_volume``.
    """
    return [path] if is_volume(path, option) else label_volumes_in(path)


def label_volumes_in(folder: Path) -> list[Path]:
    """Return the volumes of ``folder``: see ``volumes_in``; and those that are folders of slices."""
    folders = (path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    return sorted([*volumes_in(folder), *(path for path in folders if is_sequence_folder(path))])


def without_labels(folder: Path, expected: str) -> str:
    """Return that ``folder`` holds no label volumes, which are ``expected``; of DICOM files in it, what to do."""
    message = f"{folder}: holds no volumes; {expected}"
    if lies_in(folder, ".dcm"):
        message += (
            "; it holds .dcm files: the name of a DICOM segmentation ends in .seg.dcm, so rename those that are one"
        )
    return message


def lies_in(folder: Path, ending: str) -> bool:
    """Whether a file in ``folder`` has a name that ends so, in any case."""
    return folder.is_dir() and any(path.name.lower().endswith(ending) for path in folder.iterdir())


def file_of_case(case: str, folder: Path, what: str) -> Path:
    """Return the file of ``case`` in ``folder``; ``what`` it is, for the error if there is not exactly one."""
    files = group_by_case(label_volumes_in(folder), {case}).get(case, [])
    if not files:
        raise PlanewiseError(f"{folder}: holds 0 files of case {case}; one {what} is needed")
    if len(files) > 1:
        message = several_files(case, files, labels=True)
        raise PlanewiseError(f"{folder}: holds {len(files)} files of case {case}; one {what} is needed: {message}")
    return files[0]


def images_beside(truth: Path) -> dict[str, Path]:
    """Return the images beside the folder of their truth, by case; maybe none: of ``labelsTr`` or ``instancesTr`` those
    of ``imagesTr``, of any other folder those of ``imagesTs``.

    Of an image of several channels it is the first.
    """
    folder = truth.absolute().parent / ("imagesTr" if truth.absolute().name.endswith("Tr") else "imagesTs")
    if not folder.is_dir():
        return {}
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {name: paths[0] for name, paths in group_by_case([*volumes_in(folder), *folders]).items()}


def cases_in(
    path: Path, channel: int | None = None, sequence: SequenceChoice = "no"
) -> tuple[dict[str, Path], list[Problem]]:
    """Return the images that a command is given, by case, and a problem for each that has no clear name.

    ``path``: a volume, or a folder of volumes. With ``sequence`` "auto" or "yes" a folder of 2D images is one volume,
    and so is each such folder within it; what was taken for one is printed. Nothing at all may be there.

    Raises PlanewiseError if ``path`` is missing, or its 2D images may be one volume or several.
    """
    if is_volume(path):
        return {case_name(path): path}, []
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
            say(f"{decision}; --sequence no takes each for a volume" if sequence == "auto" else decision)
    if sequence == "yes" and not any(stacks.values()):
        raise PlanewiseError(f"--sequence yes: {path} holds no images {', '.join(SLICES)}, nor folders of them")
    return images, [*problems, *several.values()]


def say_passed_over(folder: Path) -> None:
    """Say which files of a folder of volumes are not read: those of other formats, and PNGs named as a volume is.

    Text, tables and the data file of a header (.raw beside .mhd) are nothing to say.
    """
    read = volumes_in(folder)
    headed = {stem_of(path) for path in read if ending_of(path) in (".mhd", ".nhdr")}
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    others = [path for path in files if path.suffix and not ending_of(path) and path.suffix.lower() not in COMPANIONS]
    for passed_over, why in (
        ([path for path in others if path.stem not in headed], "of a format that is not read; convert a volume"),
        ([path for path in files if ending_of(path) and path not in read], "a picture of the volume with its name"),
    ):
        if passed_over:
            names = ", ".join(path.name for path in passed_over[:3]) + " ..." * (len(passed_over) > 3)
            each = "is passed over" if len(passed_over) == 1 else f"({len(passed_over)} files) are passed over, each"
            say(f"{folder}: {names} {each}: {why}")


def _say_pictures(folders: list[Path]) -> None:
    """Say which folders beside volumes hold files that look like images, and are read as none."""
    for folder in folders:
        images = [item for item in sorted(folder.iterdir()) if item.suffix.lower() in LIKE_SLICES]
        if len(images) > 1 and not folder.name.startswith("."):
            say(
                f"{folder}: is passed over: its {len(images)} files, {images[0].name} ..., are not greyscale 2D images "
                f"{', '.join(SLICES)}, so not the slices of a volume"
            )


def refuse_names_of_planes(cases: dict[str, Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Return the cases whose results do not have the name of another's plane, and a problem for each other.

    The results of case ``a`` are ``a`` and ``a_xy``; those of a case that is called ``a_xy`` would replace them.
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
