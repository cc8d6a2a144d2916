"""The options of ``planewise mito predict`` and ``suggest``, each once, for command line, Python and manifests.

Those of training are in ``mito_train_options``, those of commands that take labels, by any method, in
``mito_label_options``.
"""

import math
from pathlib import Path
from typing import Literal

import tyro
from pydantic import Field, ValidationInfo, field_validator

from planewise.data.image_sequences import SequenceChoice
from planewise.device import DeviceName, PrecisionName
from planewise.options import Folder, Options
from planewise.volumes.slices import PLANES, Plane


def distinct_planes(planes: tuple[Plane, ...] | None) -> tuple[Plane, ...] | None:
    """Return ``planes``. Raises ValueError if there is none, or one twice."""
    if planes is None:
        return None
    if not planes or len(set(planes)) < len(planes):
        raise ValueError(f"must name one or more of {', '.join(PLANES)}, each once")
    return planes


def low_and_high(intensity: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return ``intensity``. Raises ValueError if it is no range."""
    if intensity is not None and not -math.inf < intensity[0] < intensity[1] < math.inf:
        raise ValueError("must be LOW HIGH, the first less than the second; --invert turns contrast round")
    return intensity


def too_many_votes(votes: int, planes: tuple[Plane, ...]) -> str:
    """Return why no voxel can have so many ``votes``, as text; empty if it can. A single plane needs no vote."""
    if votes <= len(planes) or (len(planes) == 1 and votes == PUBLISHED["pixel_vote_thr"]):
        return ""
    there = f"there are {len(planes)} planes" if len(planes) > 1 else "there is one plane"
    return (
        f"no voxel can have so many votes, since {there}, {', '.join(planes)}: give --pixel_vote_thr {len(planes)}, or "
        "more planes with --axes"
    )


UNITS_OF_MEMORY = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(text: str) -> int:
    """Return the bytes in a text such as 4GB. Raises ValueError for another."""
    number, unit = text.strip()[:-2], text.strip()[-2:].upper()
    try:
        count = int(float(number) * UNITS_OF_MEMORY[unit])
    except (KeyError, ValueError):
        raise ValueError(f"must be a size such as 4GB, in {', '.join(UNITS_OF_MEMORY)}, or auto") from None
    if count <= 0:
        raise ValueError("must be more than nothing")
    return count


PUBLISHED: dict[str, float | str] = {  # how slices become objects in the published scripts
    "confidence_thr": 0.5,
    "center_confidence_thr": 0.1,
    "min_distance_object_centers": 3,
    "median_kernel": 3,
    "min_size": 500,
    "min_agreement": 0,
    "repair": "off",
    "extend": "off",
    "min_extent": 5,
    "pixel_vote_thr": 2,
}


class MitoPredict(Options):
    """Segment volumes with a trained model, in several planes with consensus."""

    trained_model: Path
    """The model's YAML or .empanada archive, or the name of a published model: see planewise models."""
    input: Path
    """A volume; or a folder that contains volumes, the 2D slices of one volume, or a folder of slices for each
    volume."""
    output: Folder
    """Folder for {case}.tiff (the result), {case}_objects.csv and {case}_{plane}.tiff. Or the path of an .ome.zarr, for
    one volume of any size: it is streamed, with the same result, and a run that was stopped continues."""
    channel: int | None = Field(None, ge=0)
    """Channel to segment, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    sequence: SequenceChoice = "auto"
    """Whether TIFF or PNG images in a folder are the slices of one volume. auto: yes, if all are 2D and their names
    differ only in one number that counts up without gaps; an ambiguous folder is refused."""
    axes: tuple[Plane, ...] | None = None
    """Planes to predict in. Default: those of the model's training whose pixels are square within 20 %; for an
    isotropic volume, all three."""
    intensity: tuple[float, float] | None = None
    """Intensities of the volume that become black and white. Default: the range of its data type, or of the smallest
    bit depth that holds it, if the volume fills that range; else its used range, mapped to that of the training."""
    invert: bool = False
    """The images have the opposite contrast to those that the model was trained on."""
    downsampling: int = Field(1, ge=1)
    """1, 2, 4, ...: shrink slices by this factor to save time and memory; results have full resolution again."""
    confidence_thr: float = Field(0.5, gt=0, lt=1)
    """Lowest probability that counts as foreground."""
    center_confidence_thr: float = Field(0.1, gt=0, lt=1)
    """Lowest peak in the heatmap that counts as the centre of an object."""
    min_distance_object_centers: int = Field(3, ge=1)
    """Side of the window in which a centre must be the maximum, in pixels of a quarter of the resolution."""
    median_kernel: int = Field(3, ge=1)
    """Number of slices (odd) over which the median of the probabilities is taken."""
    min_size: int | None = Field(None, ge=0)
    """Smallest size of an object, in voxels. Default: a quarter of the size of the smaller objects in the model's
    training, in voxels of this volume, and at most 500; 500, as published, if its file does not state it."""
    min_agreement: float | None = Field(None, ge=0, le=1)
    """Smallest share of an object's voxels on which all three planes must agree. Default: the model's value, else 0, as
    published."""
    repair: Literal["auto", "on", "off"] = "auto"
    """Cut an object that one plane shows as a whole and the two others show in the same parts; {case}_objects.csv
    records the cuts. auto: the model's value, else off, as published."""
    extend: Literal["auto", "on", "off"] = "auto"
    """Give the objects, at last, the voxels around them too that only one plane gives them. auto: as the model says
    if --pixel_vote_thr is 2, else off, as published."""
    confidence_volume: bool = False
    """Also write confidence/{case}.tiff, with the confidence of the object at each voxel, 0 to 1. The confidence of
    each object is in {case}_objects.csv."""
    min_extent: int = Field(5, ge=0)
    """Smallest side of an object's bounding box, in voxels, along every axis that is longer than one voxel."""
    pixel_vote_thr: int = Field(2, ge=1, le=len(PLANES))
    """Number of planes that must agree on a voxel."""
    published: bool = False
    """Make objects as published, whatever the model's file states: --confidence_thr 0.5 --center_confidence_thr 0.1
    --min_distance_object_centers 3 --median_kernel 3 --min_size 500 --min_agreement 0 --repair off --extend off
    --min_extent 5 --pixel_vote_thr 2. It is refused with one of these options at another value."""
    fuse: Literal["probabilities", "votes"] | None = None
    """How the planes are combined, for a model of several classes without objects. probabilities: the mean, in memory;
    votes: as for objects, in stores too. Default: votes into an .ome.zarr, else probabilities."""
    device: DeviceName = "auto"
    """Where to predict; auto takes a GPU where there is one."""
    devices: int = Field(1, ge=1)
    """Number of GPUs, or of CPU processes, that share the slices."""
    precision: PrecisionName = "auto"
    """auto is bf16 on a GPU or CPU that computes in it, else 32 bits."""
    batch_size: int = Field(4, ge=1)
    """Slices predicted at once, on each device."""
    overwrite: bool = False
    """Predict again the cases that are already done."""
    memory: str = "auto"
    """Memory for a process, beside the network's, such as 8GB. A volume that needs more is streamed piece by piece
    through {case}.unfinished beside the result, with the same result. auto: half of the machine's memory, and at most
    4GB for streaming."""
    workers: int = Field(0, ge=0)
    """With an .ome.zarr as --output: number of processes on this machine that share the work; 0: this one alone."""
    scheduler: str | None = None
    """With an .ome.zarr as --output: address of a dask scheduler (tcp://...) whose workers share the work."""

    _axes = field_validator("axes")(distinct_planes)
    _intensity = field_validator("intensity")(low_and_high)

    @field_validator("pixel_vote_thr")
    @classmethod
    def _enough_planes(cls, value: int, info: ValidationInfo) -> int:
        if (planes := info.data.get("axes")) and (why := too_many_votes(value, planes)):
            raise ValueError(why)
        return value

    @field_validator("published")
    @classmethod
    def _nothing_otherwise(cls, value: bool, info: ValidationInfo) -> bool:
        for name, says in PUBLISHED.items() if value else ():
            if info.data.get(name, says) not in (says, cls.model_fields[name].default):
                raise ValueError(
                    f"says --{name} {says}, and --{name} {info.data[name]} is given: leave out one of the two"
                )
        return value

    @field_validator("memory")
    @classmethod
    def _a_size(cls, value: str) -> str:
        if value != "auto":
            _bytes(value)
        return value

    def memory_bytes(self) -> int | None:
        """Return ``memory`` in bytes, or None for auto."""
        return None if self.memory == "auto" else _bytes(self.memory)

    @field_validator("downsampling")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be 1, 2, 4, 8, ...")
        return value

    @field_validator("median_kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value


class MitoSuggest(Options):
    """Choose the slices to paint next: where the planes of a model's prediction disagree and foreground is likely."""

    input: tyro.conf.Positional[Path]
    """A volume, or a folder of volumes, such as a dataset's imagesTr. Slices that are already painted, in the paintedTr
    beside it, or in its labelsTr if that has the ignore label, are not chosen again."""
    model: Path
    """The model's YAML or .empanada archive, or the name of a published model: see planewise models."""
    count: int = Field(5, ge=1)
    """Number of slices to choose, over all volumes."""
    plane: Plane = "xy"
    """Plane of the slices to paint."""
    output: Folder = Path("suggested")
    """Folder for suggestions.csv, which is also a work list for planewise correct, the pictures {case}_z0012.png, and
    predicted/ with the prediction that they are based on, as planewise mito predict writes it."""
    axes: tuple[Plane, ...] | None = None
    """Planes to predict in, at least two. Default: those in which the pixels of all volumes are square within 20 %,
    whatever planes the model was trained in."""
    channel: int | None = Field(None, ge=0)
    """Channel to segment, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    intensity: tuple[float, float] | None = None
    """Intensities of the volumes that become black and white; see planewise mito predict."""
    invert: bool = False
    """The images have the opposite contrast to those that the model was trained on."""
    device: DeviceName = "auto"
    """Where to predict; auto takes a GPU where there is one."""
    memory: str = "auto"
    """Memory for a process, beside the network's, such as 8GB; see planewise mito predict."""
    overwrite: bool = False
    """Predict again the volumes that are already predicted."""

    _axes = field_validator("axes")(distinct_planes)
    _intensity = field_validator("intensity")(low_and_high)
