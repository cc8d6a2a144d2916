"""The pixels of DICOM slices, in HU if the header gives the rescaling: read by pydicom, the JPEG family by
imagecodecs."""

from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.formats.dicom.headers import Slice, quiet

JPEG_FAMILY = {  # transfer syntax -> the function of imagecodecs that decodes a frame
    "1.2.840.10008.1.2.4.50": "jpeg_decode",  # baseline
    "1.2.840.10008.1.2.4.51": "jpeg_decode",  # extended, 12 bits
    "1.2.840.10008.1.2.4.57": "ljpeg_decode",  # lossless
    "1.2.840.10008.1.2.4.70": "ljpeg_decode",  # lossless, first-order: what most scanners write
    "1.2.840.10008.1.2.4.80": "jpegls_decode",
    "1.2.840.10008.1.2.4.81": "jpegls_decode",
    "1.2.840.10008.1.2.4.90": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.91": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.201": "jpeg2k_decode",  # high throughput
    "1.2.840.10008.1.2.4.202": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.203": "jpeg2k_decode",
}


def pixel_dtype(slices: tuple[Slice, ...]) -> np.dtype:
    """Return the smallest type that holds all values the slices can have; at least int16 if values are rescaled."""
    least = min(slice_.stored[0] for slice_ in slices)
    most = max(slice_.stored[1] for slice_ in slices)
    if all(slice_.rescale in (None, (1.0, 0.0)) for slice_ in slices):
        return np.min_scalar_type(least or most)
    scales = [slice_.rescale or (1.0, 0.0) for slice_ in slices]
    if any(not slope.is_integer() or not intercept.is_integer() for slope, intercept in scales):
        return np.dtype(np.float32)
    ends = [value * slope + intercept for value in (least, most) for slope, intercept in scales]
    fits = np.iinfo(np.int16).min <= min(ends) and max(ends) <= np.iinfo(np.int16).max
    return np.dtype(np.int16 if fits else np.int32)


def read_pixels(slices: tuple[Slice, ...]) -> np.ndarray:
    """Return the pixels (N, H, W) of slices, each with its rescale slope and intercept applied.

    Raises PlanewiseError, naming the file, if one is damaged or compressed in a way that is not read.
    """
    dtype = pixel_dtype(slices)
    voxels = np.empty((len(slices), *slices[0].shape), dtype)
    file, frames = None, np.empty(0)
    for slice_, target in zip(slices, voxels):
        if slice_.file != file:
            file, frames = slice_.file, _stored_values(slice_.file)
        stored = frames[slice_.frame]
        if stored.shape != slice_.shape:
            raise PlanewiseError(f"{file}: holds {stored.shape} pixels, its header says {slice_.shape}")
        slope, intercept = slice_.rescale or (1.0, 0.0)
        target[...] = stored if (slope, intercept) == (1.0, 0.0) else stored * slope + intercept
    return voxels


def _stored_values(path: Path) -> np.ndarray:
    """Return the values (N, H, W) that a file stores in its frames."""
    import pydicom

    try:
        with quiet():
            file = pydicom.dcmread(path, force=True)
            syntax = file.file_meta.TransferSyntaxUID if "TransferSyntaxUID" in file.file_meta else None
            if syntax is None:  # of files without a preamble
                file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            if syntax in JPEG_FAMILY:
                return _decoded(file, JPEG_FAMILY[syntax])
            if (
                syntax is not None
                and syntax.is_compressed
                and syntax not in (pydicom.uid.RLELossless, pydicom.uid.DeflatedExplicitVRLittleEndian)
            ):
                raise PlanewiseError(
                    f"{path}: is compressed as {syntax.name}, which is not read; decompress it first, such as with "
                    "gdcmconv --raw"
                )
            values = file.pixel_array
            return values if values.ndim == 3 else values[None]
    except PlanewiseError:
        raise
    except Exception as error:  # damaged pixels fail in their decoder's way
        raise PlanewiseError(f"{path}: its pixels cannot be read ({first_line(error)}); copy the file again") from error


def _decoded(file: Any, decoder: str) -> np.ndarray:
    import imagecodecs
    from pydicom.encaps import generate_frames

    decode = getattr(imagecodecs, decoder)
    count = int(file.get("NumberOfFrames") or 1)
    values = np.stack([decode(frame) for frame in generate_frames(file.PixelData, number_of_frames=count)])
    values = values.astype(np.int32) & (1 << file.BitsStored) - 1  # decoders know nothing of the sign
    if not file.PixelRepresentation:
        return values
    return np.where(values >> file.BitsStored - 1, values - (1 << file.BitsStored), values)
