"""The actions and their effects on the labels, as changes block by block. Nothing here writes files.

Each action is one frozen model, used alike by the journal, the CSV and Python. The same action on the same labels gives
the same voxels.
"""

import base64
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from planewise.correction.canvas import LARGEST, Canvas
from planewise.correction.drawing import Drawing
from planewise.correction.journal import Box
from planewise.correction.kept import Change
from planewise.correction.objects import Objects, pieces
from planewise.errors import PlanewiseError
from planewise.volumes.indexing import check_memory
from planewise.volumes.orientation import Place

Label = Annotated[int, Field(ge=1, le=LARGEST)]


@dataclass(frozen=True)
class Labels:
    """The input of an action: the voxels, the objects, and the id for a new object."""

    canvas: Canvas
    objects: Objects
    new: int

    def box(self, label: int, action: str) -> Box:
        """Return where an object lies. Raises PlanewiseError if there is none."""
        if label not in self.objects:
            raise PlanewiseError(f"{action}: there is no object {label}, or no longer")
        return self.objects[label].box

    def within(self, box: Box) -> Box:
        """Return the part of a box that lies in the volume."""
        z, y, x = ((max(a, 0), min(b, side)) for (a, b), side in zip(box, self.canvas.shape))
        return z, y, x

    def refuse_beyond(self, box: Box, action: str, what: str) -> None:
        """Raise PlanewiseError if ``what``, which takes up a box, holds no voxel or is not all in the volume.

        If it were cut silently, axes in a wrong order would look like a smaller box.
        """
        if any(start >= stop for start, stop in box):
            raise PlanewiseError(
                f"{action}: {what} holds no voxel; each side is given by its first index and the one after its last"
            )
        if box != self.within(box):
            z, y, x = self.canvas.shape
            raise PlanewiseError(
                f"{action}: {what} lies beyond the volume, whose shape (z, y, x) is {z} x {y} x {x}; places are z, y, "
                "x, from 0, in voxels of the file: are the axes in another order?"
            )


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def changes(self, labels: Labels) -> Iterator[Change]:
        """Yield what changes. Raises PlanewiseError if the action does not fit the labels."""
        return iter(())

    def right(self, labels: Labels) -> tuple[int, ...]:
        """Return the objects that count as right after the action."""
        return ()


class Merge(_Action):
    """Objects become one, which keeps the id of the first."""

    action: Literal["merge"] = "merge"
    labels: Annotated[tuple[Label, ...], Field(min_length=2)]

    def changes(self, labels: Labels) -> Iterator[Change]:
        if len(set(self.labels)) < len(self.labels):
            raise PlanewiseError(f"merge: {' '.join(map(str, self.labels))} names an object twice")
        for label in self.labels:
            labels.box(label, "merge")
        for label in self.labels[1:]:
            yield from _relabelled(labels, label, self.labels[0], "merge")

    def right(self, labels: Labels) -> tuple[int, ...]:
        return self.labels[:1]


class Split(_Action):
    """An object becomes two: a watershed on the distance from its surface, from a point in each part.

    Distances are in the volume's unit. The part of ``first`` keeps the id, and so do pieces connected with neither
    point; the other part gets a new one. (Seeded watershed: Beucher and Meyer 1993, in Mathematical Morphology in Image
    Processing, chapter 12.)
    """

    action: Literal["split"] = "split"
    label: Label
    first: Place
    second: Place

    def changes(self, labels: Labels) -> Iterator[Change]:
        from scipy.ndimage import distance_transform_edt
        from skimage.segmentation import watershed

        box = labels.box(self.label, "split")
        sides = tuple(stop - start for start, stop in box)
        check_memory(sides, np.dtype(np.float64))
        for point in (self.first, self.second):
            labels.refuse_beyond(_voxel(point), "split", f"the point {_text(point)}")
        before = labels.canvas.read(box)
        mask = np.pad(before == self.label, 1)  # the object does not reach beyond its box
        markers = np.zeros(mask.shape, np.int32)
        for number, point in enumerate((self.first, self.second), 1):
            place = tuple(at - start + 1 for at, (start, _) in zip(point, box))
            if not all(0 < at <= side for at, side in zip(place, sides)) or not mask[place]:
                raise PlanewiseError(f"split: {_text(point)} lies outside of object {self.label}")
            markers[place] = number
        if self.first == self.second:
            raise PlanewiseError(f"split: both points are {_text(self.first)}; each part needs one")
        distance = distance_transform_edt(mask, sampling=labels.canvas.volume.spacing)
        parts = watershed(-distance, markers, mask=mask)[1:-1, 1:-1, 1:-1]
        after = np.where(parts == 2, np.uint64(labels.new), before)
        change = Change.between(box, before, after)
        if change is not None:
            yield change

    def right(self, labels: Labels) -> tuple[int, ...]:
        return self.label, labels.new


class Delete(_Action):
    """Objects become background."""

    action: Literal["delete"] = "delete"
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]

    def changes(self, labels: Labels) -> Iterator[Change]:
        for label in dict.fromkeys(self.labels):
            yield from _relabelled(labels, label, 0, "delete")


