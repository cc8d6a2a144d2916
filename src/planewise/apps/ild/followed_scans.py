"""The scans of a patient by date: dates come from the headers of DICOM series, or from the folders of volumes."""

import re
from collections import defaultdict
from pathlib import Path

from planewise.apps.ild.cohort import choose_series, is_lung_kernel
from planewise.data.input_images import images_to_segment
from planewise.errors import PlanewiseError, Problem
from planewise.progress import say
from planewise.serial.comparability import Scan
from planewise.volumes.formats.dicom import Series, listed, read_folder
from planewise.volumes.volume import Spacing

DATE = re.compile(r"((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])")


def scans_by_date(folder: Path, wanted: str | None) -> tuple[dict[str, Path | Series], list[Problem]]:
    """Return the CT of each date ("2023-01-10") in order, and the problems of those that cannot be used.

    With DICOM, each study date is one scan: ``choose_series`` chooses one of its series, which is printed. Raises
    PlanewiseError if the folder holds neither DICOM nor folders named by dates.
    """
    if not folder.is_dir():
        raise PlanewiseError(f"{folder}: is not a folder; give the folder of one patient, with a scan for each date")
    contents = read_folder(folder)
    if not contents.series:
        if wanted is not None:
            raise PlanewiseError(f"--series {wanted}: chooses among DICOM series, but {folder} holds none")
        return _volumes_by_date(folder)
    problems = list(contents.problems)
    dates: dict[str, list[Series]] = defaultdict(list)
    for one in contents.series:
        if match := DATE.fullmatch(one.study_date):
            dates["-".join(match.groups())].append(one)
        else:
            problems.append(Problem(str(one), "has no StudyDate: the date of the scan is unknown"))
    chosen: dict[str, Path | Series] = {}
    for day, series in sorted(dates.items()):
        try:
            chosen[day], why = choose_series(series, wanted)
        except PlanewiseError as error:
            problems.append(Problem(f"{folder}: {day}", str(error)))
            continue
        say(f"{day}: {listed((chosen[day],))}: {why}")  # type: ignore[arg-type]
    return chosen, problems


def _volumes_by_date(folder: Path) -> tuple[dict[str, Path | Series], list[Problem]]:
    chosen: dict[str, Path | Series] = {}
    problems: list[Problem] = []
    for path in sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")):
        match = DATE.fullmatch(path.name)
        if not match:
            say(f"{path}: skipped; folders of scans are named by date, such as 2023-01-10")
            continue
        day = "-".join(match.groups())
        try:
            images, wrong = images_to_segment(path)
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
            continue
        problems += wrong
        if day in chosen:
            problems.append(Problem(str(path), f"is a second folder of {day}; {chosen[day]} is used"))
            continue
        if len(images) != 1:
            there = f"holds {len(images)} volumes" if images else "holds no volume"
            problems.append(Problem(str(path), f"{there}; one CT is needed for each date"))
            continue
        chosen[day] = next(iter(images.values()))
    return dict(sorted(chosen.items())), problems


def files_of(image: Path | Series) -> list[Path]:
    """Return the files of a CT."""
    return [image] if isinstance(image, Path) else list(image.files)


def scan_of(day: str, image: Path | Series, spacing_mm: Spacing, lungs_ml: float, cut_off: tuple[str, ...]) -> Scan:
    """Return the properties of a scan that decide on a comparison; most are unknown for a volume that is not DICOM."""
    if isinstance(image, Path):
        return Scan(day, "", "", False, "", False, None, spacing_mm, lungs_ml, cut_off)
    return Scan(
        day,
        image.patient,
        image.kernel,
        is_lung_kernel(image.kernel),
        image.contrast,
        True,
        image.thickness_mm,
        spacing_mm,
        lungs_ml,
        cut_off,
    )
