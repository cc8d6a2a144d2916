"""Locks between processes, also those of Windows, and file systems that have none."""

import errno
import fcntl
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from planewise.data.manifest import one_writer
from planewise.errors import PlanewiseError
from planewise.inference.worker import take_gpu
from planewise.locks import NoLocks, alone, take_lock

OPENED = Path("/proc/self/fd")


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


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def no_locks(request, monkeypatch):
    """A file system without locks."""

    def refused(descriptor, how):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refused)


def test_without_locks_work_goes_on_and_says_so_once(no_locks, tmp_path, capsys):
    folder = tmp_path / "results"
    for _ in range(2):
        with one_writer(folder):
            (folder / "file").touch()
        with alone(folder / "lock", "taken"):
            assert (folder / "lock").exists()
    assert not (folder / "lock").exists()
    assert "".join(capsys.readouterr().err.split("\n")).count("its file system has no locks") == 1


def test_a_lock_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def fails(descriptor, how):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fails)
    for held in ("", "process 7 on host"):
        lock = tmp_path / "lock"
        if held:
            lock.write_text(held)
        with pytest.raises(OSError, match="Input/output error"), alone(lock, "taken"):
            pass
        assert lock.exists() == bool(held)  # another process's stays


def test_without_locks_gpus_are_not_shared_by_chance(no_locks, tmp_path):
    with pytest.raises(PlanewiseError, match="no locks, by which processes share GPUs; set TMPDIR"):
        take_gpu(["GPU-a"], tmp_path)
    with (tmp_path / "file").open("w") as file, pytest.raises(NoLocks):
        take_lock(file.fileno())
