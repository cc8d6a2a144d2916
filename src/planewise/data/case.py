"""A case: a name, its image, its truth. Names of files are understood here and nowhere else."""

import re
from dataclasses import dataclass
from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.volumes.formats import ending_of, endings, stem_of

CHANNEL = re.compile(r"_(\d{4})$")  # of nnU-Net's image names: {case}_0000


@dataclass(frozen=True)
class Case:
    """One image with its truth, which a test case may lack. ``instances``: whether the truth holds instance ids."""

    name: str
    image: Path
    truth: Path | None
    instances: bool


def images_beside(truth: Path) -> dict[str, Path]:
    """Return the test images beside the folder of their truth (``instancesTs``, ``labelsTs``), by case; maybe none."""
    folder = truth.absolute().parent / "imagesTs"
    if not folder.is_dir():
        return {}
    series = {case_name(path): path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    return series | {case_name(path): path for path in volumes_in(folder)}


def volumes_in(folder: Path) -> list[Path]:
    """Return the files of ``folder`` with a volume's ending, by name; hidden ones are passed over.

    Raises PlanewiseError if it is no folder.
    """
    if not folder.is_dir():
        raise PlanewiseError(f"{folder}: is neither a folder nor a volume; volumes end in {endings()}")
    return sorted(path for path in folder.iterdir() if ending_of(path) and not path.name.startswith("."))


def file_of_case(case: str, folder: Path, what: str) -> Path:
    """Return the file of ``case`` in ``folder``; ``what`` it is, for the error if there is not exactly one."""
    found = [file for file in volumes_in(folder) if case_name(file) == case]
    if len(found) != 1:
        raise PlanewiseError(f"{folder}: holds {len(found)} files of case {case}; one {what} is needed")
    return found[0]


def case_name(path: Path) -> str:
    """Return the case of an image: its name without ending and without nnU-Net's ``_0000``."""
    return CHANNEL.sub("", stem_of(path))
