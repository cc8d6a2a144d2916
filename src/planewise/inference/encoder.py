"""The embeddings of slices: each is computed once, in batches on a GPU, and kept while there is room."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from planewise.models.sam2 import BoxSegmenter

GPU_BATCH = 8  # slices that are encoded together


class Encoder:
    """Embeddings of slices ``images`` (N, H, W) uint8, computed once each while kept; the last ``limit`` are kept.

    Up to ``batch`` slices are encoded in one call if ``look_ahead`` announced them; fewer once the GPU has run out of
    memory for as many. Default: ``GPU_BATCH`` on a GPU; elsewhere 1, since more gain nothing.
    """

    def __init__(self, segmenter: BoxSegmenter, images: np.ndarray, limit: int = 64, batch: int | None = None) -> None:
        self.segmenter, self.images, self.limit = segmenter, images, max(2, limit)
        self.device = next(segmenter.parameters()).device
        if batch is None:
            batch = GPU_BATCH if self.device.type == "cuda" else 1
        self.batch = max(1, min(batch, self.limit // 2))  # neither of two fronts may evict what the other encoded ahead
        self.kept: OrderedDict[int, list[Tensor]] = OrderedDict()

    def __call__(self, z: int) -> list[Tensor]:
        """Return the embeddings of slice ``z``, see ``BoxSegmenter.encode``, with a batch axis of 1."""
        self.look_ahead([z])
        return self.kept[z]

    def look_ahead(self, slices: Sequence[int]) -> None:
        """Encode the first of ``slices`` unless it is kept, together with as many of the next as a batch takes."""
        if slices[0] in self.kept:
            self.kept.move_to_end(slices[0])
            return
        missing = [z for z in slices[: self.batch] if z not in self.kept]
        self.kept.update(zip(missing, self._encoded(missing)))
        while len(self.kept) > self.limit:
            self.kept.popitem(last=False)

    def look_along(self, z: int, direction: int) -> None:
        """Encode slice ``z`` of a front that moves in ``direction``, +1 or -1, and slices beyond; for 0 only ``z``.

        As many slices beyond as are kept behind it, so that few are encoded in vain if the front ends.
        """
        slices = [z]
        while direction and z - len(slices) * direction in self.kept and 0 <= slices[-1] + direction < len(self.images):
            slices.append(slices[-1] + direction)
        self.look_ahead(slices)

    @torch.inference_mode()
    def _encoded(self, slices: list[int]) -> Iterator[list[Tensor]]:
        """Yield the embeddings of ``slices`` in order; a batch that does not fit into memory is halved."""
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
            else:  # copies, since a view of one slice would keep the whole batch
                yield from ([level[i : i + 1].clone() for level in levels] for i in range(len(part)))
