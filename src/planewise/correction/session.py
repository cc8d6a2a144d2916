"""Correcting one label volume: actions are journalled, then applied; undone, replayed and saved.

An action is computed, what it replaces is written beside the result, its line is written to the journal, and only then
are voxels changed. If the process is killed, reopening the corrections completes the action of the last line.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from planewise.correction.actions import AnyAction, Confirm, Labels
from planewise.correction.canvas import LARGEST, FileCanvas, open_canvas
from planewise.correction.journal import (
    JOURNAL,
    Box,
    Entry,
    Head,
    Journal,
    ObjectRecord,
    actions_text,
    corrections_folder,
    finished_items,
)
from planewise.correction.kept import Change, read_kept, write_kept
from planewise.correction.objects import (
    Objects,
    find_objects,
    folded,
    joined,
    objects_in,
    pieces,
    read_objects,
    write_objects,
)
from planewise.correction.table import write_objects_left
from planewise.data.manifest import manifest_of
from planewise.data.preparation import sha256_of
from planewise.errors import PlanewiseError, first_line
from planewise.progress import progress

KEPT, OBJECTS = "kept", "objects.npy"


class Corrections:
    """The corrections of a label volume, a file or an OME-Zarr, that this process holds open; a context manager.

    Raises PlanewiseError if the volume cannot be corrected, if another process corrects it, or if another program
    changed it since its last correction.
    """

    def __init__(self, result: Path) -> None:
        self.result = result
        self.folder = corrections_folder(result)
        self.canvas = open_canvas(result, self.folder / KEPT)
        journal = self.folder / JOURNAL
        self.journal = Journal.open(journal) if journal.exists() else self._begin(journal)
        if not self.journal.entries and self.journal.head.content != sha256_of(result):
            self.journal.close()  # there are no corrections to lose
            self.journal = self._begin(journal)
        try:
            self._in_file = self._actions_in_file()
            if isinstance(self.canvas, FileCanvas) and self._in_file and not self.canvas.original.exists():
                raise PlanewiseError(
                    f"{self.canvas.original}: is missing, the original of {self.result}; put it back from a copy, or "
                    "move the folder of the corrections away to start again with the file as it is"
                )
            self._before = read_objects(self.folder / KEPT / OBJECTS)
            self.objects: Objects = folded(self._before, self.journal.live)
            self._behind = bool(self.journal.entries)  # a store may lack the action of the last line only
            if isinstance(self.canvas, FileCanvas):  # it holds the original voxels
                for change in self.changes():
                    self.canvas.write(change)
            self._catch_up()
        except BaseException:
            self.journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---- the actions in effect

    @property
    def actions(self) -> list[Entry]:
        """The actions in effect, in their order."""
        return self.journal.live

    def finished(self) -> dict[str, str]:
        """Return "done" or "skip" for the finished items of a work list."""
        return finished_items(self.actions)

    def changes(self) -> Iterator[Change]:
        """Yield the changes by the actions in effect, in their order."""
        for entry in self.actions:
            yield from self.changes_of(entry)

    def changes_of(self, entry: Entry) -> Iterator[Change]:
        """Yield the changes by one action."""
        return read_kept(self._file(entry.number), entry.kept) if entry.kept else iter(())

    # ---- new actions, undoing, saving

    def apply(self, action: AnyAction, item: str = "") -> Entry:
        """Do one action, as part of an ``item`` of a work list. Raises PlanewiseError if it does not fit; then nothing
        was changed.
        """
        self._catch_up()
        labels = Labels(self.canvas, self.objects, self._new_label())
        number = len(self.journal.entries) + 1
        after: Objects = {}
        kept = self._keep(number, self._counted(action.changes(labels), after))
        if not kept and not isinstance(action, Confirm):
            raise PlanewiseError(f"{action.action}: changes nothing, the labels there are already so")
        objects = {label: record if record.voxels else None for label, record in after.items()}
        right = tuple(label for label in action.right(labels) if (after.get(label) or self.objects[label]).voxels)
        entry = Entry(number, action.action, action.model_dump(mode="json"), item, objects, right, kept)
        self._add(entry)
        return entry

    def finish_item(self, item: str, state: str) -> Entry:
        """Record that an item of a work list is "done", or was left out ("skip")."""
        self._catch_up()
        entry = Entry(len(self.journal.entries) + 1, state, {}, item)
        self._add(entry)
        return entry

    def undo(self, count: int = 1) -> list[Entry]:
        """Undo the last actions; return them, the latest first. Raises PlanewiseError if there are not as many."""
        if count > len(self.actions):
            raise PlanewiseError(f"{self.result}: {actions_text(self.actions)} can be undone, not {count}")
        self._catch_up()
        undone = []
        for _ in range(count):
            *still, last = self.actions
            before = folded(self._before, still)
            objects = {label: before.get(label) for label in last.objects}
            self._add(Entry(len(self.journal.entries) + 1, "undo", {"undoes": last.number}, last.item, objects))
            undone.append(last)
        return undone

    def replay(self) -> None:
        """Make the volume again: apply all actions in effect to the original."""
        self._catch_up()
        self._add(Entry(len(self.journal.entries) + 1, "replay", {}))

    def save(self) -> None:
        """Write a file's voxels, if it does not hold them yet; those of a store are there already.

        The table of the objects beside the volume is written too, see ``write_objects_left``.
        """
        self._save_voxels()
        write_objects_left(self.result, self.folder / KEPT, self.objects, self.actions)

    def _save_voxels(self) -> None:
        changed = [entry.number for entry in self.actions if entry.kept]
        if not isinstance(self.canvas, FileCanvas) or changed == self._in_file:
            return

        def say_hash(path: Path) -> None:
            saved = {"actions": changed, "sha256": sha256_of(path)}
            self.journal.append(Entry(len(self.journal.entries) + 1, "save", saved))

        if changed:
            self.canvas.save(say_hash)
        else:
            self.canvas.give_back(say_hash)
        self._in_file = changed

    def close(self) -> None:
        """Save, and let go of the journal."""
        try:
            self.save()
        finally:
            self.journal.close()

    # ---- the journal and the voxels

    def _begin(self, journal: Path) -> Journal:
        """Find the objects, and begin a journal."""
        z, y, x = ((0, side) for side in self.canvas.shape)
        whole: Box = (z, y, x)
        with progress(f"{self.result.name}: finding its objects", len(pieces(whole)), unit="blocks") as advance:
            objects = find_objects(self.canvas.volume.voxels, advance)
        if max(objects, default=0) > LARGEST:
            raise PlanewiseError(
                f"{self.result}: holds the id {max(objects)}; ids of objects go up to {LARGEST}: renumber them"
            )
        write_objects(self.folder / KEPT / OBJECTS, objects)
        manifest = manifest_of(self.result)
        model = "" if manifest is None else manifest.model
        return Journal.begin(journal, Head(self.result.name, sha256_of(self.result), self.canvas.shape, model))

    def _actions_in_file(self) -> list[int]:
        """Return the numbers of the actions that the file holds.

        Raises PlanewiseError if the volume is neither the original nor one that was saved with corrections.
        """
        head = self.journal.head
        saved = [entry.arguments for entry in self.journal.entries if entry.action == "save"]
        known: dict[str, list[int]] = {head.content: []} | {each["sha256"]: each["actions"] for each in saved}
        now = sha256_of(self.result) if self.result.is_file() else head.content
        if head.shape != self.canvas.shape or now not in known:
            raise PlanewiseError(
                f"{self.result}: was changed by another program, but its corrections in {self.folder} belong to what "
                "it was before; put the file back, or move that folder away to start again with the volume as it is"
            )
        return known[now]

    def _add(self, entry: Entry) -> None:
        self.journal.append(entry)
        self.objects = folded(self._before, self.actions)
        self._behind = True
        self._catch_up()

    def _catch_up(self) -> None:
        """Complete the action of the journal's last line if a store's voxels lack it: after a kill, or since the disk
        refused them. Raises PlanewiseError if the disk refuses.
        """
        if not self._behind:
            return
        try:
            self._write_voxels(self.journal.entries[-1])
        except OSError as error:
            raise PlanewiseError(
                f"{self.result}: cannot be written ({error.strerror or first_line(error)}); the action stands in "
                f"{self.journal.path}, and is finished when the volume is corrected next"
            ) from error
        self._behind = False

    def _write_voxels(self, entry: Entry) -> None:
        if entry.action == "replay":
            self.canvas.reset([])
        if entry.action != "undo":
            for change in self.changes() if entry.action == "replay" else self.changes_of(entry):
                self.canvas.write(change)
            return
        undone = self.journal.entries[entry.arguments["undoes"] - 1]
        for change in self.changes_of(undone):  # an action changes a voxel once
            self.canvas.write(change.undone)
        if undone.kept:
            self.canvas.reset(self.changes())

    def _keep(self, number: int, changes: Iterable[Change]) -> str:
        """Write what an action changes; return the file's sha256, or nothing if it changes nothing."""
        first = next(iterator := iter(changes), None)
        if first is None:
            return ""
        return write_kept(self._file(number), _chained(first, iterator))

    def _file(self, number: int) -> Path:
        return self.folder / KEPT / f"{number:06d}.zip"

    def _counted(self, changes: Iterable[Change], after: Objects) -> Iterator[Change]:
        """Yield ``changes``, and note in ``after`` every object that changes, as it is when all are applied."""
        for change in changes:
            if len(change.after) and int(change.after.max()) > self.canvas.largest:
                raise PlanewiseError(
                    f"{self.result}: holds {self.canvas.volume.voxels.dtype}, and all ids up to {self.canvas.largest} "
                    "are taken; copy it to a type with more ids"
                )
            for label, count in zip(*np.unique(change.before, return_counts=True)):
                if label:
                    record = after.get(int(label)) or self.objects[int(label)]
                    after[int(label)] = ObjectRecord(record.voxels - int(count), record.box)
            become = np.zeros(change.mask.shape, change.after.dtype)
            become[change.mask] = change.after
            for label, part in objects_in(become, change.box).items():
                there = after.get(label) or self.objects.get(label)
                after[label] = joined(there, part) if there is not None and there.voxels else part
            yield change

    def _new_label(self) -> int:
        """Return an id that no object has or had; if the type of a store has none, an id that is free now."""
        used = {label for entry in self.journal.entries for label in entry.objects} | self._before.keys()
        largest = max(used, default=0)
        if largest < self.canvas.largest:
            return largest + 1
        return next((label for label in range(1, largest) if label not in self.objects), largest + 1)


def _chained(first: Change, others: Iterator[Change]) -> Iterator[Change]:
    yield first
    yield from others
