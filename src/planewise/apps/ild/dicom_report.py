"""Write measures as a DICOM structured report: an imaging measurement report, TID 1500, that refers to a
segmentation."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from planewise.apps.ild.codes import LUNG
from planewise.errors import PlanewiseError, first_line
from planewise.measurement.classes import as_column
from planewise.measurement.lung_measures import MeasuredCase
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.dicom.headers import quiet
from planewise.volumes.formats.dicom.segmentation import SERIES_NUMBER, Algorithm, Coding, Segment
from planewise.volumes.formats.dicom.sources import MANUFACTURER, RESEARCH_USE, require_highdicom, source_headers

OURS = "99PLANEWISE"  # names of private coding schemes begin with 99 (PS3.16, 8.2)
VOLUME = Coding("SCT", "118565006", "Volume")
SHARE = Coding(OURS, "share_of_lung", "Share of the volume of the lung")
DENSITY = Coding(OURS, "mean_density", "Mean density")
EXTENTS = {
    "total_fibrosis": Coding(OURS, "total_fibrosis", "All fibrosis"),
    "total_extent": Coding(OURS, "total_extent", "All measured classes"),
}
ML, PERCENT = Coding("UCUM", "mL", "milliliter"), Coding("UCUM", "%", "percent")
HU = Coding("UCUM", "[hnsf'U]", "Hounsfield unit")
SIDES = {"left": Coding("SCT", "7771000", "Left"), "right": Coding("SCT", "24028007", "Right")}
ZONES = {
    "upper": Coding("SCT", "281392002", "Upper zone of lung"),
    "middle": Coding("SCT", "281393007", "Middle zone of lung"),
    "lower": Coding("SCT", "281394001", "Lower zone of lung"),
}
REGIONS = ("", *SIDES, *ZONES, *(f"{side}_{zone}" for side in SIDES for zone in ZONES))
CT_CHEST = Coding("LN", "24627-2", "CT Chest")
COMMENT = Coding("DCM", "121106", "Comment")


def write_report(
    path: Path,
    series: Series,
    segmentation: Path,
    measured: MeasuredCase,
    segments: Mapping[int, Segment],
    algorithm: Algorithm,
) -> None:
    """Write the measures of a case: of each class by region, of all classes together, and of the lungs.

    ``segmentation``: the DICOM segmentation of its labels; the groups refer to its segments. Raises PlanewiseError if
    the report cannot refer to the series, or cannot be written.
    """
    require_highdicom()
    import highdicom
    import pydicom
    from highdicom.sr import Comprehensive3DSR, MeasurementReport, TextContentItem

    headers = source_headers(series)
    try:
        with quiet():
            written = pydicom.dcmread(segmentation)
            report = MeasurementReport(
                _observation(),
                CT_CHEST.coded(),
                _groups(written, series, measured, segments, algorithm),
            )
            text = f"{RESEARCH_USE}. Lungs: {measured.lungs}. " + " ".join(f"{note}." for note in measured.notes)
            report[0].ContentSequence.append(TextContentItem(COMMENT.coded(), text, "CONTAINS"))
            made = Comprehensive3DSR(
                [written, *headers],
                report[0],
                highdicom.UID(),
                SERIES_NUMBER + 1,
                highdicom.UID(),
                1,
                MANUFACTURER,
                is_complete=True,
                series_description=f"Measures. {RESEARCH_USE}",
            )
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # highdicom's errors for unusual headers
        raise PlanewiseError(f"{series}: no DICOM report can refer to it ({first_line(error)})") from error
    with atomic_path(path) as temporary:
        made.save_as(temporary)


def _observation() -> Any:
    """Return the observer: this program, as a device."""
    import highdicom
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext

    device = DeviceObserverIdentifyingAttributes(
        uid=highdicom.UID(),
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER,
        serial_number=version("planewise"),
    )
    observer = ObserverContext(Coding("DCM", "121007", "Device").coded(), device)
    return ObservationContext(observer_device_context=observer)


def _groups(
    segmentation: Any, series: Series, measured: MeasuredCase, segments: Mapping[int, Segment], algorithm: Algorithm
) -> list[Any]:
    """Return a group of measurements for each class, for combinations of classes, and for the lungs."""
    from highdicom.sr import AlgorithmIdentification

    by = None
    if algorithm.kind != "MANUAL":
        parameters = [f"{name}: {value}" for name, value in (algorithm.parameters or {}).items()]
        by = AlgorithmIdentification(algorithm.name, algorithm.version, parameters or None)
    groups: list[Any] = []
    for number, segment in enumerate(segments.values(), 1):
        measurements = _extents(measured, as_column(segment.name))
        if measurements:  # empty for a class that was not measured
            groups.append(_group_of_segment(segmentation, series, segment, number, by, measurements))
    for name, coding in EXTENTS.items():
        if measurements := _extents(measured, name):
            groups.append(_group(name, coding, by, measurements))
    if measurements := _of_lungs(measured):
        groups.append(_group("lungs", LUNG, by, measurements))
    return groups


def _group_of_segment(
    segmentation: Any, series: Series, segment: Segment, number: int, by: Any, measurements: list[Any]
) -> Any:
    """Return the group of a class, which refers to its segment; ``by``: the algorithm, or None if a person drew it."""
    from highdicom.sr import (
        FindingSite,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    described = segmentation.SegmentSequence[number - 1]
    reference = ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        number,
        source_series=SourceSeriesForSegmentation(series.uid),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(described.TrackingUID, described.TrackingID),
        referenced_segment=reference,
        finding_type=segment.type.coded(),
        finding_category=segment.category.coded(),
        algorithm_id=by,
        finding_sites=[FindingSite(LUNG.coded())],
        measurements=measurements,
    )


def _group(name: str, coding: Coding, by: Any, measurements: list[Any]) -> Any:
    """Return a group that refers to no segment."""
    from highdicom.sr import FindingSite, MeasurementsAndQualitativeEvaluations, TrackingIdentifier

    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(identifier=name),
        finding_type=coding.coded(),
        algorithm_id=by,
        finding_sites=[FindingSite(LUNG.coded())],
        measurements=measurements,
    )


def _of_lungs(measured: MeasuredCase) -> list[Any]:
    """Return the volume of the lungs in each region, and the density of both and each of them."""
    volumes = [_measurement(measured, VOLUME, ML, region, "lungs", region, "ml") for region in REGIONS]
    densities = [_measurement(measured, DENSITY, HU, side, "lungs", side, "mean_hu") for side in ("", *SIDES)]
    return [one for one in (*volumes, *densities) if one is not None]


def _extents(measured: MeasuredCase, group: str) -> list[Any]:
    """Return the volume and share of a group of classes in each region; none if it was not measured."""
    each = [
        _measurement(measured, name, unit, region, group, region, ending)
        for region in REGIONS
        for name, unit, ending in ((VOLUME, ML, "ml"), (SHARE, PERCENT, "percent"))
    ]
    return [one for one in each if one is not None]


def _measurement(measured: MeasuredCase, name: Coding, unit: Coding, region: str, *column: str) -> Any:
    """Return a value with its region; None if it is undefined."""
    from highdicom.sr import FindingSite, Measurement

    value = measured.measures.get("_".join(filter(None, column)))
    if value is None:
        return None
    side = next((coding.coded() for word, coding in SIDES.items() if word in region.split("_")), None)
    zone = next((coding.coded() for word, coding in ZONES.items() if word in region.split("_")), None)
    site = FindingSite(LUNG.coded(), side, zone) if region else FindingSite(LUNG.coded())
    return Measurement(name.coded(), float(f"{value:.6g}"), unit.coded(), finding_sites=[site])
