"""Gantry tilt: shifts slices within their planes onto one upright grid, and labels back onto the tilted slices.

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
    """Return the angle between the slices' normal and the line through their first voxels; 0 without a tilt."""
    return math.degrees(math.atan2(math.hypot(*volume.tilt), volume.spacing[0]))


def tilt_note(volume: Volume) -> str:
    """Return a line of text on what the tilt means for results of the volume."""
    return (
        f"the gantry was tilted by {tilt_degrees(volume):.1f} degrees: each slice was shifted in its plane, by linear "
        "interpolation; labels are put back on the original slices, and stored as an upright stack"
    )


def stack_note(volume: Volume) -> str:
    """Return a line of text stating that the slices from a tilted gantry are taken as they are."""
    return (
        f"the gantry was tilted by {tilt_degrees(volume):.1f} degrees: its slices are taken as they are, as an upright "
        "stack; planes across them are sheared"
    )


def without_tilt(volume: Volume) -> Volume:
    """Return the slices of ``volume`` as an upright stack, as its labels are stored."""
    return replace(volume, tilt=(0.0, 0.0))


def upright(volume: Volume, labels: bool = False) -> Volume:
    """Return ``volume`` without its tilt: each slice is shifted in its plane, linearly, or ``labels`` by whole pixels.

    The grid is enlarged to hold all slices; outside them it has the smallest value of the slice (in a CT: air or
    padding), or 0 for labels. A volume without a tilt is returned as it is.
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
    """Return labels ``voxels`` of the upright grid on the slices of ``original``, shifted by whole pixels.

    The inverse of ``upright``: labels that were brought upright come back as they were.
    """
    if not any(original.tilt):
        return voxels
    shifts = _shifts(original)
    starts = np.floor(shifts - _lowest(shifts) + 0.5).astype(int)
    _, height, width = original.shape
    return np.stack([slice_[y : y + height, x : x + width] for slice_, (y, x) in zip(voxels, starts)])


def _shifts(volume: Volume) -> np.ndarray:
    """Return (N, 2): the shift of each slice relative to the first, in pixels (y, x)."""
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
    """Return the rows of ``pixels`` (H, W) shifted down by ``by`` rows, ``length`` rows in all; linear between rows."""
    whole, fraction = divmod(by, 1)
    start, rows = int(whole), len(pixels)
    padded = np.full((length + 1, pixels.shape[1]), fill, pixels.dtype)
    padded[start : start + rows] = pixels
    if not fraction:
        return padded[:length]
    before = np.concatenate([np.full_like(padded[:1], fill), padded[:-1]])
    mixed = padded * (1 - fraction) + before * fraction
    return (np.rint(mixed) if pixels.dtype.kind in "ui" else mixed)[:length]
