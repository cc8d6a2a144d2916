"""A model's YAML: the inputs that the weights expect, and their training. Reads and writes empanada-napari's schema."""

import zipfile
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from planewise.data.classes import BACKGROUND
from planewise.data.intensity import QUANTILES, TrainedIntensities
from planewise.data.panoptic import DIVISOR, PanopticClasses
from planewise.errors import PlanewiseError
from planewise.models.archive import ARCHIVE, unpacked_model
from planewise.models.meant import did_you_mean
from planewise.models.platt import Platt
from planewise.progress import say
from planewise.volumes.slices import Plane

YAML = (".yaml", ".yml")
SHIPPED = Path(__file__).parent.parent / "configs"
RANDOM = "random weights"  # the base of a model that was trained from scratch


class Norms(BaseModel):
    """Mean and standard deviation of the training images, of intensities scaled to 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: FiniteFloat
    std: FiniteFloat = Field(gt=0)

    def intensities(self) -> TrainedIntensities:
        """Return the quantiles of a normal distribution with this mean and std, of unclear polarity."""
        low, high = (self.mean + NormalDist().inv_cdf(q) * self.std for q in QUANTILES)
        return TrainedIntensities(low=max(low, 0.0), high=min(high, 1.0))


class CriterionParams(BaseModel):
    """Weights of the loss terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ce_weight: float = 1.0
    l1_weight: float = 0.01
    mse_weight: float = 200.0
    pr_weight: float = 1.0
    top_k_percent: float = Field(0.2, gt=0, le=1)  # share of the pixels, the hardest ones, in the cross entropy


class DatasetParams(BaseModel):
    """How training slices are drawn."""

    model_config = ConfigDict(frozen=True, extra="allow")
    weight_gamma: float = Field(0.7, ge=0, le=1)  # 0: slices are drawn equally often, 1: stacks are


class EngineParams(BaseModel):
    """How the model's predictions are read, as empanada-napari does it in 2D."""

    model_config = ConfigDict(frozen=True, extra="allow")
    confidence_thr: float = 0.5
    label_divisor: int = 1000
    nms_kernel: int = 7
    nms_threshold: float = 0.1
    stuff_area: int = 64
    thing_list: list[int] = [1]
    void_label: int = 0


class Finetune(BaseModel):
    """The settings for fine-tuning the model."""

    model_config = ConfigDict(frozen=True, extra="allow")
    criterion: Literal["PanopticLoss"] = "PanopticLoss"
    criterion_params: CriterionParams = CriterionParams()
    dataset_class: str = "SingleClassInstanceDataset"
    dataset_params: DatasetParams = DatasetParams()
    engine: str = "PanopticDeepLabEngine"
    engine_params: EngineParams = EngineParams()
    scale_range: tuple[float, float] = (0.1, 2.0)  # of the random magnification; empanada-napari ignores it


class LittleData(BaseModel):
    """How planewise's training with few annotations differs from the published recipe; see docs/truth.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bend: float | None = Field(None, ge=0)  # pixels, see ``augment.varied_crop``; None: crops as published
    microscope: bool = False  # whether gamma, noise and blur of crops are changed, if they are bent
    near_objects: float = Field(0.0, ge=0, le=1)  # share of crops placed near an object, if they are bent
    weight_averaging: float | None = Field(None, gt=0, lt=1)  # decay of the running average; None: the last weights


class Calibration(Platt):
    """The curve that turns the planes' agreement on an object, the share of its voxels that all planes contain, into a
    confidence; see ``inference.confidence``.
    """

    planes: tuple[Plane, ...]  # whose agreement it is about
    right: int  # number of held-out objects it was fitted to that match an object of the truth
    wrong: int  # number of those that match none


LEAST_SHARE = 0.25  # a match needs half of an object (IoU 0.5); half of that, since volume faces and planes cut some


class ObjectSizes(BaseModel):
    """The size of the smaller objects that a model was trained on; see ``training.object_sizes``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    voxels: float = Field(gt=0)  # a low quantile of their volumes
    um3: float | None = Field(None, gt=0)  # the same in um^3; None: the size of a voxel was not known
    objects: int = Field(ge=1)  # number of objects that it was computed from
    whole: bool  # True: only of objects that no volume face cuts; False: of all, since too few are whole

    def __str__(self) -> str:
        size = "" if self.um3 is None else f" ({self.um3:.2g} um^3)"
        text = f"the smaller of {self.objects} have {self.voxels:,.0f} voxels{size}"
        return text if self.whole else f"{text}, but too few are whole to set a least size by them"

    def voxels_of(self, voxel_um3: float | None) -> float:
        """Return the size in voxels of ``voxel_um3``; if that is not known, in voxels of the training data."""
        return self.voxels if self.um3 is None or voxel_um3 is None else self.um3 / voxel_um3

    def least(self, voxel_um3: float | None, most: int) -> int:
        """Return the least size of an object, in voxels of ``voxel_um3``: see ``LEAST_SHARE``; at most ``most``.

        It is ``most`` if too few training objects are whole: the parts of cut objects may be arbitrarily small.
        """
        if not self.whole:
            return most
        return round(min(most, LEAST_SHARE * self.voxels_of(voxel_um3)))


