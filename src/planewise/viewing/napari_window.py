"""A scene in napari: layers with spacing, units, colours and names, and a clickable list of places."""

import math
from typing import Any

import napari
import numpy as np

from planewise.viewing.scene import Layer, Level, Place, Scene, Voxel, contrast
from planewise.volumes.indexing import expanded
from planewise.volumes.label_names import LabelNames
from planewise.volumes.volume import LazyArray, access

CLOSE = 400  # approximate width of the view, in voxels, when it moves to a place
PIXELS = 800  # approximate width of the view
PLACES = "places"


def show(scene: Scene) -> None:
    """Open a window, and return when it is closed."""
    viewer = napari.Viewer(title=scene.title)
    fill(viewer, scene)
    if scene.places or scene.chosen:
        go(viewer, scene, scene.at)
    if scene.places:
        viewer.window.add_dock_widget(place_list(viewer, scene), name="Mistakes", area="right")
    napari.run()


def fill(viewer: Any, scene: Scene) -> None:
    """Add a scene's layers to a viewer (or to a viewer model without a window), and go to its first slice."""
    unit = scene.volume.unit
    about = {"scale": scene.volume.spacing, "units": (unit,) * 3, "axis_labels": ("z", "y", "x")}
    for layer in scene.layers:
        data = [_lazy(layer, level) for level in layer.levels]
        kind = {"multiscale": len(data) > 1, "name": layer.name, "visible": layer.shown, **about}
        values = data if len(data) > 1 else data[0]
        if layer.volume.labels is None:
            viewer.add_image(values, contrast_limits=contrast(layer), colormap="gray", **kind)
        else:
            made = viewer.add_labels(values, opacity=0.5, **kind)
            name_classes(made, layer.volume.labels)
            if layer.name in scene.chosen:
                made.selected_label = scene.chosen[layer.name]
    if scene.places:
        viewer.add_points(
            np.array([place.at for place in scene.places]),
            name=PLACES,
            features={"what": _words(scene.places)},
            face_color="transparent",
            border_color="red",
            size=CLOSE / 20,
            **about,
        )
    viewer.canvas.overlays.scale_bar.visible = True
    viewer.dims.point = _world(scene, scene.at)


def go(viewer: Any, scene: Scene, at: Voxel) -> None:
    """Bring a voxel into the middle of the view, and zoom in."""
    world = _world(scene, at)
    viewer.dims.point = world
    viewer.scene.camera.center = world
    viewer.scene.camera.zoom = PIXELS / (CLOSE * min(scene.volume.spacing))


def place_list(viewer: Any, scene: Scene) -> Any:
    """Return a widget that lists the places; a click goes to one."""
    from qtpy.QtWidgets import QListWidget

    widget = QListWidget()
    widget.setWordWrap(True)
    widget.setResizeMode(QListWidget.ResizeMode.Adjust)  # rows grow with their text
    widget.addItems(_words(scene.places))
    widget.currentRowChanged.connect(lambda row: go(viewer, scene, scene.places[row].at))
    return widget


def _words(places: list[Place]) -> list[str]:
    return [f"{number}. {place.what}" for number, place in enumerate(places, 1)]


def _world(scene: Scene, at: Voxel) -> tuple[float, ...]:
    return tuple(place * size for place, size in zip(at, scene.volume.spacing))


def _lazy(layer: Layer, level: Level) -> Any:
    """Return voxels for napari: in memory if the format must be read as a whole, else read on demand."""
    if access(level.voxels) == "whole":
        return np.asarray(level.voxels[...]).astype(layer.dtype, copy=False)
    return Window(level.voxels, layer.dtype, tuple(range(side) for side in level.voxels.shape))


class Window:
    """A part of voxels that is only read when converted to an array, because napari slices in several steps.

    ``parts``: for each axis its range, or a single index.
    """

    def __init__(self, voxels: LazyArray, dtype: np.dtype, parts: tuple[range | int, ...]) -> None:
        self.voxels, self.dtype, self.parts = voxels, dtype, parts

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(part) for part in self.parts if isinstance(part, range))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> "Window":
        cut = iter(expanded(index, self.ndim))
        parts = tuple(part[next(cut)] if isinstance(part, range) else part for part in self.parts)
        return Window(self.voxels, self.dtype, parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        parts = [slice(part.start, part.stop, part.step) if isinstance(part, range) else part for part in self.parts]
        return np.asarray(self.voxels[tuple(parts)]).astype(dtype or self.dtype, copy=False)


def name_classes(made: Any, labels: LabelNames) -> None:
    """Give labels the colours and the names of their classes; the status bar shows the names."""
    from napari.utils.colormaps import DirectLabelColormap

    if labels.colours:
        others: dict[int | None, str] = {None: "gray", 0: "transparent"}
        made.colormap = DirectLabelColormap(color_dict=others | dict(labels.colours.items()))
    if labels.names:
        index, names = [0, *labels.names], ["background", *labels.names.values()]
        made.features = {"index": index, "name": names}
