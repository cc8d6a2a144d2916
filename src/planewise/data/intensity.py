"""Intensities as a model sees them: as shares of a range, where 0 is black and 1 is white."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from planewise.data.contrast import Contrast
from planewise.data.line_contrast import Polarity
from planewise.errors import PlanewiseError
from planewise.volumes.formats.dicom import Series

QUANTILES = (0.005, 0.995)  # the used range lies between them, so that specks and hot pixels do not stretch it


class TrainedIntensities(BaseModel):
    """What a model was trained on: the two ``QUANTILES`` as shares of the range, and the contrast.

    ``objects``: whether the objects of its truth were darker or brighter than the background. By default, two thirds of
    the range. A file may state one ``polarity`` for lines of all widths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: float = 0.25
    high: float = 0.9
    contrast: Contrast = Contrast()
    objects: Polarity = "unclear"

    @model_validator(mode="before")
    @classmethod
    def _of_all_lines(cls, content: Any) -> Any:
        """Published models' files, and those of earlier versions, state no more than the ``polarity`` of lines."""
        if not isinstance(content, dict) or "polarity" not in content:
            return content
        rest = {name: value for name, value in content.items() if name != "polarity"}
        return {"contrast": {"fine": content["polarity"], "broad": content["polarity"]}} | rest

    @model_serializer(mode="wrap")
    def _as_published(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where no more is known than one polarity, files and manifests state it as they always did."""
        content: dict[str, Any] = handler(self)
        if self.objects != "unclear" or self.contrast != Contrast(fine=self.contrast.fine, broad=self.contrast.fine):
            return content
        return {"low": self.low, "high": self.high, "polarity": self.contrast.fine}

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


def refuse_not_finite(slab: np.ndarray, path: Path | Series, first: int = 0) -> None:
    """Raise PlanewiseError, naming the slices, if voxels of ``slab`` (z, y, x) are NaN or infinite.

    ``path``: the file that the slab was read from, from slice ``first`` on.
    """
    if slab.dtype.kind != "f" or np.isfinite(slab).all():
        return
    of_slices = np.count_nonzero(~np.isfinite(slab), axis=(1, 2))
    low, high = (np.flatnonzero(of_slices)[[0, -1]] + first).tolist()
    where = f"at z = {low}" if low == high else f"between z = {low} and {high}"
    raise PlanewiseError(
        f"{path}: {of_slices.sum()} voxels {where} are NaN or infinite; intensities must be numbers: set those "
        "voxels to the background value"
    )


def normalise(slices: np.ndarray, range_: IntensityRange, mean: float, std: float) -> np.ndarray:
    """Return ``slices`` as shares of ``range_``, minus ``mean``, divided by ``std``, as float32."""
    factor = 1 / ((range_.high - range_.low) * std)
    wide = slices.dtype.itemsize > 2 and range_.low != 0  # a large offset would use up the digits of a float32
    pixels = (slices.astype(np.float64) - range_.low).astype(np.float32) if wide else slices.astype(np.float32)
    if range_.low != 0 and not wide:
        pixels -= np.float32(range_.low)
    pixels *= np.float32(factor)
    pixels -= np.float32(mean / std)
    if range_.clipped:
        np.clip(pixels, np.float32(-mean / std), np.float32((1 - mean) / std), out=pixels)
    return pixels
