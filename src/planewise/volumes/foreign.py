"""Arrays of other libraries, made to be indexed as planewise indexes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.indexing import split_index
from planewise.volumes.volume import LazyArray, ReadWhenIndexed


def plain(array: Any) -> LazyArray:
    """Return an array of any library as a ``LazyArray``, which returns NumPy arrays.

    Raises PlanewiseError, now or when it is indexed, if some of its voxels are masked (``numpy.ma``).
    """
    if isinstance(array, np.ma.MaskedArray):
        return _unmasked(array)
    given: LazyArray = array
    return given if isinstance(array, np.ndarray | ReadWhenIndexed) else _Foreign(array)


def _unmasked(array: Any) -> np.ndarray:
    if np.ma.is_masked(array):
        raise PlanewiseError(
            f"the array has masked voxels ({np.ma.count_masked(array)}), and a volume has a value everywhere; give "
            "them one with its method filled"
        )
    return np.asarray(np.ma.getdata(array))


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
        """The sides of its chunks; for dask, whose chunks may differ, those of the first chunk."""
        chunks = getattr(self.array, "chunks", None)
        if chunks is None:
            raise AttributeError("chunks")
        return tuple(int(side[0] if isinstance(side, tuple) else side) for side in chunks)

    def __getitem__(self, index: Any) -> np.ndarray:
        needed, within = split_index(index, self.shape)
        read = self.array[needed]
        read = read.compute() if hasattr(read, "compute") else read  # of dask, whose masks np.asarray would drop
        return _unmasked(read)[within]
