"""Corrections of files and stores: every action, undone and replayed to the very bytes, through kills too."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from io import FileIO

import numpy as np
import pytest

from planewise.correction import journal
from planewise.correction.actions import Ball, Confirm, Delete, Merge, Paint, Split, Voxels
from planewise.correction.journal import JOURNAL, Entry, correction_note, corrections_folder, read_journal
from planewise.correction.session import Corrections
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.formats import ome_zarr
from planewise.volumes.volume import Volume
from stopped import ENVIRONMENT


@pytest.fixture(params=["tiff", "nii.gz", "ome.zarr"])
def result(tmp_path, balls, request, monkeypatch):
    """A result with the five balls; as a store in several files, with a smaller level."""
    monkeypatch.setattr(ome_zarr, "CHUNK", 16)
    monkeypatch.setattr(ome_zarr, "LEAST_LEVEL", 40)
    path = tmp_path / f"cells.{request.param}"
    if request.param == "ome.zarr":
        array = ome_zarr.create(path, balls.shape, np.uint16, (1.0, 1.0, 1.0), "nm", (0.0, 0.0, 0.0), (16, 16, 16))
        for block in ome_zarr.blocks(balls.shape, array.shards):
            ome_zarr.fill_block(array, block, balls[block].astype(np.uint16))
        ome_zarr.add_pyramid(path, (16, 16, 16))
    else:
        write_volume(path, Volume(balls.astype(np.uint16), (1.0, 1.0, 1.0), "nm"))
    return path


def hashes(path):
    """The sha256 of a file, or of every file of a store."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return {str(file.relative_to(path.parent)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def voxels(path):
    return np.asarray(open_volume(path).read()).astype(np.int64)


ACTIONS = [
    Merge(labels=(1, 3)),
    Delete(labels=(2,)),
    Paint(where=Ball(centre=(20, 24, 28), radius=3.0), label=0),
    Paint(where=Voxels(place=((0, 4), (40, 44), (0, 5))), label=None),
    Split(label=4, first=(26, 30, 42), second=(26, 38, 42)),
    Confirm(labels=(5,)),
]


def test_every_action_does_what_it_says(result, balls):
    with Corrections(result) as corrections:
        entries = [corrections.apply(action) for action in ACTIONS]
        assert corrections.objects.keys() == {1, 4, 5, 6, 7}
    now = voxels(result)
    assert ((now == 1) == np.isin(balls, (1, 3))).all()
    assert not (now == 2).any()
    grid = np.indices(balls.shape)
    hole = sum((axis - at) ** 2 for axis, at in zip(grid, (20, 24, 28))) <= 9
    assert ((now == 5) == ((balls == 5) & ~hole)).all()
    assert (now == 6).sum() == 4 * 4 * 5
    assert (now[0:4, 40:44, 0:5] == 6).all()
    assert ((now == 4) | (now == 7) == (balls == 4)).all()
    assert now[26, 30, 42] == 4
    assert now[26, 38, 42] == 7
    assert abs((now == 4).sum() - (now == 7).sum()) < 0.15 * (balls == 4).sum()  # a ball in two halves
    assert [entry.right for entry in entries] == [(1,), (), (), (6,), (4, 7), (5,)]
    counts = dict(zip(*np.unique(now[now > 0], return_counts=True)))
    with Corrections(result) as corrections:
        assert {label: record.voxels for label, record in corrections.objects.items()} == counts


@pytest.mark.parametrize(
    ("action", "printed"),
    [
        (Merge(labels=(3, 7)), "2 merge 3 7"),
        (Split(label=5, first=(1, 2, 3), second=(4, 5, 6)), "2 split 5 1 2 3 4 5 6"),
        (Paint(where=Ball(centre=(1, 2, 3), radius=5), label=None), "2 paint new ball 1 2 3 5"),
        (Paint(where=Voxels.of(np.eye(3, dtype=bool)[None], (9, 0, 1)), label=0), "2 paint 0 box 9 10 0 3 1 4"),
        (Confirm(labels=(3,)), "2 confirm 3"),
        (Confirm(box=((0, 1), (2, 3), (4, 5))), "2 confirm box 0 1 2 3 4 5"),
    ],
)
def test_an_action_reads_as_the_csv_has_it(action, printed):
    assert str(Entry(2, action.action, action.model_dump(mode="json"))) == printed


