"""The embeddings of slices: each made once, in batches on a GPU, and kept as long as there is room."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from planewise.models.sam2 import BoxSegmenter

GPU_BATCH = 8  # slices that are encoded at once


class Encoder:
    """Embeddings of slices ``images`` (N, H, W) uint8, each made once as long as it is kept: the last ``limit``.

    Up to ``batch`` slices are encoded in one call, where ``look_ahead`` says which will be wanted; fewer from then on
    if the GPU has no memory for as many. Default: ``GPU_BATCH`` on a GPU, and 1 elsewhere, where more gain nothing.
    """

    def __init__(self, segmenter: BoxSegmenter, images: np.ndarray, limit: int = 64, batch: int | None = None) -> None:
        self.segmenter, self.images, self.limit = segmenter, images, max(2, limit)
        self.device = next(segmenter.parameters()).device
        if batch is None:
            batch = GPU_BATCH if self.device.type == "cuda" else 1
        self.batch = max(1, min(batch, self.limit // 2))  # two fronts look ahead, and neither may evict the other's
        self.kept: OrderedDict[int, list[Tensor]] = OrderedDict()

    def __call__(self, z: int) -> list[Tensor]:
        """Return the embeddings of slice ``z``, see ``BoxSegmenter.encode``, with a batch axis of 1."""
        self.look_ahead([z])
        return self.kept[z]

    def look_ahead(self, slices: Sequence[int]) -> None:
        """Encode the first of ``slices``, if it is not kept, and with it as many of the next as a batch takes."""
        if slices[0] in self.kept:
            self.kept.move_to_end(slices[0])
            return
        missing = [z for z in slices[: self.batch] if z not in self.kept]
        self.kept.update(zip(missing, self._encoded(missing)))
        while len(self.kept) > self.limit:
            self.kept.popitem(last=False)

    def look_along(self, z: int, direction: int) -> None:
        """Encode slice ``z`` of a front that moves in ``direction``, +1 or -1, and slices beyond; of 0, ``z`` alone.

        Those beyond are as many as lie kept behind it, so that few are in vain if the front ends.
        """
        slices = [z]
        while direction and z - len(slices) * direction in self.kept and 0 <= slices[-1] + direction < len(self.images):
            slices.append(slices[-1] + direction)
        self.look_ahead(slices)

    @torch.inference_mode()
    def _encoded(self, slices: list[int]) -> Iterator[list[Tensor]]:
        """Yield the embeddings of each of ``slices``, in order; those of a batch that does not fit, in halves of it."""
        pixels = torch.from_numpy(self.images[slices].astype(np.float32) / 255)
        done = 0
        while done < len(slices):
            part = pixels[done : done + self.batch]
            try:
                levels = self.segmenter.encode(part.to(self.device))
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                self.batch = len(part) // 2
                continue
            done += len(part)
            if len(part) == 1:
                yield levels
            else:  # copies: a view of one slice would keep the whole batch
                yield from ([level[i : i + 1].clone() for level in levels] for i in range(len(part)))
