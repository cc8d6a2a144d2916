"""The options of ``planewise compare``."""

from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field, field_validator

from planewise.options import Folder, Options, PathText, given_twice

DISTANCES = tyro.conf.arg(metavar="[CLASS=]NUMBER ...")


class Compare(Options):
    """Score the predictions of each method against the truth of one or several datasets, and write one report."""

    datasets: tyro.conf.Positional[tuple[Path, ...]]
    """nnU-Net raw datasets, with instancesTs or labelsTs, and a folder imagesTs_{method} for each method."""
    output: Folder
    """Folder for report.html, results.csv and results.json."""
    method: Annotated[tuple[PathText, ...], tyro.conf.arg(metavar="NAME=FOLDER ...")] = ()
    """More methods, as NAME=FOLDER: a folder in each dataset, or one folder for all. Cases are paired by name."""
    tolerance_nm: Annotated[tuple[str, ...], DISTANCES] = ()
    """Distance within which surfaces agree, for spacing in nm or um: a number for all classes, CLASS=NUMBER for single
    classes. Default, for each case: twice the shortest side of a voxel, or once the longest if that is more."""
    tolerance_mm: Annotated[tuple[str, ...], DISTANCES] = ()
    """The same, for spacing in mm."""
    tolerance_voxels: float | None = Field(None, gt=0)
    """The same, in voxels, for files that state no voxel size."""
    patients: Path | None = None
    """CSV with the columns case and patient, or JSON: scores of one patient's scans are averaged first. Default:
    patients are taken from the case names."""
    patient_pattern: str | None = None
    """Regular expression for the part of a case name (the first group, if there is one) that names the patient."""
    ignore_geometry: bool = False
    """Compare voxel by voxel, and ignore spacing, origin and direction in the files."""

    @field_validator("datasets")
    @classmethod
    def _some(cls, datasets: tuple[Path, ...]) -> tuple[Path, ...]:
        if not datasets:
            raise ValueError("name at least one dataset")
        if twice := given_twice(datasets):
            raise ValueError(f"{twice} is named twice, and each of its cases would count twice")
        return datasets

    @field_validator("method")
    @classmethod
    def _named(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if any(not all(text.partition("=")[::2]) for text in methods):
            raise ValueError("must be NAME=FOLDER")
        names = [text.partition("=")[0] for text in methods]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"{twice} is named twice; give each folder another name")
        return methods

    @field_validator("tolerance_nm", "tolerance_mm")
    @classmethod
    def _distances(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        read_distances(values)
        return values


def read_distances(values: tuple[str, ...]) -> tuple[float | None, dict[str, float]]:
    """Return the distance for all classes (None if it is not given) and the distances of single classes.

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
