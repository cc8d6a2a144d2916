"""A layer as neuroglancer requests it: chunk by chunk, at the scale of the view; and the meshes of its objects.

neuroglancer's axes are x, y, z; a voxel's centre is half a voxel beyond its index.
"""

import math
import threading
from functools import cache
from typing import Any

import neuroglancer
import numpy as np
from neuroglancer.chunks import encode_npz
from neuroglancer.downsample import downsample_with_averaging, downsample_with_striding
from neuroglancer.local_volume import InvalidObjectIdForMesh

from planewise.errors import PlanewiseError
from planewise.progress import warn
from planewise.viewing.scene import Layer, Scene
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume, access

MESHED = 2**27  # largest volume, in voxels, that meshes are made from; larger volumes use a smaller copy
PANEL = 450  # pixels that a side of the volume covers in a panel
FRONT = [-math.sqrt(0.5), 0, 0, math.sqrt(0.5)]  # a quaternion: x to the right, z up, seen along y
FORM = "npz"  # of chunks: neuroglancer's default


class _Sideways:
    """What neuroglancer requires of an array before reading: shape and type, in x, y, z."""

    def __init__(self, layer: Layer) -> None:
        self.shape, self.dtype = layer.volume.shape[::-1], layer.dtype


class VolumeSource(neuroglancer.LocalVolume):
    """Serves a layer of any size: voxels of the smaller copy that the scale of the view needs."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        streamed = len(layer.levels) == 1 and access(layer.levels[0].voxels) != "whole"
        super().__init__(
            _Sideways(layer),
            dimensions_of(layer.volume),
            volume_type="image" if layer.volume.labels is None else "segmentation",
            # far from a view of all, where that would read all voxels
            **({} if streamed else {"max_downsampling": math.inf}),
        )
        self._meshing = threading.Lock()
        self._meshes: Any = None

    def get_encoded_subvolume(
        self, data_format: str, start: np.ndarray, end: np.ndarray, scale_key: str
    ) -> tuple[bytes, str]:
        """Return the voxels from ``start`` to ``end`` (x, y, z), counted in steps of ``scale_key`` ("x,y,z")."""
        step = [int(part) for part in scale_key.split(",")]
        last = [-(-side // part) for side, part in zip(self.shape, step)] if len(step) == 3 and min(step) > 0 else []
        if data_format != FORM or not last or not len(start) == len(end) == 3:
            raise ValueError("Invalid request.")
        if math.prod(step) > self.max_downsampling or (end < start).any() or (end > last).any():
            raise ValueError("Out of bounds data request.")
        return encode_npz(self._read(start.tolist(), end.tolist(), step)), "application/octet-stream"

    def _read(self, start: list[int], end: list[int], step: list[int]) -> np.ndarray:
        level, further = self.layer.level_for((step[2], step[1], step[0]))
        sides = level.voxels.shape
        corners = zip(start[::-1], end[::-1], further, sides)
        part = tuple(slice(low * by, min(high * by, side)) for low, high, by, side in corners)
        try:
            voxels = self.layer.read(level, part).T
        except PlanewiseError as error:  # the view lacks this chunk
            _say_damage(str(error))
            raise ValueError("The file is damaged here.") from error
        if further == (1, 1, 1):
            return voxels
        downsample = downsample_with_averaging if self.volume_type == "image" else downsample_with_striding
        return downsample(voxels, further[::-1])

    def get_object_mesh(self, object_id: int) -> bytes:
        """Return the mesh of an object. Raises InvalidObjectIdForMesh if there is no such object."""
        mesh = self._get_mesh_generator().get_mesh(object_id)
        if mesh is None:
            raise InvalidObjectIdForMesh
        return mesh

    def _get_mesh_generator(self) -> Any:
        from neuroglancer import _neuroglancer

        with self._meshing:
            if self._meshes is None:
                voxels, step = self.layer.thinned(MESHED)
                scales = np.array(self.dimensions.scales)
                coarse = np.array(step[::-1])
                # the first voxel of a smaller copy lies where the volume's first does, and is larger
                self._meshes = _neuroglancer.OnDemandObjectMeshGenerator(
                    np.ascontiguousarray(voxels), scales * coarse, scales * (1 - coarse) / 2
                )
            return self._meshes


@cache
def _say_damage(what: str) -> None:
    """Print once what cannot be shown."""
    warn(what)


def dimensions_of(volume: Volume) -> neuroglancer.CoordinateSpace:
    """Return the axes x, y, z with the size of a voxel."""
    unit = "" if volume.unit == PIXEL else volume.unit
    return neuroglancer.CoordinateSpace(names=["x", "y", "z"], units=[unit] * 3, scales=volume.spacing[::-1])


def position_of(at: tuple[int, int, int]) -> list[float]:
    """Return the centre of a voxel (z, y, x) in neuroglancer's coordinates x, y, z."""
    z, y, x = at
    return [x + 0.5, y + 0.5, z + 0.5]


def view_of(scene: Scene) -> dict[str, Any]:
    """Return the part of neuroglancer's state that sets the visible region, with ``scene.at`` in the middle.

    A volume with a known direction in the patient is seen from the front, head up: so the axial panel has radiologists'
    orientation, while neuroglancer's first panel is coronal.
    """
    finest = min(scene.volume.spacing)
    longest = max(size * side for size, side in zip(scene.volume.spacing, scene.volume.shape)) / finest
    turned = {"crossSectionOrientation": FRONT, "projectionOrientation": FRONT} if scene.volume.has_direction else {}
    return turned | {
        "position": position_of(scene.at),
        "crossSectionScale": longest / PANEL,
        "projectionScale": 1.5 * longest,
        "layout": "4panel",
    }
