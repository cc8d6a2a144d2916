"""The options of ``planewise ild ...`` that take CTs, each once, for command line, Python and checkpoints.

Those of the commands that take labels, by any method, are in ``label_options``.
"""

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro
from pydantic import Field

from planewise.data.split import VALID_SHARE
from planewise.device import DeviceName, PrecisionName
from planewise.errors import PlanewiseError
from planewise.options import Folder, Name, Options, PathText
from planewise.volumes.machine import PROCESSES

WindowName = Literal["lung", "soft-tissue", "mediastinum"]
WINDOWS: dict[WindowName, tuple[float, float]] = {  # level and width, in Hounsfield units
    "lung": (-600.0, 1500.0),
    "soft-tissue": (40.0, 400.0),
    "mediastinum": (50.0, 350.0),
}


class _Volumes(Options):
    """How CT volumes are read."""

    window: WindowName = "lung"
    """Preset of the window: lung -600/1500, soft-tissue 40/400, mediastinum 50/350 (level/width in HU)."""
    window_level: float | None = None
    """Level of the window in HU; with --window_width instead of a preset."""
    window_width: float | None = Field(None, gt=0)
    """Width of the window in HU."""
    lungs: Path | None = None
    """Lung masks from another program, with any label values: a file, or a folder of files named by case. Default:
    segmented from HU."""

    channel: int | None = Field(None, ge=0)
    """Channel of the CT, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    ignore_geometry: bool = False
    """Match image, labels and lungs voxel by voxel, and ignore spacing, origin and direction in the files."""

    def window_in_hu(self) -> tuple[float, float]:
        """Return level and width of the window. Raises PlanewiseError if only one of them is given."""
        level, width = self.window_level, self.window_width
        if (level is None) != (width is None):
            raise PlanewiseError(
                "--window_level and --window_width belong together: give both, or a preset with --window"
            )
        return WINDOWS[self.window] if level is None or width is None else (level, width)


class SeriesChoice(Options):
    """The choice of a series in a DICOM folder."""

    series: str | None = None
    """DICOM series to use for each patient, where a folder has several: its UID, its number or part of its description.
    Default: the CT with the thinnest slices and a lung kernel."""


class _Prepare(_Volumes):
    slices: Literal["labelled", "all", "both"] = "both"
    """Slices to train on; both adds background slices, which training on boxes alone skips. Test volumes keep all."""
    background_share: float = Field(0.2, ge=0, lt=1)
    """Share of background slices with --slices both."""
    min_volume_mm3: float = Field(100.0, ge=0)
    """3D components of a class (26-connected) that are smaller are removed from the labels. 100 mm3 is a ball of 6 mm,
    below which a nodule needs no follow-up (Fleischner Society 2017); this removes specks left by drawing."""
    min_area_mm2: float = Field(10.0, ge=0)
    """After that, components within a slice (8-connected) that are smaller are removed. 10 mm2 is a disc of 3.6 mm, a
    few pixels of a CT; a spinal cord has 140 mm2."""
    min_voxels: int | None = Field(None, ge=0)
    """The same as --min_volume_mm3 in voxels, instead of it (published: 1000)."""
    min_pixels: int | None = Field(None, ge=0)
    """The same as --min_area_mm2 in pixels, instead of it (published: 100)."""
    split: Path | None = None
    """JSON {"train": [...], "valid": [...], "test": [...]} of case names. Default: drawn by --seed, by patient."""
    patient_pattern: str | None = None
    """Regular expression for the part of a case name (the first group, if there is one) that names the patient.
    Default: the name without words for an examination or a part of one, such as scan1, visit_2, upper or 20230517;
    ambiguous names are refused."""
    patients: Path | None = None
    """CSV with the columns case and patient, or JSON {case: patient}: which cases belong to one patient, instead of
    --patient_pattern."""
    valid_share: float = Field(VALID_SHARE, ge=0, lt=1)
    """Share of imagesTr's patients kept for validation."""
    test_share: float = Field(0, ge=0, lt=1)
    """Share of imagesTr's patients kept for the test, where there is no imagesTs."""
    seed: int = Field(0, ge=0)
    """The same seed gives the same split, and the same training on a CPU."""
    num_workers: int = Field(PROCESSES, ge=0)
    """Processes: patients prepared at a time, or loading of training slices."""
    save_nii: bool = False
    """Also write each patient's windowed image and cleaned labels as NIfTI, to look at."""

    def smallest(self, spacing_mm: tuple[float, float, float]) -> tuple[int, int]:
        """Return how many voxels, and pixels of a slice, a component must have; ``spacing_mm`` is (z, y, x)."""
        z, y, x = spacing_mm
        voxels, pixels = math.ceil(self.min_volume_mm3 / (z * y * x)), math.ceil(self.min_area_mm2 / (y * x))
        return (
            voxels if self.min_voxels is None else self.min_voxels,
            pixels if self.min_pixels is None else self.min_pixels,
        )


