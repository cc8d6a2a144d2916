"""A drawing in one slice of a volume of classes, from which a model makes a mask."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from planewise.correction.journal import Box
from planewise.volumes.orientation import Place

POINTS = ("line", "in", "out")


class Drawing(BaseModel):
    """A box around an object, a ``line`` along it, points in it (``inside``) and beside it (``outside``).

    All are indices of voxels in the file's array, and lie in one slice, across any axis. The ``box`` is half-open, and
    one voxel thick across the slice; without a box, the one around the line is used. ``label``: the class, or 0 to make
    the segmented voxels background. ``through``: the object is followed through the slices above and below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    label: Annotated[int, Field(ge=0)]
    box: Box | None = None
    line: tuple[Place, ...] = ()
    inside: tuple[Place, ...] = ()
    outside: tuple[Place, ...] = ()
    through: bool = False

    @property
    def places(self) -> list[Place]:
        """All voxels of the drawing, including the first and the last of the box."""
        corners: list[Place] = []
        if self.box is not None:
            (a, b), (c, d), (e, f) = self.box
            corners = [(a, c, e), (b - 1, d - 1, f - 1)]
        return [*corners, *self.line, *self.inside, *self.outside]


def box_of(numbers: Sequence[int]) -> Box:
    """Return the half-open box of z z y y x x. Raises ValueError if it is not a box."""
    a, b, c, d, e, f = numbers
    if a >= b or c >= d or e >= f:
        raise ValueError
    return (a, b), (c, d), (e, f)


def drawing_of(words: list[str]) -> Drawing:
    """Return the drawing in the words of a CSV: ``2 box 40 41 10 20 10 20 in 40 12 12 out 40 11 19``, or
    ``2 line ...``; optionally with ``through`` at the end.

    Raises ValueError or IndexError if they do not fit.
    """
    through = words[-1] == "through"
    label, parts = int(words[0]), _by_keyword(words[1 : len(words) - through])
    sides = box_of(parts["box"]) if "box" in parts else None
    line, inside, outside = (_places(parts.get(name, [])) for name in POINTS)
    if sides is None and not line:
        raise ValueError
    return Drawing(label=label, box=sides, line=line, inside=inside, outside=outside, through=through)


def _by_keyword(words: list[str]) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    keyword = ""
    for word in words:
        if word in ("box", *POINTS):
            keyword = word
            parts.setdefault(keyword, [])
        else:
            parts.setdefault(keyword, []).append(int(word))
    if "" in parts:
        raise ValueError
    return parts


def _places(numbers: list[int]) -> tuple[Place, ...]:
    if len(numbers) % 3:
        raise ValueError
    return tuple((z, y, x) for z, y, x in zip(numbers[::3], numbers[1::3], numbers[2::3]))
