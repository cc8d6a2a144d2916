"""The options of the ``planewise ild ...`` commands that take labels, by any method: evaluate, measure and export."""

from pathlib import Path

import tyro
from pydantic import Field, field_validator

from planewise.apps.ild.options import CodesChoice, SeriesChoice
from planewise.measurement.agreement import KappaWeights
from planewise.measurement.readers import KAZEROONI
from planewise.measurement.regions import ZoneRule
from planewise.options import Folder, Options


class IldEvaluate(Options):
    """Score predicted labels, class by class, against the truth."""

    predictions: tyro.conf.Positional[Path]
    """A label volume, or a folder of them."""
    truth: tyro.conf.Positional[Path]
    """The true labels: a volume, or a folder of them."""
    beside: tuple[Path, ...] = ()
    """More predictions of the same cases, such as those from other prompts, to put side by side."""
    predicted_only: bool = False
    """Score only cases with a prediction; otherwise a case without one is scored as an empty prediction."""
    output: Folder | None = None
    """Folder for the results. Default: evaluation/ in the folder of the predictions."""
    dataset: Path | None = None
    """dataset.json with the names of the classes. Default: the one above the truth, if there is one."""
    tolerance_mm: float | None = Field(None, gt=0)
    """Distance within which surfaces agree. Default: by each case's voxels, two along their finest side, or one along
    the coarsest where that is more."""
    patients: Path | None = None
    """CSV of case,patient, or JSON: scans of one patient are averaged first. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the patient."""
    ignore_geometry: bool = False
    """Compare voxel by voxel, whatever spacing, origin and direction the files give."""


class IldMeasure(SeriesChoice):
    """Measure classes in the lungs: how much, where, how dense; and how well two readers or methods agree."""

    labels: tyro.conf.Positional[tuple[Path, ...]]
    """Label volumes of several classes, by any method: files, or folders of them."""
    output: Folder = Path("measured")
    """Folder for measures.csv, measures.json, measures.html, agreement.csv, and patients/{case}.html."""
    images: Path | None = None
    """The CTs in HU: a volume, a folder of volumes, or one of DICOM patients. Default: imagesTs or imagesTr beside
    labelsTs or labelsTr."""
    lungs: Path | None = None
    """Masks of the lungs, in any numbers, such as planewise ild lungs writes: a mask, or a folder of them by case.
    Default: segmented from HU, as by planewise ild lungs."""
    dataset: Path | None = None
    """dataset.json with the names of the classes. Default: the one above the labels, or else the labels' own files, or
    itksnap_labels.txt beside them, as planewise ild predict writes it."""
    classes: tuple[str, ...] = ()
    """Which classes are measured, by name; or, without a dataset.json, which there are, as NAME=VALUE. Default: all."""
    fibrosis: tuple[str, ...] = ()
    """Classes that count as fibrosis. Default: reticulation and honeycombing, as far as there are such."""
    zones: ZoneRule = "height"
    """The upper, middle and lower zone are thirds of the lungs' height, or of their volume."""
    periphery_mm: float = Field(20, gt=0)
    """What lies within this distance of the lung's surface is peripheral, the rest central."""
    against: Path | None = None
    """A second reader's or method's labels of the same cases, for their agreement: a volume, or a folder of them."""
    categories: tuple[float, ...] = KAZEROONI
    """Bounds of the categories of extent that kappa is of, in percent, ascending; a value is in the category of those
    that it exceeds. Default: none, up to 5, 25, 50, 75, and more (Kazerooni et al. 1997,
    doi:10.2214/ajr.169.4.9308447)."""
    kappa_weights: KappaWeights = "quadratic"
    """How disagreement weighs in kappa: by the distance of two categories, or by its square."""
    patients: Path | None = None
    """CSV of case,patient, or JSON: scans of one patient are averaged first. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the patient."""
    channel: int | None = Field(None, ge=0)
    """Channel of the CT, from 0, where images have several: the file {case}_000N, or that of the file itself."""
    ignore_geometry: bool = False
    """Match image, labels and lungs voxel by voxel, whatever spacing, origin and direction labels and lungs give."""
    overwrite: bool = False
    """Measure cases again that are done already."""

    @field_validator("labels")
    @classmethod
    def _some(cls, labels: tuple[Path, ...]) -> tuple[Path, ...]:
        if not labels:
            raise ValueError("at least one label volume, or a folder of them, is needed")
        return labels

    @field_validator("categories")
    @classmethod
    def _ascending(cls, bounds: tuple[float, ...]) -> tuple[float, ...]:
        if not bounds or list(bounds) != sorted(set(bounds)) or bounds[0] < 0 or bounds[-1] >= 100:
            raise ValueError("must be ascending percentages from 0 to less than 100")
        return bounds


class IldExport(SeriesChoice, CodesChoice):
    """Write labels as DICOM segmentations of their series, and measures as DICOM structured reports."""

    labels: tyro.conf.Positional[Path]
    """A label volume of several classes, or a folder of them, by any method and in any format."""
    images: Path
    """The folder of the DICOM series that they are of."""
    output: Folder = Path("exported")
    """Folder for {case}.seg.dcm, and with --measures {case}.sr.dcm."""
    measures: Path | None = None
    """measures.json of planewise ild measure on these labels: what is in it becomes a structured report, TID 1500."""
    made_by: str | None = None
    """What made the labels, as 'NAME VERSION', or manual for what somebody drew. Default: what the manifest beside them
    says."""
    dataset: Path | None = None
    """dataset.json with the names of the classes. Default: the one above the labels, or else the labels' own files, or
    itksnap_labels.txt beside them, as planewise ild predict writes it."""
    classes: tuple[str, ...] = ()
    """Which classes there are, as NAME=VALUE, instead."""
    ignore_geometry: bool = False
    """Take the labels voxel by voxel as the arrays lie, whatever spacing, origin and direction their files say."""
    overwrite: bool = False
    """Write cases again that are written already."""
