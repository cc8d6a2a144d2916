"""Lists the series in a folder of patients, at any depth, from the headers of its files."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from planewise.errors import PlanewiseError, Problem
from planewise.progress import progress
from planewise.volumes.formats.dicom.headers import HU, Header, SeriesAttributes, Slice, read_header

SAME_DIRECTION = 1e-3  # of unit vectors, within a series
SHOWN = 12  # series, or places, in a message
MANY = 1000  # files, about two seconds: more are worth a bar


@dataclass(frozen=True)
class Series(SeriesAttributes):
    """A CT, MR or other series of slices that belong on one grid: one SeriesInstanceUID, orientation and image size.

    ``slices`` in the order of their files; ``part``: what distinguishes it from the others with its UID, if that mixes
    orientations or sizes; ``problems``: damaged files in it or beside it.
    """

    slices: tuple[Slice, ...]
    part: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(slice_.file for slice_ in self.slices))

    @cached_property
    def folder(self) -> Path:
        """The folder that holds all its files."""
        return Path(os.path.commonpath([file.parent for file in self.files]))

    @cached_property
    def normal(self) -> np.ndarray:
        """The unit vector (x, y, z) along which slices follow each other."""
        normal = np.cross(self.slices[0].along_row, self.slices[0].along_column)
        return normal / (np.linalg.norm(normal) or 1.0)

    @property
    def orientation(self) -> str:
        """axial, coronal, sagittal or oblique."""
        along = np.abs(self.normal)
        return ("sagittal", "coronal", "axial")[int(along.argmax())] if along.max() > 0.8 else "oblique"

    @property
    def spacing_mm(self) -> float | None:
        """The usual distance between slices; None for one slice."""
        places = np.unique([np.round(self.normal @ np.asarray(slice_.position), 3) for slice_ in self.slices])
        return float(np.median(np.diff(places))) if len(places) > 1 else None

    @property
    def in_hu(self) -> bool:
        """Whether it is a CT in HU, not a derived map of iodine or the like."""
        return self.modality == "CT" and all(slice_.unit in HU for slice_ in self.slices)

    @property
    def title(self) -> str:
        """Its number and description, as they stand in the headers."""
        number = f"series {self.number or self.uid}"
        return f"{number} '{self.description}'" if self.description else number

    def __str__(self) -> str:
        return f"{self.folder}, {self.title}" + (f" ({self.part})" if self.part else "")

    def resolved(self) -> "Series":
        """Return it with absolute paths, for a process with another working folder."""
        return replace(self, slices=tuple(replace(slice_, file=slice_.file.resolve()) for slice_ in self.slices))


@dataclass(frozen=True)
class Contents:
    """The series of a folder; the number of other objects of each kind; damaged files that do not affect a series."""

    series: tuple[Series, ...]
    left_out: dict[str, int]
    problems: tuple[Problem, ...]

    @property
    def left_out_text(self) -> str:
        return ", ".join(f"{kind} ({count})" for kind, count in self.left_out.items())


def list_series(folder: Path) -> list[Series]:
    """Return the DICOM series in ``folder`` and all folders in it, by patient, date and number; see ``read_folder``."""
    return list(read_folder(folder).series)


def read_folder(folder: Path) -> Contents:
    """Read the headers of all DICOM files in ``folder`` and below, with or without .dcm; hidden files are skipped.

    Other files are ignored. Localizers, colour images and objects without images are counted and left out. A
    damaged file makes the series of its folder suspect: see ``Series.problems``.
    """
    headers: list[Header] = []
    damaged: list[Problem] = []
    files = sorted(_files_below(folder))
    shown = progress(f"{folder.name}: headers", len(files), unit="files") if len(files) > MANY else nullcontext(_no_bar)
    with shown as advance:
        for path in files:
            try:
                header = read_header(path)
            except (PlanewiseError, OSError) as error:
                damaged.append(Problem.of(path, error))
                header = None
            if header is not None:
                headers.append(header)
            advance(1)
    left_out = Counter(header.left_out for header in headers if header.left_out)
    by_uid: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        if not header.left_out:
            by_uid[header.patient, header.study, header.uid].append(header)
    series = []
    for of_one in by_uid.values():
        if all(slice_.position is None for header in of_one for slice_ in header.slices):
            left_out["images without a position (ImagePositionPatient)"] += len(of_one)
        else:
            series += _parts(of_one, damaged)
    suspected = {problem for one in series for problem in one.problems}
    series.sort(key=lambda one: (one.patient, one.study_date, one.study, _as_number(one.number), one.uid, one.part))
    return Contents(tuple(series), dict(left_out), tuple(problem for problem in damaged if problem not in suspected))


def _no_bar(steps: int = 1, note: str = "") -> None:
    """Show nothing: see ``MANY``."""


def _files_below(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (path for name in names if not name.startswith(".") and (path := Path(place) / name).is_file())


def _as_number(number: str) -> tuple[int, str]:
    return int(number) if number.isdecimal() else -1, number


def _parts(headers: list[Header], damaged: list[Problem]) -> list[Series]:
    """Return one series for each orientation and image size among the files of one SeriesInstanceUID."""
    slices = [slice_ for header in headers for slice_ in header.slices]
    placed = [slice_ for slice_ in slices if slice_.position is not None]
    problems = [Problem(str(header.slices[0].file), header.damage) for header in headers if header.damage]
    problems += [
        Problem(str(slice_.file), "has no position in the patient (ImagePositionPatient)")
        for slice_ in slices
        if slice_.position is None
    ]
    folders = {slice_.file.parent for slice_ in slices}
    problems += [problem for problem in damaged if Path(problem.where).parent in folders]
    groups: list[list[Slice]] = []
    for slice_ in placed:
        group = next((group for group in groups if _alike(slice_, group[0])), None)
        groups.append([slice_]) if group is None else group.append(slice_)
    attributes = {field.name: getattr(headers[0], field.name) for field in fields(SeriesAttributes)}
    parts = [Series(**attributes, slices=tuple(group), problems=tuple(problems)) for group in groups]
    return parts if len(parts) == 1 else [replace(part, part=_what_is_its(part)) for part in parts]


def _alike(a: Slice, b: Slice) -> bool:
    ways = (*a.along_row, *a.along_column), (*b.along_row, *b.along_column)
    return a.shape == b.shape and np.allclose(*ways, rtol=0, atol=SAME_DIRECTION)


def _what_is_its(part: Series) -> str:
    rows, columns = part.slices[0].shape
    return f"{part.orientation}, {rows} x {columns}"


def listed(series: tuple[Series, ...]) -> str:
    """Return series as a list in one line of text; parts of one UID are given with the place of their first slice.

    Series with the same title are given with their UIDs.
    """
    texts = []
    uids = {title: {one.uid for one in series if one.title == title} for title in (one.title for one in series)}
    for one in series[:SHOWN]:
        thickness = "" if one.thickness_mm is None else f" of {one.thickness_mm:g} mm"
        place = float(one.normal @ np.asarray(one.slices[0].position))
        part = f", {one.part}: {one.slices[0].file.name} at {place:.1f} mm, ..." if one.part else ""
        title = f"{one.title}, UID {one.uid}" if len(uids[one.title]) > 1 else one.title
        texts.append(f"{title} ({one.kernel or one.modality}, {len(one.slices)} slices{thickness}{part})")
    more = f"; and {len(series) - SHOWN} more" if len(series) > SHOWN else ""
    return "; ".join(texts) + more