class Trained(BaseModel):
    """How the weights were trained: on ``dataset``, up to the ``step`` that validated best."""

    model_config = ConfigDict(frozen=True, extra="allow")
    dataset: str
    date: str  # of the end of the training, YYYY-MM-DD
    step: int
    validated_on: str
    score: float | None  # None: there was nothing to score, and the loss decided
    loss: float
    base: str | None = None  # the model that the training started from, by name, or RANDOM; None: not known
    base_licence: str | None = None  # of the base, or of the published model that it goes back to; None: not known
    planewise: str | None = None  # version that trained it
    train_clips: int | None = None  # slices of the clips that a SAM2's memory was trained on; None: it was not


class ModelFile(BaseModel):
    """The content of a model's YAML. Keys that are not known here are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")
    class_names: dict[int, str] = {1: "mito"}
    labels: list[int] = [1]
    thing_list: list[int] = [1]
    model: str | None = None  # path, relative to the YAML, or URL of the weights; None: there are none yet
    model_sha256: str | None = None  # of the weights, checked whenever they are used
    model_quantized: str | None = None
    architecture: str | None = None  # name of the network; None: recognised from the weights
    padding_factor: int = Field(16, ge=1)
    norms: Norms
    intensities: TrainedIntensities | None = None  # of the training images; None: what the norms say of them
    planes: tuple[Plane, ...] | None = None  # that it was trained in; None: not known
    pixel_nm: tuple[float, float] | None = None  # smallest and largest side of pixels trained on; None: not known
    description: str = ""
    trained: Trained | None = None  # by planewise
    min_agreement: float | None = Field(None, ge=0, le=1)  # see ``consensus.consensus``; None: 0, as published
    object_sizes: ObjectSizes | None = None  # None: not known, and the least size of objects is the published one
    repair: bool | None = None  # whether merged objects are cut, see ``repair.cut_merged``; None: no, as published
    extend: bool | None = None  # whether prediction extends objects, see ``extension``; None: no, as published
    calibration: Calibration | None = None  # None: not known, and objects have no confidence
    FINETUNE: Finetune = Finetune()
    little_data: LittleData | None = None
    learning_rate: float | None = Field(None, gt=0)  # peak of its schedule in training; None: MitoNet's

    @model_validator(mode="after")
    def _classes_agree(self) -> "ModelFile":
        """Refuse classes that contradict each other; several are channels 1 to n of a softmax, after background."""
        labels = sorted(self.labels)
        if len(labels) < 2:
            return self
        if labels != list(range(1, len(labels) + 1)) or sorted(self.class_names) != labels:
            raise ValueError(
                f"labels are {labels} and class_names {sorted(self.class_names)}; if several, both must be 1 to n"
            )
        names = list(self.class_names.values())
        if len({*names, BACKGROUND}) <= len(names):  # a dataset.json maps names to values, so it would lose one
            raise ValueError(f"class_names are {', '.join(names)}; they must differ, and none may be {BACKGROUND}")
        if len(set(self.thing_list)) < len(self.thing_list) or not set(self.thing_list) <= set(labels):
            raise ValueError(f"thing_list is {self.thing_list}; it must be some of the labels {labels}, each once")
        return self

    @property
    def several(self) -> PanopticClasses | None:
        """Its classes, if there are several; None for one class with separate objects."""
        if len(self.labels) < 2:
            return None
        return PanopticClasses(dict(sorted(self.class_names.items())), tuple(sorted(self.thing_list)))

    @property
    def outputs(self) -> int:
        """Channels of its network's semantic head: 1 for one class, else background's and one for each class."""
        return 1 + len(self.labels) if len(self.labels) > 1 else 1

    def with_classes(self, classes: PanopticClasses) -> "ModelFile":
        """Return the model with other classes, stated as in empanada's models of several classes."""
        labels, things = list(classes.names), list(classes.things)
        data = {"labels": labels, "thing_list": things, "label_divisor": DIVISOR}
        recipe = self.FINETUNE
        update = {
            "dataset_class": "PanopticDataset",
            "dataset_params": DatasetParams.model_validate(recipe.dataset_params.model_dump() | data),
            "engine_params": recipe.engine_params.model_copy(update={"thing_list": things}),
        }
        return self.model_copy(
            update={
                "class_names": dict(classes.names),
                "labels": labels,
                "thing_list": things,
                "object_sizes": None,
                "extend": None,  # exists only for one class
                "FINETUNE": recipe.model_copy(update=update),
            }
        )

    def trained_intensities(self) -> TrainedIntensities:
        """Return the intensities of the training images as stated in the file, or else derived from its norms."""
        return self.intensities or self.norms.intensities()


