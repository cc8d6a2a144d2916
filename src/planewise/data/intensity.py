"""Intensities: the range that a volume uses, brought to the one that a model was trained on.

A model sees intensities as shares of a range: 0 is its black, 1 its white. Of a volume that fills the range of its
type, or the bit depth that holds it, that range is kept. Of another, dim or of low contrast, two quantiles are laid on
the quantiles of the training data, by one straight line for the whole volume.
"""

# mypy: disable-error-code="arg-type, assignment"
# (the kernel's integers are numba's machine integers, which mypy takes for Python's)

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numba
import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from planewise.data.line_contrast import TILE, Lines, Polarity, line_contrast, polarity_of, tile_corner, tile_places
from planewise.errors import PlanewiseError
from planewise.volumes.files import read_voxels
from planewise.volumes.formats.dicom import Series
from planewise.volumes.labels import slab_starts
from planewise.volumes.volume import Volume

QUANTILES = (0.005, 0.995)  # between which the used range lies: specks and hot pixels do not stretch it
PADDING_SHARE = 0.004  # of the lowest or highest value: more of it is padding or saturation, and takes no part
PADDING_GAP = 0.2  # of the used range: values beyond so wide a gap, and not few, are padding too
LEAST_CONTRAST = 0.7  # of the training data's: what random contrast in training still shows to a model
BIT_DEPTHS = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
SAMPLE = 2**22  # voxels of types with too many values to count each
SAMPLE_OF_IMAGE = 2**14