class _Train(Options):
    one_of: ClassVar[tuple[str, ...]] = ("base", "from_scratch")
    train_prompts: Literal["truth", "lungs", "mixed"] = "truth"
    """Prompts in training. truth: a box around every object. lungs: the box of the lungs and a learned token for each
    class, to segment CTs without drawn boxes. mixed: both, so that one model serves both uses."""
    base: Path | None = None
    """Weights to start from: a published model's name such as sam2.1_hiera_tiny or MedSAM2, which is downloaded (see
    planewise models), the path of a file such as sam2_hiera_tiny.pt or medsam_model_best.pth, a hub folder or id."""
    from_scratch: bool = False
    """Start a small network from random weights instead."""
    upright: bool = False
    """With --from_scratch, slices are also rotated and flipped, except if classes differ by their side (left,
    right)."""
    task_name: Name = "MedSAM2-Tiny-ILD"
    """Folder, in the work folder, for the model."""
    epochs: int = Field(500, ge=1)
    """Number of times that each slice is shown."""
    batch_size: int = Field(16, ge=1)
    """Slices in each step, shared between devices."""
    learning_rate: float = Field(1e-5, gt=0)
    """Peak of the warm-up and cosine schedule."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW; none on biases and norms."""
    image_size: int | None = Field(None, ge=64)
    """Side of the model's input, a multiple of 32. Default: 1024, or 256 from scratch; 512 is four times cheaper."""
    bbox_shift: int = Field(5, ge=0)
    """Largest outward jitter of a box, in pixels of the 256 grid; also the margin of boxes when predicting."""
    train_clips: int = Field(1, ge=1)
    """Train propagation by memory too: every Nth slice begins a clip of N neighbouring slices, upwards or downwards; up
    to three objects are prompted in its first slice and followed by SAM2's memory. 1: no clips."""
    train_parts: tuple[Literal["encoder", "decoder", "memory"], ...] = ("encoder", "decoder", "memory")
    """The parts to train; the memory needs --train_clips, and the prompt encoder is never trained."""
    classes_per_slice: Literal["all", "one"] = "all"
    """All classes of a slice in one step, or a random one (as published)."""
    gradient_checkpointing: bool = False
    """Recompute the encoder in the backward pass: a third less memory, a fifth more time."""
    checkpoint_interval: int = Field(100, ge=1)
    """Steps between validations, each with a checkpoint."""
    resume: bool = False
    """Continue from the last checkpoint. A finished training continues with more --epochs, after a warm-up."""
    overwrite: bool = False
    """Replace an existing model of this name; predict again the cases that are already predicted."""
    device: DeviceName = "auto"
    """Where to run; auto takes a GPU where there is one."""
    devices: int = Field(1, ge=1)
    """Number of GPUs, or of CPU processes, that share each batch, and the patients to predict."""
    num_nodes: int = Field(1, ge=1)
    """Machines that share each batch, each with this many devices; srun or torchrun starts the command on all."""
    precision: PrecisionName = "auto"
    """auto is bf16 on a GPU that computes in it (to predict, also on such a CPU), else 32 bits."""


