"""Measure the intensities of a volume: the range that it uses, without padding, and its contrast."""

# mypy: disable-error-code="arg-type, assignment"
# (the kernel's integers are numba's machine integers, which mypy takes for Python's)

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from planewise.data.contrast import Contrast, contrast_of, is_certain, objects_contrast, objects_polarity
from planewise.data.intensity import QUANTILES, IntensityRange, TrainedIntensities, refuse_not_finite
from planewise.data.label_signs import LabelSigns
from planewise.data.line_contrast import TILE, Lines, line_contrast, mean_contrast, tile_corner, tile_places
from planewise.errors import PlanewiseError
from planewise.progress import WARNING
from planewise.volumes.files import read_voxels
from planewise.volumes.formats.dicom import Series
from planewise.volumes.labels import slab_starts
from planewise.volumes.machine import machine_cores
from planewise.volumes.volume import Volume, slabs

PADDING_SHARE = 0.004  # a larger share of the lowest or highest value is padding or saturation, and is left out
PADDING_GAP = 0.2  # of the used range: many values beyond such a gap are padding too
SAMPLE = 2**22  # voxels to count, for types with too many values to count every one
SAMPLE_OF_IMAGE = 2**14
SAMPLE_OF_VALUES = 2**16  # voxels in which to look for values, if nothing else is measured
MOST_CLASSES = 8  # a volume of so few different whole numbers, none below 0, looks like labels
LEAST_SIDE = TILE // 2  # of a training slice, which may have lost a slab to validation; they are many


@dataclass(frozen=True)
class IntensityProfile:
    """The intensities of a volume.

    ``least``, ``most``: of all voxels. ``low``, ``high``: the ``QUANTILES``, without padding. ``values``: the number of
    different values, counted up to one above ``MOST_CLASSES``. ``lines``: mean contrast of fine lines, see
    ``line_contrast``. ``contrast_is_certain``: see ``contrast.is_certain``. ``ids``: the evidence that they are ids of
    objects, as text; empty if they are not.
    """

    dtype: np.dtype
    least: float
    most: float
    low: float
    high: float
    values: int
    lines: float
    contrast: Contrast
    contrast_is_certain: bool
    ids: str

    @property
    def used(self) -> str:
        """The type and the used range, as text."""
        return f"{self.dtype}, uses {self.low:g} to {self.high:g}"

    def like_labels(self, path: Path) -> str:
        """Return a warning if the volume at ``path`` looks like labels; else ""."""
        return _taken_as_image(path, _few_values(self.dtype, self.values, self.least, self.most))

    def of_range(self, range_: IntensityRange) -> TrainedIntensities:
        """Return the intensities that a model is trained on if it sees this volume in ``range_``."""
        low, high = sorted((v - range_.low) / (range_.high - range_.low) for v in (self.low, self.high))
        inverted = range_.low > range_.high
        return TrainedIntensities(low=low, high=high, contrast=self.contrast.inverted() if inverted else self.contrast)


