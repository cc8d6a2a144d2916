"""How the range that a volume uses is matched to the range that a model was trained on.

If a volume fills the range of its type, or of a bit depth that holds it, that range is used. Otherwise, for dim volumes
or low contrast, two quantiles are mapped to those of the training data by one linear map for the whole volume.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from planewise.data.contrast import OPPOSITE, Contrast
from planewise.data.intensity import IntensityRange, TrainedIntensities
from planewise.data.intensity_profile import MOST_CLASSES, IntensityProfile, measure_intensities
from planewise.errors import PlanewiseError
from planewise.progress import WARNING
from planewise.volumes.volume import Volume

LEAST_CONTRAST = 0.7  # of the training data's contrast: a model has seen as little by random contrast in training
BIT_DEPTHS = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))


@dataclass(frozen=True)
class ChosenRange:
    """The ``range`` in which a model sees a volume, the ``decision`` and its ``doubts`` as text, and the profile."""

    range: IntensityRange
    decision: str
    doubts: tuple[str, ...]
    profile: IntensityProfile


@dataclass(frozen=True)
class IntensityRule:
    """How volumes are matched to what a model was ``trained`` on; see ``choose_range`` for the user's settings."""

    trained: TrainedIntensities = field(default_factory=TrainedIntensities)
    given: tuple[float, float] | None = None
    invert: bool = False

    def range_of(self, volume: Volume, path: Path, memory: int | None = None) -> ChosenRange:
        """Return the range in which the model sees ``volume``, opened from ``path``.

        For ``memory`` see ``measure_intensities``. Raises PlanewiseError as that and ``choose_range`` do.
        """
        profile = measure_intensities(volume, path, memory)
        range_, decision = choose_range(profile, self.trained, path, self.given, self.invert)
        return ChosenRange(range_, decision, tuple(self.doubts(profile, path)), profile)

    def completed(self, seen: Contrast) -> "IntensityRule":
        """Return the rule for a model that was trained on images of a contrast that is, where unclear, as ``seen``."""
        contrast = self.trained.contrast.completed(seen)
        return replace(self, trained=self.trained.model_copy(update={"contrast": contrast}))

    def unchecked(self, profile: IntensityProfile) -> str:
        """Return what to do where a volume's contrast could not be checked, as text that is the same for all such
        volumes; empty if it could, or is set by the user.
        """
        if self.given is not None or self.invert or profile.contrast.against(self.trained.contrast) != "unclear":
            return ""
        what = "Where contrast could not be checked, it is taken to be that of the training data"
        objects = self.trained.objects
        if objects == "unclear":
            return f"{what}; use --invert for a volume that is inverted"
        return (
            f"{what}, whose objects are mostly {objects}er than their surroundings; use --invert for a volume in which "
            f"they are {OPPOSITE[objects]}er"
        )

    def doubts(self, profile: IntensityProfile, path: Path) -> Iterator[str]:
        """Yield warnings that a volume's contrast contradicts the user, or may be inverted."""
        against = profile.contrast.against(self.trained.contrast)
        if self.invert and against == "same" and (self.given is not None or not profile.contrast_is_certain):
            yield (
                f"{WARNING}{path}: its contrast is that of the training data ({profile.contrast}), and --invert "
                "inverts it; leave --invert out, unless the volume looks inverted"
            )
        if self.given is None and not self.invert and against == "inverted" and not profile.contrast_is_certain:
            yield (
                f"{WARNING}{path}: its contrast may be inverted: {_lines(profile, self.trained)}; this is not certain, "
                "since a strong gamma can look the same, and it is used unchanged; use --invert if it looks inverted"
            )


