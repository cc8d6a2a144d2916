"""The journal of corrections: one line for each action, on the disk before anything is changed.

::

    {result}.corrections/
        corrections.jsonl   first what was corrected (name, content hash, shape, model); then a line for each action
        kept/               what each action replaced, and the file, or the files of the store, as they were before

Lines are only ever added: undo is a line too. A last line truncated by a kill is dropped when the journal is reopened.
"""

import errno
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError
from planewise.locks import take_lock
from planewise.progress import counted, say
from planewise.volumes.atomic import atomic_path

JOURNAL = "corrections.jsonl"
FORMAT = 1  # of the lines
STATES = ("done", "skip")  # of an item of a work list

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # half-open, (z, y, x)


@dataclass(frozen=True)
class ObjectRecord:
    """An object: its ``voxels``, and a half-open ``box`` ((z, z), (y, y), (x, x)) that holds all of them."""

    voxels: int
    box: Box


@dataclass(frozen=True)
class Head:
    """The corrected volume: ``content``, its hash before any correction; ``model``: the path of the model's file."""

    result: str
    content: str
    shape: tuple[int, int, int]
    model: str
    format: int = FORMAT


@dataclass(frozen=True)
class Entry:
    """A line: an ``action`` with its ``arguments``, as part of an ``item`` of a work list if it was.

    ``objects``: the changed objects as they are afterwards, None for one of which nothing is left. ``right``: the
    objects that count as right from this line on. ``kept``: the sha256 of the file with the voxels that it replaced;
    empty if it changes no voxel.
    """

    number: int
    action: str
    arguments: dict[str, Any]
    item: str = ""
    objects: dict[int, ObjectRecord | None] = field(default_factory=dict)
    right: tuple[int, ...] = ()
    kept: str = ""

    def __str__(self) -> str:
        """The action as written in a CSV of actions; for a mask, the box around it."""
        arguments = self.arguments
        words = [self.number, self.action, *arguments.get("labels", ())]
        if "label" in arguments:
            words.append("new" if arguments["label"] is None else arguments["label"])
        words += [*arguments.get("first", ()), *arguments.get("second", ())]
        where = arguments.get("where", {})
        if "centre" in where:
            words += ["ball", *where["centre"], f"{where['radius']:g}"]
        if box := where.get("place", arguments.get("box")):
            words += ["box", *(end for side in box for end in side)]
        return " ".join(map(str, words))


def corrections_folder(result: Path) -> Path:
    """Return where the corrections of a label volume are kept: beside it."""
    return result.with_name(f"{result.name}.corrections")


def live(entries: Iterable[Entry]) -> list[Entry]:
    """Return the actions in effect: not undone, and not mere records about the file."""
    entries = list(entries)
    undone = {entry.arguments["undoes"] for entry in entries if entry.action == "undo"}
    return [entry for entry in entries if entry.action not in ("undo", "save", "replay") and entry.number not in undone]


def finished_items(entries: Iterable[Entry]) -> dict[str, str]:
    """Return "done" or "skip" for the finished items of a work list, by actions in effect."""
    return {entry.item: entry.action for entry in entries if entry.action in STATES}


def actions_text(entries: list[Entry]) -> str:
    """Return the number of actions as text."""
    return counted(len(entries), "action")


def correction_note(result: Path) -> str:
    """Return a note that a label volume was corrected; empty if it was not, or all was undone."""
    path = corrections_folder(result) / JOURNAL
    if not path.is_file():
        return ""
    entries = read_journal(path)[1]
    changes = [entry for entry in live(entries) if entry.kept]
    if not changes:
        return ""
    note = f"{result}: was corrected with planewise correct, {actions_text(changes)} ({path})"
    saved = [entry.arguments["actions"] for entry in entries if entry.action == "save"]
    behind = result.is_file() and (not saved or saved[-1] != [entry.number for entry in changes])
    return f"{note}; not all of them are in the file yet: planewise correct {result} --replay" if behind else note


def classes_behind_note(result: Path, classes: Path) -> str:
    """Return a note if objects were corrected, but not ``classes``, the volume of each voxel's class; else empty."""
    if result == classes or not correction_note(result) or correction_note(classes):
        return ""
    return (
        f"{result}: was corrected with planewise correct, but {classes} was not: each object has the class of things "
        "that most of its voxels have there, and the voxels of stuff are those from before"
    )


