"""What a NIfTI header says, before ITK repairs it in silence: sizes, spacing, where the voxels lie."""

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from planewise.errors import PlanewiseError

# Where fields lie and what they are: https://nifti.nimh.nih.gov/nifti-1, https://nifti.nimh.nih.gov/nifti-2
_FIELDS = {
    348: {"dim": (40, "8h"), "bits": (72, "h"), "pixdim": (76, "8f"), "start": (108, "f")},
    540: {"dim": (16, "8q"), "bits": (14, "h"), "pixdim": (104, "8d"), "start": (168, "q")},
}
_LONGEST = 540


@dataclass(frozen=True)
class NiftiHeader:
    """``sides`` and ``spacing`` (x, y, z, ...) as written; ``size``: of the whole file, uncompressed, in bytes."""

    sides: tuple[int, ...]
    spacing: tuple[float, ...]
    size: int


def read_nifti_header(path: Path) -> NiftiHeader:
    """Return the header of a NIfTI-1 or NIfTI-2 file, compressed or not.

    Raises PlanewiseError if it is none, a side is not positive, or the spacing along an axis of several voxels is not.
    """
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        content = file.read(_LONGEST)
    order = next((order for order in "<>" if _length(content, order) in _FIELDS), None)
    if order is None or len(content) < _length(content, order):
        raise PlanewiseError(f"{path}: is no NIfTI file, or is truncated: it has no header")
    fields = {
        name: struct.unpack_from(order + form, content, place)
        for name, (place, form) in _FIELDS[_length(content, order)].items()
    }
    axes = fields["dim"][0]
    sides, spacing = fields["dim"][1 : axes + 1], fields["pixdim"][1 : axes + 1]
    if not 1 <= axes <= 7 or any(side < 1 for side in sides):
        raise PlanewiseError(f"{path}: its header says {axes} axes, of {', '.join(map(str, sides))} voxels")
    if not all(0 < size < math.inf for size, side in zip(spacing[:3], sides) if side > 1):
        listed = ", ".join(f"{size:g}" for size in spacing[:3])
        raise PlanewiseError(f"{path}: its spacing (x, y, z) is {listed}; it must be positive numbers")
    return NiftiHeader(sides, spacing, int(fields["start"][0]) + math.prod(sides) * fields["bits"][0] // 8)


def _length(content: bytes, order: str) -> int:
    return struct.unpack_from(f"{order}i", content)[0] if len(content) >= 4 else 0
