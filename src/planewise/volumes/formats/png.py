"""PNG: one slice, grey of 8 or 16 bits, or a channel of a colour image; not written."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx
from planewise.volumes.formats import Format
from planewise.volumes.formats.sidecar import with_sidecar
from planewise.volumes.volume import ReadWhenIndexed, Volume

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of a colour type: grey, colour, and both with opacity
PALETTE = 3


@dataclass(frozen=True)
class _PngVoxels(ReadWhenIndexed):
    """The pixels of a PNG (y, x, channels), decoded when they are indexed."""

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        import imagecodecs

        return imagecodecs.png_decode(self.path.read_bytes()).reshape(self.shape)[index]


def _open_png(path: Path, channel: int | None) -> Volume:
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(SIGNATURE) or start[12:16] != b"IHDR" or len(start) < 26:
        raise PlanewiseError(f"{path}: is no PNG file")
    width, height, bits, colour = struct.unpack(">IIBB", start[16:])
    if bits not in (8, 16) or colour not in CHANNELS:
        what = "a palette" if colour == PALETTE else f"{bits} bits"
        raise PlanewiseError(f"{path}: is a PNG with {what}; grey of 8 or 16 bits is read: save it so")
    pixels = _PngVoxels(path, (height, width, CHANNELS[colour]), np.dtype(f"u{bits // 8}"))
    return with_sidecar(path, Volume(as_zyx(path, pixels, "yxc", channel), has_origin=False, has_direction=False))


FORMAT = Format((".png",), _open_png, results=".tiff")