def test_the_smaller_levels_follow(result, balls):
    if result.is_file():
        return
    import zarr

    with Corrections(result) as corrections:
        for action in ACTIONS:
            corrections.apply(action)
    group = zarr.open_group(result, mode="r")
    assert group["1"].shape == (20, 24, 28)
    np.testing.assert_array_equal(group["1"][:], group["0"][::2, ::2, ::2])


def test_undo_and_replay_return_the_very_bytes(result):
    """Of a store at every step; of a file, whose every writing has an id of its own, its voxels, and all at the end."""
    original = hashes(result)
    of_step = voxels if result.is_file() else hashes
    states = [of_step(result)]
    for action in ACTIONS[:5]:
        with Corrections(result) as corrections:
            corrections.apply(action)
        states.append(of_step(result))
        assert not np.array_equal(states[-1], states[-2])
    written = hashes(result)
    with Corrections(result) as corrections:
        corrections.replay()
    assert hashes(result) == written
    for before in reversed(states[:-1]):
        with Corrections(result) as corrections:
            corrections.undo()
        np.testing.assert_equal(of_step(result), before)
    assert hashes(result) == original
    assert correction_note(result) == ""
    with Corrections(result) as corrections:
        with pytest.raises(PlanewiseError, match="0 actions can be undone, not 1"):
            corrections.undo()
        for action in ACTIONS[:5]:
            corrections.apply(action)
        corrections.undo(5)
    assert hashes(result) == original


def test_only_the_files_that_are_touched_are_rewritten(result):
    if result.is_file():
        return
    before = hashes(result)
    with Corrections(result) as corrections:
        corrections.apply(Paint(where=Ball(centre=(4, 4, 4), radius=1.0), label=None))
    after = hashes(result)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"cells.ome.zarr/0/c/0/0/0", "cells.ome.zarr/1/c/0/0/0"}


def test_ids_are_never_given_twice(result):
    with Corrections(result) as corrections:
        new = Paint(where=Ball(centre=(2, 2, 2), radius=0.0), label=None)
        assert corrections.apply(new).right == (6,)
        corrections.undo()
        assert corrections.apply(new).right == (7,)


@pytest.mark.parametrize(
    ("action", "printed"),
    [
        (Merge(labels=(1, 9)), "merge: there is no object 9"),
        (Merge(labels=(1, 1)), "names an object twice"),
        (Delete(labels=(12,)), "delete: there is no object 12"),
        (Split(label=1, first=(12, 12, 12), second=(0, 0, 0)), "0 0 0 lies outside of object 1"),
        (Split(label=1, first=(12, 12, 12), second=(12, 12, 56)), r"the point 12 12 56 lies beyond the volume"),
        (Split(label=1, first=(12, 12, 12), second=(12, 12, 12)), "each part needs one"),
        (
            Paint(where=Ball(centre=(200, 2, 2), radius=3.0), label=0),
            "the ball's centre 200 2 2 lies beyond the volume",
        ),
        (Paint(where=Ball(centre=(41, 24, 28), radius=3.0), label=0), "the ball's centre 41 24 28 lies beyond"),
        (
            Paint(where=Voxels(place=((8, 16), (8, 49), (8, 16))), label=None),
            r"paint: the box 8 16 8 49 8 16 lies beyond the volume, whose shape \(z, y, x\) is 40 x 48 x 56; places",
        ),
        (Paint(where=Voxels(place=((-1, 16), (8, 16), (8, 16))), label=0), "the box -1 16 8 16 8 16 lies beyond"),
        (Confirm(box=((8, 56), (8, 48), (8, 40))), "confirm: the box 8 56 8 48 8 40 lies beyond the volume"),
        (Confirm(box=((8, 8), (8, 48), (8, 40))), "the box 8 8 8 48 8 40 holds no voxel"),
        (Paint(where=Ball(centre=(0, 0, 0), radius=1.0), label=0), "paint: changes nothing"),
        (Confirm(labels=(77,)), "confirm: there is no object 77"),
        (Confirm(), "name objects, or a box"),
    ],
)
def test_an_action_that_does_not_fit_changes_nothing(result, action, printed):
    before = hashes(result)
    with Corrections(result) as corrections:
        with pytest.raises(PlanewiseError, match=printed):
            corrections.apply(action)
        assert corrections.actions == []
    assert hashes(result) == before


