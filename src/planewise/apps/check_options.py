"""The options of ``planewise check``."""

from pathlib import Path

import tyro
from pydantic import Field, field_validator

from planewise.data.image_sequences import SequenceChoice
from planewise.options import Options


class Check(Options):
    """Show what datasets, volumes or DICOM folders hold, and what is wrong with them, before anything runs."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """nnU-Net raw datasets, volumes, folders of volumes, or folders of DICOM series."""
    model: Path | None = None
    """A model to check the images against: the YAML or .empanada archive of a MitoNet, weights of a SAM2, or the name
    of a published model."""
    json_file: Path | None = None
    """Also write everything as JSON into this file."""
    intensity: tuple[float, float] | None = None
    """Intensities of the volumes that become black and white; see planewise mito predict."""
    invert: bool = False
    """The images have the opposite contrast to those that the model was trained on."""
    channel: int | None = Field(None, ge=0)
    """Channel to look at, counted from 0, for images with several."""
    sequence: SequenceChoice = "auto"
    """Whether TIFF or PNG images in a folder are the slices of one volume; see planewise mito predict."""
    ignore_geometry: bool = False
    """Match image and labels voxel by voxel, and ignore spacing, origin and direction in the files."""
    patients: Path | None = None
    """CSV with the columns case and patient, or JSON: which cases belong to one patient. Default: taken from the case
    names."""
    patient_pattern: str | None = None
    """Regular expression for the part of a case name (the first group, if there is one) that names the patient."""

    @field_validator("paths")
    @classmethod
    def _some(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        if not paths:
            raise ValueError("name at least one dataset or volume")
        return paths
