"""Maps voxels of a file's array to the canonical orientation and back; nothing is resampled or copied."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planewise.volumes.geometry import canonical_axes
from planewise.volumes.volume import Volume

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Orientation:
    """The array axis (``order``) along each canonical axis z, y, x, and whether it runs backwards (``signs``, -1)."""

    shape: Place  # of the file's array
    order: Place
    signs: Place

    @classmethod
    def of(cls, volume: Volume) -> "Orientation":
        return cls(volume.shape, *canonical_axes(volume))

    @property
    def is_canonical(self) -> bool:
        return self.order == (0, 1, 2) and self.signs == (1, 1, 1)

    def view(self, voxels: Any) -> Any:
        """Return a canonical view of the file's array, which shows later changes of it."""
        return voxels if self.is_canonical else np.transpose(voxels, self.order)[self._flips]

    def stored(self, voxels: np.ndarray) -> np.ndarray:
        """Return a canonical block in the axes of the file: the inverse of ``view``."""
        return np.transpose(voxels[self._flips], np.argsort(self.order))

    def canonical_place(self, at: Place) -> Place:
        """Return where the file's voxel ``at`` lies in the canonical orientation."""
        z, y, x = (
            at[axis] if sign > 0 else self.shape[axis] - 1 - at[axis] for axis, sign in zip(self.order, self.signs)
        )
        return z, y, x

    def stored_corner(self, at: Place, sides: tuple[int, ...]) -> Place:
        """Return the file's first voxel of a canonical block of ``sides`` whose first voxel is ``at``."""
        corner = [0, 0, 0]
        for start, side, axis, sign in zip(at, sides, self.order, self.signs):
            corner[axis] = start if sign > 0 else self.shape[axis] - start - side
        return corner[0], corner[1], corner[2]

    @property
    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, sign) for sign in self.signs)
