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
    """Label volume, or a folder of them: the masks whose findings are audited."""
    output: Folder
    """Folder for the plan and the items' files; one that is not there yet."""
    budget: int = Field(30, ge=1)
    """Items to correct, of all cases together."""
    quantity: tuple[Quantity, ...] = ("volume_fraction",)
    """What is estimated: from slices volume_fraction, class_ml; from boxes count, number_density, mean_volume."""
    image: Path | None = None
    """Image, or folder of images, that the result was made of. Default: imagesTs beside the folder, if there is one."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """NAME=VALUE or NAME=VALUE,VALUE for each class. Default: all values above 0 are one; of class_ml each is one."""
    within: Path | None = None
    """Label volume, or a folder of them: only voxels above 0 in it count, as a class and as volume."""
    conditions: Path | None = None
    """CSV of case,condition, with two conditions, whose difference is estimated."""
    patients: Path | None = None
    """CSV of case,patient, or JSON: which cases are one animal or patient. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the animal or patient."""
    count_by: Literal["boxes", "objects"] = "boxes"
    """Of objects: correct boxes whole; or predicted objects one by one, and boxes only for what was missed."""
    confidence: Path | None = None
    """CSV of case,object,confidence: with --count_by objects the uncertain ones are drawn apart from the certain.
    Default: the confidences that mito predict wrote beside the labels, {case}_objects.csv, if there are any."""
    box: tuple[int, int, int] | None = None
    """Sides of a box in voxels (z, y, x). Default: so that it holds about three objects."""
    context: tuple[int, int, int] | None = None
    """Voxels (z, y, x) that are written around an item. Default: two slices; as far as objects reach."""
    design: Literal["stratified", "systematic"] = "stratified"
    """How slices are drawn: at random within strata, whose interval holds whatever the errors are; or at equal
    distances from a random start, whose interval holds only where errors change smoothly along the axis."""
    seed: int | None = Field(None, ge=0)
    """Seed of the random draw. Default: computed from the masks, so that it cannot be chosen."""
    channel: int | None = Field(None, ge=0)
    """Channel to show, from 0, where images have several."""
    ignore_geometry: bool = False
    """Match image and labels voxel by voxel, whatever spacing, origin and direction the files give."""

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
    """The folder that planewise audit plan made; the report is written into its folder report."""
    answers: Path | None = None
    """The table of what was done, and of counts in place of corrected labels. Default: answers.csv of the plan."""


def read_classes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return the values of each class by name. Raises ValueError for what is not NAME=VALUE,..."""
    classes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        values = numbers.split(",")
        if not name or not all(value.strip().isdecimal() and int(value) for value in values):
            raise ValueError("must be NAME=VALUE or NAME=VALUE,VALUE, with values above 0")
        if name in classes or name in ("item", "case", "what", "done", "objects", "voxels"):
            raise ValueError(f"{name} is there twice, or is a word of the table's own")
        classes[name] = tuple(int(value) for value in values)
    return classes