def measure_intensities(volume: Volume, path: Path, memory: int | None = None) -> IntensityProfile:
    """Read ``volume`` slab by slab and return the profile of its intensities; ``path``: the file it was opened from.

    ``memory``: bytes; slabs are read in so thin pieces that one takes at most a quarter of it, or is one slice.
    Raises PlanewiseError if it is empty, damaged, or holds NaN or infinity.
    """
    dtype = np.dtype(volume.voxels.dtype)
    if min(volume.shape) == 0:
        raise PlanewiseError(f"{path}: is empty, {volume.shape}")
    counted = dtype.kind in "uib" and dtype.itemsize <= 2
    offset = int(np.iinfo(dtype).min) if dtype.kind in "ui" else 0
    counts = np.zeros(1 << (8 * dtype.itemsize) if counted else 0, np.int64)
    step = max(1, math.prod(volume.shape) // SAMPLE)
    while math.gcd(step, volume.shape[2]) > 1:  # otherwise only a few columns would be counted
        step += 1
    samples: list[np.ndarray] = []
    least, most = math.inf, -math.inf
    of_tiles: list[Lines] = []
    tiles = tile_places(volume.shape)
    signs = LabelSigns()
    plane = math.prod(volume.shape[1:])
    thickness = volume.shape[0] if memory is None else max(1, memory // 4 // max(1, plane * dtype.itemsize))
    # Which voxels are sampled depends on the slabs; counting does not, so stored chunks are read once for it.
    for whole, planes in _pieces(slabs(volume.voxels) if counted else slab_starts(volume.shape), thickness):
        slab = read_voxels(volume, path, planes)
        if counted:
            counts += _counts(slab.view(np.uint8) if dtype.kind == "b" else slab, len(counts), offset)
        else:
            refuse_not_finite(slab, path, planes.start)
            least, most = min(least, float(slab.min())), max(most, float(slab.max()))
            first = -(planes.start - whole.start) * plane % step
            samples.append(slab.reshape(-1)[first::step].copy())  # else it would hold the slab
        within = [place for place in tiles if planes.start <= place[0] < planes.stop]
        for z in sorted({z for z, *_ in within}):
            signs = signs.with_slice(slab[z - planes.start])
        if min(volume.shape[1:]) >= TILE:  # smaller volumes show too little
            for z, y, x in within:
                of_tiles.append(line_contrast(slab[z - planes.start, y : y + TILE, x : x + TILE]))
    if counted:
        values = np.flatnonzero(counts)
        amounts, values = counts[values], values + float(offset)
        least, most = float(values[0]), float(values[-1])
    else:
        values, amounts = np.unique(np.concatenate(samples), return_counts=True)
        values = values.astype(np.float64)
    low, middle, high = _quantiles(values, amounts)
    contrast = contrast_of(of_tiles)
    different = len(np.union1d(values, [least, most]))
    counted_values = min(different, MOST_CLASSES + 1)
    lines = mean_contrast(of_tiles)
    certain = is_certain(contrast, of_tiles, (middle - low) / (high - low) if high > low else 0.5)
    return IntensityProfile(dtype, least, most, low, high, counted_values, lines, contrast, certain, str(signs))


def _pieces(whole: Iterable[slice], thickness: int) -> Iterator[tuple[slice, slice]]:
    """Yield the pieces of slabs, each with its slab, that are at most ``thickness`` thick."""
    for slab in whole:
        for start in range(slab.start, slab.stop, thickness):
            yield slab, slice(start, min(start + thickness, slab.stop))


def like_labels(voxels: np.ndarray, path: Path | Series) -> str:
    """Return a warning if a sample of ``voxels`` (z, y, x) looks like labels; else ""."""
    step = max(1, voxels.size // SAMPLE_OF_VALUES)
    while math.gcd(step, voxels.shape[-1]) > 1:  # otherwise only a few columns would be seen
        step += 1
    values = np.unique(voxels.reshape(-1)[::step])
    signs = LabelSigns()
    for z in dict.fromkeys(z for z, *_ in tile_places(voxels.shape)):
        signs = signs.with_slice(voxels[z])
    few = _few_values(voxels.dtype, len(values), float(values[0]), float(values[-1]))
    return _taken_as_image(path, str(signs) or few)


def _few_values(dtype: np.dtype, values: int, least: float, most: float) -> str:
    """Return the evidence, as text, that the values are those of classes; else ""."""
    if dtype.kind not in "uib" or least < 0 or not 1 < values <= MOST_CLASSES:
        return ""
    return f"it holds {values} whole numbers, {least:g} to {most:g}"


def _taken_as_image(path: Path | Series, evidence: str) -> str:
    if not evidence:
        return ""
    return f"{WARNING}{path}: looks like labels, not like an image: {evidence}; it is taken as an image all the same"


def measure_slices(slices: Iterable[tuple[np.ndarray, np.ndarray]]) -> TrainedIntensities:
    """Return the intensities that a model is trained on if it sees ``slices``: images and their labels, both (H, W).

    Images are float32 shares of its range; labels: see ``objects_contrast``.
    """
    samples: list[np.ndarray] = []
    of_tiles: list[Lines] = []
    of_objects: list[float] = []
    for number, (image, labels) in enumerate(slices):
        samples.append(image.reshape(-1)[:: max(1, image.size // SAMPLE_OF_IMAGE)])
        of_objects.append(objects_contrast(image, labels))
        y, x = tile_corner(number, *image.shape)
        if min(image.shape) >= LEAST_SIDE:
            of_tiles.append(line_contrast(image[y : y + TILE, x : x + TILE]))
    low, _, high = _quantiles(*np.unique(np.concatenate(samples), return_counts=True))
    if low == high:  # all values are the same: any range will do
        low, high = 0.0, 1.0
    return TrainedIntensities(
        low=round(low, 4),
        high=round(high, 4),
        contrast=contrast_of(of_tiles),
        objects=objects_polarity(of_objects),
    )


def _counts(voxels: np.ndarray, values: int, offset: int) -> np.ndarray:
    """Return how often each of ``values`` values from ``offset`` on occurs, counted by all cores."""

    def of_part(part: np.ndarray) -> np.ndarray:
        counts = np.zeros(values, np.int64)
        _count(part, counts, offset)
        return counts

    with ThreadPoolExecutor(machine_cores()) as threads:
        return np.sum(list(threads.map(of_part, np.array_split(voxels, machine_cores()))), axis=0)


@numba.njit(nogil=True, cache=True)
def _count(voxels: np.ndarray, counts: np.ndarray, offset: int) -> None:
    """Add the number of times each value occurs to ``counts``, whose first entry is for ``offset``."""
    for value in voxels.flat:
        counts[np.int64(value) - offset] += 1


def _quantiles(values: np.ndarray, amounts: np.ndarray) -> tuple[float, float, float]:
    """Return the ``QUANTILES`` of values (ascending) that occur ``amounts`` times, and between them the median, without
    padding at either end.
    """
    kept = amounts.astype(np.float64)
    if len(values) > 2:
        kept[[end for end in (0, -1) if amounts[end] > PADDING_SHARE * amounts.sum()]] = 0
    low, _, high = _quantiles_of(values, kept)
    for _ in range(2):  # padding at the low end, then at the high end, or the other way round
        gaps = np.flatnonzero(np.diff(values) > PADDING_GAP * max(high - low, 1e-300))
        for gap in gaps.tolist():
            for beyond in (slice(None, gap + 1), slice(gap + 1, None)):
                if PADDING_SHARE < kept[beyond].sum() / max(kept.sum(), 1) < 0.5:
                    kept[beyond] = 0
        low, _, high = _quantiles_of(values, kept)
    return _quantiles_of(values, kept)


def _quantiles_of(values: np.ndarray, amounts: np.ndarray) -> tuple[float, float, float]:
    shares = np.cumsum(amounts) / amounts.sum()
    wanted = (QUANTILES[0], 0.5, QUANTILES[1])
    low, middle, high = (float(values[min(int(np.searchsorted(shares, q)), len(values) - 1)]) for q in wanted)
    return low, middle, high