class _Predict(_Volumes):
    propagation: Literal["boxes", "memory"] = "boxes"
    """How objects are followed from slice to slice. boxes: by the box around the previous slice's mask. memory: by
    SAM2's own memory of the object, as in MedSAM2; the model must have the tensors of SAM2's video model."""
    stability_fallback: bool = False
    """Replace an unstable mask by the best of SAM2's three other masks, as the published inference script does
    (apply_postprocessing)."""
    components: Literal["all", "one"] = "all"
    """Follow every connected component of a class separately, or each class as one (as published)."""
    cache_slices: int = Field(64, ge=2)
    """Encoded slices kept in memory."""
    visualize: bool = False
    """Also write a picture of each case, of the slice with most labelled voxels."""


class IldPrepare(_Prepare):
    """Window CT volumes, split patients, and write npz per patient and npy per slice."""

    dataset_path: tyro.conf.Positional[Path]
    """nnU-Net raw dataset: dataset.json, imagesTr, labelsTr, imagesTs, labelsTs."""
    work_dir: tyro.conf.Positional[Folder]
    """Folder for npz_train, npz_valid, npz_test, npy and split.json."""


class IldTrain(_Train):
    """Fine-tune SAM2 on prepared slices."""

    one_of: ClassVar[tuple[str, ...]] = ("base", "from_scratch", "corrections")
    work_dir: tyro.conf.Positional[Folder]
    """Folder that planewise ild prepare wrote; the model goes to {work_dir}/{task_name}."""
    npy_path: Path | None = None
    """Folder of the slices, with train/ and valid/. Default: {work_dir}/npy."""
    corrections: Path | None = None
    """A result that was corrected with planewise correct, a folder or a file. The slices in work_dir are then made from
    it: what was confirmed or corrected is truth, the rest is ignored. The training starts from the model that made the
    result, and ends with what it gained and the next work list."""
    margin_mm: float = Field(20, ge=0)
    """With --corrections: background this close to a corrected or confirmed class, in its slice, counts as truth
    too."""
    image: Path | None = None
    """With --corrections: the CT, or a folder of CTs with the same names as the labels, or of DICOM patients. Default:
    those that the results were made from."""
    seed: int = Field(0, ge=0)
    """The same seed gives the same training on a CPU."""
    num_workers: int = Field(PROCESSES, ge=0)
    """Processes that load slices, on each device."""


class CodesChoice(Options):
    """The DICOM codes of classes."""

    codes: Path | None = None
    """JSON with the DICOM codes of classes that planewise does not know, {class: {"category": [scheme, value, meaning],
    "type": [...]}}; see docs/dicom.md."""


class IldPredict(_Predict, SeriesChoice, CodesChoice):
    """Segment classes in CT volumes: from boxes, or within the lungs without any boxes."""

    one_of: ClassVar[tuple[str, ...]] = ("trained_model", "base")
    input: tyro.conf.Positional[Path]
    """CT volumes (a file, a folder of volumes or of DICOM patients), or prepared patients (a folder of npz)."""
    output: tyro.conf.Positional[Folder] = Path("predicted")
    """Folder for {case}.nii.gz and, with --prompts auto, {case}.html, a page about the patient."""
    format: Literal["nii.gz", "seg.nrrd", "ome.zarr", "dicom-seg"] = "nii.gz"
    """Format of the labels. nii.gz: with itksnap_labels.txt for ITK-SNAP beside it. seg.nrrd: opens in 3D Slicer as a
    segmentation. ome.zarr: does not store the orientation in the patient. dicom-seg: a DICOM segmentation of the
    series, {case}.seg.dcm. All but nii.gz contain the classes' names and colours."""
    prompts: Annotated[PathText, tyro.conf.arg(metavar="truth|auto|lungs|PATH")] = "truth"
    """auto: no boxes; all classes are searched for within the lungs. lungs: as auto, but each slice separately. A CSV
    or JSON file: your boxes. truth: boxes from the ground truth, which is an oracle, and named so in all outputs."""
    trained_model: PathText = "none"
    """A fine-tuned model (medsam_model_best.pth). none: predict with --base as it is, as a baseline."""
    base: Path | None = None
    """A model to predict with without fine-tuning, as a baseline; for its names see planewise ild train."""
    truth: Path | None = None
    """Folder of the ground truth, for --prompts truth on CT volumes; prepared patients contain theirs."""
    image_size: int | None = Field(None, ge=64)
    """Side of the model's input. Default: that of its training, or 1024."""
    bbox_shift: float = Field(5, ge=0)
    """Margin around boxes, in pixels of a slice scaled to 256 x 256."""
    device: DeviceName = "auto"
    """Where to predict; auto takes a GPU where there is one."""
    devices: int = Field(1, ge=1)
    """Number of GPUs, or of CPU processes, that share the patients."""
    scheduler: str | None = None
    """Address of a dask scheduler (tcp://...) whose workers share the patients instead."""
    precision: PrecisionName = "auto"
    """auto is bf16 on a GPU or CPU that computes in it, else 32 bits."""
    overwrite: bool = False
    """Predict again the cases that are already done."""


