"""Prepared cases, and a segmenter whose answers about them are known."""

import numpy as np
import torch

from planewise.data.prepared import IGNORED, Patient, save_patient
from planewise.volumes.volume import Volume


class Fixed(torch.nn.Module):
    """Says that class 3 is in a slice whose corner is bright, and that its mask is the box's left half."""

    def __init__(self):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        self.classes = {3: 0}

    def encode(self, slices):
        return [slices[:, None]]

    def decode_rated(self, embeddings, boxes, classes):
        slices = embeddings[0][:, 0]
        masks = torch.full((len(slices), 1, *slices.shape[1:]), -1.0)
        masks[..., 8:24, 8:16] = 1.0
        scores = torch.where(slices[:, 0, 0] > 0.5, 2.0, -2.0)[:, None]
        return masks, scores, torch.full_like(scores, 0.5)


def write(folder, name, depth=20, ignored=False, organ=True, spacing=2.0):
    images = np.full((depth, 32, 32), 100, np.uint8)
    images += np.random.default_rng(len(name)).integers(0, 9, images.shape, np.uint8)
    labels = np.zeros(images.shape, np.uint8)
    labels[: depth // 2, 8:24, 8:24] = 3  # of which the mask is half: Dice 2/3
    images[: depth // 2, 0, 0], images[depth // 2 :, 0, 0] = 255, 0
    if ignored:
        labels[depth // 2 :, 30, 30] = IGNORED
    lungs = np.zeros_like(labels)
    lungs[:, 4:28, 4:28] = 1
    geometry = Volume(images, (spacing, 1.0, 1.0), "mm")
    path = folder / f"{name}.npz"
    save_patient(path, Patient(name, images, labels, np.arange(depth), geometry, lungs if organ else None))
    return path
