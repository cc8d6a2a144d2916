"""The function open: returns a volume from a path, an array or a layer."""

from typing import Any

from planewise.interface.calls import call, name_of
from planewise.volumes.arrays import as_volume
from planewise.volumes.volume import Spacing, Volume


def open(volume: Any, *, channel: int | None = None, spacing: Spacing | None = None, unit: str | None = None) -> Volume:
    """Return a volume (z, y, x) with its geometry; its voxels are read when they are indexed.

    ``volume``: a path (TIFF, NIfTI, NRRD, MHA, DICOM folder, OME-Zarr, HDF5, N5, MRC, a folder of slices); an array (z,
    y, x) of NumPy, Zarr, HDF5 or dask; an xarray.DataArray whose axes are z, y, x, with its coordinates; a layer of
    napari. ``channel``: counted from 0, if there are several. ``spacing`` (z, y, x) in ``unit`` (nm, um or mm):
    replaces the stated spacing, if any.

    Raises PlanewiseError, naming the file or the argument, if it is not a volume of numbers.
    """
    with call(None):
        return as_volume(volume, channel, spacing, unit, name_of(volume, "volume"))
