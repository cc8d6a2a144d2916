"""The grid of a series: sorts its slices by position, and refuses everything that keeps them from being one volume."""

import filecmp
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from planewise.errors import PlanewiseError
from planewise.progress import counted, say, say_once
from planewise.volumes.formats.dicom.headers import HU, Slice
from planewise.volumes.formats.dicom.series import SHOWN, Series

UNEVEN = 0.01  # largest relative difference of distances between slices
UNEVEN_MM = 0.01  # and at least this
ROUNDED_MM = 0.051  # largest distance from an even grid, since some headers round to a tenth of a mm; but at most
ROUNDED = 0.1  # of the spacing
SHIFT_PIXELS = 0.5  # over the whole series: a smaller shift along the slices is not a tilt
HEADER_TILT = 0.5  # degrees: a larger tilt in the header is reported if the positions do not show it
REMEDY = "export the whole series again, or choose another one"


@dataclass(frozen=True)
class Stack:
    """Slices in order, and their geometry as a ``Volume`` has it: (z, y, x), mm."""

    slices: tuple[Slice, ...]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[tuple[float, ...], ...]
    tilt: tuple[float, float]


def stack(series: Series) -> Stack:
    """Put the slices of a series in order along their normal.

    Raises PlanewiseError, naming files and positions, if a file is damaged, if slices are missing, doubled, uneven or
    different from each other, or if a CT does not state how its values become HU.
    """
    if series.problems:
        reasons = [f"{Path(problem.where).name} {problem.what}" for problem in series.problems]
        _refuse(series, reasons, "copy such files again, or remove them")
    ordered = _without_copies(series)
    places = np.array([series.normal @ np.asarray(slice_.position) for slice_ in ordered])
    order = np.argsort(places, kind="stable")
    slices, places = tuple(ordered[i] for i in order), places[order]
    _check_pixels(series, slices, places)
    spacing_mm = _spacing(series, slices, places)
    _say_acquisitions(series, slices)
    first = slices[0]
    along_row, along_column = np.asarray(first.along_row), np.asarray(first.along_column)
    if abs(along_row @ along_column) > 1e-3 or not np.isclose(np.linalg.norm(along_row), 1, atol=1e-3):
        _refuse(series, [f"ImageOrientationPatient of {first.file.name} is no pair of axes at right angles"], REMEDY)
    columns = np.stack([series.normal[::-1], along_column[::-1], along_row[::-1]], axis=1)
    z, y, x = np.asarray(first.position)[::-1].tolist()
    return Stack(
        slices,
        (spacing_mm, *first.pixel_mm),
        (z, y, x),
        tuple(tuple(row) for row in columns.tolist()),
        _tilt(series, slices, along_column, along_row),
    )


def _refuse(series: Series, reasons: list[str], remedy: str) -> NoReturn:
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    raise PlanewiseError(f"{series}: {'; '.join(reasons[:SHOWN])}{more}; {remedy}")


def _at(number: int, slice_: Slice, place: float) -> str:
    frame = f", frame {slice_.frame + 1}" if slice_.frame else ""
    return f"slice {number + 1} ({slice_.file.name}{frame}, {place:.2f} mm)"


def _without_copies(series: Series) -> list[Slice]:
    """Return the slices without byte-for-byte copies of files, which are reported in a message."""
    kept: dict[tuple[str, int], Slice] = {}
    copies: list[str] = []
    others: list[Slice] = []
    for slice_ in series.slices:
        before = kept.setdefault((slice_.instance, slice_.frame), slice_)
        if before is slice_:
            continue
        if filecmp.cmp(before.file, slice_.file, shallow=False):
            copies.append(slice_.file.name)
        else:
            others.append(slice_)
    if copies:
        names = list(dict.fromkeys(copies))
        say(f"{series}: passed over copies of files ({len(names)}): {', '.join(names[:SHOWN])}")
    return list(kept.values()) + others


def _check_pixels(series: Series, slices: tuple[Slice, ...], places: np.ndarray) -> None:
    """Refuse slices whose pixels differ in meaning."""
    where = [_at(*numbered) for numbered in zip(range(len(slices)), slices, places)]
    for slice_, at in zip(slices, where):
        if slice_.photometric != "MONOCHROME2":
            _refuse(series, [f"{at} is stored as {slice_.photometric or 'nothing named'}; MONOCHROME2 is read"], REMEDY)
        if series.modality == "CT" and slice_.unit not in HU:
            _refuse(series, [f"{at} holds {slice_.unit}, not HU (RescaleType)"], REMEDY)
        if not all(value > 0 for value in slice_.pixel_mm):
            _refuse(series, [f"{at} has no PixelSpacing"], REMEDY)
    sizes = np.array([slice_.pixel_mm for slice_ in slices])
    unlike = np.abs(sizes - np.median(sizes, axis=0)).max(axis=1) > 1e-3
    if unlike.any():
        usual = " x ".join(f"{value:g}" for value in np.median(sizes, axis=0))
        reasons = [f"{where[i]} has pixels of {sizes[i, 0]:g} x {sizes[i, 1]:g} mm" for i in np.flatnonzero(unlike)]
        _refuse(series, [*reasons, f"the others have {usual} mm"], REMEDY)
    missing = [at for slice_, at in zip(slices, where) if slice_.rescale is None]
    if series.modality == "CT" and missing and (len(missing) < len(slices) or slices[0].stored[0] == 0):
        of_all = "no slice has" if len(missing) == len(slices) else f"{', '.join(missing[:SHOWN])} lacks"
        _refuse(series, [f"{of_all} RescaleSlope and RescaleIntercept, without which values are not HU"], REMEDY)
    if series.modality == "CT" and missing:
        say(f"{series}: has no RescaleSlope and RescaleIntercept; its signed values are taken as HU as they stand")


