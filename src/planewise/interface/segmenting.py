"""The function segment: segments a volume with a model."""

import os
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError
from planewise.interface.calls import call, image_of, name_of, path_of
from planewise.interface.model import Model, load_model
from planewise.progress import ProgressFunction, first_few
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats import ending_of
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
    """Segment a volume; return its labels on the same grid, as the command line writes them.

    ``volume``: a path, an array (z, y, x) of any library, an xarray.DataArray, a layer of napari, or a ``Volume``: see
    ``open``. ``model``: see ``load_model``; it determines the application. MitoNet gives instances, SAM2 classes.

    ``prompts``, for SAM2: None or "auto" searches for all classes that the model was trained to segment without boxes,
    "lungs" does so in each slice separately. For drawn boxes give a table (pandas, or mappings with class, slice, x0,
    y0, x1, y1 in the canonical orientation), or the path of a CSV or JSON that also has the column case. ``truth``:
    labels to take the boxes from, as an oracle.

    ``output``, for MitoNet: the path of an .ome.zarr. The volume is then streamed, and the returned volume is read from
    there when it is indexed. Without it the volume is read whole, and refused if it needs more than ``memory`` (by
    default half of the machine's). SAM2 reads a CT whole.

    ``progress``: a function that is called with a ``Progress``, True to print as the command does, None for nothing.
    ``options``: those of ``planewise mito predict`` or ``planewise ild predict``, by name.

    Raises PlanewiseError for a volume, model or option that cannot be used, for a folder of volumes, and for a volume
    that planewise predicted.
    """
    with call(progress):
        name = name_of(volume, "volume")
        source = Path(volume) if isinstance(volume, str | os.PathLike) else None
        try:
            opened = image_of(volume, name, channel)
        except PlanewiseError as error:
            if source is not None and (volumes := _volumes_within(source)):
                named = first_few([path.name for path in volumes])
                raise PlanewiseError(
                    f"{source}: is a folder of volumes, {named}, and one volume is segmented at a time: call "
                    "planewise.segment for each; the commands planewise mito predict and planewise ild predict take a "
                    "folder"
                ) from error
            raise
        loaded = load_model(model)
        given = options if channel is None else options | {"channel": channel}
        target = None if output is None else path_of(output, "output")
        return loaded.segment(opened, name, prompts, truth, target, given, source)


def _volumes_within(folder: Path) -> list[Path]:
    """Return the volumes in a folder; none if it is no folder, or if its files are slices, the first having one."""
    volumes = volumes_in(folder) if folder.is_dir() and not ending_of(folder) else []
    return volumes if volumes and open_volume(volumes[0]).shape[0] > 1 else []
