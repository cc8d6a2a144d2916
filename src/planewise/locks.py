"""Locks between processes: files and folders that one process at a time works in. They end with it, however it ends."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from planewise.errors import PlanewiseError
from planewise.progress import say_once

FAR = 2**30  # the byte that Windows locks: others may read what lies before it
WITHOUT_LOCKS = {  # what a file system without them says
    errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL,
}  # fmt: skip

_held: set[int] = set()  # descriptors of the locks of this process


def _let_go() -> None:
    """Close the locks in a forked process, which would hold them on when its parent is killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):  # missing on Windows, where nothing forks
    os.register_at_fork(after_in_child=_let_go)


class NoLocks(OSError):
    """The file system of a file has no locks."""


def take_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, unless another process has; return whether this one holds it now.

    Raises NoLocks where the file system has none.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            place = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, FAR, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, place, os.SEEK_SET)
        else:
            _flock(descriptor, wait=False)
    except (BlockingIOError, PermissionError):
        return False
    return True


if sys.platform != "win32":

    def _flock(descriptor: int, wait: bool) -> None:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                raise NoLocks(error.errno, error.strerror) from error
            raise


@contextmanager
def alone(lock: Path, taken: str) -> Iterator[None]:
    """Hold the file ``lock``, made if needed, in here, and remove it.

    Where the file system has no locks, that is printed, and nothing keeps others out. Raises PlanewiseError with
    ``taken`` and the process that holds it, and OSError if the file cannot be made, or locked.
    """
    file = _opened(lock, taken)
    try:
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _held.add(file.fileno())
        yield
    finally:
        _held.discard(file.fileno())
        if sys.platform == "win32":  # removes no file that is open, here or in a process that opened it since
            file.close()
        with suppress(OSError):
            lock.unlink()
        file.close()


def _opened(lock: Path, taken: str) -> IO[str]:
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = lock.open("a+", encoding="utf-8")
        except FileNotFoundError:
            if lock.is_symlink():  # to a folder that is missing
                raise
            continue  # the one that held it has removed its folder in between
        try:
            is_ours = take_lock(file.fileno())
        except NoLocks:
            _say_unlocked(lock.parent)
            return file
        except OSError:
            if os.fstat(file.fileno()).st_size == 0:  # no process names itself there: it was made here
                lock.unlink(missing_ok=True)
            file.close()
            raise
        if not is_ours:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise PlanewiseError(f"{taken} ({holder})")
        if sys.platform == "win32":  # where nobody can have removed it
            return file
        try:
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()  # the one that held it has removed it in between


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` in here, as soon as other processes have let it go.

    Windows locks no folders: there nothing is done. Where the file system has no locks, that is printed.
    """
    if sys.platform == "win32":
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            _flock(held, wait=True)
        except NoLocks:
            _say_unlocked(folder)
        yield
    finally:
        os.close(held)


def _say_unlocked(folder: Path) -> None:
    say_once(f"{folder}: its file system has no locks, so nothing keeps another run of planewise from writing there")
