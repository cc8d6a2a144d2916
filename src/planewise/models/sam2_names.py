"""What tensors of SAM2 are called: Meta's names, and those of transformers' ``Sam2Model`` and ``Sam2VideoModel``."""

import re

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
ONLY_IN_2_1 = {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"}
_DOWN = "memory_encoder.mask_downsampler"

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
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^obj_ptr_proj\.layers\.2\.", "object_pointer_proj.proj_out."),
    (r"^obj_ptr_proj\.layers\.0\.", "object_pointer_proj.proj_in."),
    (r"^obj_ptr_proj\.layers\.1\.", "object_pointer_proj.layers.0."),
    (r"^(memory_attention\..*attn.*)\.out_proj\.", r"\1.o_proj."),
    (r"^(memory_attention\.layers\.\d+)\.norm([123])\.", r"\1.layer_norm\2."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    *((rf"^{_DOWN}\.encoder\.{3 * i}\.", f"{_DOWN}.layers.{i}.conv.") for i in range(4)),
    *((rf"^{_DOWN}\.encoder\.{3 * i + 1}\.", f"{_DOWN}.layers.{i}.layer_norm.") for i in range(4)),
    (rf"^{_DOWN}\.encoder\.12\.", f"{_DOWN}.final_conv."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"(memory_fuser\.layers\.\d+)\.gamma$", r"\1.scale"),
    (r"(memory_fuser\.layers\.\d+)\.dwconv\.", r"\1.depthwise_conv."),
    (r"(memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"(memory_fuser\.layers\.\d+)\.pwconv([12])\.", r"\1.pointwise_conv\2."),
)

_META_NAMES = (
    (r"(memory_fuser\.layers\.\d+)\.pointwise_conv([12])\.", r"\1.pwconv\2."),
    (r"(memory_fuser\.layers\.\d+)\.layer_norm\.", r"\1.norm."),
    (r"(memory_fuser\.layers\.\d+)\.depthwise_conv\.", r"\1.dwconv."),
    (r"(memory_fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
    (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
    (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
    (rf"^{_DOWN}\.final_conv\.", f"{_DOWN}.encoder.12."),
    *((rf"^{_DOWN}\.layers\.{i}\.layer_norm\.", f"{_DOWN}.encoder.{3 * i + 1}.") for i in range(4)),
    *((rf"^{_DOWN}\.layers\.{i}\.conv\.", f"{_DOWN}.encoder.{3 * i}.") for i in range(4)),
    (r"^memory_attention\.layer_norm\.", "memory_attention.norm."),
    (r"^(memory_attention\.layers\.\d+)\.layer_norm([123])\.", r"\1.norm\2."),
    (r"^(memory_attention\..*attn.*)\.o_proj\.", r"\1.out_proj."),
    (r"^object_pointer_proj\.layers\.0\.", "obj_ptr_proj.layers.1."),
    (r"^object_pointer_proj\.proj_in\.", "obj_ptr_proj.layers.0."),
    (r"^object_pointer_proj\.proj_out\.", "obj_ptr_proj.layers.2."),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
    (r"^no_object_pointer$", "no_obj_ptr"),
    (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
    (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
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

_POINT_EMBEDDINGS = "sam_prompt_encoder.point_embeddings.{}.weight"
_SHARED = "prompt_encoder.shared_embedding.positional_embedding"
_SHARED_COPY = "shared_image_embedding.positional_embedding"


def transformers_name(meta: str) -> str:
    """Return transformers' name of a tensor, by Meta's."""
    for pattern, replacement in _NAMES:
        meta = re.sub(pattern, replacement, meta)
    return meta


def meta_name(ours: str) -> str:
    """Return Meta's name of a tensor, by transformers': the inverse of ``transformers_name``."""
    for pattern, replacement in _META_NAMES:
        ours = re.sub(pattern, replacement, ours)
    return ours


def is_of_image_model(ours: str) -> bool:
    """Whether a tensor, by transformers' name, is one of ``Sam2Model``; the others belong to the video model alone."""
    parts = ("vision_encoder.", "prompt_encoder.", "mask_decoder.")
    return ours.startswith(parts) or ours in ("no_memory_embedding", _SHARED_COPY)


def to_transformers(meta: State) -> tuple[State, State]:
    """Return (the image model's tensors by transformers' names, the others as they are)."""
    ours = {name: value for key, value in meta.items() if is_of_image_model(name := transformers_name(key))}
    rest = {key: value for key, value in meta.items() if not is_of_image_model(transformers_name(key))}
    points = [ours.pop(f"prompt_encoder.point_embeddings.{i}.weight", None) for i in range(4)]
    if all(point is not None for point in points):
        ours["prompt_encoder.point_embed.weight"] = torch.cat([point for point in points if point is not None])
    if _SHARED in ours:
        ours[_SHARED_COPY] = ours[_SHARED]
    return ours, rest


def to_meta(ours: State) -> State:
    """Return tensors by Meta's names: the inverse of ``to_transformers``."""
    meta: State = {}
    for name, value in ours.items():
        if name == _SHARED_COPY:
            continue
        if name == "prompt_encoder.point_embed.weight":
            meta |= {_POINT_EMBEDDINGS.format(i): value[i : i + 1].clone() for i in range(len(value))}
        else:
            meta[meta_name(name)] = value
    return meta


def meta_names(network: nn.Module) -> dict[str, str]:
    """Return Meta's name of every tensor of ``network``, by transformers' name."""
    return {name: meta_name(name) for name in network.state_dict()}
