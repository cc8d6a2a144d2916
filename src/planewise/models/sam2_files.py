"""Reading and writing SAM2's weights.

They are read from Meta's ``.pt``, MedSAM2's ``.pt``, ``medsam_model_*.pth`` of the published fine-tuning scripts, or a
hub folder, in all sizes. They are written in the published form (Meta's names after ``sam2_model.``) and as a hub
folder. Class tokens are stored beside the published tensors, so that other programs load the files as before.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator
from torch import Tensor

from planewise.errors import PlanewiseError
from planewise.models.archive import ARCHIVE
from planewise.models.card import sam2_card
from planewise.models.model_file import Trained
from planewise.models.reliability import ClassReliability
from planewise.models.sam2 import SIZES, ClassTokens, build_sam2
from planewise.models.sam2_hub import check_config, read_hub, write_hub
from planewise.models.sam2_names import ONLY_IN_2_1, to_meta, to_transformers
from planewise.models.seen_data import SeenData
from planewise.models.torchscript import is_torchscript
from planewise.models.weights import differences, listed, read_state, shapes_of
from planewise.models.zoo import is_hub_id, located
from planewise.progress import counted
from planewise.volumes.atomic import atomic_path

State = dict[str, Tensor]
IMAGE_SIZE = 1024  # of the published models
LARGEST_SIDE = 4096  # of an input; larger values in a file mean damage
PREFIX = "sam2_model."  # of the published fine-tuned files


class _Tokens(BaseModel):
    """Class tokens as stored: the classes by number, and a row of ``weight`` for each, in that order."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    names: dict[int, str] = Field(min_length=1)
    weight: Tensor

    @field_validator("weight")
    @classmethod
    def _plain(cls, weight: Tensor) -> Tensor:
        if weight.layout != torch.strided or weight.is_meta or not weight.is_floating_point():
            raise ValueError("must be plain numbers")
        return weight

    def module(self, channels: int) -> ClassTokens:
        """Return the tokens for a network with this many channels. Raises ValueError if they do not fit."""
        if self.weight.shape != (len(self.names), channels):
            raise ValueError(
                f"class tokens have shape {tuple(self.weight.shape)}; {counted(len(self.names), 'class')} with "
                f"{channels} channels are needed"
            )
        tokens = ClassTokens(self.names, channels)
        tokens.load_state_dict({"weight": self.weight})
        return tokens


class _Extras(BaseModel):
    """What planewise's files hold besides the published keys; other programs ignore it."""

    image_size: int | None = Field(None, ge=32, le=LARGEST_SIDE, multiple_of=32)
    class_tokens: _Tokens | None = None
    window: tuple[FiniteFloat, Annotated[FiniteFloat, Field(gt=0)]] | None = None
    trained: Trained | None = None
    reliability: dict[int, ClassReliability] = {}
    seen: SeenData | None = None


@dataclass
class Sam2Weights:
    """A network with the rest of its file: the video model's tensors, which are written out again unchanged.

    ``size`` is one of ``SIZES``; ``version`` "2.0" or "2.1"; ``tokens``: of a network that was trained to segment
    classes without boxes; ``window``: level and width of the intensities that it was trained on, if its file states
    them; ``trained``: how; ``reliability``: the calibration of its scores, for the classes that could be calibrated;
    ``seen``: statistics of its training data, to compare scans with.
    """

    network: Any  # transformers' Sam2Model
    size: str = "mini"
    version: str = "2.0"
    rest: State = field(default_factory=dict)
    tokens: ClassTokens | None = None
    window: tuple[float, float] | None = None
    trained: Trained | None = None
    reliability: dict[int, ClassReliability] = field(default_factory=dict)
    seen: SeenData | None = None


def load_sam2(source: Path, image_size: int | None) -> Sam2Weights:
    """Return the network of the weights at ``source``, for inputs of side ``image_size``.

    None uses the side that it was trained with, which planewise's files and hub folders state, or the published 1024.

    ``source``: Meta's or MedSAM2's ``.pt``, ``medsam_model_*.pth``, a hub folder, a hub id, or a model's name.
    Raises PlanewiseError listing all tensors of the image model that are missing, unexpected or of another shape.
    """
    source = located(source)
    if source.suffix.lower() in (".yaml", ".yml", ARCHIVE) or (source.is_file() and is_torchscript(source)):
        raise PlanewiseError(f"{source}: is a MitoNet, but a SAM2 is needed; see planewise mito")
    if source.is_dir() or is_hub_id(source):
        state, beside, config = read_hub(source)
    else:
        state, beside, config = _published_state(source), _beside(source), None
    extras = _extras(source, beside)
    image_model, rest = to_transformers(state)
    name = recognise(image_model, source)
    network = build_sam2(name, image_size or extras.image_size or IMAGE_SIZE)
    network.load_state_dict(image_model)
    if config is not None:
        check_config(source, config, network.config)
    try:
        channels = network.config.mask_decoder_config.hidden_size
        tokens = extras.class_tokens.module(channels) if extras.class_tokens else None
    except ValueError as error:
        raise PlanewiseError(f"{source}: {error}; the file is damaged") from error
    version = "2.1" if ONLY_IN_2_1 & rest.keys() else "2.0"
    known = (extras.window, extras.trained, extras.reliability, extras.seen)
    return Sam2Weights(network.eval(), name, version, rest, tokens, *known)


