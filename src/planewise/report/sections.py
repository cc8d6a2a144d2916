"""The voxels that pictures need of a volume, read in one pass: slices of the three planes, and boxes, both thinned."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from planewise.volumes.labels import SLAB_PLANES, SLAB_VOXELS
from planewise.volumes.slices import PLANES, Plane, shrink
from planewise.volumes.volume import Volume

Place = tuple[Plane, int]
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """A half-open box, z, y, x in voxels; every ``steps``-th voxel along each axis is read."""

    lower: Voxel
    upper: Voxel
    steps: Voxel = (1, 1, 1)

    @property
    def shape(self) -> Voxel:
        """The number of voxels that are read along z, y and x."""
        z, y, x = (-((low - up) // step) for low, up, step in zip(self.lower, self.upper, self.steps, strict=True))
        return z, y, x


@dataclass
class Sections:
    """``slices`` by plane and place, ``boxes`` in the requested order."""

    slices: dict[Place, np.ndarray] = field(default_factory=dict)
    boxes: list[np.ndarray] = field(default_factory=list)


def read_sections(
    volume: Volume, places: dict[Plane, list[int]], step: int, average: bool, boxes: list[Box] | None = None
) -> Sections:
    """Read slices, either every ``step``-th voxel or the mean of ``step`` x ``step``, and boxes."""
    boxes = boxes or []
    depth, height, width = (-(-side // step) for side in volume.shape)
    sides: dict[Plane, tuple[int, int]] = {"xy": (height, width), "xz": (depth, width), "yz": (depth, height)}
    dtype = np.dtype(np.float32) if average and step > 1 else volume.voxels.dtype
    sections = Sections(
        {(plane, i): np.zeros(sides[plane], dtype) for plane in PLANES for i in places[plane]},
        [np.zeros(box.shape, volume.voxels.dtype) for box in boxes],
    )

    def thin(slice_: np.ndarray) -> np.ndarray:
        return shrink(slice_[None], step)[0] if average and step > 1 else slice_[::step, ::step]

    for planes in _slabs(volume.shape, step):
        slab = np.asarray(volume.voxels[planes])
        rows = slice(planes.start // step, -(-planes.stop // step))
        for (plane, i), slice_ in sections.slices.items():
            if plane == "xz":
                slice_[rows] = thin(slab[:, i])
            elif plane == "yz":
                slice_[rows] = thin(slab[:, :, i])
            elif planes.start <= i < planes.stop:
                slice_[:] = thin(slab[i - planes.start])
        for box, crop in zip(boxes, sections.boxes, strict=True):
            _fill(crop, box, slab, planes)
    return sections


def _slabs(shape: Voxel, step: int) -> Iterator[slice]:
    """Yield slices along z that begin at multiples of ``step``, so that groups of ``step`` planes stay together."""
    planes = max(SLAB_PLANES, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    thickness = -(-planes // step) * step
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))


def _fill(crop: np.ndarray, box: Box, slab: np.ndarray, planes: slice) -> None:
    """Copy the part of a box that lies in a slab."""
    first, last = max(box.lower[0], planes.start), min(box.upper[0], planes.stop)
    step = box.steps[0]
    first += (box.lower[0] - first) % step
    if first < last:
        _, y, x = (slice(*ends) for ends in zip(box.lower, box.upper, box.steps, strict=True))
        part = slab[first - planes.start : last - planes.start : step, y, x]
        start = (first - box.lower[0]) // step
        crop[start : start + len(part)] = part
