"""The file of the voxels that an action replaces: block by block, with their old and new values.

A zip of numpy arrays: ``{box}.mask`` (bits), ``{box}.before``, ``{box}.after``. Mostly these are one value over a
compact mask and take a few kilobytes. The file is written and read one block at a time, however large the object.
"""

import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.correction.journal import Box
from planewise.data.preparation import sha256_of
from planewise.errors import PlanewiseError
from planewise.volumes.labels import label_dtype


@dataclass(frozen=True)
class Change:
    """Voxels of a ``box`` that change: where ``mask`` (z, y, x) is true ``before`` (N) becomes ``after`` (N)."""

    box: Box
    mask: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def undone(self) -> "Change":
        """The reverse change."""
        return Change(self.box, self.mask, self.after, self.before)

    @classmethod
    def between(cls, box: Box, before: np.ndarray, after: np.ndarray) -> "Change | None":
        """Return the change between two blocks of one ``box``, cropped to its voxels; None if there is none."""
        differs = before != after
        if not differs.any():
            return None
        within, tight = [], []
        for axis, (start, _) in enumerate(box):
            along = np.flatnonzero(differs.any(axis=tuple(other for other in range(3) if other != axis)))
            within.append(slice(int(along[0]), int(along[-1]) + 1))
            tight.append((start + int(along[0]), start + int(along[-1]) + 1))
        part = tuple(within)
        mask = differs[part]
        return cls((tight[0], tight[1], tight[2]), mask, before[part][mask], after[part][mask])


def write_kept(path: Path, changes: Iterable[Change]) -> str:
    """Write ``changes`` with different boxes, all or none; return the file's sha256 when it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for change in changes:
                    name = "_".join(f"{start}-{stop}" for start, stop in change.box)
                    parts = {"mask": np.packbits(change.mask), "before": change.before, "after": change.after}
                    for part, values in parts.items():
                        fewest = values if part == "mask" else values.astype(label_dtype(int(values.max())))
                        with archive.open(f"{name}.{part}", "w", force_zip64=True) as entry:
                            np.lib.format.write_array(entry, fewest, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PlanewiseError(f"{path}: cannot be written ({error.strerror}); nothing was changed") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return sha256_of(path)


def read_kept(path: Path, sha256: str) -> Iterator[Change]:
    """Yield the changes of a file that ``write_kept`` wrote. Raises PlanewiseError if it is not that file."""
    if not path.is_file() or sha256_of(path) != sha256:
        raise PlanewiseError(
            f"{path}: is missing or damaged, and the journal beside it needs it; put it back from a copy, or move the "
            "folder of the corrections away to start again with the volume as it is"
        )
    with zipfile.ZipFile(path) as archive:
        for name, box in _boxes(archive):
            bits, before, after = (_read(archive, f"{name}.{part}") for part in ("mask", "before", "after"))
            sides = [stop - start for start, stop in box]
            yield Change(box, np.unpackbits(bits, count=int(np.prod(sides))).reshape(sides).astype(bool), before, after)


def _boxes(archive: zipfile.ZipFile) -> Iterator[tuple[str, Box]]:
    for name in archive.namelist():
        if name.endswith(".mask"):
            z, y, x = (tuple(map(int, part.split("-"))) for part in name.removesuffix(".mask").split("_"))
            yield name.removesuffix(".mask"), ((z[0], z[1]), (y[0], y[1]), (x[0], x[1]))


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as entry:
        return np.asarray(np.lib.format.read_array(entry, allow_pickle=False))
