"""Run a panoptic network over the slices of a plane, in batches."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from planewise.inference.gathering import SliceOutputs
from planewise.intensity import normalise
from planewise.models.model_file import ModelFile
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.slices import Plane, as_stack, pad_to_factor, shrink


def plane_outputs(
    network: PanopticNetwork, model: ModelFile, voxels: np.ndarray, plane: Plane, intensity_scale: float,
    downsampling: int, batch_size: int, advance: Callable[[int], None],
) -> Iterator[SliceOutputs]:  # fmt: skip
    """Yield the network's outputs for every slice of ``voxels`` (z, y, x) in ``plane``, in order.

    Slices are shrunk by ``downsampling`` (a power of 2), normalised, and padded at their end; logits come back at
    full resolution. ``network`` is in evaluation mode, on its device. ``advance`` is called with the slices done.
    """
    device = next(network.parameters()).device
    stack = as_stack(voxels, plane)
    steps = 2 + downsampling.bit_length() - 1  # each doubles the resolution of the quarter grid
    for start in range(0, len(stack), batch_size):
        slices = stack[start : start + batch_size]
        if downsampling > 1:
            slices = shrink(slices, downsampling)
        images = normalise(slices, intensity_scale, model.norms.mean, model.norms.std)
        x = torch.from_numpy(pad_to_factor(images, model.padding_factor)[:, None]).to(device)
        with torch.inference_mode():
            outputs = {name: tensor.cpu().numpy() for name, tensor in network(x, steps, False).items()}
        for i in range(len(images)):
            yield SliceOutputs(outputs["sem_logits"][i, 0], outputs["ctr_hmp"][i, 0], outputs["offsets"][i])
        advance(len(images))
