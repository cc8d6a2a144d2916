"""Files derived from results, such as scores and reports: made again whenever their inputs have changed.

::

    planewise_scores.json    for each command that scored into the folder: options, inputs and outputs

The manifest has the form of the one beside predictions (see ``run``), with a command in the place of a case, so that
both may lie in one folder. Unlike predictions, derived files cost little, and are wrong beside changed results: they
are made again unasked, with a message on what differs. Edited files, and those that no manifest names, are kept.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from planewise.data.changes import Input, changes
from planewise.data.manifest import SCORES, CaseRecord, Manifest, one_writer, read_manifest, write_manifest
from planewise.data.preparation import READERS, MadeFrom, fingerprint
from planewise.data.run import refuse_inputs_as_outputs, remove
from planewise.errors import PlanewiseError
from planewise.options import real_path
from planewise.progress import say, warn

_SCORING = MadeFrom({"command": "score"}, {})


class Derived:
    """The files that one command derives in a folder: ``begin``; then, unless it ``is_done``, write within
    ``making``."""

    def __init__(self, folder: Path, command: str, now: CaseRecord, records: dict[str, CaseRecord]) -> None:
        """``now``: the inputs, and the names that may be written; ``records``: the manifest's, by command."""
        self.folder, self.command, self._now, self._records = folder, command, now, records

    @classmethod
    def begin(
        cls,
        folder: Path,
        command: str,
        options: dict[str, Any],
        inputs: Mapping[Path, Input],
        outputs: Iterable[str],
    ) -> "Derived":
        """Begin the files that ``command`` derives from ``inputs``; nothing is written yet.

        ``options``: those that determine what is written, and ``inputs``, by the names that messages give them;
        ``outputs``: the names of all files that may be written.
        Raises PlanewiseError if one of these exists without a manifest that names it, was edited, or is an input; or if
        something must be made and the folder cannot be written.
        """
        sources, names = list(dict.fromkeys(map(real_path, inputs))), list(outputs)
        files: dict[str, Input] = {}
        for path, given in inputs.items():
            files.setdefault(str(real_path(path)), given)
        refuse_inputs_as_outputs(sources, [folder / name for name in names])
        with ThreadPoolExecutor(READERS) as pool:
            made_of = dict(zip(map(str, sources), pool.map(fingerprint, sources), strict=True))
        decided = {"options": {"the version of planewise": version("planewise"), **options}, "files": files}
        manifest = _read_scores(folder)
        stored = json.loads(json.dumps(decided, default=_as_text))
        now = CaseRecord(made_of, dict.fromkeys(names, ""), stored)
        derived = cls(folder, command, now, {} if manifest is None else manifest.cases)
        for name in names:
            derived._refuse_what_is_not_ours(name)
        made = derived._records.get(command)
        if made is None or changes(made, now):
            _refuse_unwritable(folder)
        return derived

    def is_done(self) -> bool:
        """Whether all files exist, made from the same inputs with the same options; prints the differences, or the
        notes.

        Results made with problems are never done, so that the problems are reported again.
        """
        record = self._records.get(self.command)
        if record is None:
            return False
        if changed := changes(record, self._now):
            say(f"{self.folder}: what it holds is made again, since something has changed: {changed}")
            return False
        whole = all(made and (self.folder / name).exists() for name, made in record.outputs.items())
        done = whole and not record.decided.get("problems", True)
        for note in record.decided.get("notes", []) if done else []:
            warn(note)
        return done

    @contextmanager
    def making(self) -> Iterator[dict[str, Any]]:
        """Write the outputs within; the caller puts the number of ``problems``, and ``notes``, into the yielded dict.

        Files that this command wrote before and no longer writes are removed. Raises PlanewiseError if another process
        wrote there meanwhile: it is then unknown whose files they are, and the next command makes them again.
        """
        wanted = list(self._now.outputs)
        before = self._records[self.command].outputs if self.command in self._records else {}
        self._now.outputs |= dict.fromkeys(before, "")
        self._write()
        written: dict[str, Any] = {}
        yield written
        for name in before.keys() - set(wanted):
            if before[name] and before[name] == fingerprint(self.folder / name):
                remove(self.folder / name)
        there = [name for name in wanted if (self.folder / name).exists()]
        made = {name: fingerprint(self.folder / name) for name in there}
        self._write(CaseRecord(self._now.inputs, made, self._now.decided | written))
        self._say_stale()

    def say_nothing_scored(self) -> None:
        """Say that nothing is written, since no case could be scored, and which files are of an earlier run."""
        left = [name for name in self._now.outputs if (self.folder / name).exists()]
        kept = f"; {', '.join(left[:3])}{' ...' * (len(left) > 3)} in it are from an earlier run" if left else ""
        say(f"{self.folder}: nothing is written, since no case could be scored{kept}")

    def _refuse_what_is_not_ours(self, name: str) -> None:
        path = self.folder / name
        made = {record.outputs[name] for record in self._records.values() if name in record.outputs}
        if not path.exists() or ("" in made and len(made) == 1):  # begun by a stopped run
            return
        if not made:
            raise PlanewiseError(
                f"{path}: already exists, and no {SCORES} beside it says that planewise made it (older versions "
                "wrote none); it is kept: move it away, or give another --output"
            )
        if fingerprint(path) not in made:
            raise PlanewiseError(
                f"{path}: was changed after it was made, and is kept: move it away, or give another --output"
            )

    def _write(self, made: CaseRecord | None = None) -> None:
        """Write the manifest, with the ``made`` record; files of this command no longer count as another command's.

        Raises PlanewiseError if another process wrote into the folder meanwhile.
        """
        with one_writer(self.folder):
            there = _read_scores(self.folder)
            records = {} if there is None else there.cases
            mixed = made is not None and self._is_mixed(records)
            if made is not None and not mixed:
                self._now = made
            for command, record in records.items():
                if command != self.command:
                    record.outputs |= dict.fromkeys(record.outputs.keys() & self._now.outputs.keys(), "")
            self._records = records | {self.command: self._now}
            write_manifest(self.folder / SCORES, Manifest(_SCORING, "", self._records))
        if mixed:
            raise PlanewiseError(
                f"{self.folder}: another command wrote into it at the same time, so its files may belong to either; "
                "run this again, or give another --output"
            )

    def _is_mixed(self, records: dict[str, CaseRecord]) -> bool:
        """Whether ``records`` show that another process has meanwhile begun or made what this one has begun."""
        mine = records.get(self.command)
        if mine is None or changes(mine, self._now):
            return True
        others = [record.outputs for command, record in records.items() if command != self.command]
        return any(outputs.get(name) for outputs in others for name in self._now.outputs)

    def _say_stale(self) -> None:
        """Print which files of other commands were derived from inputs that have changed."""
        for command, record in self._records.items():
            left = [name for name, made in record.outputs.items() if made and (self.folder / name).exists()]
            known = self._now.inputs
            if left and any(made != known.get(path, fingerprint(Path(path))) for path, made in record.inputs.items()):
                say(
                    f"{self.folder}: {', '.join(left[:3])}{' ...' * (len(left) > 3)} of planewise {command} come from "
                    "files that have changed since; run it again"
                )