def choose_range(
    profile: IntensityProfile,
    trained: TrainedIntensities,
    path: Path,
    given: tuple[float, float] | None = None,
    invert: bool = False,
) -> tuple[IntensityRange, str]:
    """Return the range in which a model trained on ``trained`` sees a volume, and the decision as text.

    ``given``: black and white as set by the user; then nothing is checked. ``invert``: the user states that contrast is
    inverted. Raises PlanewiseError if the range cannot be determined, if no voxel lies in ``given``, or if contrast is
    certainly inverted without --invert, or certainly not with it.
    """
    if given is not None:
        if profile.most <= given[0] or profile.least >= given[1]:
            raise PlanewiseError(
                f"{path}: no voxel lies within --intensity {given[0]:g} {given[1]:g}: {profile.used}; give black and "
                "white in the values of the file"
            )
        low, high = given[::-1] if invert else given
        seen = f"{profile.used}; {low:g} is black, {high:g} white, as set by --intensity"
        return _clipping(profile, low, high), seen
    refuse_what_has_no_range(profile, path)
    against = profile.contrast.against(trained.contrast)
    if invert and against == "same" and profile.contrast_is_certain:  # else one volume of a mixed folder is ruined
        raise PlanewiseError(
            f"{path}: its contrast is that of the training data ({profile.contrast}), and --invert would turn it "
            "round: leave --invert out for it. Where a folder holds both, put those that are inverted into another "
            "folder, and give each folder its own --output; --intensity LOW HIGH beside --invert turns it round all "
            "the same"
        )
    inverted = not invert and against == "inverted"
    if inverted and profile.contrast_is_certain:
        raise PlanewiseError(
            f"{path}: its contrast is inverted: {_lines(profile, trained)}; --invert inverts it, and --intensity LOW "
            "HIGH uses it unchanged"
        )
    doubt = "; its contrast may be inverted" if inverted else ""
    whole = _full_range(profile)
    if whole and profile.high - profile.low >= LEAST_CONTRAST * (whole[1] - whole[0]) * (trained.high - trained.low):
        low, high = whole[::-1] if invert else whole
        return _clipping(profile, low, high), f"{profile.used}; {low:g} is black, {high:g} white{doubt}"
    slope = (profile.high - profile.low) / (trained.high - trained.low)
    start, sign = (profile.high, -1) if invert else (profile.low, 1)
    low = start - sign * trained.low * slope
    range_ = _clipping(profile, low, low + sign * slope)
    return range_, (
        f"{profile.used}, which is mapped to {trained.low:.2f} to {trained.high:.2f} of the range that the model was "
        f"trained in: {range_.low:.6g} is black, {range_.high:.6g} white{doubt}"
    )


def _lines(profile: IntensityProfile, trained: TrainedIntensities) -> str:
    """Return the lines of a volume and those that a model was trained on, as text."""
    return f"{profile.contrast} (line contrast {profile.lines:+.2f}), but the model was trained on {trained.contrast}"


def refuse_what_has_no_range(profile: IntensityProfile, path: Path) -> None:
    """Raise PlanewiseError for a volume without a clear range: of one or two values, nearly constant, or of ids."""
    if profile.ids and profile.values > MOST_CLASSES:  # of fewer values, a warning says that it looks like labels
        raise PlanewiseError(
            f"{path}: looks like labels, not like an image: {profile.ids}. Give the image; --intensity LOW HIGH (black "
            "and white) takes this as one all the same"
        )
    if profile.values < 3 or profile.low == profile.high:
        what = {1: f"is {profile.least:g} everywhere", 2: f"holds two values, {profile.least:g} and {profile.most:g}"}
        most = f"is {profile.low:g} nearly everywhere ({profile.least:g} to {profile.most:g})"
        if profile.values <= MOST_CLASSES:
            most = f"holds only {profile.values} values, {profile.least:g} to {profile.most:g}"
        raise PlanewiseError(
            f"{path}: {what.get(profile.values, most)}; the range of an image cannot be determined from that. Is it a "
            "mask? --intensity LOW HIGH sets black and white"
        )


def _full_range(profile: IntensityProfile) -> tuple[float, float] | None:
    """Return the range of the volume's type, or else of the smallest bit depth that holds it, from 0.

    The type is used if the volume fills a good part of it. None for negative real numbers, or beyond 16 bits.
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
