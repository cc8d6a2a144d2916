"""SAM2's weights in and out.

They come as Meta's ``.pt``, MedSAM2's ``.pt``, ``medsam_model_*.pth`` of the published fine-tuning scripts, or a hub
folder. They go out in the published form (Meta's names behind ``sam2_model.``) and as a hub folder. Our class tokens
lie beside the published tensors, so that others' programs load the files as ever.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from planewise.errors import PlanewiseError, first_line
from planewise.models.model_file import Trained
from planewise.models.sam2 import ClassTokens, build_sam2
from planewise.models.weights import read_state
from planewise.models.zoo import is_hub_id, located
from planewise.volumes.atomic import atomic_path

State = dict[str, Tensor]
IMAGE_SIZE = 1024  # of the published models
LARGEST_SIDE = 4096  # of an input; what a file says beyond that is damage
PREFIX = "sam2_model."  # of the published fine-tuned files
TOKENS_FILE = "class_tokens.safetensors"  # in a hub folder
ONLY_IN_2_1 = {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"}

# Meta's names -> transformers', applied in order. Each is undone by ``_META_NAMES``.
_NAMES = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"(backbone\.blocks\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"(backbone\.blocks\.\d+)\.mlp\.layers\.0\.", r"\1.mlp.proj_in."),
    (r"(backbone\.blocks\.\d+)\.mlp\.layers\.1\.", r"\1.mlp.proj_out."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"(_head|_mlps\.\d+)\.layers\.2\.", r"\1.proj_out."),
    (r"(_head|_mlps\.\d+)\.layers\.0\.", r"\1.proj_in."),
    (r"(_head|_mlps\.\d+)\.layers\.1\.", r"\1.layers.0."),
    (r"(transformer\.layers\.\d+\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"(transformer\.layers\.\d+\.mlp)\.layers\.1\.", r"\1.proj_out."),
    (r"(transformer\.layers\.\d+)\.norm([1-4])\.", r"\1.layer_norm\2."),
    (r"transformer\.norm_final_attn\.", "transformer.layer_norm_final_attn."),
    (r"(mask_decoder\.transformer\..*)\.out_proj\.", r"\1.o_proj."),
    (r"^no_mem_embed$", "no_memory_embedding"),
)
_POINT_EMBEDDINGS = "sam_prompt_encoder.point_embeddings.{}.weight"
_SHARED = "prompt_encoder.shared_embedding.positional_embedding"
_SHARED_COPY = "shared_image_embedding.positional_embedding"


class _Tokens(BaseModel):
    """Class tokens as they are stored: the classes by number, and a row of ``weight`` for each, in that order."""

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
        """Return the tokens of a network with so many channels. Raises ValueError if they are others."""
        if self.weight.shape != (len(self.names), channels):
            raise ValueError(
                f"class tokens have shape {tuple(self.weight.shape)}; {len(self.names)} classes with {channels} "
                "channels are needed"
            )
        tokens = ClassTokens(self.names, channels)
        tokens.load_state_dict({"weight": self.weight})
        return tokens


class _OurOwn(BaseModel):
    """What our files hold beside the published keys; others pass over it."""

    image_size: int | None = Field(None, ge=32, le=LARGEST_SIDE, multiple_of=32)
    class_tokens: _Tokens | None = None
    window: tuple[FiniteFloat, Annotated[FiniteFloat, Field(gt=0)]] | None = None
    trained: Trained | None = None


@dataclass
class Sam2Weights:
    """A network with what its file held besides: the video model's tensors, which are written out again as they came.

    ``version`` is "2.0" or "2.1"; ``tokens``: of a network that was trained to find classes by itself;
    ``window``: level and width of the intensities that it was trained on, if its file says; ``trained``: how.
    """

    network: Any  # transformers' Sam2Model
    version: str = "2.0"
    rest: State = field(default_factory=dict)
    tokens: ClassTokens | None = None
    window: tuple[float, float] | None = None
    trained: Trained | None = None


def to_transformers(meta: State) -> tuple[State, State]:
    """Return (the image model's tensors by transformers' names, the others as they are)."""
    ours: State = {}
    rest: State = {}
    for key, value in meta.items():
        name = key
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        if name.startswith(("vision_encoder.", "prompt_encoder.", "mask_decoder.")) or name == "no_memory_embedding":
            ours[name] = value
        else:
            rest[key] = value
    points = [ours.pop(f"prompt_encoder.point_embeddings.{i}.weight", None) for i in range(4)]
    if all(point is not None for point in points):
        ours["prompt_encoder.point_embed.weight"] = torch.cat([point for point in points if point is not None])
    if _SHARED in ours:
        ours[_SHARED_COPY] = ours[_SHARED]
    return ours, rest


def to_meta(ours: State, meta_names: dict[str, str]) -> State:
    """Return the image model's tensors by Meta's names: the inverse of ``to_transformers``."""
    meta: State = {}
    for name, value in ours.items():
        if name == _SHARED_COPY:
            continue
        if name == "prompt_encoder.point_embed.weight":
            meta |= {_POINT_EMBEDDINGS.format(i): value[i : i + 1].clone() for i in range(4)}
        else:
            meta[meta_names[name]] = value
    return meta


def meta_names(network: nn.Module) -> dict[str, str]:
    """Return Meta's name of every tensor of ``network``, by transformers' name."""
    names = {}
    for name in network.state_dict():
        key = name
        for undo in _META_NAMES:
            key = re.sub(*undo, key)
        names[name] = key
    return names


_META_NAMES = (
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"(mask_decoder\.transformer\..*)\.o_proj\.", r"\1.out_proj."),
    (r"transformer\.layer_norm_final_attn\.", "transformer.norm_final_attn."),
    (r"(transformer\.layers\.\d+)\.layer_norm([1-4])\.", r"\1.norm\2."),
    (r"(transformer\.layers\.\d+\.mlp)\.proj_out\.", r"\1.layers.1."),
    (r"(transformer\.layers\.\d+\.mlp)\.proj_in\.", r"\1.layers.0."),
    (r"(_head|_mlps\.\d+)\.layers\.0\.", r"\1.layers.1."),
    (r"(_head|_mlps\.\d+)\.proj_in\.", r"\1.layers.0."),
    (r"(_head|_mlps\.\d+)\.proj_out\.", r"\1.layers.2."),
    (r"upscale_conv2\.", "output_upscaling.3."),
    (r"upscale_layer_norm\.", "output_upscaling.1."),
    (r"upscale_conv1\.", "output_upscaling.0."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"mask_embed\.conv3\.", "mask_downscaling.6."),
    (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
    (r"mask_embed\.conv2\.", "mask_downscaling.3."),
    (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
    (r"mask_embed\.conv1\.", "mask_downscaling.0."),
    (r"shared_embedding\.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"(backbone\.blocks\.\d+)\.mlp\.proj_out\.", r"\1.mlp.layers.1."),
    (r"(backbone\.blocks\.\d+)\.mlp\.proj_in\.", r"\1.mlp.layers.0."),
    (r"(backbone\.blocks\.\d+)\.layer_norm([12])\.", r"\1.norm\2."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
)


def load_sam2(source: Path, image_size: int | None) -> Sam2Weights:
    """Return the network that the weights at ``source`` belong to, for inputs of side ``image_size``.

    None takes the size that we trained it with, which our files say, or the published 1024.

    ``source``: Meta's or MedSAM2's ``.pt``, ``medsam_model_*.pth``, a hub folder, a hub id, or a model's name.
    Raises PlanewiseError listing every tensor of the image model that is missing, unexpected or of another shape.
    """
    source = located(source)
    if source.is_dir() or is_hub_id(source):
        return _load_hub(source, image_size)
    ours_only = _our_own(source)
    image_size = image_size or ours_only.image_size or IMAGE_SIZE
    state = {key.removeprefix(PREFIX): value for key, value in read_state(source).items()}
    ours, rest = to_transformers(state)
    problems: list[str] = []
    for size in ("tiny", "mini"):
        network = build_sam2(size, image_size)
        expected = network.state_dict()
        found = [f"missing {name}" for name in expected.keys() - ours.keys()]
        found += [f"unexpected {name}" for name in ours.keys() - expected.keys()]
        found += [
            f"{name} has shape {tuple(ours[name].shape)}, {tuple(expected[name].shape)} is needed"
            for name in expected.keys() & ours.keys()
            if expected[name].shape != ours[name].shape
        ]
        if not found:
            network.load_state_dict(ours)
            version = "2.1" if ONLY_IN_2_1 & rest.keys() else "2.0"
            try:
                channels = network.config.mask_decoder_config.hidden_size
                tokens = ours_only.class_tokens.module(channels) if ours_only.class_tokens else None
            except ValueError as error:
                raise PlanewiseError(f"{source}: {error}; the file is damaged") from error
            return Sam2Weights(network.eval(), version, rest, tokens, ours_only.window, ours_only.trained)
        problems = sorted(found) if not problems or len(found) < len(problems) else problems
    listed = "\n  ".join(problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20))
    raise PlanewiseError(f"{source}: {len(problems)} tensors do not fit SAM2 hiera tiny:\n  {listed}")


def _our_own(path: Path) -> _OurOwn:
    """Return what ``save_published`` wrote beside the published keys, where it wrote the file.

    Raises PlanewiseError naming what of it does not fit.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # read_state says what is wrong with the file; the older format cannot be mapped, nor is ours
        return _OurOwn()
    try:
        return _OurOwn.model_validate(content if isinstance(content, dict) and "model" in content else {})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        raise PlanewiseError(f"{path}: what stands beside its weights does not fit: {wrong}") from error


