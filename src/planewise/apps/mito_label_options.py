"""The options of the ``planewise mito ...`` commands that take labels, by any method: evaluate and measure."""

import re
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options


class MitoEvaluate(Options):
    """Score predicted instances against the truth."""

    predictions: tyro.conf.Positional[Path]
    """A label volume, or a folder of them."""
    truth: tyro.conf.Positional[Path]
    """The true instances: a volume, or a folder of them, named {case} as the predictions are."""
    output: Folder | None = None
    """Folder for the two result files. Default: evaluation/ in the folder of the predictions."""
    things: tuple[str, ...] = ()
    """There are several classes, by classes/{case} beside the predictions and labelsTs beside the truth: score the
    objects of these classes, each by itself, and the voxels of the others that the truth's dataset.json names."""
    semantic_class: str | None = None
    """The truth is a semantic map: score the voxels of this class, a value, or a name in the dataset.json above the
    truth; the instance columns stay empty."""
    ignore_geometry: bool = False
    """Compare voxel by voxel, whatever spacing, origin and direction the files give."""


class MitoMeasure(Options):
    """Measure the objects of label volumes: sizes, shapes, contacts, densities, and conditions compared."""

    labels: tyro.conf.Positional[Annotated[tuple[Path, ...], Field(min_length=1)]]
    """Label volumes of any method, or folders of them, named {case} as elsewhere; every label above 0 is an object."""
    image: Path | None = None
    """The image, or a folder of images named as the labels are: for mean intensities, and for the spacing where the
    labels' own file does not say any."""
    reference: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=PATH ...")] = ()
    """Other label volumes, NAME=PATH, a file or a folder: contacts with them and distances to them, such as
    nucleus=nuclei/ membrane=membranes/."""
    classes: Path | None = None
    """Volumes, a file or a folder, that say which class each voxel is of, such as classes/ beside what mito predict
    made with several classes: objects get their class, contacts of objects with each class and between the classes are
    measured. The names are those of the dataset.json in the folder, or above it."""
    groups: Path | None = None
    """CSV with the columns case, animal and condition: conditions are compared, with the animal as the unit."""
    output: Folder | None = None
    """Folder for the tables and pictures. Default: measures/ in the folder of the first labels."""
    channel: int | None = Field(None, ge=0)
    """Channel of the image, from 0, where it has several: the file {case}_000N, or that of the file itself."""
    ignore_geometry: bool = False
    """Match labels, image and references voxel by voxel, whatever spacing, origin and direction the files give."""
    overwrite: bool = False
    """Measure cases again that are done already."""

    @field_validator("reference")
    @classmethod
    def _names_and_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [text.partition("=")[0] for text in value]
        if not all(re.fullmatch(r"[A-Za-z]\w*=.+", text) for text in value) or len(set(names)) < len(names):
            raise ValueError("must be NAME=PATH for each, every name once, of letters, digits and '_'")
        return value
