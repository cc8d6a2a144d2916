"""OME-Zarr volumes: 0.4 and 0.5 read, 0.5 written in shards and with a pyramid, whole or block by block."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx
from planewise.volumes.formats import Format
from planewise.volumes.units import read_spacing
from planewise.volumes.volume import Volume

CHUNK = 128  # voxels on a side
LEAST_LEVEL = 256  # a volume whose sides are all at most this long needs no smaller copy
# Zarr's own search for chunks of nothing, to leave them out, costs twice as much as compressing and writing them.
AS_IT_IS = {"write_empty_chunks": True}
LONG_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter"}

Index = tuple[slice, slice, slice]


def create(
    path: Path, shape: tuple[int, ...], dtype: Any, spacing: tuple[float, ...], unit: str, origin: tuple[float, ...],
    shards: tuple[int, ...] | None = None,
) -> Any:  # fmt: skip
    """Return the empty full-resolution array (z, y, x) of a new OME-Zarr 0.5 at ``path``; all of it reads as 0.

    ``shards``: the shape of its files, multiples of ``CHUNK``; None: up to 512 voxels on a side.
    """
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = _level(group, "0", shape, dtype, shards)
    _describe(group, path, [array], spacing, unit, origin)
    return array


def _level(group: Any, name: str, shape: tuple[int, ...], dtype: Any, shards: tuple[int, ...] | None) -> Any:
    chunks = tuple(min(CHUNK, side) for side in shape)
    most = shards or (4 * CHUNK,) * 3
    within = tuple(chunk * max(1, min(limit, side) // chunk) for chunk, limit, side in zip(chunks, most, shape))
    return group.create_array(
        name, shape=shape, chunks=chunks, shards=within, dtype=dtype, dimension_names=list("zyx"), fill_value=0,
        overwrite=True,  # a level that a run left when it was stopped
        config=AS_IT_IS,
    )  # fmt: skip


def open_to_fill(path: Path) -> Any:
    """Return the full-resolution array of a store that ``create`` made, to ``fill_block``."""
    import zarr

    with zarr.config.set({f"array.{name}": value for name, value in AS_IT_IS.items()}):
        return zarr.open_array(path / "0", mode="r+")


def fill_block(array: Any, block: Index, voxels: np.ndarray) -> None:
    """Write ``voxels`` into a block of ``array``, one of its files (shards), which reads as 0 so far.

    Where there is nothing no file is written.
    """
    if voxels.any():
        array[block] = voxels


def _describe(
    group: Any, path: Path, levels: list[Any], spacing: tuple[float, ...], unit: str, origin: tuple[float, ...]
) -> None:
    """Write the metadata of the levels; each covers twice as much a voxel, whose first is the finer level's first."""
    named = {"unit": LONG_UNITS[unit]} if unit in LONG_UNITS else {}
    datasets = []
    for number in range(len(levels)):
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [size * 2**number for size in spacing]}]
        if any(origin):
            transforms.append({"type": "translation", "translation": list(origin)})
        datasets.append({"path": str(number), "coordinateTransformations": transforms})
    axes = [{"name": axis, "type": "space", **named} for axis in "zyx"]
    name = path.name.partition(".")[0]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}