class Ball(BaseModel):
    """A ball around a voxel: ``radius`` in voxels along x, and the same length along the other axes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    centre: Place
    radius: Annotated[float, Field(ge=0, le=10_000)]

    def box(self, spacing: tuple[float, float, float]) -> Box:
        reach = [math.floor(self.radius * spacing[2] / size) for size in spacing]
        z, y, x = ((at - far, at + far + 1) for at, far in zip(self.centre, reach))
        return z, y, x

    def mask(self, box: Box, spacing: tuple[float, float, float]) -> np.ndarray:
        """Return which voxels of ``box`` lie in the ball."""
        parts = [
            ((np.arange(a, b) - at) * size / spacing[2]) ** 2 for (a, b), at, size in zip(box, self.centre, spacing)
        ]
        return np.asarray(parts[0][:, None, None] + parts[1][:, None] + parts[2] <= self.radius**2)

    def refuse_beyond(self, labels: Labels, action: str) -> None:
        """Raise PlanewiseError if the centre lies beyond the volume; the ball may reach beyond it."""
        labels.refuse_beyond(_voxel(self.centre), action, f"the ball's centre {_text(self.centre)}")


class Voxels(BaseModel):
    """Voxels of a box: all, or those of ``bits``, a mask (z, y, x), see ``of``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    place: Box
    bits: str = ""

    @classmethod
    def of(cls, mask: np.ndarray, corner: Place = (0, 0, 0)) -> "Voxels":
        """Return the voxels where ``mask`` (z, y, x) is true, whose first voxel lies at ``corner``."""
        z, y, x = ((start, start + side) for start, side in zip(corner, mask.shape))
        return cls(place=(z, y, x), bits=base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode())

    def box(self, spacing: tuple[float, float, float]) -> Box:
        return self.place

    def mask(self, box: Box, spacing: tuple[float, float, float]) -> np.ndarray:
        """Return the mask of these voxels within ``box``, a part of ``place``."""
        sides = [stop - start for start, stop in self.place]
        within = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(box, self.place))
        if not self.bits:
            return np.ones([part.stop - part.start for part in within], bool)
        try:
            packed = np.frombuffer(zlib.decompress(base64.b64decode(self.bits)), np.uint8)
            return np.unpackbits(packed, count=math.prod(sides)).reshape(sides).astype(bool)[within]
        except (ValueError, zlib.error) as error:
            raise PlanewiseError(f"paint: its mask is not one of {' x '.join(map(str, sides))} voxels") from error

    def refuse_beyond(self, labels: Labels, action: str) -> None:
        """Raise PlanewiseError if a part of the box lies beyond the volume."""
        labels.refuse_beyond(self.place, action, _text_of_box(self.place))


class _Painted(_Action):
    """Voxels get a label, whatever their present one is."""

    action: str
    where: Ball | Voxels
    label: Annotated[int, Field(ge=0, le=LARGEST)] | None

    def changes(self, labels: Labels) -> Iterator[Change]:
        spacing = labels.canvas.volume.spacing
        value = labels.new if self.label is None else self.label
        self.where.refuse_beyond(labels, self.action)
        for box in pieces(labels.within(self.where.box(spacing))):
            before = labels.canvas.read(box)
            change = Change.between(box, before, np.where(self.where.mask(box, spacing), np.uint64(value), before))
            if change is not None:
                yield change

    def right(self, labels: Labels) -> tuple[int, ...]:
        """The object that was painted; those that were only painted over are not listed."""
        return () if self.label == 0 else (labels.new if self.label is None else self.label,)


class Paint(_Painted):
    """Voxels get a label, whatever their present one is: an object's, 0, or with None that of a new object."""

    action: Literal["paint"] = "paint"


class Segment(_Painted):
    """A mask that a model made from a drawing gets a class; 0 makes it background.

    The mask itself is stored, so that the model is not needed to repeat the action; ``drawn`` and ``model`` (name and
    sha256 of its file) state its origin.
    """

    action: Literal["segment"] = "segment"
    where: Voxels
    drawn: Drawing
    model: str


class Confirm(_Action):
    """Objects are right as they are; or all voxels in a ``box`` are, including background."""

    action: Literal["confirm"] = "confirm"
    labels: tuple[Label, ...] = ()
    box: Box | None = None

    def changes(self, labels: Labels) -> Iterator[Change]:
        if not self.labels and self.box is None:
            raise PlanewiseError("confirm: name objects, or a box")
        for label in self.labels:
            labels.box(label, "confirm")
        if self.box is not None:
            labels.refuse_beyond(self.box, "confirm", _text_of_box(self.box))
        return iter(())

    def right(self, labels: Labels) -> tuple[int, ...]:
        return self.labels


AnyAction = Merge | Split | Delete | Paint | Segment | Confirm
Action = Annotated[AnyAction, Field(discriminator="action")]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Action)


def read_action(content: dict[str, Any]) -> AnyAction:
    """Return the action from ``content``, in the form of ``model_dump``. Raises PlanewiseError."""
    try:
        action: AnyAction = _ADAPTER.validate_python(content)
        return action
    except ValidationError as error:
        wrong = "; ".join(f"{' '.join(map(str, e['loc'][1:]))}: {e['msg'].lower()}" for e in error.errors()[:3])
        raise PlanewiseError(f"{content.get('action', 'action')}: {wrong}") from None


def _text(place: Place) -> str:
    return " ".join(map(str, place))


def _text_of_box(box: Box) -> str:
    return f"the box {' '.join(str(end) for side in box for end in side)}"


def _voxel(place: Place) -> Box:
    """Return the box of one voxel."""
    z, y, x = ((at, at + 1) for at in place)
    return z, y, x


def _relabelled(labels: Labels, label: int, value: int, action: str) -> Iterator[Change]:
    for box in pieces(labels.box(label, action)):
        before = labels.canvas.read(box)
        change = Change.between(box, before, np.where(before == label, before.dtype.type(value), before))
        if change is not None:
            yield change
