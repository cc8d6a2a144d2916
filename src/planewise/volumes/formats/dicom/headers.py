"""The header of one DICOM file: its patient, its series, and the position of each slice. No pixels are read."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError, first_line

Vector = tuple[float, float, float]
READ = (
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "StudyDate", "StudyInstanceUID",
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ConvolutionKernel", "ContrastBolusAgent",
    "SliceThickness", "GantryDetectorTilt", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "AcquisitionNumber",
)  # fmt: skip
NO_IMAGES = ("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "FID", "RWV", "DOC")  # modalities
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
HU = ("", "US", "HU", "HU_MOD")  # RescaleType of CT: HU if it is absent (PS3.3 C.8.2.1) or not specified
DICOMDIR = "1.2.840.10008.1.3.10"  # the SOP class of a folder's index


@dataclass(frozen=True)
class Slice:
    """One slice: ``frame`` of ``file``.

    ``position`` (x, y, z) in mm, to the patient's left, back and head, of the centre of its first pixel, if the header
    has one; ``along_row`` and ``along_column``: unit vectors to the next column and the next row; ``pixel_mm`` (y, x);
    ``rescale``: slope and intercept, which make stored values those of ``unit``, if the header has them; ``stored``
    (least, most) that pixels can hold; ``acquisition``: the number of its sweep, if it is stated.
    """

    file: Path
    frame: int
    instance: str
    shape: tuple[int, int]
    position: Vector | None
    along_row: Vector
    along_column: Vector
    pixel_mm: tuple[float, float]
    rescale: tuple[float, float] | None
    unit: str
    stored: tuple[int, int]
    photometric: str
    acquisition: str = ""


@dataclass(frozen=True)
class SeriesAttributes:
    """The attributes that the headers of a series share.

    ``study_date`` YYYYMMDD or empty; ``uid``: SeriesInstanceUID; ``contrast``: the agent, empty if none is named;
    ``thickness_mm``: of a slice, None if not stated; ``gantry_degrees``: the gantry's tilt, 0 if not stated.
    """

    patient: str
    study: str
    study_date: str
    uid: str
    number: str
    description: str
    modality: str
    kernel: str
    contrast: str
    thickness_mm: float | None
    gantry_degrees: float


@dataclass(frozen=True)
class Header(SeriesAttributes):
    """The header of one file.

    ``left_out``: why it holds no slices of a volume, empty if it does; ``damage``: what is missing in it, if anything.
    """

    slices: tuple[Slice, ...]
    left_out: str = ""
    damage: str = ""


def read_header(path: Path) -> Header | None:
    """Return the header of a DICOM file; None if it is another kind of file.

    Raises PlanewiseError if it is DICOM, or has the ending .dcm, and cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(132)
    preamble = start[128:] == b"DICM"
    if not preamble and start[:4] != b"\x08\x00\x05\x00" and path.suffix.lower() not in (".dcm", ".dicom"):
        return None  # 0008,0005 is what files without a preamble begin with
    try:
        with quiet():
            return _header(path, preamble)
    except Exception as error:  # a damaged header fails in many ways
        raise PlanewiseError(f"{path}: is a damaged DICOM file ({first_line(error)})") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings about unusual values off the terminal: those that matter are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _header(path: Path, preamble: bool) -> Header | None:
    import pydicom

    with path.open("rb") as opened:
        file = pydicom.dcmread(opened, stop_before_pixels=True, force=not preamble, specific_tags=list(READ))
        pixel_bytes = path.stat().st_size - opened.tell()  # it stopped before them
    syntax = str(file.file_meta.get("TransferSyntaxUID", ""))
    if str(file.file_meta.get("MediaStorageSOPClassUID", "")) == DICOMDIR:
        return None
    if "SOPClassUID" not in file or "SeriesInstanceUID" not in file:
        raise ValueError("no SOPClassUID or no SeriesInstanceUID")
    modality = str(file.get("Modality") or "")
    frames = _frames(file)
    left_out = _why_left_out(file, modality)
    slices = () if left_out else tuple(_slice(path, index, file, frame) for index, frame in enumerate(frames))
    return Header(
        _text(file.get("PatientID")),
        _text(file.get("StudyInstanceUID")),
        _text(file.get("StudyDate")),
        _text(file.SeriesInstanceUID),
        _text(file.get("SeriesNumber")),
        _text(file.get("SeriesDescription")),
        modality,
        " ".join(_texts(frames[0].get("ConvolutionKernel"))),
        _text(frames[0].get("ContrastBolusAgent")),
        _number(frames[0], "SliceThickness"),
        _number(frames[0], "GantryDetectorTilt") or 0.0,
        slices,
        left_out,
        "" if left_out else _missing_pixels(file, syntax, len(frames), pixel_bytes),
    )