def add_pyramid(path: Path, shards: tuple[int, ...] | None = None) -> None:
    """Write the smaller levels of the volume at ``path``: every second voxel of the level before, along each axis.

    So labels stay labels. A level's first voxel lies where the finer one's does. ``shards``: see ``create``.
    """
    import zarr

    group = zarr.open_group(path, mode="r+")
    image = group.attrs["ome"]["multiscales"][0]
    first = {t["type"]: t[t["type"]] for t in image["datasets"][0]["coordinateTransformations"]}
    levels = [group["0"]]
    while max(levels[-1].shape) > LEAST_LEVEL:
        finer = levels[-1]
        shape = tuple(-(-side // 2) for side in finer.shape)
        coarser = _level(group, str(len(levels)), shape, finer.dtype, shards)
        for block in blocks(shape, coarser.shards):
            fill_block(coarser, block, _every_second(finer, block))
        levels.append(coarser)
    unit = {long: short for short, long in LONG_UNITS.items()}.get(image["axes"][0].get("unit", ""), "pixel")
    _describe(group, path, levels, tuple(first["scale"]), unit, tuple(first.get("translation", (0.0, 0.0, 0.0))))


def _every_second(finer: Any, block: Index) -> np.ndarray:
    """Return every second voxel of ``finer`` as the ``block`` of the next level, read an eighth at a time."""
    coarser = np.empty([part.stop - part.start for part in block], finer.dtype)
    for piece in blocks(coarser.shape, tuple(-(-side // 2) for side in coarser.shape)):
        corner = [2 * (whole.start + part.start) for whole, part in zip(block, piece)]
        ends = [2 * (whole.start + part.stop) for whole, part in zip(block, piece)]
        twice = tuple(slice(start, min(end, side)) for start, end, side in zip(corner, ends, finer.shape))
        coarser[piece] = finer[twice][::2, ::2, ::2]
    return coarser


def blocks(shape: tuple[int, ...], side: tuple[int, ...]) -> Iterator[Index]:
    """Yield the indices of the blocks of ``side`` that ``shape`` is made of; those at the end may be smaller."""
    starts = [range(0, whole, part) for whole, part in zip(shape, side)]
    for corner in product(*starts):
        z, y, x = (slice(a, min(a + part, whole)) for a, part, whole in zip(corner, side, shape))
        yield z, y, x


def missing_chunks(array: Any) -> tuple[int, int]:
    """Return how many chunks of a Zarr array are not stored, and so read as its fill value, and how many it has."""
    return array.nchunks - array.nchunks_initialized, array.nchunks


def _open_zarr(path: Path, channel: int | None) -> Volume:
    import zarr

    group = zarr.open(path, mode="r")
    if isinstance(group, zarr.Array):
        raise PlanewiseError(f"{path}: is a bare Zarr array; an OME-Zarr image (0.4 or 0.5) says what its axes are")
    attributes = _ome_attributes(group)
    if "bioformats2raw.layout" in attributes:  # a group of images: 0, 1, ...
        images = sorted(name for name in group.group_keys() if name != "OME")
        if images != ["0"]:
            raise PlanewiseError(f"{path}: holds {len(images)} images; one is needed: copy it to its own OME-Zarr")
        group = group["0"]
        attributes = _ome_attributes(group)
    multiscales = attributes.get("multiscales")
    if not multiscales:
        raise PlanewiseError(f"{path}: has no multiscales metadata; an OME-Zarr image (0.4 or 0.5) was expected")
    image = multiscales[0]
    full = image["datasets"][0]
    array = group[full["path"]]
    about = [axis if isinstance(axis, dict) else {"name": axis} for axis in image["axes"]]  # 0.3 has names only
    axes = "".join(_letter(axis) for axis in about)
    if len(axes) != array.ndim:
        raise PlanewiseError(f"{path}: has shape {array.shape}, and metadata of {len(axes)} axes")
    voxels = as_zyx(path, array, axes, channel)
    scale, translation = dict.fromkeys("zyx", 1.0), dict.fromkeys("zyx", 0.0)
    has_origin = False
    for transform in [*full.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
        has_origin |= "translation" in transform
        for axis, value in zip(axes, transform.get("scale", [])):
            if axis in scale:
                scale[axis] *= value
                translation[axis] *= value
        for axis, value in zip(axes, transform.get("translation", [])):
            if axis in translation:
                translation[axis] += value
    units = {axis: item.get("unit", "") for axis, item in zip(axes, about)}
    names = [units.get(axis, units["x"]) for axis in "zyx"]
    spacing, unit = read_spacing(path, [scale[axis] for axis in "zyx"], names)
    origin, _ = read_spacing(path, [translation[axis] for axis in "zyx"], names)
    return Volume(voxels, spacing, unit, origin, has_origin=has_origin, has_direction=False)


def _ome_attributes(group: Any) -> dict[str, Any]:
    """Return a group's metadata: 0.5 keeps it under "ome", 0.4 does not."""
    attributes = group.attrs.asdict()
    return attributes.get("ome", attributes)


def _letter(axis: dict[str, Any]) -> str:
    """Return z, y, x, c (channels), t (time), or i for an axis of another kind."""
    name, kind = str(axis.get("name", "")).lower(), axis.get("type")
    letter = {"channel": "c", "time": "t"}.get(str(kind), name)
    return letter if letter in ("z", "y", "x", "c", "t") else "i"


def _write_zarr(path: Path, volume: Volume) -> None:
    array = create(path, volume.shape, volume.voxels.dtype, volume.spacing, volume.unit, volume.origin)
    for block in blocks(volume.shape, array.shards):
        fill_block(array, block, volume.voxels[block])
    add_pyramid(path)


FORMAT = Format((".ome.zarr", ".zarr"), _open_zarr, _write_zarr, ".ome.zarr")
