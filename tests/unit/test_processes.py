"""What processes share, where the system has no POSIX signals and locks."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from planewise.errors import PlanewiseError
from planewise.processes import alone, take_lock

OPENED = Path("/proc/self/fd")
WITHOUT = """
import as_on_windows
from planewise.processes import WARNINGS, shielded, sigterm_raises, stop_on_request

assert not WARNINGS
with sigterm_raises(), stop_on_request() as request, shielded():
    assert not request
"""


def test_without_the_signals_of_posix():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    subprocess.run([sys.executable, "-c", WITHOUT], env=environment, check=True)


@pytest.fixture
def windows(monkeypatch):
    """Windows' locks of bytes, and its refusal to remove a file that is open."""
    held = {}

    def locking(descriptor, mode, count):
        byte = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError from None
        held[byte] = count

    def unlink(path):
        opened = [file.stat() for file in OPENED.iterdir() if file.exists()]
        if any(os.path.samestat(path.stat(), each) for each in opened):
            raise PermissionError
        path.rename(path.with_name("removed"))

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(Path, "unlink", unlink)
    return held


@pytest.mark.skipif(not OPENED.is_dir(), reason="only Linux lists what a process has open")
def test_locks_of_windows(windows, tmp_path):
    lock = tmp_path / "lock"
    with alone(lock, "taken"):
        (((_, byte), count),) = windows.items()
        assert (byte, count) == (2**30, 1)  # beyond what is written, which others may read
        with pytest.raises(PlanewiseError, match=rf"taken \(process {os.getpid()} on "), alone(lock, "taken"):
            pass
        assert lock.exists()
    assert not lock.exists()
    with lock.open("wb+") as file:
        file.write(b"text")
        assert take_lock(file.fileno())
        assert file.tell() == 4


def test_a_lock_whose_folder_is_removed_before_it_is_opened_is_taken(tmp_path, monkeypatch):
    """As the process that held it does, where its folder is empty then."""
    lock = tmp_path / "work" / "lock"
    mkdir, made = Path.mkdir, []

    def removed_at_once(path, *arguments, **options):
        mkdir(path, *arguments, **options)
        if not made:
            path.rmdir()
        made.append(path)

    monkeypatch.setattr(Path, "mkdir", removed_at_once)
    with alone(lock, "taken"):
        assert lock.exists()
    lock.symlink_to(tmp_path / "missing" / "lock")
    with pytest.raises(FileNotFoundError), alone(lock, "taken"):
        pass
