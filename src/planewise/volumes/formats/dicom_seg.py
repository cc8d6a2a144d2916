"""DICOM segmentations, ``.seg.dcm``: labels on slices of a series, with names, colours and places. Read by pydicom.

They are written by ``dicom.segmentation``, which needs the segmented series.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.progress import say
from planewise.volumes.formats import Format
from planewise.volumes.formats.dicom.headers import quiet
from planewise.volumes.formats.dicom.stack import SHIFT_PIXELS
from planewise.volumes.geometry import DIRECTION_TOLERANCE
from planewise.volumes.indexing import check_memory
from planewise.volumes.label_names import LabelNames, hexadecimal
from planewise.volumes.volume import Volume

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
TRACKED_VALUE = re.compile(r", label (\d+)$")  # see segmentation.tracking_id
OFF_GRID = 0.05  # of the distance between slices


@dataclass(frozen=True)
class _Frames:
    """What the header says of N frames, which lie in parallel.

    ``segments`` (N,): their numbers; ``positions`` (N, 3), (x, y, z) in mm; ``row``, ``column`` (3,): the ways along
    them; ``pixel_mm`` (2,): between rows, and between columns; ``apart_mm``, ``thickness_mm``: of slices, 0 if unsaid.
    """

    segments: list[int]
    positions: np.ndarray
    row: np.ndarray
    column: np.ndarray
    pixel_mm: np.ndarray
    apart_mm: float
    thickness_mm: float

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.row, self.column)

    @property
    def places(self) -> np.ndarray:
        """Where they lie along their normal (N,), in mm."""
        return self.positions @ self.normal


def _open_segmentation(path: Path, channel: int | None) -> Volume:
    """Open a segmentation whose segments do not overlap; slices without a frame, between the first and the last, are 0.

    Other slices of its series may lie around these: the volume is ``sparse``.
    The label values are those that planewise wrote, else the segments' numbers.
    """
    import pydicom

    if channel:
        raise PlanewiseError(f"{path}: a DICOM segmentation has 1 channel, which is 0")
    with quiet():
        file = pydicom.dcmread(path)
        _refuse_other_kinds(path, file)
        pixels = np.asarray(file.pixel_array).reshape(-1, int(file.Rows), int(file.Columns))
    values, names = _segments(file)
    frames = _frames(path, file, len(pixels), set(values))
    planes, spacing_mm = _planes(path, frames)
    check_memory((int(planes.max()) + 1, *pixels.shape[1:]), np.min_scalar_type(max(names.names)))
    voxels = _filled(path, pixels, [values[number] for number in frames.segments], planes, names)
    first, last = frames.positions[frames.places.argmin()], frames.positions[frames.places.argmax()]
    step = (last - first) / max(planes.max(), 1)
    tilt = np.array([step @ frames.column, step @ frames.row])
    tilt[np.abs(tilt) * planes.max() <= SHIFT_PIXELS * frames.pixel_mm] = 0
    columns = np.stack([frames.normal[::-1], frames.column[::-1], frames.row[::-1]], axis=1)
    oz, oy, ox = first[::-1].tolist()
    sy, sx = frames.pixel_mm.tolist()
    ty, tx = tilt.tolist()
    return Volume(
        voxels,
        (spacing_mm, sy, sx),
        "mm",
        (oz, oy, ox),
        tuple(tuple(part) for part in columns.tolist()),
        tilt=(ty, tx),
        labels=names,
        sparse=True,
    )


def _frames(path: Path, file: Any, count: int, segments: set[int]) -> _Frames:
    """Return what the header says of ``count`` frames. Raises PlanewiseError if they are not in one grid's slices."""
    shared, per_frame = file.SharedFunctionalGroupsSequence[0], file.PerFrameFunctionalGroupsSequence
    if len(per_frame) != count or not count:
        raise PlanewiseError(
            f"{path}: holds {count} frames, and says of {len(per_frame)} where they lie; write it again"
        )

    def of_frames(keyword: str) -> list[Any]:
        groups = [groups if groups.get(keyword) else shared for groups in per_frame]
        if missing := sum(not each.get(keyword) for each in groups):
            raise PlanewiseError(
                f"{path}: {missing} of its {len(groups)} frames have no {keyword}; write it again with it"
            )
        return [each[keyword].value[0] for each in groups]

    numbers = [int(item.ReferencedSegmentNumber) for item in of_frames("SegmentIdentificationSequence")]
    if unknown := sorted(set(numbers) - segments):
        raise PlanewiseError(f"{path}: holds frames of segment {unknown[0]}, which it does not describe")
    positions = np.array([item.ImagePositionPatient for item in of_frames("PlanePositionSequence")], float)
    ways = np.array([item.ImageOrientationPatient for item in of_frames("PlaneOrientationSequence")], float)
    measures = of_frames("PixelMeasuresSequence")
    sizes = np.array([item.PixelSpacing for item in measures], float)
    # Negative by an error of old writers, which would count planes downwards: treated as not stated.
    apart_mm = np.array([item.get("SpacingBetweenSlices") or 0 for item in measures], float).clip(min=0)
    if any(np.ptp(each, axis=0).max() > 1e-3 for each in (ways, sizes, apart_mm)):
        raise PlanewiseError(f"{path}: holds frames of several orientations or spacings, which are no one volume")
    if not sizes.min() > 0:
        raise PlanewiseError(f"{path}: its pixels have no size (PixelSpacing); write it again with it")
    row, column = ways[0, :3], ways[0, 3:]
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=DIRECTION_TOLERANCE):
        raise PlanewiseError(f"{path}: its ImageOrientationPatient is no pair of axes at right angles; write it again")
    thickness_mm = float(measures[0].get("SliceThickness") or 0)
    return _Frames(numbers, positions, row, column, sizes[0], float(apart_mm[0]), thickness_mm)