def _as_text(value: Any) -> str:
    """Return what JSON does not know as text; a path as one, however it was given."""
    return str(value.resolve() if isinstance(value, Path) else value)


def _refuse_unwritable(folder: Path) -> None:
    """Raise PlanewiseError, before any work, if no file can be written in ``folder``, which need not exist yet."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise PlanewiseError(f"{folder}: cannot be written ({error.strerror}); give another --output") from error


def _read_scores(folder: Path) -> Manifest | None:
    """Return the manifest in ``folder``; None if there is none. Raises PlanewiseError if it is damaged."""
    manifest = read_manifest(folder / SCORES)
    for command, record in ({} if manifest is None else manifest.cases).items():
        notes = record.decided.get("notes", [])
        tables = [record.decided.get(name, {}) for name in ("options", "files")]
        whole = all(isinstance(table, dict) for table in tables) and isinstance(notes, list)
        if not whole or not all(_is_input(given) for given in tables[1].values()):
            raise PlanewiseError(
                f"{folder / SCORES}: is not a manifest of planewise (what was decided for {command} is no table); move "
                "it away with the results beside it, or give another folder"
            )
    return manifest


def _is_input(given: Any) -> bool:
    """Whether ``given``, read from JSON, is an ``Input``."""
    return isinstance(given, list) and len(given) == 2 and all(isinstance(text, str) for text in given)
