"""The options of ``planewise mito train`` and ``demo mito``, each once, for command line, Python and checkpoints."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field, ValidationInfo, field_validator

from planewise.apps.mito.options import distinct_planes, low_and_high
from planewise.device import DeviceName, PrecisionName
from planewise.options import Folder, Name, Options, PathText
from planewise.volumes.machine import PROCESSES
from planewise.volumes.slices import Plane


class MitoTrain(Options):
    """Fine-tune MitoNet on a nnU-Net raw dataset."""

    dataset_path: tyro.conf.Positional[Path]
    """nnU-Net raw dataset: dataset.json, imagesTr, instancesTr (or labelsTr, or slices in paintedTr/{case}/z0012.tif),
    imagesTs, instancesTs."""
    model_dir: tyro.conf.Positional[Folder]
    """Folder for {model_name}.yaml and {model_name}.pth; the training's own files go to {model_name}_training/."""
    corrections: Path | None = None
    """A result that was corrected with planewise correct, a folder or a file. dataset_path is then made from it: what
    was confirmed or corrected is truth, the rest is ignored. The training starts from the model that made the result,
    and ends with what it gained and the next work list."""
    margin: int = Field(48, ge=0)
    """With --corrections: voxels around a confirmed object in which background counts as truth too. A small
    margin teaches little about background; a large one may count missed objects nearby as background."""
    image: Path | None = None
    """With --corrections: the image, or a folder of images with the same names as the labels. Default: those that the
    results were made from."""
    # pydantic owns the name model_config
    base_model: Annotated[PathText, tyro.conf.arg(name="model_config")] = "MitoNet_v1.yaml"
    """Base model: the path of its YAML or .empanada archive, or a name such as MitoNet_v1, whose weights are
    downloaded."""
    model_name: Name = "FinetunedMitoNet"
    """Name of the fine-tuned model."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """If the truth is labelsTr (labelsTs): the class, a name of dataset.json or a value, whose components are the
    objects. Needed if there are several classes, unless all are trained with --things."""
    things: tuple[str, ...] = ()
    """Train all classes of dataset.json together, not one: those named here are things, which have separate objects,
    such as mitochondria and nuclei; the others are stuff, such as the ER. labelsTr gives the class of each voxel,
    instancesTr, if it exists, the objects. none: no class is a thing, and only the class of each voxel is learned. Not
    needed if the base model has the same classes."""
    iterations: int | None = Field(None, ge=1)
    """Optimiser steps; default 1000. With --resume, a larger number continues the training."""
    minutes: float | None = Field(None, gt=0)
    """Instead of --iterations: as many steps as fit into this time, estimated from the first few and printed. It covers
    the steps and validations of all rounds of --self_training; labelling voxels and cutting slices before each round
    takes further time. With --resume, the number chosen before."""
    self_training: int = Field(0, ge=0)
    """Rounds in which the model labels unpainted voxels (the ignore label) where its planes agree, and is trained
    further on them for half as many steps; they end when the validation score no longer improves."""
    batch_size: int = Field(16, ge=2)
    """Crops in each step, shared between devices."""
    learning_rate: float | None = Field(None, gt=0)
    """Peak of the OneCycle schedule. Default: the value in the base model's YAML, for MitoNet 0.003."""
    patch_size: int = Field(256, ge=16)
    """Side of the square crops, in pixels."""
    finetune_layer: Literal["none", "stage4", "stage3", "stage2", "stage1", "all"] = "all"
    """How much of the encoder is trained: nothing, its last stage only, its last two, ..., all of it."""
    from_scratch: bool = False
    """Start from random weights instead of the base model's."""
    backbone: Annotated[Path | None, tyro.conf.arg(name="base")] = None
    """A folder of the hub (config.json, model.safetensors), or a hub id, whose weights the encoder starts from; the
    rest starts from random ones. For base models whose encoder is one of transformers', see docs/backbones.md."""
    train_planes: tuple[Plane, ...] | None = None
    """Planes to cut training slices in. Default: those in which the pixels of all cases are square within 20 %."""
    skip_conversion: bool = False
    """Use existing 2D slices; if they have a record, it must name this dataset and these options."""
    channel: int | None = Field(None, ge=0)
    """Channel to train on, counted from 0, for images with several: the file {case}_000N, or one within the file."""
    ignore_geometry: bool = False
    """Match image and labels voxel by voxel, and ignore spacing, origin and direction in the files."""
    output_data_path: Folder | None = None
    """Folder of the 2D slices. Default: {dataset}_2d, beside the dataset, or {dataset}_2d_{key} if that holds
    others."""
    test_after_training: bool = False
    """Predict imagesTs and evaluate against instancesTs."""
    test_axes: tuple[Plane, ...] | None = None
    """Planes to predict in when testing. Default: as planewise mito predict chooses them."""
    intensity: tuple[float, float] | None = None
    """Intensities of the volumes that become black and white; see planewise mito predict."""
    invert: bool = False
    """The images have the opposite contrast to those that the base model was trained on."""
    resume: bool = False
    """Continue from the last checkpoint. A finished training continues with more --iterations, after a
    warm-up."""
    overwrite: bool = False
    """Replace an existing model of this name."""
    checkpoint_interval: int = Field(100, ge=1)
    """Steps between validations, each with a checkpoint."""
    seed: int = Field(0, ge=0)
    """The same seed gives the same training on a CPU."""
    device: DeviceName = "auto"
    """Where to train; auto takes a GPU where there is one."""
    devices: int = Field(1, ge=1)
    """Number of GPUs, or of CPU processes, that share each batch."""
    num_nodes: int = Field(1, ge=1)
    """Machines that share each batch, each with this many devices; srun or torchrun starts the command on all."""
    precision: PrecisionName = "auto"
    """auto is bf16 on a GPU that has it, else 32 bits."""
    num_workers: int = Field(PROCESSES, ge=0)
    """Processes that prepare crops, on each device."""

    @field_validator("backbone")
    @classmethod
    def _one_start(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("from_scratch"):
            raise ValueError("says where the encoder starts, and so does --from_scratch: give one of the two")
        return value

    _planes = field_validator("train_planes", "test_axes")(distinct_planes)
    _intensity = field_validator("intensity")(low_and_high)

    @field_validator("minutes")
    @classmethod
    def _one_length(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("iterations") is not None:
            raise ValueError("says how long to train, and so does --iterations: give one of the two")
        return value


class MitoDemo(Options):
    """Make a small synthetic EM dataset, train on it, predict in three planes and evaluate."""

    folder: tyro.conf.Positional[Folder] = Path("demo")
    """Where to work."""
    seed: int = Field(0, ge=0)
    """Another seed makes another dataset."""
    organelles: bool = False
    """Three classes instead of one: mitochondria and nuclei, which are things, and ER, which is stuff."""
