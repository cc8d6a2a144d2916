"""What a NIfTI-1 header says, before ITK repairs it in silence. Fields: https://nifti.nimh.nih.gov/nifti-1."""

import gzip
import math
import struct
from pathlib import Path

from planewise.errors import PlanewiseError

HEADER = 348  # bytes, which is also its first field
NIFTI_2 = 540


def check_nifti_header(path: Path) -> int:
    """Return how many bytes a NIfTI-1 file has, uncompressed, by its header.

    Raises PlanewiseError if it has no such header, a side is not positive, or the spacing along an axis of several
    voxels is not.
    """
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        content = file.read(HEADER)
    orders = {order: struct.unpack_from(f"{order}i", content.ljust(4))[0] for order in "<>"}
    if NIFTI_2 in orders.values():
        raise PlanewiseError(f"{path}: is a NIfTI-2 file; NIfTI-1 is read: convert it, or save it as .nrrd or .mha")
    order = next((order for order, length in orders.items() if length == HEADER), None)
    if order is None or len(content) < HEADER:
        raise PlanewiseError(f"{path}: is no NIfTI file, or is truncated: it has no header")
    axes, *dim = struct.unpack_from(f"{order}8h", content, 40)
    (bits,) = struct.unpack_from(f"{order}h", content, 72)
    _, *pixdim = struct.unpack_from(f"{order}8f", content, 76)
    (start,) = struct.unpack_from(f"{order}f", content, 108)
    sides, spacing = dim[: max(axes, 0)], pixdim[: max(axes, 0)]
    if not 1 <= axes <= 7 or any(side < 1 for side in sides):
        raise PlanewiseError(f"{path}: its header says {axes} axes, of {', '.join(map(str, sides))} voxels")
    if not all(0 < size < math.inf for size, side in zip(spacing[:3], sides) if side > 1):
        listed = ", ".join(f"{size:g}" for size in spacing[:3])
        raise PlanewiseError(f"{path}: its spacing (x, y, z) is {listed}; it must be positive numbers")
    return (int(start) if math.isfinite(start) else 0) + math.prod(sides) * bits // 8
