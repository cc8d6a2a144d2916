"""OME-Zarr volumes: reads 0.4 and 0.5; writes 0.5 with shards and a pyramid, as a whole or block by block.

Labels have ``image-label`` metadata, which mark them for viewers and give the names and colours of classes.
"""

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.atomic import refused_when_full
from planewise.volumes.axes import as_zyx, order_of
from planewise.volumes.formats import Format, stem_of
from planewise.volumes.label_names import LabelNames, hexadecimal, rgb
from planewise.volumes.units import read_spacing
from planewise.volumes.volume import Volume

CHUNK = 128  # voxels on a side
LEAST_LEVEL = 256  # a volume whose sides are all at most this long needs no smaller copy
# Zarr's search for empty chunks, to omit them, costs twice as much as compressing and writing them.
AS_IT_IS = {"write_empty_chunks": True}
LONG_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter"}

Index = tuple[slice, slice, slice]


def create(
    path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    spacing: tuple[float, ...],
    unit: str,
    origin: tuple[float, ...],
    shards: tuple[int, ...] | None = None,
    labels: LabelNames | None = None,
) -> Any:
    """Return the empty full-resolution array (z, y, x) of a new OME-Zarr 0.5 at ``path``; all of it reads as 0.

    ``shards``: the shape of its files, multiples of ``CHUNK``; None: up to 512 voxels on a side. ``labels``: the names
    of the values, if they are labels.
    """
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = _level(group, "0", shape, dtype, shards)
    _describe(group, stem_of(path), [array], spacing, unit, origin)
    if labels is not None:
        group.attrs["ome"] = {**group.attrs["ome"], "image-label": _image_label(labels)}
    return array


def _image_label(labels: LabelNames) -> dict[str, Any]:
    """Return the metadata of labels; without classes, they only state that the values are labels."""
    about: dict[str, Any] = {}
    if labels.colours:
        colours = {value: [*rgb(colour), 255] for value, colour in labels.colours.items()}
        about["colors"] = [{"label-value": value, "rgba": rgba} for value, rgba in colours.items()]
    if labels.names:
        about["properties"] = [{"label-value": value, "name": name} for value, name in labels.names.items()]
    return about


def _label_names(about: Any) -> LabelNames:
    """Return the names and colours in ``image-label`` metadata of any program; invalid entries are ignored."""
    names, given = {}, {}
    for value, entry in _by_value(about, "properties"):
        name = next((entry[key] for key in ("name", "class", "label") if isinstance(entry.get(key), str)), None)
        if name is not None:
            names[value] = name
    for value, entry in _by_value(about, "colors"):
        rgba = entry.get("rgba")
        parts = rgba[:3] if isinstance(rgba, list) else []
        if value and len(parts) == 3 and all(isinstance(part, int) and 0 <= part < 256 for part in parts):
            given[value] = hexadecimal(*parts)
    return LabelNames(names, given)


