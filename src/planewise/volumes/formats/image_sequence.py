"""An image sequence: 2D images, one file for each slice, whose names differ only in a number."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.formats import ending_of, formats, png, stem_of, tiff
from planewise.volumes.formats.sidecar import with_sidecar
from planewise.volumes.indexing import split_index
from planewise.volumes.volume import Access, ReadWhenIndexed, Volume

NUMBER = re.compile(r"\d+")
SLICES = (*tiff.FORMAT.endings, *png.FORMAT.endings)


@dataclass(frozen=True)
class _SequenceVoxels(ReadWhenIndexed):
    """Voxels (z, y, x) of 2D images; only the images that an index touches are read."""

    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype
    channel: int | None
    access: ClassVar[Access] = "pages"

    def __getitem__(self, index: Any) -> np.ndarray:
        (planes, *rest), within = split_index(index, self.shape)
        sides = [len(range(side)[part]) for part, side in zip((planes, *rest), self.shape)]
        read = np.empty(sides, self.dtype)
        for slot, file in enumerate(self.files[planes]):
            try:
                read[slot] = _open_slice(file, self.channel).voxels[(0, *rest)]
            except PlanewiseError:
                raise
            except Exception as error:  # a damaged file fails in its reader's own way
                raise PlanewiseError(f"{file}: cannot be read ({first_line(error)}); is the file complete?") from error
        return read[within]


def images_in(folder: Path) -> list[Path]:
    """Return the TIFFs and PNGs of a folder, by name, without hidden ones and pictures of TIFFs."""
    images = sorted(path for path in folder.iterdir() if ending_of(path) in SLICES and not path.name.startswith("."))
    tiffs = {stem_of(path) for path in images if ending_of(path) != ".png"}
    return [path for path in images if ending_of(path) != ".png" or stem_of(path) not in tiffs]


def open_sequence(files: list[Path], channel: int | None = None) -> Volume:
    """Open 2D images as the slices of one volume (z, y, x), in the order of the number in their names.

    The spacing comes from ``{folder}.json`` beside their folder (see ``sidecar``), else from the first slice. Slices
    are read when they are indexed. Raises PlanewiseError if names differ in more than a number, if a number is missing
    or occurs twice, or if a file is not a single slice of the first one's size and type.
    """
    numbered = _by_number(files)
    slices = tuple(numbered[number] for number in sorted(numbered))
    _refuse_gaps(sorted(numbered), slices)
    expected = _header(slices[0], channel)
    for file in slices:
        if (header := _header(file, channel)) != expected:
            raise PlanewiseError(
                f"{file}: is {header}, and {slices[0].name} {expected}; the slices of an image sequence must be alike"
            )
    first = _open_slice(slices[0], channel)
    voxels = _SequenceVoxels(slices, (len(slices), *first.shape[1:]), first.voxels.dtype, channel)
    return with_sidecar(slices[0].absolute().parent, replace(first, voxels=voxels))


def _by_number(files: list[Path]) -> dict[int, Path]:
    """Return the files by the one number in which their names differ."""
    for file in files[1:]:
        if NUMBER.split(file.name) != NUMBER.split(files[0].name):
            raise _no_sequence(files[0], file, "differ in more than a number")
    numbers = [[int(number) for number in NUMBER.findall(file.name)] for file in files]
    varying = [place for place, values in enumerate(zip(*numbers)) if len(set(values)) > 1]
    if len(varying) > 1:
        raise _no_sequence(files[0], files[-1], f"differ in {len(varying)} numbers")
    numbered: dict[int, Path] = {}
    for file, values in zip(files, numbers):
        number = values[varying[0]] if varying else 0
        if number in numbered:
            raise _no_sequence(numbered[number], file, "have the same number")
        numbered[number] = file
    return numbered


def _no_sequence(first: Path, second: Path, why: str) -> PlanewiseError:
    return PlanewiseError(
        f"{first.parent}: is no image sequence: the names {first.name} and {second.name} {why}; a volume is one file, "
        "or a folder of 2D images whose names differ in one number"
    )


def _refuse_gaps(numbers: list[int], slices: tuple[Path, ...]) -> None:
    gaps = [(before + 1, after - 1) for before, after in pairwise(numbers) if after > before + 1]
    if gaps:
        listed = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in gaps[:5])
        raise PlanewiseError(
            f"{slices[0].parent}: its image sequence {slices[0].name} to {slices[-1].name} lacks number {listed}"
            f"{' and more' if gaps[5:] else ''}; if no slice is missing, number the files without a gap"
        )


def _open_slice(file: Path, channel: int | None) -> Volume:
    return formats()[ending_of(file)].open(file, channel)


def _header(file: Path, channel: int | None) -> str:
    """Return the size and type of a slice, as words. Raises PlanewiseError if a file holds no slice, or several."""
    about = file.stat()
    return _header_of(file, channel, about.st_mtime_ns, about.st_size)


@lru_cache(2**14)  # a volume is opened several times in a run, and has thousands of slices
def _header_of(file: Path, channel: int | None, changed: int, size: int) -> str:
    try:
        opened = _open_slice(file, channel)
    except PlanewiseError:
        raise
    except Exception as error:  # a damaged file fails in its reader's own way
        raise PlanewiseError(f"{file}: cannot be read ({first_line(error)}); is the file complete?") from error
    depth, height, width = opened.shape
    if depth != 1:
        raise PlanewiseError(f"{file}: holds {depth} slices; each file of an image sequence holds one")
    return f"{height} x {width} of {opened.voxels.dtype}"
