"""The work folder of prepared patients: what planewise wrote there, whether it is complete, and what is stale.

::

    planewise.json    the manifest (see ``data.run``); inputs are named by case, "P0" and "P0 (truth)", not by path

A case whose files have no fingerprints was begun but not finished: some may be missing. Before patients made from
something else are written, exactly the files that the manifest names are removed; edited ones are kept.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, read_manifest, write_manifest
from planewise.data.preparation import READERS, MadeFrom, Record, fingerprint
from planewise.data.prepared import KINDS
from planewise.data.split import PARTS, PATIENTS_FILE, SPLIT_FILE, Split
from planewise.errors import PlanewiseError
from planewise.progress import say

ANATOMY = "CT_ILD"  # the published name of the folders of prepared patients
SLICES = "npy"
COMMAND = "ild prepare"
TRAINING_PARTS = ("train", "valid")  # the parts with slices
SLICE = re.compile(r"(.*)-\d{3,}")
VOLUMES = (".npz", "_img.nii.gz", "_gt.nii.gz")  # of a case, after its name
CaseInPart = tuple[str, str]

BESIDE = ("dataset.json", SPLIT_FILE, PATIENTS_FILE, "window.json")  # files written beside the patients


def npz_folder(work: Path, part: str) -> Path:
    """Return where the patients of a part are."""
    return work / f"npz_{part}" / ANATOMY


@dataclass
class PreparedFolder:
    """The patients prepared in ``work``. ``cases``: the finished ones; ``begun``: unfinished ones that may have
    files."""

    work: Path
    made_from: MadeFrom
    inputs: dict[str, dict[str, str]]
    split: Split
    cases: dict[str, CaseRecord]
    begun: set[CaseInPart]

    @classmethod
    def open(
        cls, work: Path, options: dict[str, Any], inputs: dict[str, dict[str, str]], split: Split
    ) -> "PreparedFolder":
        """Return the folder with the cases that are already done; files made from something else are removed.

        ``options``: those that determine what is written; ``inputs``: fingerprints of what each case is made from, by
        case. Raises PlanewiseError, before anything is removed, if the folder holds patients or slices that the
        manifest does not name, or that were edited.
        """
        manifest = _read(work)
        before = {} if manifest is None else manifest.cases
        written = {pair for case, record in before.items() for pair in _pairs(work, case, record)}
        named = {work / name for record in before.values() for name in record.outputs}
        partial = {case: record for case, record in before.items() if not all(record.outputs.values())}
        begun = {pair for case, record in partial.items() for pair in _pairs(work, case, record)}
        foreign = sorted(_name(work, path) for path, pair in _files(work) if path not in named and pair not in begun)
        if manifest is None:
            foreign += [name for name in BESIDE if (work / name).exists()]
        if foreign:
            raise PlanewiseError(
                f"{work}: holds {len(foreign)} files that would be replaced and that its manifest does not name "
                f"({', '.join(foreign[:3])}): move them away, or give another work_dir"
            )
        _refuse_edited(work, before)
        folder = cls(work, MadeFrom({"command": COMMAND, **options}, {}), inputs, split, {}, set())
        if manifest is not None:
            folder.cases = folder._unchanged(manifest)
        stale = written - {(case, folder._part(case)) for case in folder.cases}
        wanted = {(case, part) for part in PARTS for case in split[part] if case not in folder.cases}
        if stale or wanted:
            folder.begun = stale | wanted
            folder._write()
            folder._remove_cases(stale)
            folder.begun = wanted
            folder._write()
        return folder

    def done(self, case: str, outcome: Any) -> None:
        """Record that all files of a case are written, with an ``outcome`` to store, as JSON."""
        pair = case, self._part(case)
        paths = [path for path, of in _files(self.work) if of == pair]
        with ThreadPoolExecutor(READERS) as pool:
            outputs = dict(zip((_name(self.work, path) for path in paths), pool.map(fingerprint, paths), strict=True))
        self.cases[case] = CaseRecord(self.inputs[case], outputs, {"part": pair[1], "classes": outcome})
        self.begun.discard(pair)
        self._write()

    def failed(self, case: str) -> None:
        """Remove what was written of a case that could not be prepared."""
        pair = case, self._part(case)
        self._remove_cases({pair})
        self.begun.discard(pair)
        self._write()

    def _unchanged(self, manifest: Manifest) -> dict[str, CaseRecord]:
        """Return the cases that are complete and made from the present inputs; print what has changed."""
        whole = {case: record for case, record in manifest.cases.items() if all(record.outputs.values())}
        before = MadeFrom(manifest.made_from.options, _merged(record.inputs for record in whole.values()))
        now = MadeFrom(self.made_from.options, _merged(self.inputs.values()))
        if before.options != now.options:
            say(f"{self.work} was prepared from something else ({before.differences(now)}): it is replaced")
            return {}
        known = MadeFrom(now.options, {name: now.data[name] for name in now.data.keys() & before.data.keys()})
        if differences := before.differences(known):
            say(f"{self.work} was prepared from something else ({differences}): those patients are replaced")
        return {
            case: record
            for case, record in whole.items()
            if record.inputs == self.inputs.get(case) and not _missing(self.work, record)
        }

    def _part(self, case: str) -> str:
        return next(part for part in PARTS if case in self.split[part])

    def _write(self) -> None:
        records = dict(self.cases)
        for case, part in sorted(self.begun):
            begun = records.get(case, CaseRecord(self.inputs.get(case, {}), {}))
            outputs = begun.outputs | {_name(self.work, _npz(self.work, case, part)): ""}
            records[case] = CaseRecord(begun.inputs, outputs)
        self.work.mkdir(parents=True, exist_ok=True)
        write_manifest(self.work / MANIFEST, Manifest(self.made_from, "", records))

    def _remove_cases(self, pairs: set[CaseInPart]) -> None:
        for path in [path for path, pair in _files(self.work) if pair in pairs]:
            _remove(path)


def record_of_slices(npy: Path) -> Record | None:
    """Return the record of the slices in ``npy``; None, with a message, if planewise did not prepare them.

    Raises PlanewiseError if slices are missing, or if there are others.
    """
    if not npy.is_dir():
        raise PlanewiseError(f"{npy}: no such folder of slices; run planewise ild prepare, which makes it")
    work = npy.parent
    manifest = _read(work) if npy.name == SLICES else None
    if manifest is None:
        say(f"{npy} has no record of what its slices were made from: they are used as they are")
        return None
    if not all(made for record in manifest.cases.values() for made in record.outputs.values()):
        raise PlanewiseError(f"{work}: not all of its patients are prepared; let planewise ild prepare run to the end")
    missing = [name for record in manifest.cases.values() for name in _missing(work, record)]
    named = {work / name for record in manifest.cases.values() for name in record.outputs}
    others = [str(path) for path, _ in _files(work) if path.is_relative_to(npy) and path not in named]
    for paths, what in ((missing, "are missing"), (others, "do not belong there")):
        if paths:
            raise PlanewiseError(
                f"{npy}: {len(paths)} files {what}, according to its record "
                f"({', '.join(sorted(paths)[:3])}): run planewise ild prepare again"
            )
    return Record(MadeFrom(manifest.made_from.options, _merged(record.inputs for record in manifest.cases.values())))


def _read(work: Path) -> Manifest | None:
    """Return the manifest of prepared patients. Raises PlanewiseError if it belongs to other results."""
    manifest = read_manifest(work / MANIFEST)
    if manifest is not None and (command := manifest.made_from.options.get("command")) != COMMAND:
        raise PlanewiseError(f"{work}: holds results of planewise {command}; give another work_dir")
    return manifest


def _refuse_edited(work: Path, cases: dict[str, CaseRecord]) -> None:
    """Raise PlanewiseError if a file was changed after it was written."""
    made = {work / name: before for record in cases.values() for name, before in record.outputs.items() if before}
    there = [path for path in made if path.exists()]
    with ThreadPoolExecutor(READERS) as pool:
        edited = [path for path, now in zip(there, pool.map(fingerprint, there), strict=True) if now != made[path]]
    if edited:
        raise PlanewiseError(
            f"{edited[0]}: was changed after it was made, and is kept: move it away, or give another work_dir"
        )


def _merged(inputs: Any) -> dict[str, str]:
    return {name: made for of_case in inputs for name, made in of_case.items()}


def _name(work: Path, path: Path) -> str:
    return path.relative_to(work).as_posix()


def _npz(work: Path, case: str, part: str) -> Path:
    return npz_folder(work, part) / f"{case}.npz"


def _pairs(work: Path, case: str, record: CaseRecord) -> set[CaseInPart]:
    """Return the case paired with each part for which its record names files."""
    return {(case, part) for part in PARTS if _name(work, _npz(work, case, part)) in record.outputs}


def _files(work: Path) -> Iterator[tuple[Path, CaseInPart]]:
    """Yield each prepared patient and slice, with the case and part according to its name."""
    for part in PARTS:
        for ending in VOLUMES:
            for path in npz_folder(work, part).glob(f"*{ending}"):
                yield path, (path.name.removesuffix(ending), part)
    for part in TRAINING_PARTS:
        for kind in KINDS:
            for path in (work / SLICES / part / kind).glob("*.npy"):
                match = SLICE.fullmatch(path.stem)
                yield path, (match[1] if match else path.stem, part)


def _missing(work: Path, record: CaseRecord) -> list[str]:
    """Return the files that a case's record names and that are missing."""
    return [str(work / name) for name in record.outputs if not (work / name).exists()]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise PlanewiseError(f"{path}: cannot be removed ({error.strerror}); it is stale") from error
