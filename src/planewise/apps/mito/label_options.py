"""The options of the ``planewise mito ...`` commands that take label volumes of any method: evaluate and measure."""

import re
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options


class MitoEvaluate(Options):
    """Score predicted instances against the truth."""

    predictions: tyro.conf.Positional[Path]
    """A label volume, or a folder of label volumes."""
    truth: tyro.conf.Positional[Path]
    """The true instances: a volume, or a folder of volumes with the same names as the predictions."""
    output: Folder | None = None
    """Folder for the two result files. Default: evaluation/ in the folder of the predictions."""
    things: tuple[str, ...] = ()
    """For several classes, given by classes/{case} beside the predictions and labelsTs beside the truth: score the
    objects of each of these classes, and the voxels of each other class in the truth's dataset.json."""
    semantic_class: str | None = None
    """For a semantic map as truth: score the voxels of this class, a value or a name in the dataset.json above the
    truth. The instance columns stay empty."""
    ignore_geometry: bool = False
    """Compare voxel by voxel, and ignore spacing, origin and direction in the files."""


class MitoMeasure(Options):
    """Measure the objects of label volumes: sizes, shapes, contacts and densities; and compare conditions."""

    labels: tyro.conf.Positional[Annotated[tuple[Path, ...], Field(min_length=1)]]
    """Label volumes of any method, or folders of label volumes, named {case} as elsewhere; each label above 0 is an
    object."""
    image: Path | None = None
    """The image, or a folder of images with the same names as the labels: for mean intensities, and for the spacing if
    the labels' file states none."""
    reference: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=PATH ...")] = ()
    """Other label volumes to measure contacts with and distances to, as NAME=PATH, a file or a folder: such as
    nucleus=nuclei/ membrane=membranes/."""
    classes: Path | None = None
    """Volumes of the class of each voxel, a file or a folder, such as classes/ beside the results of mito predict with
    several classes: each object gets its class, and contacts of objects with each class, and between classes, are
    measured. Class names come from the dataset.json in the folder or above it."""
    groups: Path | None = None
    """CSV with the columns case, animal and condition: compare the conditions, with the animal as the unit."""
    output: Folder | None = None
    """Folder for the tables and pictures. Default: measures/ in the folder of the first labels."""
    channel: int | None = Field(None, ge=0)
    """Channel of the image, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    ignore_geometry: bool = False
    """Match labels, image and references voxel by voxel, and ignore spacing, origin and direction in the files."""
    overwrite: bool = False
    """Measure again the cases that are already done."""

    @field_validator("reference")
    @classmethod
    def _names_and_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [text.partition("=")[0] for text in value]
        if not all(re.fullmatch(r"[A-Za-z]\w*=.+", text) for text in value) or len(set(names)) < len(names):
            raise ValueError("must be NAME=PATH, each name once and made of letters, digits and '_'")
        return value
