"""SAM2 (Ravi et al. 2024, arXiv:2408.00714) as transformers builds it, prompted with boxes; its weights in and out.

Weights come as Meta's ``.pt``, MedSAM2's ``.pt``, ``medsam_model_*.pth`` of the published fine-tuning scripts, or a hub
folder. They go out in the published form (Meta's names behind ``sam2_model.``) and as a hub folder.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from planewise.errors import PlanewiseError
from planewise.models.weights import read_state
from planewise.volume import atomic_path

State = dict[str, Tensor]
IMAGE_SIZE = 1024  # of the published models
ATTENTION_ROWS = 128  # of an attention matrix at a time
PREFIX = "sam2_model."  # of the published fine-tuned files
ONLY_IN_2_1 = {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of intensities in 0..1

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


@dataclass
class Sam2Weights:
    """A network with what its file held besides: the video model's tensors, which are written out again as they came.

    ``version`` is "2.0" or "2.1".
    """

    network: Any  # transformers' Sam2Model
    version: str = "2.0"
    rest: State = field(default_factory=dict)


def build_sam2(size: str, image_size: int) -> Any:
    """Return transformers' ``Sam2Model`` with random weights.

    ``size``: "tiny" (31.4 M parameters, the published sam2_hiera_tiny) or "mini" (0.9 M, for training from scratch on
    small data). ``image_size``: side of its square input, a multiple of 32.
    """
    from transformers import Sam2Config, Sam2Model

    if image_size % 32:
        raise PlanewiseError(f"--image_size {image_size}: must be a multiple of 32")
    hidden = 256 if size == "tiny" else 64
    backbone: dict[str, Any] = {"image_size": [image_size, image_size]}
    channels = [768, 384, 192, 96]
    if size == "mini":
        channels = [192, 96, 48, 24]
        backbone |= {
            "hidden_size": 24, "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": channels[::-1],
            "num_attention_heads_per_stage": [1, 2, 4, 8], "global_attention_blocks": [3],
        }  # fmt: skip
    decoder = {"hidden_size": hidden, "dynamic_multimask_via_stability": False}
    if size == "mini":
        decoder |= {"mlp_dim": 256, "num_attention_heads": 4, "iou_head_hidden_dim": hidden}
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **backbone},
        "backbone_channel_list": channels,
        "backbone_feature_sizes": [[image_size // stride] * 2 for stride in (4, 8, 16)],
        "fpn_hidden_size": hidden,
    }
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"image_size": image_size, "hidden_size": hidden},
        mask_decoder_config=decoder,
    )
    network: Any = Sam2Model(config)
    # One set of random frequencies encodes positions of boxes and of the image; published files hold it once.
    frequencies = network.prompt_encoder.shared_embedding.positional_embedding
    network.shared_image_embedding.positional_embedding.data.copy_(frequencies.data)
    return network


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

    ``source``: Meta's or MedSAM2's ``.pt``, ``medsam_model_*.pth``, a hub folder, or a hub id. Raises PlanewiseError
    listing every tensor of the image model that is missing, unexpected or of another shape.
    """
    if source.is_dir() or is_hub_id(source):
        return _load_hub(source, image_size)
    image_size = image_size or _stored_image_size(source) or IMAGE_SIZE
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
            return Sam2Weights(network.eval(), "2.1" if ONLY_IN_2_1 & rest.keys() else "2.0", rest)
        problems = sorted(found) if not problems or len(found) < len(problems) else problems
    listed = "\n  ".join(problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20))
    raise PlanewiseError(f"{source}: {len(problems)} tensors do not fit SAM2 hiera tiny:\n  {listed}")


def _stored_image_size(path: Path) -> int | None:
    try:
        content = torch.load(path, map_location="meta", weights_only=True)
    except Exception:  # read_state says what is wrong with the file
        return None
    return content.get("image_size") if isinstance(content, dict) else None


def is_hub_id(source: Path) -> bool:
    """Whether ``source`` names a model on the hub, such as facebook/sam2-hiera-tiny, and no file that is here."""
    return not source.exists() and not source.is_absolute() and source.suffix == "" and len(source.parts) == 2


def _load_hub(source: Path, image_size: int | None) -> Sam2Weights:
    """Load a hub folder that is here, or a model of the hub, which transformers caches."""
    from transformers import Sam2Model

    try:
        saved: Any = Sam2Model.from_pretrained(str(source), local_files_only=source.is_dir())
    except (OSError, ValueError) as error:
        raise PlanewiseError(
            f"{source}: is not a hub folder of SAM2, nor a model of the hub that can be fetched or is cached "
            f"({str(error).splitlines()[0]}); give the path of its weights"
        ) from error
    size = "tiny" if saved.config.mask_decoder_config.hidden_size == 256 else "mini"
    network = build_sam2(size, image_size or saved.config.vision_config.backbone_config.image_size[0])
    network.load_state_dict(saved.state_dict())
    return Sam2Weights(network.eval())


