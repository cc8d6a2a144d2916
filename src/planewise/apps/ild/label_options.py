"""The options of the ``planewise ild ...`` commands that take labels of any method: evaluate, measure and export."""

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
    """A label volume, or a folder of label volumes."""
    truth: tyro.conf.Positional[Path]
    """The true labels: a volume, or a folder of volumes."""
    beside: tuple[Path, ...] = ()
    """More predictions of the same cases, such as from other prompts, to show side by side."""
    predicted_only: bool = False
    """Score only cases with a prediction; otherwise a case without one counts as an empty prediction."""
    output: Folder | None = None
    """Folder for the results. Default: evaluation/ in the folder of the predictions."""
    dataset: Path | None = None
    """dataset.json with the names of the classes. Default: the one above the truth, if it exists."""
    tolerance_mm: float | None = Field(None, gt=0)
    """Distance within which surfaces agree. Default, for each case: twice the shortest side of a voxel, or once the
    longest if that is more."""
    patients: Path | None = None
    """CSV of case,patient, or JSON: scans of one patient are averaged first. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the patient."""
    ignore_geometry: bool = False
    """Compare voxel by voxel, and ignore spacing, origin and direction in the files."""


class IldMeasure(SeriesChoice):
    """Measure classes in the lungs: extent, place and density; and how well two readers or methods agree."""

    labels: tyro.conf.Positional[tuple[Path, ...]]
    """Label volumes of several classes, of any method: files, or folders of files."""
    output: Folder = Path("measured")
    """Folder for measures.csv, measures.json, measures.html, agreement.csv, and patients/{case}.html."""
    images: Path | None = None
    """The CTs in HU: a volume, a folder of volumes, or a folder of DICOM patients. Default: imagesTs or imagesTr beside
    labelsTs or labelsTr."""
    lungs: Path | None = None
    """Masks of the lungs, with any label values, such as planewise ild lungs writes: a mask, or a folder of masks named
    by case. Default: segmented from HU, as by planewise ild lungs."""
    dataset: Path | None = None
    """dataset.json with the names of the classes. Default: the one above the labels, or else the names in the label
    files or in itksnap_labels.txt beside them, as planewise ild predict writes it."""
    classes: tuple[str, ...] = ()
    """Names of the classes to measure; without a dataset.json, all classes as NAME=VALUE. Default: all."""
    fibrosis: tuple[str, ...] = ()
    """Classes that count as fibrosis. Default: reticulation and honeycombing, if they exist."""
    zones: ZoneRule = "height"
    """Whether the upper, middle and lower zones are thirds of the lungs' height or of their volume."""
    periphery_mm: float = Field(20, gt=0)
    """Voxels within this distance of the lung's surface are peripheral, the rest are central."""
    against: Path | None = None
    """A second reader's or method's labels of the same cases, to measure agreement: a volume, or a folder of
    volumes."""
    categories: tuple[float, ...] = KAZEROONI
    """Bounds of the extent categories for kappa, in percent, ascending; a value equal to a bound is in the lower
    category. Default: none, up to 5, up to 25, up to 50, up to 75, and more (Kazerooni et al. 1997,
    doi:10.2214/ajr.169.4.9308447)."""
    kappa_weights: KappaWeights = "quadratic"
    """Weights of disagreement in kappa: the distance between the two categories, or its square."""
    patients: Path | None = None
    """CSV of case,patient, or JSON: scans of one patient are averaged first. Default: what the cases' names say."""
    patient_pattern: str | None = None
    """Regular expression: what of a case's name (its first group, if it has one) names the patient."""
    channel: int | None = Field(None, ge=0)
    """Channel of the CT, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    ignore_geometry: bool = False
    """Match image, labels and lungs voxel by voxel, and ignore spacing, origin and direction of labels and lungs."""
    overwrite: bool = False
    """Measure again the cases that are already done."""

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
    """A label volume of several classes, or a folder of label volumes, of any method and in any format."""
    images: Path
    """The folder of the DICOM series that the labels belong to."""
    output: Folder = Path("exported")
    """Folder for {case}.seg.dcm, and with --measures {case}.sr.dcm."""
    measures: Path | None = None
    """measures.json of planewise ild measure on these labels: its measures become a structured report, TID 1500."""
    made_by: str | None = None
    """The program that made the labels, as 'NAME VERSION', or manual for labels drawn by hand. Default: taken from the
    manifest beside them."""
    dataset: Path | None = None
    """dataset.json with the names of the classes. Default: the one above the labels, or else the labels' own files, or
    itksnap_labels.txt beside them, as planewise ild predict writes it."""
    classes: tuple[str, ...] = ()
    """The classes as NAME=VALUE, instead of --dataset."""
    ignore_geometry: bool = False
    """Match the labels voxel by voxel, and ignore spacing, origin and direction in their files."""
    overwrite: bool = False
    """Write again the cases that are already written."""