class IldLungs(SeriesChoice):
    """Segment the left and the right lung in CT volumes, from HU alone."""

    input: tyro.conf.Positional[Path]
    """CT volumes in HU: a file, a folder of volumes, or a folder of DICOM patients."""
    output: tyro.conf.Positional[Folder]
    """Folder for {case}.nii.gz: 1 left lung, 2 right lung."""
    channel: int | None = Field(None, ge=0)
    """Channel of the CT, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    overwrite: bool = False
    """Segment again the lungs that already exist."""


class IldFollow(SeriesChoice):
    """Compare one patient's scans of several dates: the changes, and whether they exceed those of a repeated scan."""

    patient: tyro.conf.Positional[Path]
    """A folder of one patient: DICOM series of several study dates, or a folder for each date (2023-01-10 or 20230110)
    with a CT volume in HU in it."""
    trained_model: PathText
    """A model that was trained with --train_prompts lungs or mixed (medsam_model_best.pth)."""
    output: Folder = Path("followed")
    """Folder for follow.html, changes.csv, changes.json, and {date}.nii.gz."""
    retakes: int = Field(8, ge=3)
    """How often each scan is perturbed and predicted again, for the smallest detectable change; 3 or more."""
    fibrosis: tuple[str, ...] = ()
    """Classes that count as fibrosis. Default: reticulation and honeycombing, if they exist."""
    image_size: int | None = Field(None, ge=64)
    """Side of the model's input. Default: that of its training, or 1024."""
    bbox_shift: float = Field(5, ge=0)
    """Margin around boxes, in pixels of a slice scaled to 256 x 256."""
    device: DeviceName = "auto"
    """Where to predict; auto takes a GPU where there is one."""
    precision: PrecisionName = "auto"
    """auto is bf16 on a GPU or CPU that computes in it, else 32 bits."""
    overwrite: bool = False
    """Repeat the steps that are already done."""


class IldRun(_Prepare, _Train, _Predict):
    """Prepare, fine-tune, predict and evaluate, in one command."""

    dataset_path: tyro.conf.Positional[Path]
    """nnU-Net raw dataset: dataset.json, imagesTr, labelsTr, imagesTs, labelsTs."""
    work_dir: tyro.conf.Positional[Folder]
    """Where everything goes."""
    prompts: Annotated[tuple[PathText, ...], tyro.conf.arg(metavar="truth|auto|lungs|PATH ...")] = ()
    """Kinds of prompts to predict with, for comparison: truth, lungs, auto, a CSV or JSON file. Default: what the model
    is trained for, truth, auto, or both."""
    tolerance_mm: float | None = Field(None, gt=0)
    """Distance within which surfaces agree. Default, for each case: twice the shortest side of a voxel, or once the
    longest if that is more."""


class IldDemo(Options):
    """Make a small synthetic chest CT dataset, train on it, predict and evaluate."""

    folder: tyro.conf.Positional[Folder] = Path("demo_ild")
    """Where to work."""
    seed: Annotated[int, tyro.conf.arg(help="Another seed makes another dataset.")] = Field(0, ge=0)
