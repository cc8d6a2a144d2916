"""The headers of a series, from which DICOM objects that refer to it are made: segmentations and reports."""

from functools import cache
from importlib.util import find_spec
from typing import Any

from planewise.errors import PlanewiseError
from planewise.volumes.formats.dicom.headers import quiet
from planewise.volumes.formats.dicom.series import Series

MANUFACTURER = "planewise"
RESEARCH_USE = "Research use only, not a diagnosis"
# Attributes that such an object copies and may leave empty (type 2); anonymised files lack some of them
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def require_highdicom() -> None:
    """Raise PlanewiseError if highdicom, which writes DICOM objects, is not installed."""
    if not _is_installed():
        raise PlanewiseError("DICOM objects are written by highdicom, which is missing: pip install 'planewise[dicom]'")


@cache
def _is_installed() -> bool:
    return find_spec("highdicom") is not None


def source_headers(series: Series) -> list[Any]:
    """Return the headers of all files of a series, as pydicom reads them without pixels.

    Attributes that may be empty are added, empty, if the file lacks them. Raises PlanewiseError, naming the file, if
    one lacks the attributes that references need, and if the files lie in several frames of reference.
    """
    import pydicom

    headers = []
    for file in series.files:
        with quiet():
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        missing = [keyword for keyword in NEEDED if not header.get(keyword)]
        if missing:
            raise PlanewiseError(
                f"{file}: has no {', '.join(missing)}, without which nothing in DICOM can refer to it; export the "
                "series again with it, or write the labels as nii.gz"
            )
        for keyword in MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, "")
        headers.append(header)
    spaces = sorted({str(header.FrameOfReferenceUID) for header in headers})
    if len(spaces) > 1:
        raise PlanewiseError(
            f"{series}: lies in {len(spaces)} frames of reference ({', '.join(spaces)}), which are no one space; "
            "choose a series with one"
        )
    return headers
