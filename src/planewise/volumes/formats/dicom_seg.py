"""DICOM segmentations, ``.seg.dcm``: labels on slices of a series, with names, colours and places. Read by pydicom.

They are written by ``dicom.segmentation``, which needs the series that they are of.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.volumes.formats import Format
from planewise.volumes.formats.dicom.headers import quiet
from planewise.volumes.formats.dicom.stack import SHIFT_PIXELS
from planewise.volumes.label_names import LabelNames, hexadecimal
from planewise.volumes.volume import Volume

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
TRACKED_VALUE = re.compile(r", label (\d+)$")  # see segmentation.tracking_id
OFF_GRID = 0.05  # of the distance between slices


def _open_segmentation(path: Path, channel: int | None) -> Volume:
    """Open a segmentation whose segments do not overlap; the slices without a frame between its first and last are 0.

    The label values are those that planewise wrote, else the segments' numbers.
    """
    import pydicom

    if channel:
        raise PlanewiseError(f"{path}: a DICOM segmentation has 1 channel, which is 0")
    with quiet():
        file = pydicom.dcmread(path)
        if str(file.get("SOPClassUID", "")) != SEGMENTATION or file.get("SegmentationType") != "BINARY":
            raise PlanewiseError(f"{path}: is no DICOM segmentation of type BINARY")
        frames = np.asarray(file.pixel_array).reshape(-1, int(file.Rows), int(file.Columns))
    shared, per_frame = file.SharedFunctionalGroupsSequence[0], file.PerFrameFunctionalGroupsSequence
    values, names = _segments(file)

    def of_frames(keyword: str) -> list[Any]:
        return [(groups if keyword in groups else shared)[keyword].value[0] for groups in per_frame]

    numbers = [int(item.ReferencedSegmentNumber) for item in of_frames("SegmentIdentificationSequence")]
    positions = np.array([item.ImagePositionPatient for item in of_frames("PlanePositionSequence")], float)
    ways = np.array([item.ImageOrientationPatient for item in of_frames("PlaneOrientationSequence")], float)
    sizes = np.array(
        [
            [item.get("SpacingBetweenSlices") or item.get("SliceThickness") or 0, *item.PixelSpacing]
            for item in of_frames("PixelMeasuresSequence")
        ],
        float,
    )
    if np.ptp(ways, axis=0).max() > 1e-3 or np.ptp(sizes, axis=0).max() > 1e-3:
        raise PlanewiseError(f"{path}: holds frames of several orientations or spacings, which are no one volume")
    if not sizes.min() > 0:
        raise PlanewiseError(
            f"{path}: its slices have no distance (SpacingBetweenSlices or SliceThickness), or its pixels no size; "
            "write it again with both"
        )
    row, column = ways[0, :3], ways[0, 3:]
    normal = np.cross(row, column)
    places = positions @ normal
    first, last = positions[places.argmin()], positions[places.argmax()]
    steps = (places - places.min()) / sizes[0, 0]
    planes = np.rint(steps).astype(int)
    if np.abs(steps - planes).max() > OFF_GRID:
        raise PlanewiseError(f"{path}: its frames do not lie {sizes[0, 0]:g} mm apart, or a multiple of it")
    voxels = np.zeros((planes.max() + 1, *frames.shape[1:]), np.min_scalar_type(max(values.values(), default=0)))
    for frame, number, plane in zip(frames, numbers, planes):
        if (voxels[plane][frame > 0] > 0).any():
            raise PlanewiseError(f"{path}: its segments overlap, which labels of one number for each voxel cannot say")
        voxels[plane][frame > 0] = values[number]
    step = (last - first) / max(planes.max(), 1)
    tilt = np.array([step @ column, step @ row])
    tilt[np.abs(tilt) * planes.max() <= SHIFT_PIXELS * sizes[0, 1:]] = 0
    columns = np.stack([normal[::-1], column[::-1], row[::-1]], axis=1)
    oz, oy, ox = first[::-1].tolist()
    sz, sy, sx = sizes[0].tolist()
    ty, tx = tilt.tolist()
    return Volume(
        voxels, (sz, sy, sx), "mm", (oz, oy, ox), tuple(tuple(part) for part in columns.tolist()), tilt=(ty, tx),
        labels=names,
    )  # fmt: skip


def _segments(file: Any) -> tuple[dict[int, int], LabelNames]:
    """Return the label value of every segment by its number, and the names and colours by value."""
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
