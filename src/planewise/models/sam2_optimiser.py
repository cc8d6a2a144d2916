"""The optimiser's state beside SAM2's weights, as the original fine-tuning script writes and reads it."""

from typing import Any

import torch
from torch import nn

from planewise.models.sam2_names import meta_names

_DECODER = (
    "transformer", "iou_token", "mask_tokens", "obj_score_token", "output_upscaling", "conv_s0", "conv_s1",
    "output_hypernetworks_mlps", "iou_prediction_head", "pred_obj_score_head",
)  # fmt: skip  # Meta's order


def published_optimizer(
    network: nn.Module, moments: dict[str, dict[str, Any]], learning_rate: float, weight_decay: float
) -> dict[str, Any]:
    """Return the state_dict of AdamW that the original script resumes from.

    It has one group: the parameters of the image encoder and of the mask decoder, in Meta's order. ``moments``: AdamW's
    state of each parameter of ``network`` that has one, by name; the others start fresh.
    """
    names = {meta: name for name, meta in meta_names(network).items()}
    ordered = [meta for meta in names if meta.startswith("image_encoder.")]
    ordered += sorted((meta for meta in names if meta.startswith("sam_mask_decoder.")), key=place_in_decoder)
    parameters = dict(network.named_parameters())
    adam = torch.optim.AdamW([parameters[names[meta]] for meta in ordered], lr=learning_rate, weight_decay=weight_decay)
    state = {place: moments[names[meta]] for place, meta in enumerate(ordered) if names[meta] in moments}
    return adam.state_dict() | {"state": state}


def place_in_decoder(meta: str) -> tuple[int, list[int]]:
    """Return a key that sorts Meta's names in the order of its mask decoder, from which transformers' differs."""
    _, part, *within = meta.split(".")
    return _DECODER.index(part), [int(word) for word in within if word.isdigit()] if part != "transformer" else []
