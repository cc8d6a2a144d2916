"""Gantry tilt: slices that were moved apart along themselves, brought onto one upright grid, and labels back again.

::

    slices as they were acquired        on the upright grid, as high as all of them together
          ______                        ______
           ______                      |..____|    . is filled
            ______                     |.____.|    each slice is moved by its share of the tilt,
             ______                    |____..|    nothing is resampled across slices
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planewise.volumes.volume import LazyArray, ReadWhenIndexed, Volume


def tilt_degrees(volume: Volume) -> float:
    """Return the angle between the way from slice to slice and the normal of the slices; 0 without a tilt."""
    return math.degrees(math.atan2(math.hypot(*volume.tilt), volume.spacing[0]))


def tilt_note(volume: Volume) -> str:
    """Return what a tilt means for what is made of the volume, as a line to print."""
    return (
        f"the gantry was tilted by {tilt_degrees(volume):.1f} degrees: each slice was moved to its place, linearly in "
        "its plane; labels go back to the original slices, pixel for pixel, and stand in their file as an upright stack"
    )


def stack_note(volume: Volume) -> str:
    """Return that the slices of a tilted gantry are taken as they are, as a line to print."""
    return (
        f"the gantry was tilted by {tilt_degrees(volume):.1f} degrees: its slices are taken as they are, as an upright "
        "stack; planes across them are sheared"
    )


def without_tilt(volume: Volume) -> Volume:
    """Return the slices of ``volume`` as they are, its tilt left out: as labels of it stand in their file."""
    return replace(volume, tilt=(0.0, 0.0))


def upright(volume: Volume, labels: bool = False) -> Volume:
    """Return ``volume`` without its tilt: every slice moved in its plane, linearly, or ``labels`` to the nearest pixel.

    The grid grows to hold all slices whole; outside them lies the smallest value of the slice (of a CT: air or its
    padding), 0 for labels. A volume without a tilt is returned as it is.
    """
    if not any(volume.tilt):
        return volume
    voxels = _Upright(volume.voxels, _shifts(volume), labels)
    start = np.asarray(volume.origin) + np.asarray(volume.direction)[:, 1:] @ (
        _lowest(_shifts(volume)) * volume.spacing[1:]
    )
    z, y, x = start.tolist()
    return replace(volume, voxels=voxels, origin=(z, y, x), tilt=(0.0, 0.0))


def tilted_again(voxels: np.ndarray, original: Volume) -> np.ndarray:
    """Return ``voxels`` of the upright grid on the slices of ``original``, to the nearest pixel: they are labels.

    The inverse of ``upright``: labels that were brought upright come back as they were.
    """
    if not any(original.tilt):
        return voxels
    shifts = _shifts(original)
    starts = np.floor(shifts - _lowest(shifts) + 0.5).astype(int)
    _, height, width = original.shape
    return np.stack([slice_[y : y + height, x : x + width] for slice_, (y, x) in zip(voxels, starts)])


def _shifts(volume: Volume) -> np.ndarray:
    """Return (N, 2): how many pixels (y, x) each slice lies further than the first."""
    return np.outer(np.arange(volume.shape[0]), np.divide(volume.tilt, volume.spacing[1:]))


def _lowest(shifts: np.ndarray) -> np.ndarray:
    """Return the (y, x) of the first pixel of the upright grid, counted from that of the first slice."""
    return np.floor(shifts.min(axis=0))


@dataclass(frozen=True)
class _Upright(ReadWhenIndexed):
    """Voxels that are moved when they are indexed."""

    slices: LazyArray
    shifts: np.ndarray
    labels: bool

    @property
    def shape(self) -> tuple[int, ...]:
        depth, height, width = self.slices.shape
        more_y, more_x = (np.ceil(self.shifts.max(axis=0)) - _lowest(self.shifts)).astype(int).tolist()
        return depth, height + more_y, width + more_x

    @property
    def dtype(self) -> np.dtype:
        return self.slices.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        slices = np.asarray(self.slices[...])
        moved = np.empty(self.shape, self.dtype)
        for slice_, target, (y, x) in zip(slices, moved, self.shifts - _lowest(self.shifts)):
            fill = 0 if self.labels else slice_.min()
            if self.labels:
                y, x = np.floor(np.array((y, x)) + 0.5)
            target[...] = _moved(_moved(slice_, y, target.shape[0], fill).T, x, target.shape[1], fill).T
        return moved[index]


def _moved(pixels: np.ndarray, by: float, length: int, fill: Any) -> np.ndarray:
    """Return rows (H, W) that lie ``by`` rows further on, of ``length`` rows in all; linear between two rows."""
    whole, fraction = divmod(by, 1)
    start, rows = int(whole), len(pixels)
    padded = np.full((length + 1, pixels.shape[1]), fill, pixels.dtype)
    padded[start : start + rows] = pixels
    if not fraction:
        return padded[:length]
    before = np.concatenate([np.full_like(padded[:1], fill), padded[:-1]])
    mixed = padded * (1 - fraction) + before * fraction
    return (np.rint(mixed) if pixels.dtype.kind in "ui" else mixed)[:length]