def test_a_store_whose_ids_are_used_up_says_so(tmp_path):
    labels = np.zeros((8, 32, 32), np.uint8)
    labels.flat[: 255 * 2 : 2] = np.arange(1, 256)
    write_volume(tmp_path / "full.ome.zarr", Volume(labels))
    write_volume(tmp_path / "full.tiff", Volume(labels))
    new = Paint(where=Ball(centre=(7, 7, 7), radius=0.0), label=None)
    with Corrections(tmp_path / "full.ome.zarr") as corrections:
        with pytest.raises(PlanewiseError, match="all ids up to 255 are taken"):
            corrections.apply(new)
        corrections.apply(Delete(labels=(3,)))
        assert corrections.apply(new).right == (3,)
    with Corrections(tmp_path / "full.tiff") as corrections:
        assert corrections.apply(new).right == (256,)
    assert open_volume(tmp_path / "full.tiff").read()[7, 7, 7] == 256


# ---- kills


@pytest.mark.parametrize("left", [1, 20, 0.5])
def test_a_line_that_was_cut_short_is_dropped_and_said(result, left, capsys):
    with Corrections(result) as corrections:
        corrections.apply(ACTIONS[0])
    before = hashes(result)
    journal = corrections_folder(result) / JOURNAL
    whole = journal.read_bytes()
    line = whole.splitlines(keepends=True)[1]
    journal.write_bytes(whole + line[: int(left if left >= 1 else len(line) * left)])
    assert len(read_journal(journal)[1]) == (2 if result.is_file() else 1)  # with the line of what was saved
    with Corrections(result) as corrections:
        assert [entry.action for entry in corrections.actions] == ["merge"]
        assert "cut short" in capsys.readouterr().err
    assert journal.read_bytes() == whole
    assert hashes(result) == before