def save_published(path: Path, weights: Sam2Weights, epoch: int) -> None:
    """Write ``weights`` as the original scripts do: ``{"model": {"sam2_model." + Meta's name}, "epoch"}``."""
    state = weights.network.state_dict()
    meta = to_meta(state, meta_names(weights.network)) | weights.rest
    model = {PREFIX + key: value.cpu().clone() for key, value in meta.items()}
    side = weights.network.config.vision_config.backbone_config.image_size[0]
    content = {"model": model, "epoch": epoch, "image_size": side}  # the last is ours; others pass over it
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def save_hub_folder(folder: Path, weights: Sam2Weights) -> None:
    """Write ``weights`` as a hub folder: config.json and safetensors."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # it takes no time
    with atomic_path(folder) as temporary:
        weights.network.save_pretrained(temporary)


class BoxSegmenter(nn.Module):
    """Masks of the objects in boxes: each slice is encoded once, and all its boxes are decoded in one call."""

    network: Any  # nn.Module's own type says that its members may be tensors

    def __init__(self, network: nn.Module, checkpointing: bool = False) -> None:
        """``checkpointing``: recompute the encoder's blocks in the backward pass, to save memory."""
        super().__init__()
        self.network = network
        self.checkpointing = checkpointing
        if checkpointing:
            for block in self.network.vision_encoder.backbone.blocks:
                block.forward = _recomputed(block.forward)

    def frozen(self) -> "BoxSegmenter":
        """Make ready, for good, to predict only: in evaluation mode, without what is the same for every slice.

        Call it when the network is on its device. Results are the same to the rounding of float32.
        """
        self.eval()
        attention = _register_attention()
        for module in self.network.modules():
            if type(module) is nn.Linear:
                module.__class__ = _OneDnnLinear
            if hasattr(module, "config"):
                module.config._attn_implementation = attention
        encoder = self.network.vision_encoder
        side = self.image_size // 4
        with torch.inference_mode():
            positions = encoder.backbone._get_pos_embed((side, side))
        encoder.backbone._get_pos_embed = lambda hw: positions
        encoder.neck.position_encoding = _NoPositions()
        return self

    @property
    def image_size(self) -> int:
        """Side of the square input."""
        return int(self.network.config.vision_config.backbone_config.image_size[0])

    def encode(self, slices: Tensor) -> list[Tensor]:
        """Return the embeddings of ``slices`` (N, H, W), in 0..1: three features at strides 4, 8 and 16."""
        side = self.image_size
        x = F.interpolate(slices[:, None].float(), size=(side, side), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (MEAN, STD))
        features = self.network.get_image_features((x - mean) / std, return_dict=True).fpn_hidden_states
        features[-1] = features[-1] + self.network.no_memory_embedding
        sizes = self.network.backbone_feature_sizes
        return [f.permute(1, 2, 0).reshape(len(x), -1, *size) for f, size in zip(features, sizes)]

    def decode(self, embeddings: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (N, P, h, w), h = image size / 4, and object scores (N, P), both float32.

        ``boxes`` (N, P, 4): x and y from, x and y to, as shares of the slice's sides, 0..1.
        """
        outputs = self.network(image_embeddings=embeddings, input_boxes=boxes * self.image_size, multimask_output=False)
        return outputs.pred_masks[:, :, 0].float(), outputs.object_score_logits[..., 0].float()

    def forward(self, slices: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Encode and decode; see both."""
        return self.decode(self.encode(slices), boxes)


class _OneDnnLinear(nn.Linear):
    """A linear layer that float32 on a CPU goes through oneDNN for, which on AMD is twice as fast as MKL."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)


def _register_attention() -> str:
    """Make ``_attention`` known to transformers; return its name there."""
    from transformers import AttentionInterface

    AttentionInterface.register("planewise", _attention)
    return "planewise"


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attend as PyTorch's own kernel does; in bf16 on a CPU, where that gains nothing over float32, by products.

    ``query``, ``key``, ``value`` (N, heads, tokens, channels); returns (N, tokens, heads, channels). Rows of the
    attention matrix are made a few at a time, so that they stay in the cache.
    """
    if query.dtype != torch.bfloat16 or query.device.type != "cpu" or attention_mask is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    with torch.autocast("cpu", enabled=False):  # which would make the softmax's input and result float32
        keys = (key * options["scaling"]).transpose(-1, -2).contiguous()
        parts = [torch.softmax(rows @ keys, dim=-1) @ value for rows in query.split(ATTENTION_ROWS, dim=-2)]
    return torch.cat(parts, dim=-2).transpose(1, 2).contiguous(), None


class _NoPositions(nn.Module):
    """Stands for the positions of the encoder's features, which only the video model reads."""

    def forward(self, shape: Any, device: Any = None, dtype: Any = None, mask: Any = None) -> Tensor:
        return torch.zeros(1, 1, 1, 1, device=device)


def _recomputed(forward: Any) -> Any:
    return lambda *arguments, **options: checkpoint(forward, *arguments, use_reentrant=False, **options)
