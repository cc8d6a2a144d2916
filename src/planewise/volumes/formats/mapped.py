"""Voxels that lie in a file as they are, uncompressed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.volume import Access, ReadWhenIndexed


def too_short(path: Path, size: int, needed: int, unpacked: str = "") -> str:
    """Return the message that a file has ``size`` bytes (``unpacked``: when it is that), and not those ``needed``."""
    return f"{path}: is truncated: {size:,} of {needed:,} bytes{unpacked} are there; copy the file again"


@dataclass(frozen=True)
class MappedVoxels(ReadWhenIndexed):
    """Mapped only while they are read, so that the memory can be freed.

    Raises PlanewiseError if the file is too short: mapping it would kill the process at the first access.
    """

    path: Path
    stored: np.dtype
    offset: int
    shape: tuple[int, ...]
    access: ClassVar[Access] = "rows"

    def __post_init__(self) -> None:
        needed = self.offset + int(np.prod([int(side) for side in self.shape], dtype=object)) * self.stored.itemsize
        if (size := self.path.stat().st_size) < needed:
            raise PlanewiseError(too_short(self.path, size, needed))

    @property
    def dtype(self) -> np.dtype:
        return self.stored.newbyteorder("=")

    def __getitem__(self, index: Any) -> np.ndarray:
        if index is Ellipsis:  # not mapped, which would count twice
            count = int(np.prod(self.shape))
            read = np.fromfile(self.path, self.stored, count, offset=self.offset).reshape(self.shape)
        else:
            read = np.array(np.memmap(self.path, self.stored, "r", self.offset, self.shape)[index])
        return read if read.dtype.isnative else read.byteswap(inplace=True).view(self.dtype)
