"""The voxels being corrected: those of a file, in memory until they are saved, or those of a store, in place.

The original is kept under a second name, by a hard link where the file system has them, so that undoing everything
restores the exact bytes of the file, or of each file (shard) of the store.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from planewise.correction.journal import Box
from planewise.correction.kept import Change
from planewise.correction.objects import index_of, pieces
from planewise.errors import PlanewiseError
from planewise.volumes.atomic import WRITING, atomic_path, write_again
from planewise.volumes.files import write_volume
from planewise.volumes.formats import ending_of, endings, formats, ome_zarr
from planewise.volumes.labels import label_dtype, open_labels
from planewise.volumes.volume import Volume

ORIGINAL = "original"  # folder of the original
LARGEST = 2**63 - 1  # id of an object, however large the type: the table of objects has signed numbers


class Canvas(Protocol):
    """Voxels (z, y, x) of labels that change."""

    volume: Volume  # as it was opened: its geometry

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def largest(self) -> int:
        """The largest id that can be written."""
        ...

    def read(self, box: Box) -> np.ndarray:
        """Return a copy of the voxels in ``box``."""
        ...

    def write(self, change: Change) -> None:
        """Set the voxels of a change; files in which it changes nothing stay as they are."""
        ...

    def reset(self, corrected: Iterable[Change]) -> None:
        """Restore the original, except files in which voxels are ``corrected``."""
        ...


def whole(canvas: Canvas) -> Box:
    """Return the box of all voxels."""
    z, y, x = canvas.shape
    return (0, z), (0, y), (0, x)


def open_canvas(result: Path, kept: Path) -> "FileCanvas | StoreCanvas":
    """Open a label volume to correct it. Raises PlanewiseError if it is of a format that is not written."""
    ending = ending_of(result)
    if not ending or not formats()[ending].writes(ending):
        raise PlanewiseError(
            f"{result}: is in a format that cannot be written, and so not corrected; formats that can end in "
            f"{endings(written=True)}"
        )
    return StoreCanvas(result, kept) if ending in ome_zarr.FORMAT.endings else FileCanvas(result, kept)


class FileCanvas:
    """A file's voxels, as they were before any correction; ``save`` writes them, which replaces the file."""

    def __init__(self, path: Path, kept: Path) -> None:
        self.path, self.original = path, kept / ORIGINAL / path.name
        self.volume = open_labels(path)
        before = open_labels(self.original) if self.original.exists() else self.volume
        self.stored = before.voxels.dtype
        self.voxels = before.read()
        self.shape = self.volume.shape
        self.largest = LARGEST

    def read(self, box: Box) -> np.ndarray:
        return self.voxels[index_of(box)].copy()

    def write(self, change: Change) -> None:
        if len(change.after) and int(change.after.max()) > np.iinfo(self.voxels.dtype).max:
            self.voxels = self.voxels.astype(label_dtype(int(change.after.max())))
        self.voxels[index_of(change.box)][change.mask] = change.after

    def reset(self, corrected: Iterable[Change]) -> None:
        if self.original.exists() and next(iter(corrected), None) is None:
            self.voxels = open_labels(self.original).read()

    def save(self, say_hash: Callable[[Path], None]) -> None:
        """Replace the file by these voxels; ``say_hash`` is called with the new one before it takes its place."""
        if not self.original.exists():
            write_again(self.original, self.path)
        fewest = label_dtype(int(self.voxels.max()))
        written = self.volume.with_voxels(self.voxels.astype(np.promote_types(self.stored, fewest), copy=False))
        with atomic_path(self.path) as temporary:
            write_volume(temporary, written)
            say_hash(temporary)

    def give_back(self, say_hash: Callable[[Path], None]) -> None:
        """Put back the original file."""
        if self.original.exists():
            say_hash(self.original)
            self.original.replace(self.path)


