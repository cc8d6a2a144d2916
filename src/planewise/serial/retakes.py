"""Retakes of a scan: how it might look if it were made again, with other noise, kernel, thickness and inspiration.

A retake keeps the disease unchanged, so that measures of several retakes differ only by the measurement.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from planewise.serial.comparability import Scan, volume_ratio
from planewise.volumes.volume import Spacing

TISSUE_HU = (-50.0, 150.0)  # noise is measured here, where hardly anything else varies within a few pixels
LEAST_NOISE_HU = 5.0
SHARPNESS = 0.3  # of the difference between a scan and its blur, added or removed by kernels of the same kind
SHARPNESS_OF_OTHERS = 0.6  # of kernels with other names
EXTRA_THICKNESS = 0.25  # by which a slice may be thicker, as a share of its thickness
INSPIRATION = 0.03  # standard deviation of the lungs' volume between two breath-holds, as a share
AIR_HU = -1000.0


@dataclass(frozen=True)
class Variation:
    """How much retakes vary around a scan.

    ``noise_hu``: SD of added noise; ``sharpness``: largest share of sharpening or smoothing; ``extra_mm``: largest
    increase of the slice thickness; ``inspiration``: SD of the lungs' volume, as a share of it.
    """

    noise_hu: float
    sharpness: float
    extra_mm: float
    inspiration: float


def variation_between(first: Scan, second: Scan, noise_hu: float) -> Variation:
    """Return how much retakes of either scan vary around it: at least as much as the two scans differ."""
    thicknesses = [scan.thickness_mm or scan.spacing_mm[0] for scan in (first, second)]
    others = first.kernel != second.kernel
    apart = abs(thicknesses[0] - thicknesses[1])
    inspiration = max(INSPIRATION, math.log(volume_ratio(first, second)) / math.sqrt(2))
    return Variation(
        noise_hu,
        SHARPNESS_OF_OTHERS if others else SHARPNESS,
        max(EXTRA_THICKNESS * min(thicknesses), apart),
        inspiration,
    )


def widest(variations: Sequence[Variation]) -> Variation:
    """Return a variation that is as wide as the widest of several, in each respect."""
    return Variation(*(max(each) for each in zip(*(vars(variation).values() for variation in variations))))


def noise_of(hu: np.ndarray) -> float:
    """Return the SD in HU of the noise of a CT (z, y, x), in soft tissue of its slices, at least ``LEAST_NOISE_HU``.

    From the median absolute deviation of the second difference along both axes of a slice, which edges and slow changes
    hardly affect. Noise that a soft kernel has spread over pixels is underestimated.
    """
    blocks = np.stack([hu[:, :-1, :-1], hu[:, :-1, 1:], hu[:, 1:, :-1], hu[:, 1:, 1:]]).astype(np.float32)
    tissue = ((blocks >= TISSUE_HU[0]) & (blocks <= TISSUE_HU[1])).all(axis=0)
    if not tissue.any():
        return LEAST_NOISE_HU
    difference = (blocks[0] - blocks[1] - blocks[2] + blocks[3])[tissue]
    deviation = float(np.median(np.abs(difference - np.median(difference)))) * 1.4826
    return max(deviation / 2, LEAST_NOISE_HU)  # the difference has the variance of four pixels


def retake(
    hu: np.ndarray, lungs: np.ndarray, spacing_mm: Spacing, variation: Variation, rng: np.random.Generator
) -> np.ndarray:
    """Return a retake of a CT (z, y, x) in HU, int16, with the same shape and spacing; ``lungs`` (z, y, x) are > 0.

    In this order: the lungs hold more or less air, by stretching along z, where the diaphragm moves, with the tissue's
    mass unchanged; slices get thicker; noise is added; the kernel gets sharper or softer.
    """
    larger = float(np.clip(np.exp(rng.normal(0, variation.inspiration)), 0.8, 1.25))
    made = hu.astype(np.float32)
    made = np.where(lungs > 0, AIR_HU + (made - AIR_HU) / larger, made)
    middle = float(np.flatnonzero(lungs.any(axis=(1, 2))).mean()) if lungs.any() else hu.shape[0] / 2
    heights = np.clip(middle + (np.arange(len(hu)) - middle) / larger, 0, len(hu) - 1)
    made = _between_slices(made, heights)
    extra = rng.uniform(0, variation.extra_mm)
    made = ndimage.gaussian_filter(made, (extra / math.sqrt(12) / spacing_mm[0], 0, 0), mode="nearest")  # SD of a box
    made += rng.normal(0, variation.noise_hu, made.shape).astype(np.float32)
    share = rng.uniform(-variation.sharpness, variation.sharpness)
    made += share * (made - ndimage.gaussian_filter(made, (0, 1, 1), mode="nearest"))
    return np.clip(np.rint(made), -1024, 3071).astype(np.int16)


def _between_slices(voxels: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return slices at ``heights``, fractions of slices, interpolated linearly."""
    below = np.minimum(heights.astype(int), len(voxels) - 1)
    above = np.minimum(below + 1, len(voxels) - 1)
    share = (heights - below).astype(np.float32)[:, None, None]
    return voxels[below] * (1 - share) + voxels[above] * share
