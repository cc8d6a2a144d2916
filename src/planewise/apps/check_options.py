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
    """A model to check them against: the YAML or .empanada archive of a MitoNet, weights of SAM2, or a published
    model's name."""
    json_file: Path | None = None
    """Also write everything as JSON into this file."""
    intensity: tuple[float, float] | None = None
    """What is black and what is white to the model, in the volumes' own intensities; see planewise mito predict."""
    invert: bool = False
    """Contrast is inverted relative to the images that the model was trained on."""
    channel: int | None = Field(None, ge=0)
    """Channel to look at, from 0, where images have several."""
    sequence: SequenceChoice = "auto"
    """Whether TIFF or PNG images in a folder are the slices of one volume; see planewise mito predict."""
    ignore_geometry: bool = False
    """Match image and labels voxel by voxel, whatever spacing, origin and direction the files give."""
    patients: Path | None = None
    """CSV of case,patient, or JSON. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the patient."""

    @field_validator("paths")
    @classmethod
    def _some(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        if not paths:
            raise ValueError("name at least one dataset or volume")
        return paths
