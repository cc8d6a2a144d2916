"""The names of SAM2's tensors: Meta's, and those of transformers' ``Sam2Model`` and ``Sam2VideoModel``."""

import re
from functools import cache

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
ONLY_IN_2_1 = {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"}
_DOWN = "memory_encoder.mask_downsampler"

# (what comes before, a regular expression; Meta's words; transformers' words), applied in order to get transformers'
# names, and undone in the reverse order. "#" is a number that stays, "$" the end of the name.
_WORDS = (
    ("^", "image_encoder.trunk.", "vision_encoder.backbone."),
    ("^", "image_encoder.neck.convs.#.conv.", "vision_encoder.neck.convs.#."),
    ("", ".patch_embed.proj.", ".patch_embed.projection."),
    (r"backbone\.blocks\.\d+", ".norm#.", ".layer_norm#."),
    (r"backbone\.blocks\.\d+", ".mlp.layers.0.", ".mlp.proj_in."),
    (r"backbone\.blocks\.\d+", ".mlp.layers.1.", ".mlp.proj_out."),
    ("^", "sam_prompt_encoder.", "prompt_encoder."),
    ("", "pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("", "mask_downscaling.0.", "mask_embed.conv1."),
    ("", "mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("", "mask_downscaling.3.", "mask_embed.conv2."),
    ("", "mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("", "mask_downscaling.6.", "mask_embed.conv3."),
    ("^", "sam_mask_decoder.", "mask_decoder."),
    ("", "output_upscaling.0.", "upscale_conv1."),
    ("", "output_upscaling.1.", "upscale_layer_norm."),
    ("", "output_upscaling.3.", "upscale_conv2."),
    (r"(?:_head|_mlps\.\d+)", ".layers.2.", ".proj_out."),
    (r"(?:_head|_mlps\.\d+)", ".layers.0.", ".proj_in."),
    (r"(?:_head|_mlps\.\d+)", ".layers.1.", ".layers.0."),
    (r"transformer\.layers\.\d+\.mlp", ".layers.0.", ".proj_in."),
    (r"transformer\.layers\.\d+\.mlp", ".layers.1.", ".proj_out."),
    (r"transformer\.layers\.\d+", ".norm#.", ".layer_norm#."),
    ("", "transformer.norm_final_attn.", "transformer.layer_norm_final_attn."),
    (r"mask_decoder\.transformer\..*", ".out_proj.", ".o_proj."),
    ("^", "no_mem_embed$", "no_memory_embedding$"),
    ("^", "maskmem_tpos_enc$", "memory_temporal_positional_encoding$"),
    ("^", "no_mem_pos_enc$", "no_memory_positional_encoding$"),
    ("^", "no_obj_ptr$", "no_object_pointer$"),
    ("^", "no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter$"),
    ("^", "obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer."),
    ("^", "obj_ptr_proj.layers.2.", "object_pointer_proj.proj_out."),
    ("^", "obj_ptr_proj.layers.0.", "object_pointer_proj.proj_in."),
    ("^", "obj_ptr_proj.layers.1.", "object_pointer_proj.layers.0."),
    (r"^memory_attention\..*attn.*", ".out_proj.", ".o_proj."),
    (r"^memory_attention\.layers\.\d+", ".norm#.", ".layer_norm#."),
    ("^", "memory_attention.norm.", "memory_attention.layer_norm."),
    *(("^", f"{_DOWN}.encoder.{3 * i}.", f"{_DOWN}.layers.{i}.conv.") for i in range(4)),
    *(("^", f"{_DOWN}.encoder.{3 * i + 1}.", f"{_DOWN}.layers.{i}.layer_norm.") for i in range(4)),
    ("^", f"{_DOWN}.encoder.12.", f"{_DOWN}.final_conv."),
    ("^", "memory_encoder.pix_feat_proj.", "memory_encoder.feature_projection."),
    ("^", "memory_encoder.out_proj.", "memory_encoder.projection."),
    ("^", "memory_encoder.fuser.", "memory_encoder.memory_fuser."),
    (r"memory_fuser\.layers\.\d+", ".gamma$", ".scale$"),
    (r"memory_fuser\.layers\.\d+", ".dwconv.", ".depthwise_conv."),
    (r"memory_fuser\.layers\.\d+", ".norm.", ".layer_norm."),
    (r"memory_fuser\.layers\.\d+", ".pwconv#.", ".pointwise_conv#."),
)


def _substitution(before: str, words: str, others: str) -> tuple[re.Pattern[str], str]:
    """Return a pattern and its replacement that put ``others`` in place of ``words``."""
    pattern = re.escape(words).replace(r"\#", r"(\d+)").replace(r"\$", "$")
    return re.compile(f"({before}){pattern}"), r"\g<1>" + others.rstrip("$").replace("#", r"\g<2>")


_TO_TRANSFORMERS = tuple(_substitution(before, meta, transformers) for before, meta, transformers in _WORDS)
_TO_META = tuple(_substitution(before, transformers, meta) for before, meta, transformers in reversed(_WORDS))

_POINT_EMBEDDINGS = "sam_prompt_encoder.point_embeddings.{}.weight"
_SHARED = "prompt_encoder.shared_embedding.positional_embedding"
_SHARED_COPY = "shared_image_embedding.positional_embedding"


@cache  # 50 expressions would be tried on each of up to 900 names, several times for a file
def transformers_name(meta: str) -> str:
    """Return transformers' name of a tensor from Meta's."""
    for pattern, replacement in _TO_TRANSFORMERS:
        meta = pattern.sub(replacement, meta)
    return meta


@cache
def meta_name(name: str) -> str:
    """Return Meta's name of a tensor from transformers': the inverse of ``transformers_name``."""
    for pattern, replacement in _TO_META:
        name = pattern.sub(replacement, name)
    return name


def is_of_image_model(name: str) -> bool:
    """Whether a tensor, by transformers' name, is in ``Sam2Model``; the others are only in the video model."""
    parts = ("vision_encoder.", "prompt_encoder.", "mask_decoder.")
    return name.startswith(parts) or name in ("no_memory_embedding", _SHARED_COPY)


def to_transformers(meta: State) -> tuple[State, State]:
    """Return (the image model's tensors by transformers' names, the others as they are)."""
    image_model = {name: value for key, value in meta.items() if is_of_image_model(name := transformers_name(key))}
    rest = {key: value for key, value in meta.items() if not is_of_image_model(transformers_name(key))}
    points = [image_model.pop(f"prompt_encoder.point_embeddings.{i}.weight", None) for i in range(4)]
    if all(point is not None for point in points):
        image_model["prompt_encoder.point_embed.weight"] = torch.cat([point for point in points if point is not None])
    if _SHARED in image_model:
        image_model[_SHARED_COPY] = image_model[_SHARED]
    return image_model, rest


def to_meta(state: State) -> State:
    """Return tensors by Meta's names: the inverse of ``to_transformers``."""
    meta: State = {}
    for name, value in state.items():
        if name == _SHARED_COPY:
            continue
        if name == "prompt_encoder.point_embed.weight":
            meta |= {_POINT_EMBEDDINGS.format(i): value[i : i + 1].clone() for i in range(len(value))}
        else:
            meta[meta_name(name)] = value
    return meta


def meta_names(network: nn.Module) -> dict[str, str]:
    """Return Meta's name of each tensor of ``network``, by transformers' name."""
    return {name: meta_name(name) for name in network.state_dict()}
