"""SAM2 as it is trained on short clips: boxes in single slices, and objects followed through clips by its memory."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from planewise.models.sam2 import Answers, BoxSegmenter
from planewise.models.sam2_files import Sam2Weights
from planewise.models.sam2_memory import MemorySegmenter, Sight
from planewise.models.sam2_names import meta_name

SHARED = ("prompt_encoder", "mask_decoder", "shared_image_embedding", "no_memory_embedding")


class Clips(NamedTuple):
    """Objects to follow through C clips, each of which begins with one of the single slices of the batch.

    ``first`` (C,): index of that slice; ``images`` (F, R, R): the other slices of the clips, clip by clip; ``lengths``
    (C,): number of slices of each clip, the first included. A clip has up to O objects: ``valid`` (C, O) says which of
    them exist, ``boxes`` (C, O, 4) are theirs in the first slice, and ``places`` (C, O) those of their classes among
    the tokens, -1 without one.
    """

    images: Tensor
    first: Tensor
    lengths: Tensor
    boxes: Tensor
    places: Tensor
    valid: Tensor


class Tracked(NamedTuple):
    """The predictions for K objects in the first slices of their clips, and in F later slices, object by object.

    First slices: ``starts`` (K, 1, h, w), logits of the mask in the box, and ``start_scores`` (K,), the object scores.
    Later slices: ``followed`` (F, 3, h, w), logits of three masks, of which the one with the highest predicted IoU,
    ``ious`` (F, 3), is used, and the object scores, ``scores`` (F,).
    """

    starts: Tensor
    start_scores: Tensor
    followed: Tensor
    ious: Tensor
    scores: Tensor


class ClipSegmenter(BoxSegmenter):
    """A ``BoxSegmenter`` with the memory of the video model, whose prompt encoder and mask decoder it shares."""

    def __init__(self, weights: Sam2Weights, source: Path, checkpointing: bool = False) -> None:
        """See ``MemorySegmenter``, and ``BoxSegmenter`` for ``checkpointing``."""
        super().__init__(weights.network, weights.tokens, checkpointing)
        self.memory = MemorySegmenter(weights, source)
        for name in SHARED:
            _lend(self.memory.network, name, getattr(self.network, name))
        if self.tokens is not None:
            _lend(self.memory, "tokens", self.tokens)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """See ``BoxSegmenter``; "memory" is the rest of the video model."""
        return super().parts | {"memory": self.memory.network}

    def memory_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that only the video model has, by Meta's names; see ``Sam2Weights.rest``."""
        return {meta_name(name): tensor for name, tensor in self.memory.network.state_dict().items()}

    def forward(
        self,
        slices: Tensor,
        boxes: Tensor | None,
        asked_boxes: Tensor | None = None,
        asked_classes: Tensor | None = None,
        clips: Clips | None = None,
    ) -> Answers:
        """Return the results of ``BoxSegmenter`` and, with ``clips``, ``Tracked`` for their objects."""
        if clips is None:
            return *super().forward(slices, boxes, asked_boxes, asked_classes), None
        embeddings = self.encode(torch.cat([slices, clips.images]))
        alone = [level[: len(slices)] for level in embeddings]
        return *self.answer(alone, boxes, asked_boxes, asked_classes), self._track(embeddings, len(slices), clips)

    def _track(self, embeddings: list[Tensor], alone: int, clips: Clips) -> Tracked:
        """Follow all objects of ``clips``; embeddings are of ``alone`` single slices, then of the clips."""
        self.network.mask_decoder.training = False  # see ``BoxSegmenter``
        starts: list[Sight] = []
        followed: list[Sight] = []
        after = alone
        for clip, (first, length) in enumerate(zip(clips.first.tolist(), clips.lengths.tolist(), strict=True)):
            places = [first, *range(after, after + length - 1)]
            after += length - 1
            seen = [[level[place : place + 1] for level in embeddings] for place in places]
            for one in clips.valid[clip].nonzero().flatten().tolist():
                place = int(clips.places[clip, one])
                start, *rest = self._follow(seen, clips.boxes[clip, one], None if place < 0 else place)
                starts.append(start)
                followed += rest
        return Tracked(
            torch.stack([sight.offered[:1] for sight in starts]),
            torch.stack([sight.score for sight in starts]),
            torch.stack([sight.offered for sight in followed]),
            torch.stack([sight.ious for sight in followed]),
            torch.stack([sight.score for sight in followed]),
        )

    def _follow(self, slices: list[list[Tensor]], box: Tensor, place: int | None) -> list[Sight]:
        """Segment the object in ``box`` in each of ``slices``, given by their embeddings."""
        # SAM2 encodes how long ago a slice was as a share of how far it looks back, which a shorter clip would reduce.
        most = max(len(slices), self.memory.network.config.max_object_pointers_in_encoder)
        start, memory = self.memory.begin(slices[0], 0, most, box, place)
        memory = memory.towards(1)
        return [start, *(self.memory.go_on(slice_, z, memory) for z, slice_ in enumerate(slices[1:], 1))]


def _lend(module: nn.Module, name: str, lent: Any) -> None:
    """Make ``lent`` the member ``name`` of ``module``, without counting it among the module's parameters."""
    delattr(module, name)
    module.__dict__[name] = lent
