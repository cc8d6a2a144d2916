"""Propagates objects from slice to slice with SAM2's memory, upwards and downwards, as the video model does.

The rules are those of propagation by boxes: objects start from the same boxes, end by the same rules, and share the
embeddings. But the prompt in a slice is SAM2's memory, not the box around the mask of the slice before.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Box, Prompt
from planewise.inference.propagation import (
    Painter,
    PropagationOptions,
    Track,
    carry,
    cut,
    go_on,
    larger,
    without_doubles,
)
from planewise.models.sam2_memory import MemorySegmenter, ObjectMemory


@dataclass(frozen=True)
class Remembered(Track):
    """An object with its memory, None before it starts; ``box``: where it was last seen."""

    memory: ObjectMemory | None = None


@torch.inference_mode()
def propagate_memory(
    encoder: Encoder,
    consecutive: np.ndarray,
    prompts: list[Prompt],
    options: PropagationOptions,
    advance: Callable[[int], None],
    presence: Callable[[int, int], float] = lambda z, label: math.inf,
    within: np.ndarray | None = None,
    *,
    segmenter: MemorySegmenter,
) -> np.ndarray:
    """Return labels (N, H, W) uint8 of the objects that ``prompts`` start; see ``propagate`` for the arguments.

    A mask in several parts stays one object; parts under ``least_pixels`` are left out. Each direction starts from the
    prompted slice, and is independent of the other.
    """
    shape = encoder.images.shape[1:]
    painter = Painter(encoder.images.shape)

    def look(slices: list[tuple[int, int, list[Remembered]]]) -> list[list[Remembered]]:
        for z, direction, _ in slices:
            encoder.look_along(z, direction)
        return [
            [seen for track in (without_doubles(tracks) if direction else tracks) if (seen := see(z, direction, track))]
            for z, direction, tracks in slices
        ]

    def see(z: int, direction: int, track: Remembered) -> Remembered | None:
        """Paint an object in a slice; return its continuation, None if it ends."""
        logits, score, memory, looked_in = _look_for(track, encoder, segmenter, z, direction, options.margin)
        full = F.interpolate(logits[None, None], size=shape, mode="bilinear", align_corners=False)[0].cpu().numpy()
        full = full if within is None else cut(full, within[z])
        parts = go_on(z, [Track(track.label, looked_in)], full, score[None].cpu().numpy(), painter, presence, options)
        if not parts:
            return None
        corners = np.array([part.box for part in parts])
        around = (*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())
        return Remembered(track.label, around, memory)

    starts = [(prompt.z, Remembered(prompt.label, prompt.box)) for prompt in prompts]
    carry(starts, consecutive, look, advance, presence)
    return painter.labels


def _look_for(
    track: Remembered, encoder: Encoder, segmenter: MemorySegmenter, z: int, direction: int, margin: float
) -> tuple[Tensor, Tensor, ObjectMemory, Box]:
    """Return an object's logits (h, w) and score in slice ``z``, its memory from there on, and where it was looked for.

    In its box enlarged by ``margin`` where it starts; everywhere after that.
    """
    depth, height, width = encoder.images.shape
    if track.memory is None:
        box = torch.tensor(larger(track.box, (height, width), margin), device=encoder.device)
        shares = box / torch.tensor([width, height] * 2, device=encoder.device)
        place = encoder.segmenter.classes.get(track.label)
        logits, score, memory = segmenter.start(encoder(z), z, depth, shares, place)
        return logits, score, memory, track.box
    memory = track.memory if track.memory.direction else track.memory.towards(direction)
    logits, score = segmenter.follow(encoder(z), z, memory)
    return logits, score, memory, (0.0, 0.0, float(width), float(height))