def _by_value(about: Any, kind: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the entries of a list in ``image-label`` metadata that belong to a label value, as (value, entry)."""
    entries = about.get(kind) if isinstance(about, dict) else None
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [(entry["label-value"], entry) for entry in entries if isinstance(entry.get("label-value"), int)]


def name_store(path: Path, name: str) -> None:
    """Name the image in the store at ``path``, as viewers show it."""
    import zarr

    group = zarr.open_group(path, mode="r+")
    about = group.attrs["ome"]
    about["multiscales"][0]["name"] = name
    group.attrs["ome"] = about


def _level(group: Any, name: str, shape: tuple[int, ...], dtype: Any, shards: tuple[int, ...] | None) -> Any:
    chunks = tuple(min(CHUNK, side) for side in shape)
    most = shards or (4 * CHUNK,) * 3
    within = tuple(chunk * max(1, min(limit, side) // chunk) for chunk, limit, side in zip(chunks, most, shape))
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        shards=within,
        dtype=dtype,
        dimension_names=list("zyx"),
        fill_value=0,
        overwrite=True,  # a level left by a stopped run
        config=AS_IT_IS,
    )


def open_to_fill(path: Path) -> Any:
    """Return the full-resolution array of a store made by ``create``, for ``fill_block``."""
    import zarr

    return zarr.open(path / "0", mode="r+", config=AS_IT_IS)  # ``open_array`` ignores the config


def fill_block(array: Any, block: Index, voxels: np.ndarray) -> None:
    """Write ``voxels`` into a block of ``array``, one of its files (shards), which reads as 0 so far.

    No file is written for an empty block. Raises ``DiskFull``.
    """
    if voxels.any():
        with refused_when_full(Path(array.store.root), voxels.nbytes):
            array[block] = voxels


def _describe(
    group: Any, name: str, levels: list[Any], spacing: tuple[float, ...], unit: str, origin: tuple[float, ...]
) -> None:
    """Write the metadata of the levels; each has twice the voxel size of the one before, and the same first voxel.

    The group's metadata of labels stay.
    """
    named = {"unit": LONG_UNITS[unit]} if unit in LONG_UNITS else {}
    datasets = []
    for number in range(len(levels)):
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [size * 2**number for size in spacing]}]
        if any(origin):
            transforms.append({"type": "translation", "translation": list(origin)})
        datasets.append({"path": str(number), "coordinateTransformations": transforms})
    axes = [{"name": axis, "type": "space", **named} for axis in "zyx"]
    before = group.attrs.get("ome", {})
    image = {"name": name, "axes": axes, "datasets": datasets}
    group.attrs["ome"] = {**before, "version": "0.5", "multiscales": [image]}


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
    origin = tuple(first.get("translation", (0.0, 0.0, 0.0)))
    _describe(group, image["name"], levels, tuple(first["scale"]), unit, origin)


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
    """Return how many chunks of a Zarr array are not stored, and so read as its fill value, and its number of chunks.

    For a sharded array the shards, which are its files, are counted: chunks within them may be omitted on purpose.
    """
    array = getattr(array, "array", array)  # of which some axes are read
    files = array.shards or array.chunks
    count = math.prod(-(-whole // side) for whole, side in zip(array.shape, files))
    stored = array.nchunks_initialized // math.prod(file // chunk for file, chunk in zip(files, array.chunks))
    return count - stored, count


def _open_zarr(path: Path, channel: int | None) -> Volume:
    return open_levels(path, channel)[0]


def open_levels(path: Path, channel: int | None = None) -> list[Volume]:
    """Open the volume at ``path`` with its smaller copies, the finest first. For errors see ``open_volume``."""
    import zarr

    group = zarr.open(path, mode="r")
    if isinstance(group, zarr.Array):
        raise PlanewiseError(f"{path}: is a bare Zarr array; an OME-Zarr image (0.4 or 0.5) names its axes")
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
    image_label = attributes.get("image-label")
    labels = None if image_label is None else _label_names(image_label)
    return [_open_level(path, group, multiscales[0], level, channel, labels) for level in multiscales[0]["datasets"]]


def _open_level(
    path: Path, group: Any, image: dict[str, Any], level: dict[str, Any], channel: int | None, labels: LabelNames | None
) -> Volume:
    array = group[level["path"]]
    about = [axis if isinstance(axis, dict) else {"name": axis} for axis in image["axes"]]  # 0.3 has names only
    axes = "".join(_letter(axis) for axis in about)
    if len(axes) != array.ndim:
        raise PlanewiseError(f"{path}: has shape {array.shape}, and metadata of {len(axes)} axes")
    voxels = as_zyx(path, array, axes, channel)
    scale, translation = dict.fromkeys("zyx", 1.0), dict.fromkeys("zyx", 0.0)
    has_origin = False
    for transform in [*level.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
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
    return Volume(
        voxels,
        spacing,
        unit,
        origin,
        has_origin=has_origin,
        has_direction=False,
        labels=labels,
        stored_axes=order_of(axes),
    )


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
    about = volume.spacing, volume.unit, volume.origin
    array = create(path, volume.shape, volume.voxels.dtype, *about, labels=volume.labels)
    for block in blocks(volume.shape, array.shards):
        fill_block(array, block, volume.voxels[block])
    add_pyramid(path)


FORMAT = Format((".ome.zarr", ".zarr"), _open_zarr, _write_zarr, ".ome.zarr")