KILLED = """
import os, sys
from pathlib import Path
import planewise.correction.{module} as module
from planewise.correction import journal
from planewise.correction.actions import Delete, Merge
from planewise.correction.session import Corrections

with Corrections(Path(sys.argv[1])) as corrections:
    corrections.apply(Merge(labels=(1, 3)))
    real = {owner}.{method}
    def killed(*arguments, **more):
        if {after}:
            real(*arguments, **more)
        os._exit(9)
    {owner}.{method} = killed
    corrections.apply(Delete(labels=(2,)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "kind", "method", "after", "deleted"),
    [
        ("session", "", "write_kept", False, False),
        ("session", "", "write_kept", True, False),
        ("journal", "Journal", "append", False, False),
        ("journal", "Journal", "append", True, True),
        ("canvas", "StoreCanvas", "_write", False, True),
        ("canvas", "StoreCanvas", "_write", True, True),
        ("canvas", "FileCanvas", "save", False, True),
        ("canvas", "FileCanvas", "save", True, True),
    ],
)
def test_a_kill_at_any_moment_leaves_what_the_journal_says(result, balls, module, kind, method, after, deleted):
    if kind.startswith("File") != result.is_file() and kind.endswith("Canvas"):
        return
    code = KILLED.format(module=module, owner=f"module.{kind}".strip("."), method=method, after=after)
    killed = subprocess.run([sys.executable, "-c", code, str(result)], env=ENVIRONMENT, check=False)
    assert killed.returncode == 9
    before_reopening = correction_note(result)
    with Corrections(result) as corrections:
        assert [entry.action for entry in corrections.actions] == ["merge", "delete"][: 1 + deleted]
    expected = np.where(balls == 3, 1, balls)
    np.testing.assert_array_equal(voxels(result), np.where(expected == 2, 0, expected) if deleted else expected)
    assert "was corrected" in before_reopening
    with Corrections(result) as corrections:
        corrections.undo(len(corrections.actions))
    np.testing.assert_array_equal(voxels(result), balls)


def test_what_a_killed_process_left_half_written_is_no_original(result):
    """A folder of ``atomic_path`` among what is kept, which is not moved into the store when all is undone."""
    original = hashes(result)
    with Corrections(result) as corrections:
        corrections.apply(ACTIONS[0])
    left = corrections_folder(result) / "kept" / "original" / "0" / "c" / "1" / "1" / ".writing-left"
    left.mkdir(parents=True)
    (left / "1").write_bytes(b"half")
    with Corrections(result) as corrections:
        corrections.undo()
    assert hashes(result) == original


def test_a_kill_while_all_is_made_anew_is_made_good(result, balls, monkeypatch):
    with Corrections(result) as corrections:
        for action in ACTIONS:
            corrections.apply(action)
    before = voxels(result)

    def killed(*arguments):
        raise KeyboardInterrupt

    corrections = Corrections(result)
    monkeypatch.setattr(type(corrections.canvas), "write", killed)
    with pytest.raises(KeyboardInterrupt):
        corrections.replay()
    corrections.journal.close()
    monkeypatch.undo()
    with Corrections(result) as corrections:
        assert len(corrections.actions) == len(ACTIONS)
    np.testing.assert_array_equal(voxels(result), before)


def test_what_a_full_disk_refused_is_finished_before_anything_else(result, balls, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Corrections(result) as corrections:
        with monkeypatch.context() as patched:
            patched.setattr(type(corrections.canvas), "write", full)
            with pytest.raises(PlanewiseError, match=r"No space left on device.*; the action stands in"):
                corrections.apply(ACTIONS[0])
            with pytest.raises(PlanewiseError, match=r"No space left on device.*; the action stands in"):
                corrections.apply(ACTIONS[1])
        corrections.apply(ACTIONS[1])
        assert [entry.action for entry in corrections.actions] == ["merge", "delete"]
    np.testing.assert_array_equal(voxels(result), np.select([balls == 3, balls == 2], [1, 0], balls))


def test_a_journal_on_a_full_disk_says_so_and_goes_on(result, monkeypatch):
    """The disk takes a part of the line, and no more."""
    with Corrections(result) as corrections:
        part = FileIO(corrections.journal.path, "r+")
        part.write = lambda line: FileIO.write(part, line[:20])
        part.seek(0, 2)
        with monkeypatch.context() as patched:
            patched.setattr(corrections.journal, "_file", part)
            with pytest.raises(PlanewiseError, match=r"\(No space left on device\); nothing was changed"):
                corrections.apply(ACTIONS[0])
        part.close()
        assert corrections.actions == []
        corrections.apply(ACTIONS[1])
    with Corrections(result) as corrections:
        assert [entry.action for entry in corrections.actions] == ["delete"]


def test_two_processes_do_not_correct_one_volume(result):
    with Corrections(result), pytest.raises(PlanewiseError, match="another process corrects this volume"):
        Corrections(result)


def test_a_file_system_without_locks_is_said(result, monkeypatch):
    def refused(descriptor):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(journal, "take_lock", refused)
    with pytest.raises(PlanewiseError, match=r"cannot be locked \(Function not implemented\), as corrections must be"):
        Corrections(result)


def test_a_damaged_journal_is_refused(result):
    with Corrections(result) as corrections:
        corrections.apply(ACTIONS[0])
        corrections.apply(ACTIONS[1])
    journal = corrections_folder(result) / JOURNAL
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], "{}", *lines[2:]]) + "\n")
    with pytest.raises(PlanewiseError, match="line 2 is not a line of a journal"):
        Corrections(result)
    journal.write_text("\n".join([json.dumps({**json.loads(lines[0]), "format": 9}), *lines[1:]]) + "\n")
    with pytest.raises(PlanewiseError, match="its format is 9"):
        Corrections(result)


@pytest.mark.parametrize(
    ("line", "edit", "printed"),
    [
        (1, {"number": 7}, "its number is 7, not 1"),
        (1, {"number": "1"}, "its number is 1, not 1"),
        (3, {"arguments": {"undoes": 9}}, "it undoes 9, which is not an earlier line"),
        (3, {"arguments": {"undoes": "2"}}, "it undoes 2, which is not an earlier line"),
        (3, {"arguments": {}}, "undoes"),
        (3, {"action": "save", "arguments": {}}, "sha256"),
        (2, None, "its number is 3, not 2"),
    ],
)
def test_a_journal_that_was_edited_is_refused(result, line, edit, printed):
    with Corrections(result) as corrections:
        corrections.apply(ACTIONS[0])
        corrections.apply(ACTIONS[1])
        corrections.undo()
    journal = corrections_folder(result) / JOURNAL
    lines = journal.read_text().splitlines()
    lines[line : line + 1] = [] if edit is None else [json.dumps(json.loads(lines[line]) | edit)]
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(PlanewiseError, match=f"line {line + 1} is not a line of a journal.*{printed}"):
        Corrections(result)


def test_a_journal_that_cannot_be_written_to_is_refused(result):
    (corrections_folder(result) / JOURNAL).mkdir(parents=True)
    with pytest.raises(PlanewiseError, match="cannot be written to"):
        Corrections(result)


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_a_table_of_objects_that_is_damaged_or_gone_is_missed(result, damage):
    with Corrections(result):
        pass
    table = corrections_folder(result) / "kept" / "objects.npy"
    table.unlink() if damage is None else table.write_bytes(damage)
    with pytest.raises(PlanewiseError, match=r"objects\.npy: is missing or damaged"):
        Corrections(result)


def test_a_file_whose_original_is_gone_is_not_corrected_on(tmp_path, balls):
    """What was saved would be taken for the original, and given back for it."""
    path = tmp_path / "a.tiff"
    write_volume(path, Volume(balls.astype(np.uint16)))
    with Corrections(path) as corrections:
        corrections.apply(ACTIONS[0])
    (corrections_folder(path) / "kept" / "original" / "a.tiff").unlink()
    with pytest.raises(PlanewiseError, match=r"is missing, the original of .*a\.tiff"):
        Corrections(path)


@pytest.mark.parametrize("ending", ["tiff", "nrrd", "ome.zarr"])
def test_large_ids(tmp_path, balls, ending):
    path = tmp_path / f"a.{ending}"
    large = balls.astype(np.uint64) * np.uint64(2**60)
    write_volume(path, Volume(large))
    with Corrections(path) as corrections:
        corrections.apply(Merge(labels=(2**60, 3 * 2**60)))
        corrections.apply(Paint(where=Ball(centre=(4, 4, 4), radius=1.0), label=None))
        assert corrections.objects.keys() == {2**60, 2 * 2**60, 4 * 2**60, 5 * 2**60, 5 * 2**60 + 1}
    written = np.asarray(open_volume(path).read())
    assert set(np.unique(written).tolist()) - {0} == {2**60, 2 * 2**60, 4 * 2**60, 5 * 2**60, 5 * 2**60 + 1}
    with pytest.raises(ValueError, match="less than or equal to 9223372036854775807"):
        Paint(where=Ball(centre=(4, 4, 4), radius=1.0), label=2**63)
    too_large = tmp_path / f"b.{ending}"
    write_volume(too_large, Volume(balls.astype(np.uint64) * np.uint64(2**61 + 2**59)))
    with pytest.raises(PlanewiseError, match="ids of objects go up to 9223372036854775807"):
        Corrections(too_large)


def test_what_was_replaced_and_is_gone_is_missed(result):
    with Corrections(result) as corrections:
        corrections.apply(ACTIONS[0])
    next((corrections_folder(result) / "kept").glob("*.zip")).write_bytes(b"")
    with pytest.raises(PlanewiseError, match="missing or damaged"):
        Corrections(result)


def test_a_file_that_another_program_changed_is_not_corrected_on(tmp_path, balls):
    path = tmp_path / "a.tiff"
    write_volume(path, Volume(balls))
    with Corrections(path) as corrections:
        corrections.apply(ACTIONS[0])
    write_volume(path, Volume(balls * 2))
    with pytest.raises(PlanewiseError, match="was changed by another program"):
        Corrections(path)


def test_a_format_that_is_not_written_is_refused(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["labels"] = np.ones((4, 4, 4), np.uint8)
    with pytest.raises(PlanewiseError, match="is in a format that cannot be written"):
        Corrections(tmp_path / "a.h5")