class TrainedIntensities(BaseModel):
    """What a model was trained on: the two ``QUANTILES`` as shares of the range, and the polarity of the contrast.

    ``polarity``: whether fine structures, such as membranes, are darker or brighter than what lies around them. By
    default, two thirds of the range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: float = 0.25
    high: float = 0.9
    polarity: Polarity = "unclear"

    @model_validator(mode="after")
    def _ordered(self) -> "TrainedIntensities":
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        return self


@dataclass(frozen=True)
class IntensityRange:
    """The intensities that are black (0) and white (1) to a model. ``low`` above ``high``: contrast is inverted.

    ``clipped``: whether intensities beyond the range occur, and are set to its ends.
    """

    low: float
    high: float
    clipped: bool = False

    def shares(self, voxels: np.ndarray) -> np.ndarray:
        """Return ``voxels`` as shares of the range, float32."""
        return normalise(voxels, self, 0.0, 1.0)


@dataclass(frozen=True)
class IntensityProfile:
    """What a volume's intensities are.

    ``least``, ``most``: of all voxels. ``low``, ``high``: the ``QUANTILES``, padding left out. ``values``: how many
    different ones occur, counted up to 3. ``lines``: see ``line_contrast``.
    """

    dtype: np.dtype
    least: float
    most: float
    low: float
    high: float
    values: int
    lines: float
    polarity: Polarity

    @property
    def used(self) -> str:
        """The type and the used range, to read."""
        return f"{self.dtype}, uses {self.low:g} to {self.high:g}"

    def of_range(self, range_: IntensityRange) -> TrainedIntensities:
        """Return what a model is trained on that sees this volume in ``range_``."""
        low, high = sorted((v - range_.low) / (range_.high - range_.low) for v in (self.low, self.high))
        inverted = range_.low > range_.high
        flipped: dict[Polarity, Polarity] = {"dark": "bright", "bright": "dark", "unclear": "unclear"}
        return TrainedIntensities(low=low, high=high, polarity=flipped[self.polarity] if inverted else self.polarity)


def measure_intensities(volume: Volume, path: Path) -> IntensityProfile:
    """Read ``volume`` slab by slab and return what its intensities are; ``path`` is where it was opened from.

    Raises PlanewiseError if it is empty, damaged, or holds NaN or infinity.
    """
    dtype = np.dtype(volume.voxels.dtype)
    if min(volume.shape) == 0:
        raise PlanewiseError(f"{path}: is empty, {volume.shape}")
    counted = dtype.kind in "uib" and dtype.itemsize <= 2
    offset = int(np.iinfo(dtype).min) if dtype.kind in "ui" else 0
    counts = np.zeros(1 << (8 * dtype.itemsize) if counted else 0, np.int64)
    step = max(1, math.prod(volume.shape) // SAMPLE)
    while math.gcd(step, volume.shape[2]) > 1:  # or a few columns would stand for all
        step += 1
    samples: list[np.ndarray] = []
    least, most = math.inf, -math.inf
    of_tiles: list[Lines] = []
    tiles = tile_places(volume.shape)
    for planes in slab_starts(volume.shape):
        slab = read_voxels(volume, path, planes)
        if counted:
            _count(slab.view(np.uint8) if dtype.kind == "b" else slab, counts, offset)
        else:
            refuse_not_finite(slab, path, planes.start)
            least, most = min(least, float(slab.min())), max(most, float(slab.max()))
            samples.append(slab.reshape(-1)[::step].astype(np.float64))
        for z, y, x in tiles if min(volume.shape[1:]) >= TILE else ():  # less says too little
            if planes.start <= z < planes.stop:
                of_tiles.append(line_contrast(slab[z - planes.start, y : y + TILE, x : x + TILE]))
    if counted:
        values = np.flatnonzero(counts)
        amounts, values = counts[values], values + float(offset)
        least, most = float(values[0]), float(values[-1])
    else:
        values, amounts = np.unique(np.concatenate(samples), return_counts=True)
    low, high = _quantiles(values, amounts)
    lines, polarity = polarity_of(of_tiles)
    different = len(np.union1d(values, [least, most]))
    return IntensityProfile(dtype, least, most, low, high, min(different, 3), lines, polarity)


def refuse_not_finite(slab: np.ndarray, path: Path | Series, first: int = 0) -> None:
    """Raise PlanewiseError, naming their place, if voxels of ``slab`` (z, y, x) are NaN or infinite.

    ``path``: where it was read from, from slice ``first`` on.
    """
    if slab.dtype.kind != "f" or np.isfinite(slab).all():
        return
    of_slices = np.count_nonzero(~np.isfinite(slab), axis=(1, 2))
    low, high = (np.flatnonzero(of_slices)[[0, -1]] + first).tolist()
    where = f"at z = {low}" if low == high else f"between z = {low} and {high}"
    raise PlanewiseError(
        f"{path}: {of_slices.sum()} voxels {where} are NaN or infinite; intensities are numbers: set those voxels to "
        "the background's"
    )


def measure_images(images: Iterable[np.ndarray]) -> TrainedIntensities:
    """Return what a model is trained on that sees ``images`` (H, W), float32 shares of its range."""
    samples: list[np.ndarray] = []
    of_tiles: list[Lines] = []
    for number, image in enumerate(images):
        samples.append(image.reshape(-1)[:: max(1, image.size // SAMPLE_OF_IMAGE)])
        y, x = tile_corner(number, *image.shape)
        if min(image.shape) >= TILE:
            of_tiles.append(line_contrast(image[y : y + TILE, x : x + TILE]))
    low, high = _quantiles(*np.unique(np.concatenate(samples), return_counts=True))
    if low == high:  # all alike: any range will do
        low, high = 0.0, 1.0
    return TrainedIntensities(low=round(low, 4), high=round(high, 4), polarity=polarity_of(of_tiles)[1])


@numba.njit(nogil=True, cache=True)
def _count(voxels: np.ndarray, counts: np.ndarray, offset: int) -> None:
    """Add how often each value occurs to ``counts``, whose first is of ``offset``."""
    for value in voxels.flat:
        counts[np.int64(value) - offset] += 1


def _quantiles(values: np.ndarray, amounts: np.ndarray) -> tuple[float, float]:
    """Return the ``QUANTILES`` of values (ascending) that occur ``amounts`` times, padding at either end left out."""
    kept = amounts.astype(np.float64)
    if len(values) > 2:
        kept[[end for end in (0, -1) if amounts[end] > PADDING_SHARE * amounts.sum()]] = 0
    low, high = _quantiles_of(values, kept)
    for _ in range(2):  # padding at the low end, then at the high one, or the other way round
        gaps = np.flatnonzero(np.diff(values) > PADDING_GAP * max(high - low, 1e-300))
        for gap in gaps.tolist():
            for beyond in (slice(None, gap + 1), slice(gap + 1, None)):
                if PADDING_SHARE < kept[beyond].sum() / max(kept.sum(), 1) < 0.5:
                    kept[beyond] = 0
        low, high = _quantiles_of(values, kept)
    return low, high


def _quantiles_of(values: np.ndarray, amounts: np.ndarray) -> tuple[float, float]:
    shares = np.cumsum(amounts) / amounts.sum()
    low, high = (float(values[min(int(np.searchsorted(shares, q)), len(values) - 1)]) for q in QUANTILES)
    return low, high


@dataclass(frozen=True)
class IntensityRule:
    """How volumes are brought to what a model was ``trained`` on; see ``choose_range`` for what the user may say."""

    trained: TrainedIntensities = field(default_factory=TrainedIntensities)
    given: tuple[float, float] | None = None
    invert: bool = False

    def range_of(self, volume: Volume, path: Path) -> tuple[IntensityRange, str, IntensityProfile]:
        """Return the range in which the model sees ``volume``, opened from ``path``, what was decided, and the profile.

        Raises PlanewiseError as ``measure_intensities`` and ``choose_range`` do.
        """
        profile = measure_intensities(volume, path)
        return *choose_range(profile, self.trained, path, self.given, self.invert), profile

    def of_polarity(self, polarity: Polarity) -> "IntensityRule":
        """Return the rule for a model that is trained on images of ``polarity``."""
        return replace(self, trained=self.trained.model_copy(update={"polarity": polarity}))


def choose_range(
    profile: IntensityProfile,
    trained: TrainedIntensities,
    path: Path,
    given: tuple[float, float] | None = None,
    invert: bool = False,
) -> tuple[IntensityRange, str]:
    """Return the range in which a model trained on ``trained`` sees a volume, and what was decided, to read.

    ``given``: what the user says is black and white; then nothing is judged. ``invert``: the user says that contrast is
    inverted. Raises PlanewiseError if the range cannot be determined, or if contrast is inverted without --invert.
    """
    if given is not None:
        low, high = given[::-1] if invert else given
        seen = f"{profile.used}; seen as {low:g} (black) to {high:g}, as --intensity says"
        return _clipping(profile, low, high), seen
    refuse_what_has_no_range(profile, path)
    if not invert and {profile.polarity, trained.polarity} == {"dark", "bright"}:
        raise PlanewiseError(
            f"{path}: its contrast is inverted: fine structures are {profile.polarity}, and the model was trained on "
            f"{trained.polarity} ones (line contrast {profile.lines:+.2f}); --invert turns it round, and --intensity "
            "LOW HIGH uses it as it is"
        )
    whole = _full_range(profile)
    if whole and profile.high - profile.low >= LEAST_CONTRAST * (whole[1] - whole[0]) * (trained.high - trained.low):
        low, high = whole[::-1] if invert else whole
        return _clipping(profile, low, high), f"{profile.used}; seen as {low:g} (black) to {high:g}"
    slope = (profile.high - profile.low) / (trained.high - trained.low)
    start, sign = (profile.high, -1) if invert else (profile.low, 1)
    low = start - sign * trained.low * slope
    range_ = _clipping(profile, low, low + sign * slope)
    return range_, (
        f"{profile.used}, which is laid on {trained.low:.2f} to {trained.high:.2f} of the range that the model was "
        f"trained in: seen as {range_.low:.6g} (black) to {range_.high:.6g}"
    )


def refuse_what_has_no_range(profile: IntensityProfile, path: Path) -> None:
    """Raise PlanewiseError for a volume without a clear range: constant, of two values, or nearly constant."""
    if profile.values < 3 or profile.low == profile.high:
        what = {1: f"is {profile.least:g} everywhere", 2: f"holds two values, {profile.least:g} and {profile.most:g}"}
        most = f"is {profile.low:g} nearly everywhere ({profile.least:g} to {profile.most:g})"
        raise PlanewiseError(
            f"{path}: {what.get(profile.values, most)}; that does not give the range of an image. Is it a mask? "
            "--intensity LOW HIGH says what is black and what is white"
        )


def _full_range(profile: IntensityProfile) -> tuple[float, float] | None:
    """Return the range of the volume's type, or else that of the least bit depth that holds it, from 0.

    The type is taken if the volume fills a good part of it. None if there are negative real numbers, or beyond 16 bits.
    """
    if profile.least < 0:
        if profile.dtype.kind != "i":
            return None
        return float(np.iinfo(profile.dtype).min), float(np.iinfo(profile.dtype).max)
    fits = [top for top in (*((1,) if profile.dtype.kind == "f" else ()), *BIT_DEPTHS) if profile.most <= top]
    if profile.dtype.kind in "ui":
        whole = float(np.iinfo(profile.dtype).max)
        if not fits or profile.most > whole / 2:
            return 0.0, whole
    return (0.0, float(fits[0])) if fits else None


def _clipping(profile: IntensityProfile, low: float, high: float) -> IntensityRange:
    return IntensityRange(low, high, not min(low, high) <= profile.least <= profile.most <= max(low, high))


def normalise(slices: np.ndarray, range_: IntensityRange, mean: float, std: float) -> np.ndarray:
    """Return ``slices``, as shares of ``range_``, less ``mean`` and divided by ``std``, as float32."""
    factor = 1 / ((range_.high - range_.low) * std)
    wide = slices.dtype.itemsize > 2 and range_.low != 0  # a large offset would take all digits of a float32
    pixels = (slices.astype(np.float64) - range_.low).astype(np.float32) if wide else slices.astype(np.float32)
    if range_.low != 0 and not wide:
        pixels -= np.float32(range_.low)
    pixels *= np.float32(factor)
    pixels -= np.float32(mean / std)
    if range_.clipped:
        np.clip(pixels, np.float32(-mean / std), np.float32((1 - mean) / std), out=pixels)
    return pixels
