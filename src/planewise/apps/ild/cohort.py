"""A folder of DICOM patients: its cases, and the one series of each that is segmented."""

import re
from collections import defaultdict
from pathlib import Path

from planewise.data.case import case_name, channel_number
from planewise.data.input_images import image_alone, images_to_segment
from planewise.errors import PlanewiseError, Problem
from planewise.progress import say
from planewise.report.tables import print_table
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import ending_of
from planewise.volumes.formats.dicom import Contents, Series, listed, read_folder, without_series
from planewise.volumes.formats.dicom.headers import read_header

# ConvolutionKernel of sharp lung reconstructions, by manufacturer. A name not listed here is never taken for one: the
# series must then be chosen with --series.
LUNG_KERNELS = {
    "GE": r"LUNG|BONE|BONEPLUS|EDGE",
    "Siemens": r"[BI][5-8]\d[a-z]?|Bl\d\d[a-z]?|Br[56]\d[a-z]?",  # Somatom's operating instructions: thorax B50 to B80
    "Philips": r"L|Y[A-D]",
    "Canon": r"FC5\d|FC8[0-6]",  # FC55 the conventional one: doi:10.3348/kjr.2018.0249
}


def cts_in(path: Path, channel: int | None, series: str | None) -> tuple[dict[str, Path | Series], list[Problem]]:
    """Return the CTs in a command's input, volumes or DICOM series, by case, and the problems of others.

    Raises PlanewiseError if there is none; see ``dicom_cases`` and ``images_to_segment``.
    """
    problems: list[Problem] = []
    chosen = dicom_cases(path, series, problems)
    if chosen or problems:
        return {**chosen}, problems
    images, problems = images_to_segment(path, channel)
    if not images and not problems:
        raise PlanewiseError(without_series(path, Contents((), {}, ())))
    return {**images}, problems


def dicom_cases(folder: Path, wanted: str | None, problems: list[Problem]) -> dict[str, Series]:
    """Return the series to segment in a folder of DICOM files, by case; none if it holds volumes, or no DICOM.

    A PNG or a segmentation beside DICOM does not count as a volume. A single series is named after the folder. Else
    each patient is a case, or each study date of a patient with several; ``choose_series`` takes one series of it; all
    are printed. Those that cannot be named or chosen go to ``problems``. Raises PlanewiseError if no DICOM series is a
    volume, or if ``wanted`` is given without DICOM.
    """
    beside = (".png", ".seg.dcm")
    volumes = ending_of(folder) or (
        folder.is_dir() and any(ending_of(file) not in beside for file in volumes_in(folder))
    )
    if folder.is_file() and not volumes and read_header(folder):
        raise PlanewiseError(f"{folder}: is one file of a DICOM series; give the folder of the whole series")
    contents = read_folder(folder) if folder.is_dir() and not volumes else Contents((), {}, ())
    if not contents.series:
        if contents.left_out or contents.problems:
            raise PlanewiseError(without_series(folder, contents))
        if wanted is not None and folder.exists():
            raise PlanewiseError(f"--series {wanted}: chooses among DICOM series, and {folder} holds none")
        return {}
    problems += contents.problems
    if contents.left_out:
        say(f"{folder}: left out {contents.left_out_text}")
    cases = _by_case(folder, contents, problems)
    chosen = {}
    for case, series in cases.items():
        try:
            chosen[case], why = choose_series(series, wanted)
        except PlanewiseError as error:
            problems.append(Problem(f"{folder}: {case}", str(error)))
            continue
        if len(contents.series) > 1:
            say(f"{case}: {listed((chosen[case],))}: {why}")
    if len(contents.series) > 1:
        _print_series(folder, contents, list(chosen.values()))
    return chosen


