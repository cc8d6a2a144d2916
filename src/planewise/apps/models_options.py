"""The options of ``planewise models ...``."""

from pathlib import Path

import tyro
from pydantic import field_validator

from planewise.models.archive import ARCHIVE
from planewise.options import Options

PACKAGE = ".zip"  # of bioimage.io


class Models(Options):
    """List the models known by name, with kind, size, licence and whether the weights are here; or show one in full.

    planewise models export writes a model as one file."""

    name: tyro.conf.Positional[str | None] = None
    """The model to show in full, with citation, source, sha256 and file."""


class ModelsExport(Options):
    """Write a MitoNet as one file, for empanada-napari or for the programs that read the bioimage.io format."""

    model: tyro.conf.Positional[Path]
    """The model's YAML or .empanada archive, or the name of a published model."""
    output: tyro.conf.Positional[Path]
    """NAME.empanada, which empanada-napari imports and planewise accepts as a model; or NAME.zip in the bioimage.io
    format, which is test-run with the bioimage.io library before it is kept. The model in it is called NAME."""
    overwrite: bool = False
    """Replace an existing file."""

    @field_validator("output")
    @classmethod
    def _of_a_format(cls, path: Path) -> Path:
        if path.suffix.lower() not in (ARCHIVE, PACKAGE):
            raise ValueError(f"must end in {ARCHIVE} or {PACKAGE}")
        return path
