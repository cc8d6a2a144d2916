"""Folders of 2D images: whether they are the slices of one volume. A guess is told, what may be either is refused."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume

SequenceChoice = Literal["auto", "yes", "no"]
SLICE_ENDINGS = (".tif", ".tiff", ".png")
LEAST_SLICES = 3  # two images may as well be two cases
GENERIC = {"", "slice", "slices", "image", "images", "img", "im", "section", "sec", "frame", "layer", "page", "z"}
_DIGITS = re.compile(r"(\d+)")


def slices_of(folder: Path, sequence: SequenceChoice = "auto") -> list[Path]:
    """Return the images of ``folder`` in order if they are the slices of one volume; else nothing.

    They are if nothing else is there, each is 2D, and their names differ in one number alone that counts up without
    gaps; or if ``sequence`` says so. Raises PlanewiseError, naming the option, if they may be one volume or several.
    """
    flat = sorted(path for path in folder.iterdir() if _is_slice_file(path))
    if sequence == "no" or not flat:
        return []
    if sequence == "yes":
        if len({_text(path) for path in flat}) > 1:
            raise PlanewiseError(
                f"--sequence yes: the images in {folder} are not named alike ({flat[0].name}, {flat[-1].name}): keep "
                "those of one volume in a folder, their names differing only in a number"
            )
        return sorted(flat, key=_numbers)
    stacks: dict[tuple[str, ...], list[Path]] = {}
    for path in flat:
        stacks.setdefault(_text(path), []).append(path)
    stack = max(stacks.values(), key=len)
    if len(stack) == 1 or not _is_2d(stack[0]):
        return []
    doubt = _doubt(sorted(stack, key=_numbers), len(stacks))
    if doubt:
        raise PlanewiseError(
            f"{folder}: holds {len(flat)} images, {stack[0].name} ..., that may be the slices of one volume, or "
            f"volumes of one slice each ({doubt}): say --sequence yes or --sequence no"
        )
    return sorted(stack, key=_numbers)


def is_sequence_folder(folder: Path) -> bool:
    """Whether a folder holds the slices of one volume, without any doubt."""
    try:
        return not folder.name.startswith(".") and bool(slices_of(folder))
    except (OSError, PlanewiseError):
        return False


def stack_name(slices: list[Path]) -> str:
    """Return what names of slices have in common before their number; empty if that says nothing, as ``slice_``."""
    first, last = (_DIGITS.split(path.stem) for path in (slices[0], slices[-1]))
    differs = next((i for i in range(1, len(first), 2) if int(first[i]) != int(last[i])), len(first))
    name = "".join(first[:differs]).strip("_-. ")
    return "" if name.lower() in GENERIC else name


def _doubt(stack: list[Path], stacks: int) -> str:
    """Return why images that differ in numbers alone may be no sequence; empty if they are one."""
    if stacks > 1:
        return "not all are named alike"
    if len(stack) < LEAST_SLICES:
        return f"there are {len(stack)}"
    if len(_varying(stack)) != 1:
        return f"their names differ in {len(_varying(stack))} numbers"
    if all(path.stem.endswith("_0000") for path in stack):
        return "each name ends in _0000, as nnU-Net's images do"
    gap = gap_in(stack)
    return "" if gap is None else f"their numbers have a gap at {gap}"


def gap_in(slices: list[Path]) -> int | None:
    """Return the first number that is missing in the names of slices, given in order; None if none is."""
    varying = _varying(slices)
    counted = [_numbers(path)[varying[-1]] for path in slices] if varying else []
    return next((before + 1 for before, after in pairwise(counted) if after != before + 1), None)


def _varying(slices: list[Path]) -> list[int]:
    """Return which of the numbers in names that differ in numbers alone are not the same in all."""
    numbers = [_numbers(path) for path in slices]
    return [place for place, values in enumerate(zip(*numbers)) if len(set(values)) > 1]


def _is_slice_file(path: Path) -> bool:
    is_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    return path.name.lower().endswith(SLICE_ENDINGS) and not is_ome and not path.name.startswith(".") and path.is_file()


def _text(path: Path) -> tuple[str, ...]:
    return (*_DIGITS.split(path.stem)[0::2], path.suffix.lower())


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in _DIGITS.split(path.stem)[1::2]]


def _is_2d(path: Path) -> bool:
    """Whether a file is a grey image of one slice."""
    try:
        return open_volume(path).shape[0] == 1
    except PlanewiseError:
        return False
