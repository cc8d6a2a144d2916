"""Slices are cut once and kept: a training reuses those made from the same data and options, and replaces no others."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from planewise.data.preparation import RECORD, MadeFrom, Record, read_record, write_record
from planewise.errors import PlanewiseError, Problem
from planewise.progress import say
from planewise.training.slice_folder import FOLDERS

KEY_DIGITS = 8  # of a key, in a folder's name


def folders_for(beside: Path, made_from: MadeFrom) -> tuple[Path, Path]:
    """Return the folders for slices: ``beside`` or, if that holds others, one with the key in its name."""
    return beside, beside.with_name(f"{beside.name}_{made_from.key[:KEY_DIGITS]}")


def keep_slices(
    folders: tuple[Path, ...], made_from: MadeFrom, cut: Callable[[Path], list[Problem]]
) -> tuple[Path, list[Problem]]:
    """Return the first of ``folders`` with slices made from the same data and options, or cut them into a free one.

    ``cut`` writes slices into a new folder, and returns the cases that it left out. That folder appears whole or not at
    all, with its record. Raises PlanewiseError if all folders hold something else, or cannot be written.
    """
    for folder in folders:
        if _differences(folder, made_from) == "":
            return folder, _reuse(folder)
    for folder in folders[:-1]:
        if taken := _differences(folder, made_from):
            say(f"{folder} {taken}: it is left as it is")
    if all(_differences(folder, made_from) for folder in folders):
        raise _refusal(folders[-1], made_from)
    try:
        folders[0].parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folders[0].parent) as holder:
            written = Path(holder) / folders[0].name
            try:
                problems = cut(written)
            except PlanewiseError as error:
                raise PlanewiseError(str(error).replace(str(written), str(folders[0]))) from error
            write_record(written / RECORD, _record(written, made_from, problems))
            return _place(written, folders, made_from), problems
    except OSError as error:
        raise PlanewiseError(
            f"{folders[0]}: cannot be written ({error.strerror}); choose --output_data_path"
        ) from error


def kept_slices(folders: tuple[Path, ...], made_from: MadeFrom) -> tuple[Path, list[Problem]]:
    """Return the first of ``folders`` with slices made from the same data and options, and the cases left out of them.

    Raises PlanewiseError if none has.
    """
    for folder in folders:
        if _differences(folder, made_from) == "":
            return folder, _reuse(folder)
    raise PlanewiseError(
        f"--skip_conversion: {folders[0]} {_differences(folders[0], made_from)}; without --skip_conversion they are cut"
    )


def _reuse(folder: Path) -> list[Problem]:
    """Return the cases that were left out of the slices in ``folder``, which are checked to be all there."""
    record = read_record(folder / RECORD)
    if record is None:
        return []
    there, recorded = (sum(counts.values()) for counts in (_counts(folder), record.written["slices"]))
    if there != recorded:
        raise PlanewiseError(
            f"{folder}: holds {there} images and labels, and its record says {recorded}; remove the folder, so that "
            "they are cut again"
        )
    say(f"Using the slices in {folder}: they were made from the same data and options")
    return [Problem(where, what) for where, what in record.written["left out"]]


def _differences(folder: Path, made_from: MadeFrom) -> str | None:
    """Return why ``folder`` cannot be used; "" if it holds these slices, None if it is free."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    record = read_record(folder / RECORD) if folder.is_dir() else None
    if record is None:
        return "has no record of what it was made from"
    if record.made_from.key == made_from.key:
        return ""
    return f"holds slices made from something else ({record.made_from.differences(made_from)})"


def _refusal(folder: Path, made_from: MadeFrom) -> PlanewiseError:
    names = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    unrecorded = folder.is_dir() and read_record(folder / RECORD) is None
    use = ", or use what it holds with --skip_conversion" if unrecorded else ""
    holds = f", {', '.join(names[:5])}" if set(names) - set(FOLDERS) - {RECORD} else ""
    return PlanewiseError(
        f"{folder}: {_differences(folder, made_from)}{holds}; it is not replaced: choose another --output_data_path, "
        f"or remove it{use}"
    )


def _place(written: Path, folders: tuple[Path, ...], made_from: MadeFrom) -> Path:
    """Move slices to the first of ``folders`` that is free; a training at the same time may have taken one."""
    for folder in folders:
        try:
            written.rename(folder)
            return folder
        except OSError:
            if _differences(folder, made_from) is None:
                raise
        if _differences(folder, made_from) == "":
            return folder
    raise _refusal(folders[-1], made_from)


def _record(folder: Path, made_from: MadeFrom, problems: list[Problem]) -> Record:
    left_out = [[problem.where, problem.what] for problem in problems]
    return Record(made_from, {"slices": _counts(folder), "left out": left_out})


def _counts(folder: Path) -> dict[str, int]:
    """Return how many files are in each folder of slices."""
    return {
        f"{part}/{kind}": sum(1 for _ in (folder / part / kind).glob("*"))
        for part, kinds in FOLDERS.items()
        for kind in kinds
    }