def _why_left_out(file: Any, modality: str) -> str:
    if "Rows" not in file or modality in NO_IMAGES:
        return f"{modality or 'other'} objects"
    if "LOCALIZER" in _texts(file.get("ImageType")):
        return "localizers"
    if int(file.get("SamplesPerPixel") or 1) != 1:
        return "colour images"
    return ""


def _frames(file: Any) -> list[dict[str, Any]]:
    """Return the values of each frame by keyword: of a multi-frame file, those of its functional groups.

    Source: DICOM PS3.3 C.7.6.16, multi-frame functional groups.
    """
    common = {element.keyword: element.value for element in file}
    count = int(common.get("NumberOfFrames") or 1)
    shared, per_frame = (common.get(f"{of}FunctionalGroupsSequence") for of in ("Shared", "PerFrame"))
    if not per_frame:
        return [common if count == 1 else common | {"ImagePositionPatient": None}]  # which is that of one frame at most
    if len(per_frame) != count:
        raise ValueError(f"{count} frames, but functional groups of {len(per_frame)}")
    of_all = common | (_group_values(shared[0]) if shared else {})
    return [of_all | _group_values(groups) for groups in per_frame]


def _group_values(groups: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for group in groups:
        if group.VR == "SQ" and len(group.value):
            values |= {element.keyword: element.value for element in group.value[0]}
    return values


def _slice(path: Path, index: int, file: Any, frame: dict[str, Any]) -> Slice:
    bits, rows, columns = int(file.BitsStored), int(file.Rows), int(file.Columns)
    if not 1 <= bits <= int(file.BitsAllocated) <= 32 or rows < 1 or columns < 1:
        raise ValueError(f"{rows} x {columns} pixels of {bits} bits in {file.BitsAllocated}")
    signed = bool(file.get("PixelRepresentation"))
    slope, intercept = _number(frame, "RescaleSlope"), _number(frame, "RescaleIntercept")
    row_and_column = _numbers(frame.get("ImageOrientationPatient"), 6, "ImageOrientationPatient") or [math.nan] * 6
    y, x = _numbers(frame.get("PixelSpacing"), 2, "PixelSpacing") or [math.nan] * 2
    position = _numbers(frame.get("ImagePositionPatient"), 3, "ImagePositionPatient")
    return Slice(
        path,
        index,
        _text(file.get("SOPInstanceUID")),
        (rows, columns),
        None if position is None or math.isnan(row_and_column[0]) else _vector(position),
        _vector(row_and_column[:3]),
        _vector(row_and_column[3:]),
        (y, x),
        None if slope is None or intercept is None else (slope, intercept),
        _text(frame.get("RescaleType")),
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1),
        _text(file.get("PhotometricInterpretation")),
        _text(file.get("AcquisitionNumber")),
    )


def _numbers(values: Any, count: int, name: str) -> list[float] | None:
    if values is None or values == "":
        return None
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} is {values}")
    return numbers


def _number(frame: dict[str, Any], name: str) -> float | None:
    numbers = _numbers([value] if (value := frame.get(name)) not in (None, "") else None, 1, name)
    return None if numbers is None else numbers[0]


def _vector(values: list[float]) -> Vector:
    x, y, z = values
    return x, y, z


def _missing_pixels(file: Any, syntax: str, frames: int, there: int) -> str:
    """Return what is missing in a truncated file, judged by its size; "" for complete or compressed files."""
    needed = int(file.Rows) * int(file.Columns) * frames * int(file.BitsAllocated) // 8
    if syntax not in UNCOMPRESSED or there >= needed:
        return ""
    return f"is truncated ({there} bytes of pixels, {needed} expected)"


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _texts(value: Any) -> list[str]:
    return [_text(part) for part in ([value] if isinstance(value, str) or value is None else value)]