def _planes(path: Path, frames: _Frames) -> tuple[np.ndarray, float]:
    """Return on which plane each frame lies (N,), counted from the first, and how far planes lie apart in mm."""
    places = frames.places
    spacing_mm = frames.apart_mm or _distance_of(path, places, frames.thickness_mm)
    steps = (places - places.min()) / spacing_mm
    planes = np.rint(steps).astype(int)
    if not spacing_mm > 0 or np.abs(steps - planes).max() > OFF_GRID:
        raise PlanewiseError(f"{path}: its frames do not lie {spacing_mm:g} mm apart, or a multiple of it")
    if len(set(zip(frames.segments, planes.tolist()))) < len(planes):  # as of a distance in another unit
        raise PlanewiseError(
            f"{path}: several of its frames of one segment lie on one slice, if slices are {spacing_mm:g} mm apart; "
            "write it again with the right SpacingBetweenSlices and positions"
        )
    return planes, spacing_mm


def _filled(path: Path, frames: np.ndarray, values: list[int], planes: np.ndarray, names: LabelNames) -> np.ndarray:
    """Return labels (z, y, x) of frames (N, H, W), each of one value and on one plane."""
    voxels = np.zeros((planes.max() + 1, *frames.shape[1:]), np.min_scalar_type(max(names.names)))
    for frame, value, plane in zip(frames, values, planes):
        there = voxels[plane][frame > 0]
        if there.any():
            raise PlanewiseError(
                f"{path}: its segments {names.names[int(there[there > 0][0])]} and {names.names[value]} overlap (slice "
                f"{plane + 1}), which one label for each voxel cannot represent; write each to a separate file"
            )
        voxels[plane][frame > 0] = value
    return voxels