class StoreCanvas:
    """An OME-Zarr's voxels: changes are written only to the files (shards) that they lie in, at all levels."""

    def __init__(self, path: Path, kept: Path) -> None:
        import zarr

        self.path, self.kept = path, kept / ORIGINAL
        self.volume = open_labels(path)
        group = zarr.open_group(path, mode="r+")
        attributes = group.attrs.asdict()
        names = [level["path"] for level in attributes.get("ome", attributes)["multiscales"][0]["datasets"]]
        self.levels: list[Any] = [group[name] for name in names]
        if self.levels[0].ndim != 3 or self.levels[0].shape != self.volume.shape:
            raise PlanewiseError(
                f"{path}: has {self.levels[0].ndim} axes; a store to correct must have z, y, x: copy the labels to one"
            )
        for finer, coarser in zip(self.levels, self.levels[1:]):
            if coarser.shape != tuple(-(-side // 2) for side in finer.shape):
                raise PlanewiseError(
                    f"{path}: its level {coarser.shape} is not half of {finer.shape}, so that it cannot be corrected "
                    "with it; copy the labels to a store that planewise writes (write_volume)"
                )
        self.shape = self.volume.shape
        self.largest = min(int(np.iinfo(self.volume.voxels.dtype).max), LARGEST)

    def read(self, box: Box) -> np.ndarray:
        return np.array(self.volume.voxels[index_of(box)])

    def write(self, change: Change) -> None:
        block = self.read(change.box)
        block[change.mask] = change.after
        self._write(0, change.box, block)
        box = change.box
        for level, finer in enumerate(self.levels[:-1], 1):
            box = _coarser(box)
            if any(start == stop for start, stop in box):
                return
            twice: Any = tuple(slice(2 * a, min(2 * b, side)) for (a, b), side in zip(box, finer.shape))
            self._write(level, box, np.asarray(finer[twice])[::2, ::2, ::2])

    def reset(self, corrected: Iterable[Change]) -> None:
        still: set[Path] = set()
        for change in corrected:
            box, mask = change.box, change.mask
            for array in self.levels:
                for piece in pieces(box, _side(array)) if mask.any() else []:
                    if mask[_within(piece, box)].any():
                        still.add(self._file(array, piece))
                mask = mask[tuple(slice(start % 2, None, 2) for start, _ in box)]
                box = _coarser(box)
        for left in list(self.kept.rglob(f"{WRITING}*")):  # of a process that was killed, and incomplete
            shutil.rmtree(left)
        for kept in [path for path in self.kept.rglob("*") if path.is_file()]:
            name = kept.relative_to(self.kept)
            there = self.path / (name.with_suffix("") if name.suffix == ".none" else name)
            if there in still:
                continue
            if name.suffix == ".none":
                there.unlink(missing_ok=True)
                kept.unlink()
            else:
                kept.replace(there)

    def _write(self, level: int, box: Box, block: np.ndarray) -> None:
        array = self.levels[level]
        for piece in pieces(box, _side(array)):
            part = block[_within(piece, box)]
            if np.array_equal(np.asarray(array[index_of(piece)]), part):
                continue
            self._keep(self._file(array, piece))
            array[index_of(piece)] = part.astype(array.dtype)

    def _keep(self, file: Path) -> None:
        """Give a file of the store a second name, or record by an empty ``.none`` that it does not exist."""
        kept = self.kept / file.relative_to(self.path)
        absent = kept.with_name(f"{kept.name}.none")
        if kept.exists() or absent.exists():
            return
        if file.exists():
            write_again(kept, file)
        else:
            absent.parent.mkdir(parents=True, exist_ok=True)
            absent.touch()

    def _file(self, array: Any, piece: Box) -> Path:
        """Return the file of ``array`` that a piece lies in."""
        place = tuple(start // side for (start, _), side in zip(piece, _side(array)))
        return self.path / str(array.path) / str(array.metadata.encode_chunk_key(place))


def _coarser(box: Box) -> Box:
    """Return the box, in the next level, of those voxels of a box that this level has: every second one."""
    z, y, x = ((-(-start // 2), -(-stop // 2)) for start, stop in box)
    return z, y, x


def _within(piece: Box, box: Box) -> tuple[slice, slice, slice]:
    """Return a part of a box as an index into it."""
    z, y, x = (slice(a - low, b - low) for (a, b), (low, _) in zip(piece, box))
    return z, y, x


def _side(array: Any) -> tuple[int, ...]:
    """Return the shape of a file of ``array``."""
    return tuple(array.shards or array.chunks)
