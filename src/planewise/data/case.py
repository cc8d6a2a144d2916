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

from planewise.data.image_sequences import is_sequence_folder
from planewise.errors import PlanewiseError, Problem
from planewise.options import printable
from planewise.volumes.channel_numbers import PREDICTED, is_channel
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.image_sequence import SLICES
from planewise.volumes.slices import PLANES

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
    name = CaseName.of(path, labels)
    return next((text for text in (name.stem, name.full) if text in known), name.case if name.channel else name.full)


def channel_number(path: Path) -> int | None:
    """Return nnU-Net's channel number in a file's name, None if there is none."""
    name = CaseName.of(path)
    return name.number if name.channel else None


def channel_within(path: Path | Series, channel: int | None) -> int | None:
    """Return which channel within the image at ``path`` is meant by ``--channel``; None if its name says it already.

    If it is not known whether the number in its name is a channel's, it is not where the image has that channel within.
    """
    if not channel or not isinstance(path, Path):
        return channel
    name = CaseName.of(path)
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
    names = [CaseName.of(path) for path in truths]
    numbered = {name.full for name in names if name.number is not None}
    shared = sorted(numbered & {CaseName.of(path).full for path in predictions})
    alike = [name[:-5] for name in shared]
    bases = {name[:-5] for name in shared if not name.endswith("_0000") or alike.count(name[:-5]) > 1}
    return {name for name in numbered if name[:-5] in bases}


def plane_of(case: str) -> str:
    """Return the case for which ``case`` would be the name of a single plane's result ({case}_xy ...), or ""."""
    base = re.sub(rf"_({'|'.join(PLANES)})$", "", case)
    return base if base != case else ""


@dataclass(frozen=True)
class CaseName:
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
    def of(cls, path: Path, labels: bool = False) -> "CaseName":
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
    names = {path: CaseName.of(path, labels) for path in files}
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
    name = CaseName.of(path)
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
            chosen[name] = one_of(name, files, channel)
        except PlanewiseError as error:
            refused[name] = Problem.of(files[0], error)
    return chosen, refused


def one_of(case: str, files: list[Path], channel: int | None) -> Path:
    """Return the file of ``case``, with several the one of ``channel``. Raises PlanewiseError if it is not clear."""
    numbers = [_channel_of(path, case) for path in files]
    if len(files) > 1:
        if channel is None or None in numbers or numbers.count(channel) != 1:
            raise PlanewiseError(several_files(case, files, channel))
        return files[numbers.index(channel)]
    if channel is not None and numbers[0] not in (None, 0, channel):
        raise PlanewiseError(f"is of channel {numbers[0]}, not of --channel {channel}")
    if channel is None and numbers[0] and CaseName.of(files[0]).channel is None:
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
