"""MRC, the format of electron microscopes and tomograms: mapped, not written."""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.axes import as_zyx
from planewise.volumes.formats import Format
from planewise.volumes.formats.mapped import MappedVoxels
from planewise.volumes.units import read_spacing
from planewise.volumes.volume import Volume

HEADER = 1024  # bytes, before the extended header
IMOD = 1146047817  # "IMOD", in the header of what it wrote
STACK_OF_VOLUMES = 401  # and above: their space group


def _open_mrc(path: Path, channel: int | None) -> Volume:
    """Open an MRC2014 file; its cell is in angstrom, and a cell of size 0 means an unknown spacing."""
    import mrcfile

    with mrcfile.open(path, header_only=True) as file:
        header = file.header
    if header.ispg >= STACK_OF_VOLUMES:
        raise PlanewiseError(f"{path}: is a stack of volumes; one volume is needed: save it as a separate file")
    sides = (int(header.nz), int(header.ny), int(header.nx))
    stored = mrcfile.utils.data_dtype_from_header(header)
    if header.mode == 0 and _is_unsigned(header):
        stored = np.dtype(np.uint8)
    slowest_first = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    axes = "".join("xyz"[axis - 1] for axis in slowest_first) if sorted(slowest_first) == [1, 2, 3] else "zyx"
    voxels = as_zyx(path, MappedVoxels(path, stored, HEADER + int(header.nsymbt), sides), axes, channel)
    lengths = [float(header.cella[axis]) for axis in "zyx"]
    counts = [int(header[f"m{axis}"]) for axis in "zyx"]
    volume = Volume(voxels, has_origin=False, has_direction=False)
    if not any(lengths) or not all(counts):
        return volume
    sizes = [length / count for length, count in zip(lengths, counts)]
    spacing, unit = read_spacing(path, sizes, ["angstrom"] * 3)
    return Volume(voxels, spacing, unit, has_origin=False, has_direction=False)


def _is_unsigned(header: Any) -> bool:
    """Whether bytes are unsigned, against the standard: if IMOD wrote them so, or if the header's range exceeds 127."""
    stamp, flags = np.frombuffer(header["extra2"].tobytes(), header["nx"].dtype)[10:12]
    return bool(stamp == IMOD and not flags & 1) or header.dmax > 127


FORMAT = Format((".mrc", ".rec"), _open_mrc, results=".tiff")
