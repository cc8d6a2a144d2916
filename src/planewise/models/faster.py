"""Faster computations of the layers of transformers' networks, for prediction; results are equal up to rounding."""

from typing import Any

import torch
from torch import Tensor, nn

ATTENTION_ROWS = 128  # of an attention matrix at a time


def faster(network: nn.Module) -> None:
    """Make the layers of ``network`` compute faster in prediction, with results that are equal up to rounding."""
    attention = _register_attention()
    module: Any
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = _OneDnnLinear
        if hasattr(module, "config"):
            module.config._attn_implementation = attention


class _OneDnnLinear(nn.Linear):
    """A linear layer that uses oneDNN for float32 on a CPU, which is twice as fast as MKL on AMD."""

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
    """Compute attention by PyTorch's kernel; in bf16 on a CPU, where it is no faster than float32, by matrix products.

    ``query``, ``key``, ``value`` (N, heads, tokens, channels); returns (N, tokens, heads, channels). Rows of the
    attention matrix are made a few at a time, so that they stay in the cache.
    """
    if query.dtype != torch.bfloat16 or query.device.type != "cpu" or attention_mask is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    with torch.autocast("cpu", enabled=False):  # autocast would make the softmax's input and result float32
        keys = (key * options["scaling"]).transpose(-1, -2).contiguous()
        parts = [torch.softmax(rows @ keys, dim=-1) @ value for rows in query.split(ATTENTION_ROWS, dim=-2)]
    return torch.cat(parts, dim=-2).transpose(1, 2).contiguous(), None


class NoPositions(nn.Module):
    """Stands for the positions of the encoder's features, which only the video model reads."""

    def forward(self, shape: Any, device: Any = None, dtype: Any = None, mask: Any = None) -> Tensor:
        return torch.zeros(1, 1, 1, 1, device=device)