def choose_series(series: list[Series], wanted: str | None) -> tuple[Series, str]:
    """Return the series of a case to segment, and the reason for the choice.

    ``wanted``: its UID, its number, or part of its description. If it is not given, or fits several: the thinnest CT
    with a lung kernel. Raises PlanewiseError, listing the series, if that leaves none or several.
    """
    asked = ""
    if wanted is not None:
        series = _named(series, wanted)
        asked = f"of --series {wanted} "
        if len(series) == 1:
            return series[0], f"--series {wanted}"
    of_ct = [one for one in series if one.in_hu and len(one.slices) > 1]
    if len(of_ct) == 1:
        return of_ct[0], f"the only CT {asked}with more than one slice"
    lung = [one for one in of_ct if is_lung_kernel(one.kernel)]
    if not lung:
        what = "none of its CT series has a known lung kernel" if of_ct else "it has no CT with several slices"
        raise PlanewiseError(f"{what}; choose with --series (UID, number, or part of the description): {_all(series)}")
    thinnest = min(map(_thickness, lung))
    equal = [one for one in lung if _thickness(one) - thinnest < 0.01]
    if len(equal) > 1:
        raise PlanewiseError(
            f"{len(equal)} series with a lung kernel are equally thin ({thinnest:g} mm); choose with --series (UID, "
            f"number, or part of the description): {_all(equal)}"
        )
    return equal[0], f"the thinnest CT {asked}with a lung kernel"


def is_lung_kernel(kernel: str) -> bool:
    """Whether a ConvolutionKernel is one of ``LUNG_KERNELS``; if it has a strength, only the first word counts."""
    first = kernel.split()[0] if kernel.split() else ""
    return any(re.fullmatch(pattern, first, re.IGNORECASE) for pattern in LUNG_KERNELS.values())


def _named(series: list[Series], wanted: str) -> list[Series]:
    exactly = [one for one in series if wanted in (one.uid, one.number)]
    text = wanted.casefold()
    named = exactly
    if not exactly and not wanted.isdecimal():  # a number is a series number, not part of a kernel's name
        named = [one for one in series if text in f"{one.description} {one.part}".casefold()]
    if not named:
        raise PlanewiseError(f"no series fits --series {wanted}; there are {_all(series)}")
    return named


def _all(series: list[Series]) -> str:
    return listed(tuple(series))


def _thickness(series: Series) -> float:
    return series.thickness_mm or series.spacing_mm or float("inf")


def _by_case(folder: Path, contents: Contents, problems: list[Problem]) -> dict[str, list[Series]]:
    """Return series by case: each patient, or each study date of a patient with several. Unnamable ones are refused.

    Folders with nnU-Net's image names, ending in ``_0000``, are cases instead.
    """
    if len(contents.series) == 1:
        named, several = image_alone(folder.absolute(), None)
        problems += several
        return {case: list(contents.series) for case in named}
    dates = defaultdict(set)
    for one in contents.series:
        dates[one.patient].add(one.study_date)
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for one in contents.series:
        image = folder.absolute().joinpath(*one.folder.relative_to(folder).parts[:1])
        if channel_number(image) == 0:
            groups[case_name(image), ""].append(one)
        else:
            groups[one.patient, one.study_date if len(dates[one.patient]) > 1 else ""].append(one)
    names: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for patient, date in groups:
        name = re.sub(r"[^\w.-]+", "_", patient).strip("._")
        if not name and len({one.study for one in contents.series}) == 1:
            name = case_name(folder.absolute())
        names["_".join(filter(None, (name, date))) if name else ""].append((patient, date))
    cases = {}
    for name, keys in names.items():
        for key in keys:
            where = f"{groups[key][0].folder}: patient {key[0]!r}"
            if not name:
                problems.append(Problem(where, "has no PatientID that can name a case; give its folder separately"))
            elif len(keys) > 1:
                both = " and ".join(repr(patient) for patient, _ in keys)
                problems.append(Problem(where, f"{both} become one case name, {name}; give their folders one by one"))
            else:
                cases[name] = groups[key]
    return cases


def _print_series(folder: Path, contents: Contents, chosen: list[Series]) -> None:
    header = ("patient", "date", "series", "description", "kernel", "slices", "thick, mm", "taken")
    rows = []
    for one in contents.series:
        thickness = "" if one.thickness_mm is None else f"{one.thickness_mm:g}"
        description = " ".join(filter(None, (one.description, one.part and f"({one.part})")))
        taken = "yes" if any(one is other for other in chosen) else ""
        slices = str(len(one.slices))
        rows.append((one.patient, one.study_date, one.number, description, one.kernel, slices, thickness, taken))
    print_table(f"{len(rows)} DICOM series in {folder}", header, rows)
