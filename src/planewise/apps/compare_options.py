"""The options of ``planewise compare``."""

from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options, PathText

DISTANCES = tyro.conf.arg(metavar="[CLASS=]NUMBER ...")


class Compare(Options):
    """Score every method's predictions beside the truth of one or several datasets, and write one report."""

    datasets: tyro.conf.Positional[tuple[Path, ...]]
    """nnU-Net raw datasets: instancesTs or labelsTs, and a folder imagesTs_{method} for each method."""
    output: Folder
    """Folder for report.html, results.csv and results.json."""
    method: Annotated[tuple[PathText, ...], tyro.conf.arg(metavar="NAME=FOLDER ...")] = ()
    """More methods, NAME=FOLDER: a folder in every dataset, or one for all, whose cases are paired by name."""
    tolerance_nm: Annotated[tuple[str, ...], DISTANCES] = ()
    """Distance within which surfaces agree, where spacing is in nm or um: a number, and CLASS=NUMBER for classes.
    Default: by each case's voxels, two along their finest side, or one along the coarsest where that is more."""
    tolerance_mm: Annotated[tuple[str, ...], DISTANCES] = ()
    """The same where spacing is in mm."""
    tolerance_voxels: float | None = Field(None, gt=0)
    """The same where the files do not say what a voxel measures."""
    patients: Path | None = None
    """CSV of case,patient, or JSON: scans of one patient are averaged first. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the patient."""
    ignore_geometry: bool = False
    """Compare voxel by voxel, whatever spacing, origin and direction the files give."""

    @field_validator("datasets")
    @classmethod
    def _some(cls, datasets: tuple[Path, ...]) -> tuple[Path, ...]:
        if not datasets:
            raise ValueError("name at least one dataset")
        return datasets

    @field_validator("method")
    @classmethod
    def _named(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if any(not all(text.partition("=")[::2]) for text in methods):
            raise ValueError("must be NAME=FOLDER")
        return methods

    @field_validator("tolerance_nm", "tolerance_mm")
    @classmethod
    def _distances(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        read_distances(values)
        return values


def read_distances(values: tuple[str, ...]) -> tuple[float | None, dict[str, float]]:
    """Return the distance for all classes, None if it is not given, and those of single classes.

    Raises ValueError for anything but positive numbers.
    """
    general, by_class = None, {}
    for text in values:
        name, _, number = text.rpartition("=")
        try:
            distance = float(number)
        except ValueError:
            distance = 0.0
        if not 0 < distance < float("inf"):
            raise ValueError("must be positive numbers, alone or as CLASS=NUMBER")
        if name:
            by_class[name] = distance
        else:
            general = distance
    return general, by_class