def _load_hub(source: Path, image_size: int | None) -> Sam2Weights:
    """Load a hub folder that is here, or a model of the hub, which transformers caches."""
    from transformers import Sam2Model
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)  # what is wrong with a folder is told once, by us
    try:
        loaded: Any = Sam2Model.from_pretrained(
            str(source), local_files_only=source.is_dir(), use_safetensors=True, output_loading_info=True
        )
        saved, loading = loaded
        side = saved.config.vision_config.backbone_config.image_size[0]
        size = "tiny" if saved.config.mask_decoder_config.hidden_size == 256 else "mini"
    except Exception as error:  # a damaged or foreign folder fails in many ways
        raise PlanewiseError(
            f"{source}: is not a hub folder of SAM2 with config.json and model.safetensors, nor a model of the hub "
            f"that can be fetched or is cached ({_reason(error)}); give the path of its weights"
        ) from error
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise PlanewiseError(f"{source}: {len(missing)} tensors are missing, the first is {missing[0]}")
    if not 32 <= (image_size or side) <= LARGEST_SIDE:
        raise PlanewiseError(f"{source}: its config.json says image_size {side}; at most {LARGEST_SIDE} can be")
    network = build_sam2(size, image_size or side)
    try:
        network.load_state_dict(saved.state_dict())
    except RuntimeError as error:
        raise PlanewiseError(f"{source}: is SAM2 of another size; known here is hiera tiny") from error
    tokens = None
    if (source / TOKENS_FILE).is_file():
        try:
            with safe_open(source / TOKENS_FILE, "pt") as file:
                stored = _Tokens(names=json.loads(file.metadata()["names"]), weight=file.get_tensor("weight"))
            tokens = stored.module(network.config.mask_decoder_config.hidden_size)
        except Exception as error:  # a damaged file fails in many ways
            raise PlanewiseError(
                f"{source / TOKENS_FILE}: cannot be read ({_reason(error)}); copy the folder again"
            ) from error
    return Sam2Weights(network.eval(), tokens=tokens)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its JSON is nested too deeply"
    if "ignore_mismatched_sizes" in str(error):
        return "the shapes of its tensors are not those of its config.json"
    return first_line(error)


