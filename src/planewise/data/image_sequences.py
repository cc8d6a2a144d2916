"""Folders of 2D images: whether they are the slices of one volume. Guesses are printed, ambiguous folders refused."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal

from planewise.errors import PlanewiseError
from planewise.progress import first_few
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats.image_sequence import images_in

SequenceChoice = Literal["auto", "yes", "no"]
LEAST_SLICES = 3  # two images may as well be two cases
GENERIC = re.compile(
    r"(^|[_\-. ]+)(slices?|images?|img|im|sections?|sec|frames?|layers?|pages?|z)?[_\-. ]*$", re.IGNORECASE
)
_DIGITS = re.compile(r"(\d+)")


def slices_of(folder: Path, sequence: SequenceChoice = "auto", channel: int | None = None) -> list[Path]:
    """Return the images of ``folder``, by name, if they are the slices of one volume; else an empty list.

    They are if the folder holds no other volume, each is 2D, and their names differ only in one number that counts up
    without gaps; or if ``sequence`` says so. ``channel``: the channel to read from each. Raises PlanewiseError, naming
    the option, if they may be either one volume or several.
    """
    volumes = dict.fromkeys(volumes_in(folder))
    flat = [path for path in images_in(folder) if path in volumes]
    if sequence == "no" or not flat:
        return []
    others = sorted(volumes.keys() - flat)
    if sequence == "yes" and others:
        raise PlanewiseError(f"--sequence yes: {folder} also holds {others[0].name}, which is not one of its images")
    stacks: dict[tuple[str, ...], list[Path]] = {}
    for path in flat:
        stacks.setdefault(_text(path), []).append(path)
    stack = max(stacks.values(), key=len)
    unlike = [path.name for path in flat if path not in stack]
    if sequence == "yes" and unlike:
        which = "which is" if len(unlike) == 1 else "which are"
        raise PlanewiseError(
            f"--sequence yes: {folder} holds {first_few(unlike)} too, {which} not named as its "
            f"{len(stack)} images {stack[0].name} ... are; move files that are not slices to another folder"
        )
    if sequence == "yes":
        return flat  # if they do not fit together, opening them says why
    if len(stack) == 1 or not _is_2d(stack[0], channel):
        return []
    stack.sort(key=_numbers)
    settled = "say --sequence yes or --sequence no"
    doubt = f"{others[0].name} lies beside them" if others else _doubt(stack, len(stacks))
    if others or unlike:
        settled = (
            f"move {first_few([*(path.name for path in others), *unlike])} to another folder, or say --sequence no"
        )
    elif len(_varying(stack)) != 1:
        settled = "number them in one place, or say --sequence no"
    if not doubt and (gap := _gap(stack)) is not None:
        doubt = f"number {gap} is missing"
        settled = "add the missing slices, or number the files without a gap if none is missing; or say --sequence no"
    if doubt:
        raise PlanewiseError(
            f"{folder}: holds {len(flat)} images, {stack[0].name} ..., that may be the slices of one volume, or "
            f"volumes of one slice each ({doubt}): {settled}"
        )
    return stack


def is_sequence_folder(folder: Path) -> bool:
    """Whether a folder certainly holds the slices of one volume."""
    try:
        return not folder.name.startswith(".") and bool(slices_of(folder))
    except (OSError, PlanewiseError):
        return False


def stack_name(slices: list[Path]) -> str:
    """Return the common beginning of slices' names, before the number and without ``slice_`` or the like; may be ""."""
    first, last = (_DIGITS.split(path.stem) for path in (slices[0], slices[-1]))
    numbers = range(1, min(len(first), len(last)), 2)
    differs = next((i for i in numbers if int(first[i]) != int(last[i])), len(first))
    return GENERIC.sub("", "".join(first[:differs]))


def _doubt(stack: list[Path], stacks: int) -> str:
    """Return why images whose names differ only in numbers may not be a sequence; "" if they are one."""
    if stacks > 1:
        return "their names differ in more than numbers"
    if len(stack) < LEAST_SLICES:
        return f"there are only {len(stack)}"
    if (varying := len(_varying(stack))) != 1:
        return f"their names differ in {varying} numbers"
    if all(path.stem.endswith("_0000") for path in stack):
        return "each name ends in _0000, as nnU-Net's images do"
    return ""


def _gap(stack: list[Path]) -> int | None:
    """Return the first number missing in sorted names that differ only in one number; None if none is missing."""
    (counted,) = _varying(stack)
    return next((before + 1 for before, after in pairwise(counted) if after != before + 1), None)


def _varying(stack: list[Path]) -> list[tuple[int, ...]]:
    """Return the numbers at each place of the names of ``stack`` where a number differs."""
    return [numbers for numbers in zip(*map(_numbers, stack)) if len(set(numbers)) > 1]


def _text(path: Path) -> tuple[str, ...]:
    return (*_DIGITS.split(path.stem)[0::2], path.suffix.lower())


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in _DIGITS.split(path.stem)[1::2]]


def _is_2d(path: Path, channel: int | None) -> bool:
    """Whether a file is one slice: a grey image, or one with ``channel``."""
    try:
        return open_volume(path, channel).shape[0] == 1
    except PlanewiseError:
        return False
