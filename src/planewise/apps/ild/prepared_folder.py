"""The work folder of prepared patients: what planewise wrote there, whether it is whole, and what of it is stale.

::

    prepared.json     what the patients were made from, and what is written of each: all of it is there
    preparing.json    the same while patients are being prepared, or after that was stopped: some is missing

What these two name, and nothing else, is removed before patients that are made from something else are written.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.data.preparation import RECORD, MadeFrom, Record, read_record, write_record
from planewise.data.prepared import KINDS, slice_name
from planewise.data.split import PARTS, PATIENTS_FILE, SPLIT_FILE, Split
from planewise.errors import PlanewiseError
from planewise.progress import say

ANATOMY = "CT_ILD"  # the published name of the folders of prepared patients
SLICES = "npy"
JOURNAL = "preparing.json"
TRAINING_PARTS = ("train", "valid")  # which have slices
SLICE = re.compile(r"(.*)-\d{3,}")
VOLUMES = (".npz", "_img.nii.gz", "_gt.nii.gz")  # of a case, after its name
CaseInPart = tuple[str, str]

BESIDE = ("dataset.json", SPLIT_FILE, PATIENTS_FILE, "window.json")  # that are written beside the patients


def npz_folder(work: Path, part: str) -> Path:
    """Return where the patients of a part are."""
    return work / f"npz_{part}" / ANATOMY


@dataclass
class PreparedFolder:
    """The patients prepared in ``work``. ``cases``: part, volumes, slices and outcome of each that is done."""

    work: Path
    made_from: MadeFrom
    split: Split
    cases: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, work: Path, made_from: MadeFrom, split: Split) -> "PreparedFolder":
        """Return the folder with the cases that are done already; what was made from something else is removed.

        Raises PlanewiseError, before anything is removed, if patients or slices lie there that no record names.
        """
        records = [record for name in (RECORD, JOURNAL) if (record := read_record(work / name))]
        written = {pair for record in records for pair in _written(record)}
        files = dict(_files(work))
        foreign = sorted(str(path.relative_to(work)) for path, pair in files.items() if pair not in written)
        if not records:
            foreign += [name for name in BESIDE if (work / name).exists()]
        if foreign:
            raise PlanewiseError(
                f"{work}: holds {len(foreign)} files that would be replaced and that it has no record of "
                f"({', '.join(foreign[:3])}): move them away, or give another work_dir"
            )
        wanted = {(case, part) for part in PARTS for case in split[part]}
        done: dict[str, dict[str, Any]] = {}
        for record in records:
            if record.made_from.key != made_from.key:
                differences = record.made_from.differences(made_from)
                say(f"{work} was prepared from something else ({differences}): it is replaced")
                continue
            cases = record.written["cases"].items()
            done |= {case: of for case, of in cases if not _missing(work, case, of, files)}
        folder = cls(work, made_from, split, done)
        if not folder.whole or (work / JOURNAL).exists():
            folder._write_journal(written | wanted)
            _remove(work / RECORD)
            folder._remove_cases(written - {(case, of["part"]) for case, of in done.items()})
        return folder

    @property
    def whole(self) -> bool:
        """Whether every case is done."""
        return self.cases.keys() == {case for part in PARTS for case in self.split[part]}

    def done(self, case: str, outcome: Any) -> None:
        """Record that all files of a case are written, with an ``outcome`` to remember, as JSON has it."""
        part = self._part(case)
        slices = 0
        while all(path.exists() for path in _slices(self.work, case, part, [slices])):
            slices += 1
        volumes = [ending for ending in VOLUMES if (npz_folder(self.work, part) / f"{case}{ending}").exists()]
        self.cases[case] = {"part": part, "volumes": volumes, "slices": slices, "outcome": outcome}
        self._write_journal({(name, part) for part in PARTS for name in self.split[part]})

    def failed(self, case: str) -> None:
        """Remove what was written of a case that could not be prepared."""
        self._remove_cases({(case, self._part(case))})

    def finish(self) -> None:
        """Record that nothing more is to be written."""
        write_record(self.work / RECORD, Record(self.made_from, {"cases": self.cases}))
        _remove(self.work / JOURNAL)

    def _part(self, case: str) -> str:
        return next(part for part in PARTS if case in self.split[part])

    def _write_journal(self, begun: set[CaseInPart]) -> None:
        written = {"cases": self.cases, "begun": sorted(begun)}
        write_record(self.work / JOURNAL, Record(self.made_from, written))

    def _remove_cases(self, pairs: set[CaseInPart]) -> None:
        for path in [path for path, pair in _files(self.work) if pair in pairs]:
            _remove(path)
        for case, part in pairs:
            for ending in VOLUMES:
                _remove(npz_folder(self.work, part) / f"{case}{ending}")


def record_of_slices(npy: Path) -> Record | None:
    """Return the record of the slices in ``npy``; None, which is printed, of slices that planewise did not prepare.

    Raises PlanewiseError if they are not all there, or if there are others.
    """
    work = npy.parent
    ours = npy.name == SLICES
    if ours and (work / JOURNAL).exists():
        raise PlanewiseError(f"{work}: its patients are not all prepared; run planewise ild prepare again, to the end")
    record = read_record(work / RECORD) if ours else None
    if record is None:
        say(f"{npy} has no record of what its slices were made from: they are used as they are")
        return None
    files = dict(_files(work))
    cases = record.written.get("cases", {}).items()
    missing = [name for case, of in cases for name in _missing(work, case, of, files)]
    named = {path for case, of in cases for path in _slices(work, case, of["part"], range(of["slices"]))}
    others = [str(path) for path in files if path.is_relative_to(npy) and path not in named]
    for paths, what in ((missing, "are missing"), (others, "are there besides")):
        if paths:
            raise PlanewiseError(
                f"{npy}: {len(paths)} files {what}, by the record of what was prepared "
                f"({', '.join(sorted(paths)[:3])}): run planewise ild prepare again"
            )
    return record


def _written(record: Record) -> set[CaseInPart]:
    """Return the cases that may have files, with their parts."""
    begun = {(case, part) for case, part in record.written.get("begun", [])}
    return begun | {(case, of["part"]) for case, of in record.written.get("cases", {}).items()}


def _files(work: Path) -> Iterator[tuple[Path, CaseInPart]]:
    """Yield every prepared patient and slice, and whose it is by its name."""
    for part in PARTS:
        for path in npz_folder(work, part).glob("*.npz"):
            yield path, (path.stem, part)
    for part in TRAINING_PARTS:
        for kind in KINDS:
            for path in (work / SLICES / part / kind).glob("*.npy"):
                match = SLICE.fullmatch(path.stem)
                yield path, (match[1] if match else path.stem, part)


def _slices(work: Path, case: str, part: str, numbers: Iterable[int]) -> list[Path]:
    return [work / SLICES / part / kind / slice_name(case, number) for number in numbers for kind in KINDS]


def _missing(work: Path, case: str, of: dict[str, Any], files: dict[Path, CaseInPart]) -> list[str]:
    """Return the files of a case that are not there, of those its record names."""
    slices = [path for path in _slices(work, case, of["part"], range(of["slices"])) if path not in files]
    volumes = (npz_folder(work, of["part"]) / f"{case}{ending}" for ending in of["volumes"])
    return [str(path) for path in [*slices, *(path for path in volumes if not path.exists())]]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise PlanewiseError(f"{path}: cannot be removed ({error.strerror}); it is stale") from error
