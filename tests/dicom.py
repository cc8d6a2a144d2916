"""DICOM series to read, made from arrays."""

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def write_dicom(
    folder: Path,
    voxels: np.ndarray,
    *,
    spacing: tuple[float, float, float] = (5.0, 2.5, 2.5),
    orientation: tuple[float, ...] = AXIAL,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    tilt: tuple[float, float] = (0.0, 0.0),
    rescale: tuple[float, float] | None = (1.0, 0.0),
    bits: int = 16,
    signed: bool = True,
    ending: str = ".dcm",
    uid: str = "1.2.3.4",
    **tags: object,
) -> list[Path]:
    """Write ``voxels`` (z, y, x) in HU as one series, a file for each slice along the normal; return the files.

    ``origin`` (x, y, z) of the first voxel; ``tilt`` (y, x) in mm from slice to slice; ``tags`` by keyword; None leaves
    one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    files = []
    for z, slice_ in enumerate(voxels):
        step = spacing[0] * np.cross(row, column) + tilt[0] * column + tilt[1] * row
        slope, intercept = rescale or (1.0, 0.0)
        stored = np.rint((slice_ - intercept) / slope).astype(np.int16 if signed else np.uint16)
        content = {
            "SOPInstanceUID": f"{uid}.{z + 1}",
            "PixelSpacing": [*spacing[1:]],
            "ImagePositionPatient": np.round(np.asarray(origin) + z * step, 6).tolist(),
            "ImageOrientationPatient": [float(value) for value in np.round(orientation, 9)],
            "InstanceNumber": z + 1,
            "SliceThickness": spacing[0],
            "SeriesInstanceUID": uid,
            **tags,
        }
        if rescale:
            content |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
        files.append(write_file(folder / f"{z:03d}{ending}", stored, bits, signed, **content))
    return files


def write_sparse_segmentation(path: Path, slices: list[Path], labels: np.ndarray) -> Path:
    """Write ``labels`` (z, y, x) of a series' files as highdicom does by default: without the empty slices."""
    import highdicom

    term = highdicom.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    segments = [
        highdicom.seg.SegmentDescription(value, f"class {value}", term, term, "MANUAL")
        for value in range(1, int(labels.max()) + 1)
    ]
    sources = [dcmread(file) for file in slices]
    path.parent.mkdir(parents=True, exist_ok=True)
    highdicom.seg.Segmentation(
        sources, labels, "BINARY", segments, "1.2.3.9", 9, "1.2.3.9.1", 1, "maker", "model", "1", "0"
    ).save_as(path)
    return path


def write_file(path: Path, stored: np.ndarray | None, bits: int = 16, signed: bool = False, **tags: object) -> Path:
    """Write one DICOM file with ``stored`` pixels (H, W) or (N, H, W), or none, and ``tags`` by keyword."""
    file = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    content = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": "1.2.3.4.1", "Modality": "CT", "PatientID": "P1",
        "StudyInstanceUID": "1.2.3", "StudyDate": "20240102", "SeriesInstanceUID": "1.2.3.4", "SeriesNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    }  # fmt: skip
    if stored is not None:
        content |= {
            "Rows": stored.shape[-2], "Columns": stored.shape[-1], "SamplesPerPixel": 1, "BitsAllocated": 16,
            "PhotometricInterpretation": "MONOCHROME2", "BitsStored": bits, "HighBit": bits - 1,
            "PixelRepresentation": int(signed), "PixelData": stored.astype("<u2").tobytes(),
        }  # fmt: skip
    for keyword, value in (content | tags).items():
        if value is not None:
            setattr(file, keyword, value)
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = UID(file.SOPClassUID)
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.save_as(path, enforce_file_format=True)
    return path


def change(path: Path, **tags: object) -> None:
    """Set ``tags`` of a file by keyword; None removes one."""
    import pydicom

    file = pydicom.dcmread(path)
    for keyword, value in tags.items():
        if value is None:
            delattr(file, keyword)
        else:
            setattr(file, keyword, value)
    file.save_as(path)


def write_enhanced(path: Path, voxels: np.ndarray, spacing: tuple[float, float, float], **tags: object) -> Path:
    """Write ``voxels`` (z, y, x) as one enhanced CT file, its frames from the last slice to the first."""
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[*AXIAL])]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[*spacing[1:]], SliceThickness=spacing[0])]
    shared.PixelValueTransformationSequence = [_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")]
    shared.CTReconstructionSequence = [_item(ConvolutionKernel="Br59f")]
    for z in reversed(range(len(voxels))):
        frame = Dataset()
        frame.PlanePositionSequence = [_item(ImagePositionPatient=[0.0, 0.0, z * spacing[0]])]
        frames.append(frame)
    return write_file(
        path,
        voxels[::-1] + 1024,
        NumberOfFrames=len(voxels),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        **tags,
    )


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