def find_model_file(name: str | Path) -> Path:
    """Return the YAML for ``name``: a file, that of an archive, or else the shipped config of a model.

    An archive is unpacked into the user's cache. A shipped config may be named with or without its ending, and with or
    without the folder ``configs``; a message says which one is used. Raises PlanewiseError listing the shipped configs
    if ``name`` is none of these.
    """
    path = Path(name)
    if path.is_file():
        return unpacked_model(path) if path.suffix.lower() == ARCHIVE else path
    shipped = SHIPPED / f"{path.stem if path.suffix.lower() in YAML else path.name}.yaml"
    if shipped.is_file() and (path.name == str(path) or path.parent.name == "configs"):
        say(f"{name}: taken as the model of that name shipped with planewise ({shipped})")
        return shipped
    from planewise.models.zoo import of_name

    if of_name(str(name), "SAM2"):
        raise PlanewiseError(f"{name}: is a SAM2, and a MitoNet is needed; see planewise ild")
    known = sorted(config.stem for config in SHIPPED.glob("*.yaml"))
    allowed = f"the path of a model's YAML or {ARCHIVE} archive, or one of the names {', '.join(known)}"
    raise PlanewiseError(f"{name}: no such model config; {did_you_mean(path, known, (*YAML, ARCHIVE), allowed)}")


def read_model_file(path: Path) -> ModelFile:
    """Read a model's YAML. Raises PlanewiseError naming the file and the keys that do not fit."""
    if not path.is_file():
        raise PlanewiseError(f"{path}: no such file; a model is given by its YAML")
    if path.suffix.lower() in (".pth", ".pt"):
        from planewise.models.sam2_files import is_sam2

        if is_sam2(path):
            raise PlanewiseError(f"{path}: holds the weights of a SAM2, and a MitoNet is needed; see planewise ild")
        raise PlanewiseError(f"{path}: holds weights; a model is given by its YAML, {path.with_suffix('.yaml').name}")
    if zipfile.is_zipfile(path):
        raise PlanewiseError(
            f"{path}: is a zip; a model is given by its YAML, or by an archive whose name ends in {ARCHIVE}; "
            "packages of bioimage.io are not read"
        )
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanewiseError(f"{path}: is not a readable YAML file ({str(error).splitlines()[0]})") from error
    except RecursionError as error:
        raise PlanewiseError(f"{path}: is nested too deeply for a model's YAML") from error
    if not isinstance(content, dict):
        raise PlanewiseError(f"{path}: is not a model's YAML; it must map keys such as norms, model, padding_factor")
    try:
        return ModelFile.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        raise PlanewiseError(f"{path}: does not fit the schema of a model's YAML: {wrong}") from error


def write_model_file(path: Path, model: ModelFile) -> None:
    """Write a model's YAML."""
    path.write_text(as_yaml(model), "utf-8")


def as_yaml(model: ModelFile) -> str:
    """Return the text of a model's YAML."""
    content = model.model_dump(mode="json") | {
        "class_names": dict(model.class_names)
    }  # JSON would turn keys into strings
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
