"""The verb segment: a volume and a model give labels."""

import os
from pathlib import Path
from typing import Any

from planewise.interface.calls import call, name_of, path_of
from planewise.interface.model import Model, load_model
from planewise.progress import ProgressFunction
from planewise.volumes.arrays import as_volume
from planewise.volumes.volume import Volume


def segment(
    volume: Any,
    model: str | os.PathLike[str] | Model,
    *,
    prompts: Any = None,
    truth: Any = None,
    output: str | os.PathLike[str] | None = None,
    channel: int | None = None,
    progress: ProgressFunction | bool | None = None,
    **options: Any,
) -> Volume:
    """Return the labels of a volume, on its grid: the same as the command line writes.

    ``volume``: a path, an array (z, y, x) of any library, an xarray.DataArray, a layer of napari, or a ``Volume``: see
    ``open``. ``model``: see ``load_model``; it says which application this is. MitoNet gives instances, SAM2 classes.

    ``prompts``, for SAM2: None or "auto" finds every class that the model was trained to find by itself, "lungs" does
    so in each slice alone; a table of boxes (pandas, or mappings with class, slice, x0, y0, x1, y1 in the canonical
    orientation) or the path of a CSV or JSON with the column case besides starts from drawn boxes. ``truth``: labels to
    take the boxes from, an oracle.

    ``output``, for MitoNet: an .ome.zarr. The volume is segmented from store to store, piece by piece, and what is
    returned is read from there when it is indexed. Without it the volume is read whole, and one that needs more than
    ``memory`` (half of the machine's by default) is refused. SAM2 reads a CT whole.

    ``progress``: a function that is called with a ``Progress``, True for what a command prints, None for nothing.
    ``options``: those of ``planewise mito predict`` or ``planewise ild predict`` by name.

    Raises PlanewiseError for a volume, model or option that cannot be used.
    """
    with call(progress):
        name = name_of(volume, "volume")
        opened = as_volume(volume, channel, name=name)
        loaded = load_model(model)
        source = Path(volume) if isinstance(volume, str | os.PathLike) else None
        given = options if channel is None else options | {"channel": channel}
        target = None if output is None else path_of(output, "output")
        return loaded.segment(opened, name, prompts, truth, target, given, source)
