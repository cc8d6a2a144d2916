"""The layers in the window of ``planewise correct``: a case as ``planewise view`` shows it, and what is drawn on it.

Napari's coordinates are canonical (z upwards); those of actions are voxels of the array in the file. They are
converted here, with views: nothing is copied.
"""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.correction.actions import Voxels
from planewise.correction.drawing import Drawing
from planewise.correction.session import Corrections
from planewise.data.case import channel_within
from planewise.data.prepared import load_patient
from planewise.data.source_image import PREPARED
from planewise.errors import PlanewiseError
from planewise.viewing.napari_window import name_classes
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import place_from_canonical, to_canonical
from planewise.volumes.orientation import Orientation, Place
from planewise.volumes.volume import Volume, access

PAINTED = (64, 512, 512)  # size (z, y, x) of the region around the shown place that can be painted
ZOOM = 2.0  # screen pixels for a voxel


class CaseLayers:
    """The layers of one case: ``image``, ``labels``, ``clicks``, ``paint`` and ``draw``; see ``remove``."""

    def __init__(self, viewer: Any, case: str, corrections: Corrections, image: Volume | None) -> None:
        self.viewer, self.corrections = viewer, corrections
        volume = corrections.canvas.volume
        self.volume, self.orientation = volume, Orientation.of(volume)
        z, y, x = (volume.spacing[axis] for axis in self.orientation.order)
        self.spacing = z, y, x
        self.placed: dict[str, Any] = {"scale": self.spacing, "units": volume.unit, "axis_labels": ("z", "y", "x")}
        self.image = None
        if image is not None:
            self.image = viewer.add_image(
                image.voxels, name=f"{case} image", colormap="gray", multiscale=False, **self.placed
            )
        self.stored = self._stored()
        self.labels = viewer.add_labels(
            self.orientation.view(self.stored), name=case, opacity=0.4, multiscale=False, **self.placed
        )
        self.labels.editable = False
        if volume.labels is not None:
            name_classes(self.labels, volume.labels)
        self.marks = viewer.add_points(np.empty((0, 3)), name="clicks", size=6, face_color="red", ndim=3, **self.placed)
        self.drawn = viewer.add_shapes(
            None, name="draw", ndim=3, face_color="transparent", edge_color="yellow", edge_width=1, **self.placed
        )
        self.painted = self._paint_layer((0, 0, 0))

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in (self.image, self.labels, self.marks, self.drawn, self.painted):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def refresh(self) -> None:
        """Show the voxels as they are now."""
        if self.stored is not self._stored():
            self.stored = self._stored()
            self.labels.data = self.orientation.view(self.stored)
        self.labels.refresh()

    def look_at(self, place: Place) -> None:
        """Bring a voxel of the file into view, and make the region around it paintable."""
        at = self.orientation.canonical_place(place)
        self.viewer.dims.set_point(range(3), self._in_space(at))
        self.viewer.scene.camera.center = self._in_space(at)
        self.viewer.scene.camera.zoom = ZOOM / self.spacing[2]
        z, y, x = (max(0, min(a - most // 2, side - most)) for a, most, side in zip(at, PAINTED, self._shape))
        if self.painted in self.viewer.layers:
            self.viewer.layers.remove(self.painted)
        self.painted = self._paint_layer((z, y, x))
        self.viewer.layers.selection.active = self.labels

    def mark(self, places: list[Place]) -> None:
        """Show the clicked places, in voxels of the file."""
        self.marks.data = np.array(list(map(self.orientation.canonical_place, places)), float).reshape(-1, 3)

    def voxel_at(self, position: Any) -> Place | None:
        """Return the voxel of the file at a position in the viewer; None outside the volume."""
        z, y, x = (round(float(at)) for at in self.labels.world_to_data(position))
        inside = all(0 <= at < side for at, side in zip((z, y, x), self._shape))
        return place_from_canonical((z, y, x), self.volume) if inside else None

    @property
    def slice(self) -> int:
        """The index of the shown slice, canonical."""
        return round(float(self.viewer.dims.point[0]) / self.spacing[0])

    def box_of_slice(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Return the shown slice as a box of the file's voxels."""
        sides = (1, *self._shape[1:])
        corner = self.orientation.stored_corner((self.slice, 0, 0), sides)
        z, y, x = (
            (start, start + (1 if axis == self.orientation.order[0] else side))
            for axis, (start, side) in enumerate(zip(corner, self.orientation.shape))
        )
        return z, y, x

    # ---- what was painted and drawn

    def painted_voxels(self) -> Voxels:
        """Return what was painted. Raises PlanewiseError if nothing was."""
        mask = np.asarray(self.painted.data) > 0
        if not mask.any():
            raise PlanewiseError("paint in the layer 'paint' first")
        tight = tuple(slice(int(along.min()), int(along.max()) + 1) for along in np.nonzero(mask))
        z, y, x = (at + part.start for at, part in zip(self.corner, tight))
        block = mask[tight]
        return Voxels.of(self.orientation.stored(block), self.orientation.stored_corner((z, y, x), block.shape))

    def forget_painted(self) -> None:
        self.painted.data = np.zeros_like(self.painted.data)

    def drawing(self, label: int, inside: list[Place], outside: list[Place], through: bool) -> Drawing:
        """Return the last drawn shape: a rectangle (or ellipse) as a box, a line or path as a line.

        It includes the points in its slice. Raises PlanewiseError if nothing was drawn.
        """
        if not len(self.drawn.data):
            raise PlanewiseError("draw a rectangle around an object, or a line along it, in the layer 'draw' first")
        corners = np.asarray(self.drawn.data[-1])
        z = round(float(corners[0, 0]))
        edges = np.array([[0, 0], np.array(self._shape[1:]) - 1])
        at = np.clip(np.round(corners[:, -2:]).astype(int), *edges)
        places = [place_from_canonical((z, int(y), int(x)), self.volume) for y, x in at]
        clicked = {
            name: tuple(place for place in points if self.orientation.canonical_place(place)[0] == z)
            for name, points in (("inside", inside), ("outside", outside))
        }
        if self.drawn.shape_type[-1] in ("line", "path"):
            return Drawing(label=label, line=tuple(places), through=through, **clicked)
        low, high = np.min(places, axis=0).tolist(), np.max(places, axis=0).tolist()
        z_side, y_side, x_side = ((a, b + 1) for a, b in zip(low, high))
        return Drawing(label=label, box=(z_side, y_side, x_side), through=through, **clicked)

    def forget_drawn(self) -> None:
        self.drawn.data = []

    # ----

    @property
    def _shape(self) -> Place:
        z, y, x = (self.orientation.shape[axis] for axis in self.orientation.order)
        return z, y, x

    def _in_space(self, at: Place) -> tuple[float, float, float]:
        z, y, x = (place * size for place, size in zip(at, self.spacing))
        return z, y, x

    def _paint_layer(self, corner: Place) -> Any:
        sides = [min(most, side) for most, side in zip(PAINTED, self._shape)]
        self.corner = corner
        layer = self.viewer.add_labels(
            np.zeros(sides, np.uint8), name="paint", opacity=0.6, translate=self._in_space(corner), **self.placed
        )
        layer.brush_size, layer.n_edit_dimensions = 8, 2
        return layer

    def _stored(self) -> Any:
        """Return the labels' voxels: those of a file in memory, those of a store read on demand."""
        canvas: Any = self.corrections.canvas
        return canvas.voxels if hasattr(canvas, "voxels") else canvas.levels[0]


def image_of(path: Path | Series, channel: int | None) -> Volume:
    """Return the image that a result was made from, canonical: a volume, or a patient of ``planewise ild prepare``."""
    if isinstance(path, Path) and path.suffix == PREPARED:
        patient = load_patient(path)
        return to_canonical(patient.restore(patient.images))
    image = open_volume(path, channel_within(path, channel))
    streamed = access(image.voxels) == "chunks"
    return to_canonical(image if streamed else image.with_voxels(read_voxels(image, path)))
