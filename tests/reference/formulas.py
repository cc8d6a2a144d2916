"""Inputs and weights from formulas alone, so that two programs can be compared without storing either.

Nothing here depends on a library's random numbers: all of it comes from one hash of integers.
"""

import re
import zlib
from collections.abc import Mapping

import numpy as np
from scipy import ndimage

Shape = tuple[int, ...]
AXES = {"xy": 0, "xz": 1, "yz": 2}
VOLUMES = {  # shape (z, y, x), objects, doubt of the network
    "sure": ((56, 80, 72), 40, 0.5),
    "unsure": ((48, 72, 80), 50, 1.5),
    "lost": ((56, 48, 72), 50, 2.5),
    "odd sides": ((37, 54, 75), 40, 1.5),
}
SAM2_SIDES = {
    "2.0": 256,
    "2.1": 1024,
}  # side of the image by version: they differ in the video model's parts alone
SAM2_BOXES = ((0.125, 0.25, 0.5, 0.75), (0.5, 0.0625, 0.9375, 0.5))  # x, y from, then to, as shares of the side


def noise(name: str, shape: Shape) -> np.ndarray:
    """Return numbers spread evenly over [-1, 1), float32: a hash of ``name`` and of each number's place."""
    bits = np.arange(int(np.prod(shape)), dtype=np.uint32)
    bits *= np.uint32(0x9E3779B9)
    bits += np.uint32(zlib.crc32(name.encode()))
    for factor in (0x7FEB352D, 0x846CA68B):  # of a mixer by C. Wellons, github.com/skeeto/hash-prospector
        bits ^= bits >> np.uint32(16)
        bits *= np.uint32(factor)
    bits ^= bits >> np.uint32(15)
    values = (bits >> np.uint32(8)).astype(np.float32)
    values *= np.float32(2**-23)
    values -= 1
    return values.reshape(shape)


def faint(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return SAM2's weights with mask logits a 64th of what they were: so near 0 that no mask is stable."""
    last = re.compile(r"sam_mask_decoder\.output_hypernetworks_mlps\.\d\.layers\.2\.")
    return {key: value / np.float32(64) if last.match(key) else value for key, value in state.items()}


def weights(shapes: Mapping[str, Shape], gain: float) -> dict[str, np.ndarray]:
    """Return a tensor for every name: float32, or int64 zeros for a counter of batches.

    Weights of layers have the variance ``gain`` / fan-in; scales of norms are about 1, variances positive, the rest
    about 0.
    """
    return {name: _tensor(name, shape, gain) for name, shape in shapes.items()}


def _tensor(name: str, shape: Shape, gain: float) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = noise(name, shape)
    if len(shape) > 1:
        values *= np.float32(np.sqrt(3 * gain / np.prod(shape[1:])))
        return values
    values *= np.float32(0.2)
    return values + np.float32(name.endswith(("weight", "running_var")))


def waves(channels: int, height: int, width: int) -> np.ndarray:
    """Return a smooth image (1, channels, height, width), float32."""
    y, x = np.ogrid[:height, :width]
    images = [np.sin((9 + 7 * c) * x / width + (5 + 3 * c) * y / height) + 0.3 * np.cos(31 * x * y / (height * width))
              for c in range(channels)]  # fmt: skip
    return np.stack(images)[None].astype(np.float32)


def crowd(name: str, shape: Shape, count: int) -> np.ndarray:
    """Return a volume (z, y, x) int32 of up to ``count`` ellipsoids, a third of them long; some touch, none overlap."""
    volume = np.zeros(shape, np.int32)
    grid = np.ogrid[tuple(slice(side) for side in shape)]
    for label, numbers in enumerate(noise(name, (count, 7)), start=1):
        centre = (numbers[:3] + 1) / 2 * shape
        radii = 6.5 + 2.5 * numbers[3:6]
        if numbers[6] < -1 / 3:
            radii[label % 3] *= 2.5
        inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii)) <= 1
        volume[inside & (volume == 0)] = label
    return volume


def slice_outputs(volume: np.ndarray, plane: str, index: int, doubt: float) -> dict[str, np.ndarray]:
    """Return what an able but doubtful network would say of a slice of ``volume``, padded to multiples of 16.

    ``sem_logits`` (1, 1, H, W), ``ctr_hmp`` (1, 1, H / 4, W / 4), ``offsets`` (1, 2, H / 4, W / 4) in pixels of the
    slice. ``doubt``: how far smooth noise disturbs all three, so that objects break, grow together and get lost.
    """
    labels = np.take(volume, index, AXES[plane])
    labels = np.pad(labels, [(0, -side % 16) for side in labels.shape])
    fields = noise(f"{plane} {index} {volume.shape}", (4, *labels.shape))
    fields = 9 * doubt * ndimage.gaussian_filter(fields, (0, 3, 3))  # half as large as ``doubt``, in the mean
    heat, offsets = np.zeros(labels.shape), np.zeros((2, *labels.shape))
    ids = np.unique(labels[labels > 0])
    rows, columns = np.indices(labels.shape)
    for label, (y, x) in zip(ids, ndimage.center_of_mass(labels > 0, labels, ids)):
        heat[int(y), int(x)] = 1
        inside = labels == label
        offsets[0][inside], offsets[1][inside] = y - rows[inside], x - columns[inside]
    heat = ndimage.gaussian_filter(heat, 4, mode="constant") * 2 * np.pi * 16
    logits = np.where(labels > 0, 2.0, -2.0) + 2 * fields[0]
    coarse = (slice(None), slice(None, None, 4), slice(None, None, 4))
    return {
        "sem_logits": logits[None, None].astype(np.float32),
        "ctr_hmp": (heat + 0.1 * fields[1])[None][coarse][None].astype(np.float32),
        "offsets": (offsets + 2 * fields[2:])[coarse][None].astype(np.float32),
    }


def loss_inputs() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the labels (H, W) int32 of a slice, and what a network in training may say of it."""
    labels = crowd("loss", (24, 96, 80), 30)[12]
    single, points = (1, 1, *labels.shape), (1, 1, 1024)
    outputs = {
        "sem_logits": 3 * noise("sem_logits", single),
        "ctr_hmp": noise("ctr_hmp", single),
        "offsets": 20 * noise("offsets", (1, 2, *labels.shape)),
        "sem_points": 3 * noise("sem_points", points),
        "point_coords": (noise("point_coords", (1, 1024, 2)) + 1) / 2,
    }
    return labels, outputs