def _refuse_other_kinds(path: Path, file: Any) -> None:
    """Raise PlanewiseError for other objects, and for segmentations that one label for each voxel cannot represent."""
    uid = file.get("SOPClassUID")
    if uid == LABEL_MAP:
        raise PlanewiseError(f"{path}: is a DICOM label map segmentation, which is not read; write it as BINARY")
    if uid != SEGMENTATION:
        raise PlanewiseError(f"{path}: is no DICOM segmentation, but {getattr(uid, 'name', 'nothing named')}")
    kind = str(file.get("SegmentationType") or "nothing named")
    if kind == "FRACTIONAL":
        raise PlanewiseError(
            f"{path}: is a FRACTIONAL segmentation: every voxel has a share ({file.get('SegmentationFractionalType')}),"
            " not a label; choose a threshold where it was made, and write it as BINARY"
        )
    if kind != "BINARY":
        raise PlanewiseError(f"{path}: is a DICOM segmentation of type {kind}; BINARY is read")
    elements = [each for each in file.iterall() if each.keyword == "FrameOfReferenceUID"]
    spaces = sorted({str(uid) for each in elements for uid in (each.value if each.VM > 1 else [each.value])})
    if len(spaces) > 1:
        raise PlanewiseError(
            f"{path}: holds {len(spaces)} frames of reference ({', '.join(spaces)}), which are no one space; write a "
            "segmentation for each"
        )


def _distance_of(path: Path, places: np.ndarray, thickness_mm: float) -> float:
    """Return the distance of slices in mm from the frames' positions, if SpacingBetweenSlices does not state it.

    Frames may lie on some of the slices only: the smallest distance between two is taken, with a message, unless slices
    of the stated thickness would fit between them. For one slice, its thickness is taken.
    """
    steps = np.diff(np.unique(np.round(places, 3)))
    if not steps.size:
        if thickness_mm > 0:
            return thickness_mm
        raise PlanewiseError(
            f"{path}: is one slice, without SpacingBetweenSlices and SliceThickness; write it again with one of them"
        )
    times = np.rint(steps / steps.min())
    spacing_mm = float(steps.sum() / times.sum())  # of all: positions may be rounded
    if np.abs(steps / spacing_mm - times).max() > OFF_GRID:
        raise PlanewiseError(
            f"{path}: has no SpacingBetweenSlices, and its frames lie {steps.min():g} to {steps.max():g} mm apart, no "
            "multiples of one distance; write it again with SpacingBetweenSlices"
        )
    if thickness_mm > 0 and spacing_mm > (2 - OFF_GRID) * thickness_mm:
        raise PlanewiseError(
            f"{path}: has no SpacingBetweenSlices; its frames lie {spacing_mm:g} mm apart, and slices are "
            f"{thickness_mm:g} mm thick, so others may lie between them; write it again with SpacingBetweenSlices"
        )
    say(f"{path}: has no SpacingBetweenSlices; its slices are taken as {spacing_mm:g} mm apart, as frames lie")
    return spacing_mm


def _segments(file: Any) -> tuple[dict[int, int], LabelNames]:
    """Return the label value of each segment by its number, and the names and colours by value."""
    tracked = {
        int(segment.SegmentNumber): TRACKED_VALUE.search(str(segment.get("TrackingID") or ""))
        for segment in file.SegmentSequence
    }
    ours = {number: int(match[1]) for number, match in tracked.items() if match}
    values = ours if len(set(ours.values())) == len(tracked) else {number: number for number in tracked}
    names, colours = {}, {}
    for segment in file.SegmentSequence:
        value = values[int(segment.SegmentNumber)]
        names[value] = str(segment.SegmentLabel)
        if "RecommendedDisplayCIELabValue" in segment:
            colours[value] = hexadecimal(*_rgb(*segment.RecommendedDisplayCIELabValue))
    return values, LabelNames(names, colours)


def _rgb(lightness: int, a: int, b: int) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour as DICOM stores CIELab (PS3.3 C.10.7.1.1)."""
    from skimage.color import lab2rgb

    lab = (lightness * 100 / 65535, a * 255 / 65535 - 128, b * 255 / 65535 - 128)
    red, green, blue = (round(255 * part) for part in lab2rgb(lab).tolist())
    return red, green, blue


FORMAT = Format((".seg.dcm",), _open_segmentation)