def save_published(path: Path, weights: Sam2Weights, epoch: int, optimizer: dict[str, Any] | None = None) -> None:
    """Write ``weights`` as the original scripts do, which read ``{"model", "optimizer", "epoch"}``.

    ``model`` has "sam2_model." + Meta's names; ``optimizer``: which they resume from, see ``sam2_optimiser``.
    """
    state = weights.network.state_dict()
    meta = to_meta(state, meta_names(weights.network)) | weights.rest
    model = {PREFIX + key: value.cpu().clone() for key, value in meta.items()}
    side = weights.network.config.vision_config.backbone_config.image_size[0]
    content = {"model": model, "epoch": epoch, "image_size": side}
    if optimizer is not None:
        content["optimizer"] = optimizer
    if weights.trained is not None:
        content["trained"] = weights.trained.model_dump(mode="json")
    if weights.window is not None:
        content["window"] = weights.window
    if weights.tokens is not None:
        content["class_tokens"] = {
            "names": weights.tokens.names,
            "weight": weights.tokens.weight.detach().cpu().clone(),
        }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def save_hub_folder(folder: Path, weights: Sam2Weights) -> None:
    """Write ``weights`` as a hub folder: config.json and safetensors."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # it takes no time
    with atomic_path(folder) as temporary:
        weights.network.save_pretrained(temporary)
        if weights.tokens is not None:
            state = {"weight": weights.tokens.weight.detach().cpu().contiguous()}
            save_file(state, temporary / TOKENS_FILE, {"names": json.dumps(weights.tokens.names)})
