"""Arrays of other libraries, indexed as ours are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planewise.volumes.indexing import split_index
from planewise.volumes.volume import LazyArray, ReadWhenIndexed


def plain(array: Any) -> LazyArray:
    """Return an array of any library as one that is indexed as ours are, and gives NumPy's."""
    given: LazyArray = array
    return given if isinstance(array, np.ndarray | ReadWhenIndexed) else _Foreign(array)


@dataclass(frozen=True)
class _Foreign(ReadWhenIndexed):
    """An array of another library."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(side) for side in self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.array.dtype)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The sides of its chunks; of dask's, which may differ, the first."""
        chunks = getattr(self.array, "chunks", None)
        if chunks is None:
            raise AttributeError("chunks")
        return tuple(int(side[0] if isinstance(side, tuple) else side) for side in chunks)

    def __getitem__(self, index: Any) -> np.ndarray:
        needed, within = split_index(index, self.shape)
        return np.asarray(self.array[needed])[within]
