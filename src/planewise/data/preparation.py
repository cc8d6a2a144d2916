"""The record beside prepared data of what they were made from, so that stale data are recognised and never used.

::

    prepared.json    key, options, data: a fingerprint of each file's whole content; and what was written, to check
                     that it is complete
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from planewise.data.case import Case
from planewise.data.changed_option import changed_option
from planewise.errors import PlanewiseError
from planewise.options import Options
from planewise.progress import first_few, say
from planewise.volumes.formats.sidecar import USUAL_UNIT, dataset_unit, sidecars
from planewise.volumes.json_files import write_json

RECORD = "prepared.json"
READERS = 4  # threads: hashing one file occupies a core, but only half of a disk's speed
DETACHED = re.compile(r"^(?:ElementDataFile\s*=|data file:)(.+)$", re.MULTILINE | re.IGNORECASE)
HASHED, PIECE = 4 * 2**30, 2**20  # bytes
NAMED = 5  # cases in a difference


@dataclass(frozen=True)
class MadeFrom:
    """``options`` that determine what is written, in JSON's types; ``data``: fingerprints of what was read, by name."""

    options: dict[str, Any]
    data: dict[str, str]

    @property
    def key(self) -> str:
        """Hexadecimal digits that depend only on the options and the data, not on where the data lie."""
        text = json.dumps([self.options, self.data], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def differences(
        self,
        now: "MadeFrom",
        unsaid: dict[str, Any] | None = None,
        kind: type[Options] | None = None,
        of_model: Collection[str] = (),
    ) -> str:
        """Return what differs ``now``, as text: ``planes: xy -> xy xz yz; data: a changed, b new``.

        ``unsaid``: the values of options that are missing. ``kind``: the command's options, which are named as they are
        typed: ``--axes xy -> xy xz yz``. ``of_model``: the options that the model states, which are only named where
        the model itself differs.
        """
        old, new = (_as_json((unsaid or {}) | options) for options in (self.options, now.options))
        differing = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        stated = [name for name in differing if name in of_model and "model" in differing]
        changes = [changed_option(name, old.get(name), new.get(name), kind) for name in differing if name not in stated]
        if stated:
            changes.append(f"and with the model what it states: {', '.join(stated)}")
        for names, what in (
            ({name for name in self.data.keys() & now.data.keys() if self.data[name] != now.data[name]}, "changed"),
            (now.data.keys() - self.data.keys(), "new"),
            (self.data.keys() - now.data.keys(), "gone"),
        ):
            if names:
                changes.append(f"data {what}: {first_few(sorted(names), NAMED)}")
        return "; ".join(changes)


@dataclass(frozen=True)
class Record:
    """The record of prepared data: what they were made from, and ``written``, the writer's description of them."""

    made_from: MadeFrom
    written: dict[str, Any] = field(default_factory=dict)


def read_record(path: Path) -> Record | None:
    """Return the record at ``path``; None if there is none. Raises PlanewiseError if it is damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
        record = Record(MadeFrom(dict(content["options"]), dict(content["data"])), dict(content["written"]))
        if content["key"] != record.made_from.key:
            raise ValueError("its key does not fit")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PlanewiseError(
            f"{path}: is not the record of what was prepared ({error}); remove the folder, and prepare again"
        ) from error
    return record


def write_record(path: Path, record: Record) -> None:
    """Write a record; the old one stays until the new one is complete."""
    made_from = record.made_from
    content = {"key": made_from.key, "options": made_from.options, "data": made_from.data, "written": record.written}
    write_json(path, content)


def check_same(before: Path, now: Record | None) -> None:
    """Refuse to resume a training if its record ``before`` differs from that of the data ``now``."""
    record = read_record(before)
    if record is None:
        say(f"{before.parent}: has no record of what it was trained on; it goes on with the slices that are there")
        return
    if now is None:
        raise PlanewiseError(f"{before.parent}: was trained on slices with a record, and these have none; train again")
    if record.made_from.key != now.made_from.key:
        raise PlanewiseError(
            f"{before.parent}: was trained on other slices ({record.made_from.differences(now.made_from)}): make those "
            "again, or train again, without --resume"
        )


def fingerprints(cases: list[Case], advance: Callable[[str], None]) -> dict[str, str]:
    """Return fingerprints of each case's image and truth, and of how they are read, by the case's name.

    ``advance`` is called with it when the case is done.
    """

    def read_as(case: Case) -> str:
        values = {f.name: getattr(case, f.name) for f in fields(case) if f.name not in ("name", "image", "truth")}
        return " ".join(f"{name}={value}" for name, value in values.items())

    with ThreadPoolExecutor(READERS) as pool:
        images = {case.name: pool.submit(fingerprint, case.image) for case in cases}
        truths = {case.name: pool.submit(fingerprint, case.truth) for case in cases if case.truth is not None}
        hashes = {}
        for case in cases:
            hashes[case.name] = f"{images[case.name].result()} {read_as(case)}"
            if case.name in truths:
                hashes[f"{case.name} (truth)"] = truths[case.name].result()
            advance(case.name)
    return hashes


def fingerprint(path: Path, sidecar: bool = True) -> str:
    """Return the size and a hash (BLAKE2b) of the bytes of a volume: a file with its companion files, or a folder.

    Above ``HASHED`` bytes, only evenly spread pieces are hashed. Names do not matter, except those of files in a
    folder. With a sidecar, the unit of spacing in the dataset.json above is included; without ``sidecar`` neither is.
    The fingerprint of an unreadable file is its error.
    """
    digest, piece = hashlib.blake2b(digest_size=16), 0
    try:
        files = [(name, file, file.stat().st_size) for name, file in _files(path, sidecar)]
        total = sum(size for _, _, size in files)
        step = max(1, -(-total // HASHED))
        for name, file, size in files:
            digest.update(f"{name} {size}".encode())
            with file.open("rb") as opened:
                for start in range(0, size, PIECE):
                    if piece % step == 0:
                        opened.seek(start)
                        digest.update(opened.read(PIECE))
                    piece += 1
        unit = dataset_unit(path) if sidecar and any(file.is_file() for file in sidecars(path)) else ""
        if unit not in ("", USUAL_UNIT):
            digest.update(unit.encode())
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return f"{total} {digest.hexdigest()}"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits; of a folder its fingerprint."""
    if path.is_dir():
        return fingerprint(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(path: Path, sidecar: bool) -> list[tuple[str, Path]]:
    """Return the files of a volume, each with the part of its name that counts: "", or its place in a folder."""
    stated = [(file.suffix, file) for file in sidecars(path) if sidecar and file.is_file()]
    if path.is_dir():
        within = [(file.relative_to(path).as_posix(), file) for file in sorted(path.rglob("*")) if file.is_file()]
        return within + stated
    return [("", path), *stated, *((file.suffix, file) for file in _detached(path) if file.is_file())]


def _detached(path: Path) -> list[Path]:
    """Return the files that a header ``.mhd`` or ``.nhdr`` names as containing its voxels."""
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return []
    text = path.read_text("utf-8", errors="replace")
    return [path.parent / name.strip() for name in DETACHED.findall(text)]


def _as_json(options: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(options)))
