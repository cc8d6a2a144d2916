"""The options of ``planewise view``."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options, PathText


class View(Options):
    """Open an image, its truth and every method's labels, in napari or in the browser; or write them for 3D Slicer."""

    path: tyro.conf.Positional[Path]
    """A nnU-Net raw dataset, an image of one, a folder of results, a result, or any volume, such as an .ome.zarr."""
    case: str | None = None
    """Which case, where there are several."""
    at: tuple[int, int, int] | None = None
    """The voxel z y x to open at, as reports count. Default: the middle, the chosen object, or the first mistake."""
    object: int | None = Field(None, ge=1)
    """The object to open at, alone in 3D: an id in the result; of a dataset in the first of --labels, the first
    method, or the truth."""
    errors: tuple[Path, ...] | None = None
    """List merges, splits, missed and false objects, those of most voxels first, each with a link to its place: as the
    results.json of planewise compare has them, a file, or without one those beside the results."""
    viewer: Literal["auto", "napari", "neuroglancer"] = "auto"
    """napari, or neuroglancer in the browser. auto: napari where it is installed and there is a screen."""
    slicer: Folder | None = None
    """Write a scene for 3D Slicer into this new folder instead: {case}.mrml, the image, and labels as .seg.nrrd."""
    image: Path | None = None
    """The image of a result, where it is not known: a volume, or a folder of volumes."""
    truth: Path | None = None
    """The true labels, where they are not beside the image: a volume, or a folder of them."""
    labels: Annotated[tuple[PathText, ...], tyro.conf.arg(metavar="[NAME=]PATH ...")] = ()
    """More labels, PATH or NAME=PATH: volumes, or folders of them. The first are visible, unless the path itself holds
    labels."""
    channel: int | None = Field(None, ge=0)
    """Channel of the image, from 0, where it has several: the file {case}_000N, or that of the file itself."""
    port: int = Field(0, ge=0, le=65535)
    """Port of this machine that neuroglancer is served at. Default: a free one."""
    ignore_geometry: bool = False
    """Take labels voxel by voxel as the arrays lie, whatever spacing, origin and direction the files say."""

    @field_validator("errors")
    @classmethod
    def _one_file(cls, errors: tuple[Path, ...] | None) -> tuple[Path, ...] | None:
        if errors is not None and len(errors) > 1:
            raise ValueError("must be one results.json, or none: those beside the results")
        return errors
