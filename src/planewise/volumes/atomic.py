"""A file or folder appears whole or not at all, and the old one stays until then."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planewise.errors import PlanewiseError, first_line

FULL = {errno.ENOSPC, errno.EDQUOT}
WRITING = ".writing-"  # prefix of the temporary folder of a file being written; a killed process leaves it behind


class DiskFull(PlanewiseError):
    """There is no room left where results are written."""


@contextmanager
def refused_when_full(path: Path, needed: int) -> Iterator[None]:
    """In here a full disk raises ``DiskFull``; ``path``: what is written, of ``needed`` bytes."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFull(f"{path}: cannot be written ({_no_room(path, error, needed)})") from error


def _no_room(path: Path, error: OSError, needed: int) -> str:
    """Return ``error``, of a full disk, as text, with the ``needed`` bytes at ``path`` and those that are free."""
    there = next((place for place in (path, *path.parents) if place.exists()), Path())
    free = shutil.disk_usage(there).free
    return f"{error.strerror}: {needed / 1e6:,.1f} MB to write, {free / 1e6:,.1f} MB free"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it replaces ``path``, else it is removed.

    Folders are made as needed. Raises PlanewiseError, naming ``path``, when the disk is full or forbids writing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=WRITING, dir=path.parent))
    except OSError as error:
        raise PlanewiseError(f"{path}: cannot be written ({error.strerror})") from error
    temporary = holder / path.name
    try:
        yield temporary
        _put(temporary, path, holder / "replaced")
    except OSError as error:
        full = error.errno in FULL
        reason = _no_room(path, error, _bytes_in(temporary)) if full else error.strerror or first_line(error)
        kind = DiskFull if full else PlanewiseError
        raise kind(f"{path}: cannot be written ({reason}); nothing was left there") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _bytes_in(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder, as far as they were written."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _put(new: Path, path: Path, aside: Path) -> None:
    """Move ``new`` to ``path``. A folder that is there is moved ``aside`` first, and back if that fails."""
    if not path.is_dir():
        new.replace(path)
        return
    try:
        path.rename(aside)
        new.rename(path)
    except BaseException:  # Ctrl-C too: what is aside is removed soon
        if not path.exists():
            aside.rename(path)
        raise


def follow_umask(path: Path) -> None:
    """Give the file at ``path``, which a library made readable to its owner only, the permissions of a new file."""
    new = path.with_name(f"{WRITING}{path.name}")
    new.touch()  # os.umask cannot be read without setting it, for all threads
    path.chmod(new.stat().st_mode)
    new.unlink()


def write_again(path: Path, source: Path, linked: bool = True) -> None:
    """Give the file or folder at ``source`` a second name: ``path``.

    Hard links are used where the file system has them, so that nothing is stored twice; else it is copied. Later writes
    to one name by ``atomic_path``, or by Zarr, replace that one only. Other programs may save a file in place, which
    would change both: files that people open are therefore copied, not ``linked``. Stores are linked all the same,
    because their chunks are replaced, never changed. Raises PlanewiseError.
    """
    with atomic_path(path) as temporary:
        if source.is_dir():
            shutil.copytree(source, temporary, copy_function=_link_or_copy)
        else:
            (_link_or_copy if linked else shutil.copyfile)(source, temporary)


def _link_or_copy(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no links, or is another
        shutil.copyfile(source, target)
