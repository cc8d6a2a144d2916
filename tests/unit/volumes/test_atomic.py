import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from planewise.volumes.atomic import DiskFull, atomic_path, refused_when_full, write_again
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.volume import Volume

ONES, TWOS = Volume(np.ones((3, 4, 5), np.uint8)), Volume(np.full((3, 4, 5), 2, np.uint8))


def refuse(*names):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("ending", ["tiff", "nii.gz", "ome.zarr"])
@pytest.mark.parametrize("links", [True, False], ids=["with links", "without"])
def test_both_names_exist_and_overwriting_one_leaves_the_other(tmp_path, monkeypatch, ending, links):
    first, second = tmp_path / f"a_xy.{ending}", tmp_path / f"a.{ending}"
    write_volume(first, ONES)
    write_volume(second, TWOS)
    with monkeypatch.context() as context:
        if not links:
            context.setattr(os, "link", refuse)
        write_again(second, first)  # in place of an older one
    assert np.array_equal(open_volume(second).read(), ONES.voxels)
    files = [path for path in first.rglob("*") if path.is_file()] if first.is_dir() else [first]
    assert {path.stat().st_nlink for path in files} == {2 if links else 1}
    for written, left in ((first, second), (second, first)):
        write_volume(written, TWOS)
        expected = ONES if left == second else TWOS
        assert np.array_equal(open_volume(left).read(), expected.voxels)


def test_a_voxel_that_is_changed_in_a_store_is_not_changed_in_the_other(tmp_path):
    first, second = tmp_path / "a_xy.ome.zarr", tmp_path / "a.ome.zarr"
    write_volume(first, ONES)
    write_again(second, first)
    zarr.open_array(second / "0", mode="r+")[1, 2, 3] = 9
    assert open_volume(second).read()[1, 2, 3] == 9
    assert np.array_equal(open_volume(first).read(), ONES.voxels)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(Exception, match=r"a\.tiff"):
        write_again(tmp_path / "a.tiff", tmp_path / "missing.tiff")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rename", [1, 2])
@pytest.mark.parametrize("then", ["before", "after"])
def test_ctrl_c_while_a_folder_is_replaced_leaves_one_of_the_two(tmp_path, monkeypatch, rename, then):
    folder, calls, original = tmp_path / "folder", [], Path.rename
    folder.mkdir()
    (folder / "old").touch()

    def stopped(path, target):
        calls.append(path)
        if len(calls) == rename and then == "before":
            raise KeyboardInterrupt
        original(path, target)
        if len(calls) == rename:
            raise KeyboardInterrupt

    def replace():
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            (temporary / "new").touch()

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        replace()
    is_new = rename == 2 and then == "after"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "folder", "folder/new" if is_new else "folder/old",
    ]  # fmt: skip


def test_a_full_disk_is_said_with_what_was_to_be_written_and_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_500_000))
    full = OSError(errno.ENOSPC, "No space left on device")
    words = r"a\.bin: cannot be written \(No space left on device: 2\.0 MB to write, 1\.5 MB free\)"

    def write():
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(bytes(2_000_000))
            raise full

    with pytest.raises(DiskFull, match=f"{words}; nothing was left there$"):
        write()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DiskFull, match=f"{words}$"), refused_when_full(tmp_path / "none" / "a.bin", 2_000_000):
        raise full
    with pytest.raises(PermissionError), refused_when_full(tmp_path / "a.bin", 2_000_000):
        raise PermissionError