def size_and_side(path: Path) -> tuple[str, int | None]:
    """Return the size of the network of a file's weights, and the side of its input if that is stated.

    See ``load_sam2`` for errors.
    """
    return recognise(to_transformers(_published_state(path))[0], path), _extras(path, _beside(path)).image_size


def _published_state(path: Path) -> State:
    """Return the tensors of a file by Meta's names, without the prefix of fine-tuned files."""
    return {key.removeprefix(PREFIX): value for key, value in read_state(path).items()}


def is_sam2(path: Path) -> bool:
    """Whether a file holds weights with SAM2's names; False also if it cannot be read."""
    try:
        return any(key.startswith("image_encoder.trunk.") for key in _published_state(path))
    except PlanewiseError:
        return False


def recognise(state: State, source: Path) -> str:
    """Return the size, one of ``SIZES``, whose image model has these tensors, by transformers' names.

    Raises PlanewiseError listing what is missing, unexpected or of another shape compared with the most similar size.
    """
    trunk = "vision_encoder.backbone."
    blocks = {key.split(".")[3] for key in state if key.startswith(f"{trunk}blocks.")}
    patches = state.get(f"{trunk}patch_embed.projection.weight")
    width = len(patches) if patches is not None and patches.ndim else 0
    name = min(SIZES, key=lambda name: (abs(sum(SIZES[name].blocks) - len(blocks)), abs(SIZES[name].width - width)))
    with torch.device("meta"):
        expected = build_sam2(name, IMAGE_SIZE).state_dict()
    if wrong := differences(shapes_of(expected), shapes_of(state)):
        raise PlanewiseError(
            f"{source}: {len(wrong)} tensors do not fit SAM2 hiera {name}, the most similar size:{listed(wrong)}"
        )
    return name


def _beside(path: Path) -> dict[str, Any]:
    """Return what a file holds besides its weights; nothing for files of other programs."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # read_state reports a damaged file; planewise does not write the old format, which lacks mmap
        return {}
    return content if isinstance(content, dict) and "model" in content else {}


def _extras(source: Path, beside: dict[str, Any]) -> _Extras:
    """Return what planewise wrote besides the weights. Raises PlanewiseError naming the parts that do not fit."""
    try:
        return _Extras.model_validate(beside)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        raise PlanewiseError(f"{source}: the data beside its weights does not fit: {wrong}") from error


def save_published(path: Path, weights: Sam2Weights, epoch: int, optimizer: dict[str, Any] | None = None) -> None:
    """Write ``weights`` in the form ``{"model", "optimizer", "epoch"}`` that the original scripts read and write.

    ``model`` has "sam2_model." + Meta's names; ``optimizer``: the state that they resume from, see ``sam2_optimiser``.
    """
    model = {PREFIX + key: value.cpu().clone() for key, value in _meta_state(weights).items()}
    side = weights.network.config.vision_config.backbone_config.image_size[0]
    content = {"model": model, "epoch": epoch, "image_size": side} | _written_beside(weights)
    if optimizer is not None:
        content["optimizer"] = optimizer
    if weights.tokens is not None:
        content["class_tokens"] = {
            "names": weights.tokens.names,
            "weight": weights.tokens.weight.detach().cpu().clone(),
        }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def save_hub_folder(folder: Path, weights: Sam2Weights) -> None:
    """Write ``weights`` as a hub folder with a card, for transformers' models and processors; see ``write_hub``."""
    side, names = weights.network.config.vision_config.backbone_config.image_size[0], weights.tokens
    seen = {
        "network": f"SAM2 {weights.version} hiera {weights.size}",
        "side of the input": f"{side} pixels",
        "window, HU": "not known" if weights.window is None else "level {:g}, width {:g}".format(*weights.window),
        "prompts": "boxes" if names is None else f"boxes, or classes without a box: {', '.join(names.names.values())}",
    }
    with atomic_path(folder) as temporary:
        write_hub(temporary, weights.network.config, _meta_state(weights), _written_beside(weights), weights.tokens)
        (temporary / "README.md").write_text(sam2_card(seen["network"], seen, weights.trained), "utf-8")


def _meta_state(weights: Sam2Weights) -> State:
    return to_meta(weights.network.state_dict()) | weights.rest


def _written_beside(weights: Sam2Weights) -> dict[str, Any]:
    """Return what is known about a training, to be stored beside its tensors."""
    beside: dict[str, Any] = {}
    if weights.trained is not None:
        beside["trained"] = weights.trained.model_dump(mode="json")
    if weights.window is not None:
        beside["window"] = weights.window
    if weights.reliability:
        beside["reliability"] = {value: one.model_dump() for value, one in weights.reliability.items()}
    if weights.seen is not None:
        beside["seen"] = weights.seen.model_dump(mode="json")
    return beside