def _say_acquisitions(series: Series, slices: tuple[Slice, ...]) -> None:
    """Print that a series joins a few acquisitions end to end; in step-and-shoot scans each position is one."""
    counts = Counter(slice_.acquisition for slice_ in slices)
    if 1 < len(counts) <= SHOWN:
        parts = ", ".join(f"{number or 'without a number'} ({count} slices)" for number, count in counts.items())
        say_once(
            f"{series}: its slices come from {len(counts)} acquisitions, {parts}, which join without a gap; they are "
            "taken as one volume, though the patient may have moved between them"
        )


def _spacing(series: Series, slices: tuple[Slice, ...], places: np.ndarray) -> float:
    """Return the distance between slices in mm; refuse slices that are missing, doubled or uneven."""
    if len(slices) == 1:
        if not series.thickness_mm:
            _refuse(series, ["is one slice, and SliceThickness does not say how thick"], REMEDY)
        return float(series.thickness_mm)
    spacing = float((places[-1] - places[0]) / (len(places) - 1))
    away = np.abs(places - places[0] - spacing * np.arange(len(places))).max()
    if away <= min(ROUNDED_MM, ROUNDED * spacing) and spacing > UNEVEN_MM:
        return spacing
    steps = np.diff(places)
    usual = float(np.percentile(steps[steps > UNEVEN_MM], 50, method="lower")) if (steps > UNEVEN_MM).any() else 0.0
    tolerance = max(UNEVEN * usual, UNEVEN_MM)
    doubled, missing, uneven = [], [], []
    for i, step in enumerate(steps.tolist()):
        a, b = _at(i, slices[i], places[i]), _at(i + 1, slices[i + 1], places[i + 1])
        if step < tolerance:
            doubled.append(f"{a} and {b} lie in one place")
            continue
        times = round(step / usual) if usual > tolerance else 1
        if abs(step - times * usual) > times * tolerance or times < 1:
            uneven.append(f"{a} and {b} lie {step:.3g} mm apart")
        elif times > 1:
            missing.append(f"{counted(times - 1, 'slice')} of {usual:.3g} mm missing between {a} and {b}")
    if doubled:
        _refuse(series, [f"{len(doubled)} positions are doubled", *doubled], "keep one file for each position")
    if missing and len(missing) * 2 <= len(steps) and not uneven:
        _refuse(series, missing, REMEDY)
    if missing or uneven:
        _refuse(series, [f"slices are not evenly spaced (usually {usual:.3g} mm)", *missing, *uneven], REMEDY)
    return spacing


def _tilt(
    series: Series, slices: tuple[Slice, ...], along_column: np.ndarray, along_row: np.ndarray
) -> tuple[float, float]:
    """Return the tilt (y, x), see ``Volume``, in mm; 0 where it is next to nothing over the whole series."""
    positions = np.array([slice_.position for slice_ in slices])
    shifts = np.stack([(positions - positions[0]) @ along_column, (positions - positions[0]) @ along_row], axis=1)
    pixel_mm = np.asarray(slices[0].pixel_mm)
    step = shifts[-1] / max(len(slices) - 1, 1)
    away = np.abs(shifts - np.outer(np.arange(len(slices)), step)) / pixel_mm
    if away.max() > SHIFT_PIXELS:
        i = int(away.max(axis=1).argmax())
        place = float(series.normal @ positions[i])
        beside = np.abs(away[i] * pixel_mm).max()
        _refuse(series, [f"{_at(i, slices[i], place)} lies {beside:.2f} mm beside the line of the others"], REMEDY)
    tilted = np.abs(shifts[-1]) > SHIFT_PIXELS * pixel_mm
    upright = not tilted.any() and abs(series.normal[2]) > np.cos(np.radians(HEADER_TILT))
    if abs(series.gantry_degrees) > HEADER_TILT and upright:
        say(
            f"{series}: its header says that the gantry was tilted by {series.gantry_degrees:g} degrees, but the "
            "positions of its slices do not; it is taken as upright"
        )
    y, x = np.where(tilted, step, 0.0).tolist()
    return y, x
