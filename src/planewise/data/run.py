"""A run of a command that writes into a folder: which cases are done, which are made again, what is never replaced.

A case is done if the manifest says so and it is still true: the inputs are the same, and the outputs unchanged. Files
that the manifest does not name are never replaced, and an input is never an output.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from planewise.correction.journal import correction_note, review_note
from planewise.data.manifest import (
    CaseRecord,
    Manifest,
    named_weights,
    one_writer,
    read_manifest,
    weights_in,
    write_manifest,
)
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.errors import PlanewiseError
from planewise.options import Options, real_path
from planewise.progress import first_few


class Run:
    """One command's results in a folder: ``begin``; then, for each case that is not ``is_done``, write within
    ``making``.

    If another process makes a case, call ``start``, and then ``finish`` or ``fail``, instead.
    """

    def __init__(
        self,
        manifest: Path,
        made_from: MadeFrom,
        model: str,
        cases: dict[str, CaseRecord],
        overwrite: bool,
        store: Path | None = None,
    ) -> None:
        """``model``: the path of its file; its fingerprint is in ``made_from``."""
        self.manifest, self.folder, self.made_from, self.model = manifest, manifest.parent, made_from, model
        self.place = store or self.folder  # its name in messages
        self.cases, self.overwrite = cases, overwrite
        self._folder_is_new = not self.folder.exists()
        self._touched: set[str] = set()
        self._made_before: dict[str, set[str]] = {}  # former outputs, which the cases being made no longer have
        self._work: dict[str, str] = {}  # unfinished work of cases, kept until they are made
        self._fingerprints: dict[Path, str] = {}
        self._before: MadeFrom | None = None  # the manifest's entry when this run began

    @classmethod
    def begin(
        cls,
        manifest: Path,
        command: str,
        options: dict[str, Any],
        model: Path | None,
        cases: Iterable[str],
        overwrite: bool,
        renewed: bool = False,
        store: Path | None = None,
        unsaid: dict[str, Any] | None = None,
        kind: type[Options] | None = None,
        of_model: Collection[str] = (),
    ) -> "Run":
        """Begin or continue ``command`` for ``cases``; nothing is written before a case is started.

        ``manifest``: its path, in the folder of the results. ``options``: those that determine the results, in JSON's
        types. ``model``: the file of its weights. ``store``: the single result, if it is not a folder of results.
        ``unsaid``: values of decisive options that are missing in ``options`` or in the manifest. ``kind``: the
        command's options, for messages that name them as they are typed. ``of_model``: those of them that the model
        states, where the user does not. Raises PlanewiseError if the folder holds
        results made differently, unless ``overwrite`` is set and all of them are among ``cases``, or all were made by
        an older content of the same model file (``renewed``).
        """
        decisive = {"command": command, **json.loads(json.dumps(options, default=str))}
        before, where = read_manifest(manifest), str(model.resolve()) if model else ""
        if model is not None:
            decisive["model"] = named_weights(model)
            named = "" if before is None else str(before.made_from.options.get("model", ""))
            if weights_in(named) == weights_in(decisive["model"]):  # a copy by another name is the same model
                decisive["model"] = named
        made_from = MadeFrom(decisive, {})
        if before is None:
            return cls(manifest, made_from, where, {}, overwrite, store)
        run = cls(manifest, made_from, where, before.cases, overwrite, store)
        run._before = before.made_from
        run.cases = {name: record for name, record in run.cases.items() if run._is_begun(record)}
        difference = before.made_from.differences(made_from, unsaid, kind, of_model) if run.cases else ""
        others = sorted(run.cases.keys() - set(cases))
        if difference and not (overwrite and not others) and not (renewed and before.model == where):
            what = f"; --overwrite would leave {first_few(others)} as they were" if overwrite else ""
            among = f", with {first_few(others)} too among the cases that are given" if others else ""
            by = f" by planewise {before.version}" if before.version not in ("", version("planewise")) else ""
            raise PlanewiseError(
                f"{run.place}: holds results that were made differently{by} ({difference}){what}; give another output, "
                f"or replace what is there with --overwrite{among}"
            )
        if difference:  # none of the existing results can be used
            for record in run.cases.values():
                record.outputs = dict.fromkeys(record.outputs, "")
        return run

    def is_done(self, case: str, inputs: Iterable[Path]) -> bool:
        """Whether the results of ``case`` were made from ``inputs`` as they are now, and are still there.

        The order of ``inputs`` gives their roles: swapping labels and a reference makes other inputs. Raises
        PlanewiseError if something has changed since, unless everything is to be made again.
        """
        record = self.cases.get(case)
        if self.overwrite or record is None or not all(record.outputs.values()):
            return False
        now = {str(path.resolve()): self._of(path) for path in inputs}
        if list(now.values()) != list(record.inputs.values()):  # in order, since each has its role; paths may differ
            raise PlanewiseError(f"{case}: {self._changed(record.inputs, now)}; --overwrite makes it again")
        there = {name: self.folder / name for name in record.outputs if (self.folder / name).exists()}
        edited = [path for name, path in there.items() if self._of(path) != record.outputs[name]]
        if edited and (note := correction_note(edited[0])):
            raise PlanewiseError(
                f"{note}, and is kept; undo the corrections, or move their folder away, to make it again"
            )
        if edited:
            raise PlanewiseError(f"{edited[0]}: was changed after it was made, and is kept; --overwrite makes it again")
        return len(there) == len(record.outputs)

    def _changed(self, before: dict[str, str], now: dict[str, str]) -> str:
        """Return how the inputs (fingerprints by path) differ ``now``: other files, or other content."""
        changed = ", ".join(sorted(path for path in now.keys() & before if now[path] != before[path]))
        if sorted(before.values()) == sorted(now.values()):
            return f"{self.place} was made from {', then '.join(before)}; now they are given as {', then '.join(now)}"
        others = [", ".join(sorted(paths)) for paths in (before.keys() - now.keys(), now.keys() - before.keys())]
        if not any(others):
            return f"{changed} has changed since its results in {self.place} were made"
        was, given = (paths or "no further file" for paths in others)
        return f"{self.place} was made from {was}; now {given} is given"

    def start(self, case: str, inputs: Iterable[Path], outputs: Iterable[Path], work: Path | None = None) -> None:
        """Record in the manifest that ``outputs`` are about to be made from ``inputs``.

        Former outputs of the case that are not among them are removed when the new ones exist. ``work``: the folder of
        its unfinished work, if that is kept when the run is stopped; the caller removes it.
        Raises PlanewiseError if an output is an input, was corrected or confirmed, or exists without being named
        in the manifest.
        """
        sources, targets = list(inputs), list(outputs)
        refuse_inputs_as_outputs(sources, targets)
        before = self.cases[case].outputs if case in self.cases else {}
        of_others = {name: other for other, record in self.cases.items() if other != case for name in record.outputs}
        for target in targets:
            if note := review_note(target):  # hours of manual work, which --overwrite must not destroy
                raise PlanewiseError(
                    f"{note}, and is kept; undo the corrections, move their folder away, or give another output"
                )
            if (name := self._name(target)) in of_others:
                raise PlanewiseError(f"{target}: is a result of case {of_others[name]}; give another output")
            if target.exists() and name not in before:
                raise PlanewiseError(
                    f"{target}: already exists, and {self.manifest} does not say that planewise made it; it is kept: "
                    "move it away, or give another output"
                )
        self._touched.add(case)
        begun = [self._name(target) for target in targets]
        if work is not None:
            self._work[case] = self._name(work)
            begun.append(self._work[case])
        self._made_before[case] = before.keys() - set(begun)
        self.cases[case] = CaseRecord(
            {str(path.resolve()): self._of(path) for path in sources},
            dict.fromkeys([*begun, *self._made_before[case]], ""),
        )
        self._write()

    @contextmanager
    def making(
        self, case: str, inputs: Iterable[Path], outputs: Iterable[Path], work: Path | None = None
    ) -> Iterator[dict[str, Any]]:
        """Write the ``outputs`` of ``case`` within; the caller puts the decisions about it into the yielded dict.

        ``work``: see ``start``.
        """
        self.start(case, inputs, outputs, work)
        decided: dict[str, Any] = {}
        try:
            yield decided
        except BaseException:
            self.fail(case)
            raise
        self.finish(case, decided)

    def fail(self, case: str) -> None:
        """Record that a case failed: its begun outputs stay in the manifest, unless none of them exists."""
        if not any((self.folder / name).exists() for name in self.cases[case].outputs):
            del self.cases[case]
            self._write()

    def finish(self, case: str, decided: dict[str, Any]) -> None:
        """Record in the manifest that a case's outputs exist, and what was ``decided`` about it.

        Raises PlanewiseError if another process made the case from other inputs at the same time.
        """
        record = self.cases[case]
        for name in self._made_before.pop(case, set()):
            remove(self.folder / name)
            del record.outputs[name]
        if case in self._work:
            del record.outputs[self._work[case]]
        record.outputs = {name: fingerprint(self.folder / name) for name in record.outputs}
        record.decided = decided
        self._write(case)

    def identity(self, case: str) -> dict[str, Any]:
        """Return what identifies a case being made, to recognise its unfinished work after a stop."""
        return {"made from": self.made_from.options, "inputs": sorted(self.cases[case].inputs.values())}

    def _of(self, path: Path) -> str:
        if path not in self._fingerprints:
            self._fingerprints[path] = fingerprint(path)
        return self._fingerprints[path]

    def _is_begun(self, record: CaseRecord) -> bool:
        """Whether any output of a case exists, or was finished before."""
        return any(made or (self.folder / name).exists() for name, made in record.outputs.items())

    def _name(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()

    def _write(self, finished: str | None = None) -> None:
        """Write the manifest: this run's cases as it knows them, other runs' cases as they are in the file now.

        A ``finished`` case that another process has begun from other inputs is written as begun.
        """
        mixed = False
        with one_writer(self.folder):
            there = read_manifest(self.manifest)
            if there is not None and there.made_from not in (self.made_from, self._before):
                raise PlanewiseError(f"{self.place}: another command, with other options, is now writing into it")
            self._before = self.made_from
            if there is not None and there.made_from == self.made_from:
                if finished is not None and finished in there.cases:
                    record = self.cases[finished]
                    mixed = there.cases[finished].inputs != record.inputs
                    record.outputs = dict.fromkeys(record.outputs, "") if mixed else record.outputs
                others = {name: record for name, record in there.cases.items() if name not in self._touched}
                self.cases = others | {name: self.cases[name] for name in self._touched & self.cases.keys()}
            self._write_cases()
        if mixed:
            raise PlanewiseError(
                f"{finished}: another command made it in {self.place} from other files at the same time, so it "
                "may belong to either; run this again, or give another output"
            )

    def _write_cases(self) -> None:
        if not self.cases:
            self.manifest.unlink(missing_ok=True)
            if self._folder_is_new and not any(self.folder.iterdir()):
                self.folder.rmdir()
            return
        write_manifest(self.manifest, Manifest(self.made_from, self.model, self.cases))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_inputs_as_outputs(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raise PlanewiseError if one of ``outputs`` is one of ``inputs``, lies in one, or contains one."""
    sources = [real_path(path) for path in inputs]
    for output in outputs:
        target = output.resolve()
        for source in sources:
            if target == source or source in target.parents or (target in source.parents and target.suffix):
                raise PlanewiseError(
                    f"{output}: is an input ({source}); results never replace their input: give another output"
                )


def refuse_folder_of_inputs(inputs: Iterable[Path], folder: Path, option: str, default: Path | None = None) -> None:
    """Raise PlanewiseError if results in ``folder`` would lie among the ``inputs``, and be mistaken for inputs.

    ``default``: the folder without the ``option``, if it has one.
    """
    if folder.resolve() in {parent for path in inputs for parent in (path.parent.resolve(), real_path(path).parent)}:
        elsewhere = default is not None and default.resolve() != folder.resolve()
        raise PlanewiseError(
            f"{option} {folder}: is the folder of the input, and results never replace their input, nor lie among "
            "images that the next command reads: give another folder"
            + (f", or leave {option} out: the default is {default}" if elsewhere else "")
        )
