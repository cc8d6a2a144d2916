"""neuroglancer in the browser: layers, names and links to places, served on localhost to holders of the token."""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import neuroglancer
import neuroglancer.server
import tornado.web

from planewise.viewing.neuroglancer_client import Client
from planewise.viewing.neuroglancer_source import VolumeSource, dimensions_of, position_of, view_of
from planewise.viewing.scene import Layer, Scene, contrast, objects

LOOPBACK = "127.0.0.1"
SHADER = """#uicontrol invlerp normalized
void main() { emitGrayscale(normalized()); }
"""
PLACES = "places"  # name of the layer of places


@dataclass(frozen=True)
class Served:
    """A scene being served: its URL, which contains the state, and a short URL for each of its places."""

    url: str
    places: list[str]
    port: int


@contextmanager
def served(scene: Scene, port: int = 0) -> Iterator[Served]:
    """Serve a scene within the context; ``port``: 0 takes a free one.

    Raises OSError if the port is taken.
    """
    token = secrets.token_hex(20)
    neuroglancer.set_server_bind_address(LOOPBACK, port)
    neuroglancer.set_static_content_source(Client())
    try:
        viewer = neuroglancer.UnsynchronizedViewer(token=token, allow_credentials=False)
        server = neuroglancer.server.global_server
        root = f"http://{LOOPBACK}:{server.port}"
        named = [layer for layer in scene.layers if layer.volume.labels is not None and layer.volume.labels.names]
        names = {layer.name: f"precomputed://{root}/names/{token}/{place}" for place, layer in enumerate(named)}
        viewer.set_state(state_of(scene, names))
        places = [_url_at(viewer, place.at) for place in scene.places]
        server.app.add_handlers(
            ".*$",
            [
                (f"/names/{token}/([0-9]{{1,9}})/info", _Names, {"layers": named}),
                (f"/go/{token}/([0-9]{{1,9}})", _Go, {"urls": places}),
            ],
        )
        links = [f"{root}/go/{token}/{number}" for number in range(1, len(places) + 1)]
        yield Served(viewer.get_viewer_url(), links, server.port)
    finally:
        neuroglancer.stop()


def wait() -> None:
    """Wait until the user stops this; the server runs in a separate thread."""
    threading.Event().wait()


def _url_at(viewer: Any, at: tuple[int, int, int]) -> str:
    """Return the URL of the viewer's state with a voxel in the middle, at one screen pixel for each voxel."""
    state = {**viewer.raw_state, "position": position_of(at), "crossSectionScale": 1}
    return str(neuroglancer.to_url(state, f"{neuroglancer.server.get_server_url()}/v/{viewer.token}/"))


class _Names(tornado.web.RequestHandler):
    """neuroglancer's segment properties: the names of a layer's classes."""

    def initialize(self, layers: list[Layer]) -> None:
        self.layers = layers

    def get(self, number: str) -> None:
        if int(number) >= len(self.layers):
            raise tornado.web.HTTPError(404)
        self.finish(json.dumps(segment_names(self.layers[int(number)])))


class _Go(tornado.web.RequestHandler):
    """Redirects the browser to a place."""

    def initialize(self, urls: list[str]) -> None:
        self.urls = urls

    def get(self, number: str) -> None:
        if not 1 <= int(number) <= len(self.urls):
            raise tornado.web.HTTPError(404)
        self.redirect(self.urls[int(number) - 1])


def segment_names(layer: Layer) -> dict[str, Any]:
    """Return the names of a layer's classes as neuroglancer's segment properties."""
    assert layer.volume.labels is not None
    names = layer.volume.labels.names
    label = {"id": "label", "type": "label", "values": list(names.values())}
    inline = {"ids": [str(value) for value in names], "properties": [label]}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}


# ---- the state of the viewer


def state_of(scene: Scene, names: dict[str, str]) -> neuroglancer.ViewerState:
    """Return the state that shows a scene; ``names``: by layer, the URL of its ``segment_names``."""
    state = neuroglancer.ViewerState(view_of(scene))
    state.dimensions = dimensions_of(scene.volume)
    state.title = scene.title
    for layer in scene.layers:
        made = _image(layer) if layer.volume.labels is None else _segmentation(layer, scene, names.get(layer.name))
        state.layers.append(name=layer.name, layer=made, visible=layer.shown)
        if layer.shown and layer.name in names:
            _open_panel(state, layer.name, "segments")  # the names beside the colours
    if scene.places:
        points = neuroglancer.LocalAnnotationLayer(
            dimensions=dimensions_of(scene.volume),
            annotations=[
                neuroglancer.PointAnnotation(id=str(number), point=position_of(place.at), description=place.what)
                for number, place in enumerate(scene.places, 1)
            ],
            annotation_color="#ff5555",
        )
        state.layers.append(name=PLACES, layer=points)
        _open_panel(state, PLACES, "annotations")
    return state


def _open_panel(state: neuroglancer.ViewerState, layer: str, tab: str) -> None:
    state.layers[layer].tab = tab
    state.selected_layer.layer = layer
    state.selected_layer.visible = True


def _image(layer: Layer) -> neuroglancer.ImageLayer:
    black, white = contrast(layer)
    return neuroglancer.ImageLayer(
        source=VolumeSource(layer), shader=SHADER, shader_controls={"normalized": {"range": [black, white]}}
    )


def _segmentation(layer: Layer, scene: Scene, names: str | None) -> neuroglancer.SegmentationLayer:
    """Return a label layer that shows all objects in slices, and those in ``objects`` also in 3D."""
    assert layer.volume.labels is not None
    chosen = scene.chosen.get(layer.name)
    return neuroglancer.SegmentationLayer(
        source=[VolumeSource(layer), *([] if names is None else [names])],
        segments=[chosen] if chosen is not None else objects(layer),
        segment_colors={value: colour for value, colour in layer.volume.labels.colours.items() if value},
        selected_alpha=0.4,
        not_selected_alpha=0.15,
    )
