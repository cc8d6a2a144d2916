"""Writes DICOM segmentations: labels on the slices of the series that was segmented.

Each frame has the position and orientation of its source slice, and refers to it, so that labels of tilted, coronal or
oblique series lie where they belong. The slices with labels are written, and also the first and the last slice, so that
a reader knows the extent of the series. highdicom writes them in the form that most programs read (BINARY).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats.dicom.headers import quiet
from planewise.volumes.formats.dicom.series import Series
from planewise.volumes.formats.dicom.sources import MANUFACTURER, RESEARCH_USE, require_highdicom, source_headers
from planewise.volumes.formats.dicom.stack import Stack, stack
from planewise.volumes.label_names import rgb

SERIES_NUMBER = 9000  # of derived series, far from the numbers that scanners assign


@dataclass(frozen=True)
class Coding:
    """A term of a coding scheme: ``scheme`` is its designator, such as SCT (SNOMED CT) or DCM."""

    scheme: str
    value: str
    meaning: str

    def coded(self) -> Any:
        """Return it as highdicom has it."""
        from highdicom.sr.coding import CodedConcept

        return CodedConcept(self.value, self.scheme, self.meaning)


@dataclass(frozen=True)
class Segment:
    """The meaning of a label value: its name, its coded ``category`` and ``type``, and its colour "#RRGGBB"."""

    name: str
    category: Coding
    type: Coding
    colour: str


@dataclass(frozen=True)
class Algorithm:
    """The origin of labels: name and version, ``parameters`` such as the model, and ``kind`` in DICOM's terms.

    ``kind``: AUTOMATIC, SEMIAUTOMATIC (from drawn boxes), or MANUAL (no algorithm).
    """

    name: str
    version: str
    kind: str = "AUTOMATIC"
    parameters: Mapping[str, str] | None = None


def write_segmentation(
    path: Path, series: Series, labels: np.ndarray, segments: Mapping[int, Segment], algorithm: Algorithm
) -> None:
    """Write ``labels`` (z, y, x), as ``open_series`` orders the slices, as a DICOM segmentation of ``series``.

    ``segments``: one for each label value, including values that do not occur. Raises PlanewiseError if the shape
    differs, if there are no segments, if a value has none, or if the segmentation cannot refer to the series.
    """
    require_highdicom()
    stacked = stack(series)
    if labels.shape != (len(stacked.slices), *stacked.slices[0].shape):
        raise PlanewiseError(
            f"{path}: labels of shape {labels.shape} do not fit {series}, which has {len(stacked.slices)} slices of "
            f"{' x '.join(map(str, stacked.slices[0].shape))} pixels"
        )
    if not segments:
        raise PlanewiseError(f"{path}: a DICOM segmentation has a segment for each class, and no class is named")
    unknown = np.setdiff1d(labels, [0, *segments])
    if unknown.size:
        raise PlanewiseError(f"{path}: labels hold {unknown[0]}, a value without a class name")
    shown = np.flatnonzero(labels.any(axis=(1, 2)))
    planes = np.union1d(shown, [0, len(labels) - 1])
    pixels = np.stack([labels[planes] == value for value in segments], axis=-1)
    try:
        with quiet():
            made = _segmentation(source_headers(series), pixels, planes, stacked, segments, algorithm)
    except PlanewiseError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # what highdicom makes of odd headers
        raise PlanewiseError(f"{series}: no DICOM segmentation can refer to it ({first_line(error)})") from error
    with atomic_path(path) as temporary:
        made.save_as(temporary)


def _segmentation(
    headers: list[Any],
    pixels: np.ndarray,
    planes: np.ndarray,
    stacked: Stack,
    segments: Mapping[int, Segment],
    algorithm: Algorithm,
) -> Any:
    import highdicom
    from highdicom.content import PixelMeasuresSequence, PlanePositionSequence

    thickness = float(headers[0].get("SliceThickness") or stacked.spacing[0])
    measures = PixelMeasuresSequence(stacked.spacing[1:], thickness, stacked.spacing[0])
    positions = []
    for plane in planes:
        position = stacked.slices[plane].position
        assert position is not None  # of a stack
        positions.append(PlanePositionSequence("PATIENT", position))
    made = highdicom.seg.Segmentation(
        headers,
        pixels.astype(np.uint8),
        "BINARY",
        [
            _description(number, value, segment, algorithm)
            for number, (value, segment) in enumerate(segments.items(), 1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=version("planewise"),
        device_serial_number="0",
        pixel_measures=measures,
        plane_positions=positions,
        omit_empty_frames=False,
        content_label="SEGMENTATION",
        content_description=RESEARCH_USE,
        series_description=f"Segmentation. {RESEARCH_USE}",
    )
    # The distance of slices, by which a reader places frames: highdicom would take it from the written frames
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = measures
    return made


def _description(number: int, value: int, segment: Segment, algorithm: Algorithm) -> Any:
    import highdicom
    from highdicom.color import CIELabColor

    return highdicom.seg.SegmentDescription(
        number,
        segment.name[:64],
        segment.category.coded(),
        segment.type.coded(),
        algorithm.kind,
        None if algorithm.kind == "MANUAL" else identification(algorithm),
        tracking_uid=highdicom.UID(),
        tracking_id=tracking_id(segment.name, value),
        display_color=CIELabColor.from_rgb(*rgb(segment.colour)),
    )


def identification(algorithm: Algorithm) -> Any:
    """Return an algorithm's identification for a segment."""
    from highdicom import AlgorithmIdentificationSequence

    family = Coding("DCM", "123110", "Artificial Intelligence").coded()
    parameters = dict(algorithm.parameters or {})
    return AlgorithmIdentificationSequence(algorithm.name, family, algorithm.version, parameters=parameters or None)


def tracking_id(name: str, value: int) -> str:
    """Return a segment's tracking id; it ends with the label value, which segment numbers cannot express."""
    return f"{name[:40]}, label {value}"
