"""The options of ``planewise view``."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options, PathText


class View(Options):
    """Open an image, its truth and the labels of all methods in napari or in the browser; or write them for 3D
    Slicer."""

    path: tyro.conf.Positional[Path]
    """A nnU-Net raw dataset, an image in one, a folder of results, a result, or any volume, such as an .ome.zarr."""
    case: str | None = None
    """Which case to show, if there are several."""
    at: tuple[int, int, int] | None = None
    """The voxel z y x to open at, counted as in reports. Default: the chosen object, the first mistake, or the
    middle."""
    object: int | None = Field(None, ge=1)
    """The object to open at, the only one shown in 3D: an id in the result. For a dataset: an id in the first of
    --labels, the first method, or the truth."""
    errors: tuple[Path, ...] | None = None
    """List merges, splits, missed and false objects, largest first, each with a link to its place. They are read from
    this results.json of planewise compare; without a file, from those beside the results."""
    viewer: Literal["auto", "napari", "neuroglancer"] = "auto"
    """napari, or neuroglancer in the browser. auto: napari where it is installed and there is a screen."""
    slicer: Folder | None = None
    """Write a scene for 3D Slicer into this new folder instead: {case}.mrml, the image, and labels as .seg.nrrd."""
    image: Path | None = None
    """The image of a result, if it is not known: a volume, or a folder of volumes."""
    truth: Path | None = None
    """The true labels, if they are not beside the image: a volume, or a folder of volumes."""
    labels: Annotated[tuple[PathText, ...], tyro.conf.arg(metavar="[NAME=]PATH ...")] = ()
    """More labels, as PATH or NAME=PATH: volumes, or folders of volumes. The first are visible, unless the path to view
    holds labels itself."""
    channel: int | None = Field(None, ge=0)
    """Channel of the image, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    port: int = Field(0, ge=0, le=65535)
    """Port of this machine on which neuroglancer is served. Default: a free one."""
    ignore_geometry: bool = False
    """Match labels voxel by voxel, and ignore spacing, origin and direction in the files."""

    @field_validator("errors")
    @classmethod
    def _one_file(cls, errors: tuple[Path, ...] | None) -> tuple[Path, ...] | None:
        if errors is not None and len(errors) > 1:
            raise ValueError("must be one results.json, or no path, for those beside the results")
        return errors
