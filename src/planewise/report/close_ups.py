"""Close-ups for the page: parts of a thinned slice voxel by voxel, around the largest mistakes."""

from collections.abc import Iterable
from dataclasses import dataclass

from planewise.evaluation.mistakes import Mistake
from planewise.report.sections import Box, Voxel

SIDE = 256  # voxels along y and x
SHARE = 0.2  # of a case's bytes


@dataclass(frozen=True)
class CloseUp:
    """A part of an xy slice: its first column ``x`` and row ``y`` and its size, in voxels, and what is drawn there.

    ``image`` and ``outlines`` as a slide has them.
    """

    x: int
    y: int
    width: int
    height: int
    image: str
    outlines: dict[str, dict[str, str]]

    @property
    def size(self) -> int:
        """Bytes in the page, about."""
        return len(self.image) + sum(len(path) for paths in self.outlines.values() for path in paths.values())


def boxes_around(mistakes: Iterable[Mistake], shape: Voxel, most: int) -> list[Box]:
    """Return where close-ups are drawn in a volume of this shape (z, y, x): around the largest mistakes, up to a
    number.

    A mistake in the middle half of another's close-up gets none.
    """
    boxes: dict[Voxel, Box] = {}
    for mistake in sorted(mistakes, key=lambda mistake: -mistake.voxels):
        z, y, x = mistake.centre
        beside = (at for at in boxes if at[0] == z and max(abs(at[1] - y), abs(at[2] - x)) <= SIDE // 4)
        if len(boxes) < most and not any(beside):
            (low_y, high_y), (low_x, high_x) = _around(y, shape[1]), _around(x, shape[2])
            boxes[z, y, x] = Box((z, low_y, low_x), (z + 1, high_y, high_x))
    return list(boxes.values())


def _around(at: int, length: int) -> tuple[int, int]:
    low = max(0, min(at - SIDE // 2, length - SIDE))
    return low, min(length, low + SIDE)
