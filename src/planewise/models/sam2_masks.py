"""The four masks of SAM2's decoder: which of them is used, and what the other three learn."""

from typing import Any

import torch
from torch import Tensor, nn

STABILITY_DELTA, LEAST_STABILITY = 0.05, 0.98  # of the published builder, see ``stable_masks``


def stable_masks(masks: Tensor, ious: Tensor) -> Tensor:
    """Return the first of four masks, logits (N, P, 4, h, w), where it is stable, else the best of the others.

    A mask is stable if its area hardly depends on its threshold: the area above ``STABILITY_DELTA`` is at least
    ``LEAST_STABILITY`` of that above -``STABILITY_DELTA``. The best mask has the highest predicted IoU, ``ious``
    (N, P, 4). SAM2's builder does so by default (``apply_postprocessing``). Returns (N, P, h, w).
    """
    first = masks[:, :, 0]
    inner, outer = ((first > edge).flatten(2).sum(2).float() for edge in (STABILITY_DELTA, -STABILITY_DELTA))
    stable = (outer == 0) | (inner >= LEAST_STABILITY * outer)
    best = ious[:, :, 1:].argmax(2)[:, :, None, None, None].expand(-1, -1, 1, *masks.shape[3:])
    return torch.where(stable[..., None, None], first, masks[:, :, 1:].gather(2, best)[:, :, 0])


def all_masks(masks: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
    """Return all masks: passed to a decoder in place of its choice by stability, if the choice is made elsewhere."""
    return masks, ious


class OtherMasks:
    """Keeps the gradient of a decoder's other three masks away from everything that makes the first one.

    A mask is the product of an embedding of the pixels and of weights, which a small network for each of the four masks
    makes from its token. Only these three networks learn from the loss on the three masks; the rest shares nothing with
    them but the limit on the norm of all gradients.
    """

    def __init__(self, decoder: Any) -> None:
        self._networks = list(decoder.output_hypernetworks_mlps)[1:]
        self._pixels: Tensor | None = None
        self._tokens: list[Tensor] = []
        decoder.activation.register_forward_hook(self._see_pixels)  # it is called last on the embedding of the pixels
        for network in self._networks:
            network.register_forward_hook(self._see_token)

    def _see_pixels(self, _: nn.Module, __: Any, pixels: Tensor) -> None:
        self._pixels, self._tokens = (pixels.detach(), []) if torch.is_grad_enabled() else (None, [])

    def _see_token(self, _: nn.Module, token: tuple[Tensor], __: Tensor) -> None:
        if torch.is_grad_enabled():
            self._tokens.append(token[0].detach())

    def detached(self, masks: Tensor) -> Tensor:
        """Return the masks (N, P, 4, h, w) that the decoder has just made; see above."""
        assert self._pixels is not None
        made = [network.forward(token) for network, token in zip(self._networks, self._tokens, strict=True)]
        others = torch.stack(made, dim=2) @ self._pixels.view(*masks.shape[:2], self._pixels.shape[1], -1)
        return torch.cat([masks[:, :, :1], others.view_as(masks[:, :, 1:])], dim=2)

    def forget(self) -> None:
        """Release the last masks, which are large."""
        self._pixels, self._tokens = None, []
