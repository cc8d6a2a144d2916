"""Checks the header of a NIfTI-1 file, which ITK repairs silently. Fields: https://nifti.nimh.nih.gov/nifti-1."""

import gzip
import math
import struct
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.formats.mapped import too_short

HEADER = 348  # bytes, which is also its first field
NIFTI_2 = 540
REALS = {16: "f4", 64: "f8"}  # of its data types
PIECE = 1 << 24  # bytes that are read at a time


def check_nifti_header(path: Path) -> int:
    """Return the uncompressed size in bytes of a NIfTI-1 file according to its header.

    Raises PlanewiseError if it has no such header, a side is not positive, or the spacing along an axis of several
    voxels is not.
    """
    with _opened(path) as file:
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


def check_nifti_voxels(path: Path) -> None:
    """Raise PlanewiseError if a NIfTI-1 file is cut short, or holds NaN or infinity: ITK returns zeros for both."""
    needed = check_nifti_header(path)
    with _opened(path) as file:
        header = file.read(HEADER)
        order = "<" if struct.unpack_from("<i", header)[0] == HEADER else ">"
        _, width, height, depth = struct.unpack_from(f"{order}4h", header, 40)
        (kind,) = struct.unpack_from(f"{order}h", header, 70)
        start = int(struct.unpack_from(f"{order}f", header, 108)[0])
        size = HEADER + len(file.read(max(0, start - HEADER)))
        odd: list[int] = []
        while piece := file.read(PIECE):
            if kind in REALS:
                reals = np.frombuffer(piece[: len(piece) // 8 * 8], f"{order}{REALS[kind]}")
                first = (size - start) // reals.itemsize
                odd += (np.flatnonzero(~np.isfinite(reals)) + first).tolist()
            size += len(piece)
    if size < needed:
        raise PlanewiseError(too_short(path, size, needed, " when unpacked"))
    if odd:
        low, high = (place // (width * height) % max(depth, 1) for place in (odd[0], odd[-1]))
        where = f"at z = {low}" if low == high else f"between z = {low} and {high}"
        raise PlanewiseError(
            f"{path}: {len(odd)} voxels {where} are NaN or infinite; voxels are numbers: set those to the background's"
        )


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")