def review_note(result: Path) -> str:
    """Return a note that a label volume was corrected, or confirmed as it is; empty if neither, or all was undone."""
    path = corrections_folder(result) / JOURNAL
    if (note := correction_note(result)) or not path.is_file():
        return note
    actions = live(read_journal(path)[1])
    return f"{result}: was confirmed with planewise correct, {actions_text(actions)} ({path})" if actions else ""


class Journal:
    """A journal that is open for one process: ``append`` returns when a line is on the disk."""

    def __init__(self, path: Path, file: FileIO, head: Head, entries: list[Entry]) -> None:
        self.path, self._file, self.head, self.entries = path, file, head, entries

    @classmethod
    def begin(cls, path: Path, head: Head) -> "Journal":
        """Begin a journal at ``path``, which appears with its first line or not at all."""
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(head)) + "\n", "utf-8")
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """Open a journal to go on with. Raises PlanewiseError if it is damaged, or another process has it open."""
        try:
            file = path.open("r+b", buffering=0)  # a write refused by a full disk must not be repeated on closing
        except OSError as error:
            raise PlanewiseError(f"{path}: cannot be written to ({error.strerror}), as corrections must be") from error
        try:
            try:
                is_ours = take_lock(file.fileno())
            except OSError as error:  # a file system without locks
                reason = f"{path}: cannot be locked ({error.strerror}), as corrections must be"
                raise PlanewiseError(f"{reason}; correct the volume in a folder on another disk") from error
            if not is_ours:
                raise PlanewiseError(f"{path}: another process corrects this volume now; end that one first")
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            if rest := content[len(whole) :]:
                say(f"{path}: its last line was cut short ({len(rest)} bytes): it was not applied, and is dropped")
                file.truncate(len(whole))
                file.seek(len(whole))
            return cls(path, file, *_parse(path, whole))
        except BaseException:
            file.close()
            raise

    def append(self, entry: Entry) -> None:
        """Add a line. Raises PlanewiseError if the disk refuses; then the journal is as it was."""
        end = self._file.tell()
        try:
            line = json.dumps(asdict(entry)).encode() + b"\n"
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            self._file.seek(end)
            raise PlanewiseError(f"{self.path}: cannot be written ({error.strerror}); nothing was changed") from error
        self.entries.append(entry)

    @property
    def live(self) -> list[Entry]:
        """The actions in effect."""
        return live(self.entries)

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> tuple[Head, list[Entry]]:
    """Return the content of a journal, without a truncated last line. Raises PlanewiseError if it is damaged."""
    content = path.read_bytes()
    return _parse(path, content[: content.rfind(b"\n") + 1])


def _parse(path: Path, content: bytes) -> tuple[Head, list[Entry]]:
    number = 0
    try:
        lines = content.decode("utf-8").splitlines()
        first = json.loads(lines[0])
        head = Head(**(first | {"shape": tuple(first["shape"])}))
        if head.format != FORMAT:
            raise ValueError(f"its format is {head.format}, but only {FORMAT} is read")
        entries = []
        for line in lines[1:]:
            number += 1
            entries.append(_entry(json.loads(line), number))
        return head, entries
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise PlanewiseError(
            f"{path}: line {number + 1} is not a line of a journal of corrections ({error}); move the folder away to "
            "start again with the volume as it is"
        ) from error


def _entry(content: dict[str, Any], number: int) -> Entry:
    """Return the entry in line ``number`` after the first. Raises ValueError and others if it cannot be one."""
    objects = {
        int(label): None if record is None else ObjectRecord(record["voxels"], as_box(record["box"]))
        for label, record in content["objects"].items()
    }
    entry = Entry(**(content | {"objects": objects, "right": tuple(content["right"])}))
    if entry.number != number:
        raise ValueError(f"its number is {entry.number}, not {number}: lines were taken out or put in")
    if entry.action == "undo" and entry.arguments["undoes"] not in range(1, number):
        raise ValueError(f"it undoes {entry.arguments['undoes']}, which is not an earlier line")
    if entry.action == "save":
        dict.fromkeys([entry.arguments["sha256"], *entry.arguments["actions"]])
    return entry


def as_box(sides: Any) -> Box:
    """Return three pairs of numbers, read from JSON, as a box."""
    (a, b), (c, d), (e, f) = sides
    return (int(a), int(b)), (int(c), int(d)), (int(e), int(f))
