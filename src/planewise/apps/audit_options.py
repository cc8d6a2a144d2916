"""The options of ``planewise audit plan`` and ``planewise audit report``."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options

Quantity = Literal["volume_fraction", "class_ml", "count", "number_density", "mean_volume"]


class AuditPlan(Options):
    """Draw a random sample of a result to correct, from which its findings get valid confidence intervals."""

    result: tyro.conf.Positional[Path]
    """Label volume, or a folder of label volumes: the masks to audit."""
    output: Folder
    """New folder for the plan and the items' files."""
    budget: int = Field(30, ge=1)
    """Total number of items to correct, over all cases."""
    quantity: tuple[Quantity, ...] = ("volume_fraction",)
    """Quantities to estimate. From slices: volume_fraction, class_ml. From boxes: count, number_density,
    mean_volume."""
    image: Path | None = None
    """Image, or folder of images, that the result was made from. Default: imagesTs beside the folder, if it exists."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """NAME=VALUE or NAME=VALUE,VALUE for each class. Default: all values above 0 form one class; for class_ml, each
    value is a class."""
    within: Path | None = None
    """Label volume, or a folder of label volumes: only voxels where it is above 0 count, both for the classes and for
    the reference volume."""
    conditions: Path | None = None
    """CSV with the columns case and condition. It must name two conditions; their difference is estimated."""
    patients: Path | None = None
    """CSV with the columns case and patient, or JSON: which cases belong to one animal or patient. Default: taken from
    the case names."""
    patient_pattern: str | None = None
    """Regular expression for the part of a case name (the first group, if there is one) that names the animal or
    patient."""
    count_by: Literal["boxes", "objects"] = "boxes"
    """How objects are counted. boxes: all objects in a box are corrected. objects: predicted objects are checked one by
    one, and boxes serve only to find missed objects."""
    confidence: Path | None = None
    """CSV with the columns case, object and confidence. With --count_by objects, uncertain and certain objects are
    drawn from separate strata. Default: {case}_objects.csv beside the labels, as mito predict writes it, if it
    exists."""
    box: tuple[int, int, int] | None = None
    """Sides of a box in voxels (z, y, x). Default: large enough to hold about three objects."""
    context: tuple[int, int, int] | None = None
    """Margin of voxels (z, y, x) written around an item. Default: two slices for slices; for boxes, as far as objects
    reach."""
    design: Literal["stratified", "systematic"] = "stratified"
    """How slices are drawn. Random within strata: the interval is valid whatever the errors are. Systematic, at equal
    distances from a random start: the interval is valid only if errors change smoothly along the axis."""
    seed: int | None = Field(None, ge=0)
    """Seed of the random draw. Default: computed from the masks, so that nobody can choose a favourable one."""
    channel: int | None = Field(None, ge=0)
    """Channel to show, counted from 0, for images with several."""
    ignore_geometry: bool = False
    """Match image and labels voxel by voxel, and ignore spacing, origin and direction in the files."""

    @field_validator("quantity")
    @classmethod
    def _some(cls, quantities: tuple[str, ...]) -> tuple[str, ...]:
        if not quantities or len(set(quantities)) < len(quantities):
            raise ValueError("name at least one quantity, and each once")
        return quantities

    @field_validator("classes")
    @classmethod
    def _classes(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        read_classes(texts)
        return texts

    @field_validator("box", "context")
    @classmethod
    def _sides(cls, sides: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        if sides is not None and min(sides) < 0:
            raise ValueError("must be three numbers of voxels, 0 or more")
        return sides


class AuditReport(Options):
    """Turn the corrected items of a plan into findings with 95 % intervals, and a page that shows what was changed."""

    plan: tyro.conf.Positional[Path]
    """The folder that planewise audit plan made; the report goes to its subfolder report."""
    answers: Path | None = None
    """Table of the finished items, and of counts given in place of corrected labels. Default: answers.csv of the
    plan."""


def read_classes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return the values of each class by name. Raises ValueError for text that is not NAME=VALUE,..."""
    classes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        values = numbers.split(",")
        if not name or not all(value.strip().isdecimal() and int(value) for value in values):
            raise ValueError("must be NAME=VALUE or NAME=VALUE,VALUE, with values above 0")
        if name in classes or name in ("item", "case", "what", "done", "objects", "voxels"):
            raise ValueError(f"{name} is given twice, or is a reserved word of the table")
        classes[name] = tuple(int(value) for value in values)
    return classes
