"""mito from store to store, as a user runs it: stops, faults, many workers; always the result of memory."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from planewise.apps.mito import out_of_core
from planewise.cli import run
from planewise.data.phantom import em_phantom
from planewise.data.run import Run
from planewise.inference.out_of_core import segment
from planewise.report.tables import RESULTS
from planewise.volumes.files import open_volume
from planewise.volumes.formats.ome_zarr import create
from planewise.volumes.labels import write_labels
from stopped import ENVIRONMENT, run_until_killed, start, wait_until
from untrained import write_untrained

SEGMENT, WORKERS = "planewise.inference.out_of_core.segment", "planewise.inference.cluster"
SHAPE = (32, 56, 64)
SPACING, ORIGIN = (8.0, 4.0, 4.0), (80.0, 0.0, 12.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that finds something, an image in small chunks, and the result of predicting it in memory."""
    folder = tmp_path_factory.mktemp("store")
    write_untrained(folder)
    image, _ = em_phantom(SHAPE, 12, 1)
    write_image(folder / "in.ome.zarr", image)
    assert run(["mito", "predict", "--output", str(folder / "memory"), *arguments(folder)]) == 0
    assert open_volume(folder / "memory" / "in.ome.zarr").read().max() >= 1
    return folder


def write_image(path, image):
    array = create(path, image.shape, image.dtype, SPACING, "nm", ORIGIN)
    del zarr.open_group(path, mode="r+")["0"]
    array = zarr.open_group(path, mode="r+").create_array("0", shape=image.shape, chunks=(16,) * 3, dtype=image.dtype)
    array[:] = image


def arguments(folder, source=None):
    return ["--trained_model", str(folder / "M.yaml"), "--input", str(source or folder / "in.ome.zarr"), "--device",
            "cpu", "--precision", "32", "--min_size", "20", "--min_extent", "1", "--confidence_thr", "0.5",
            "--axes", "xy", "xz", "yz", "--center_confidence_thr", "0.0005", "--batch_size", "4"]  # fmt: skip


def to_store(folder, output, *more, source=None):
    return ["mito", "predict", "--output", str(output), *arguments(folder, source), *more]


def same_as_memory(folder, output):
    for kind in ("", "_xy", "_xz", "_yz"):
        voxels = open_volume(output.with_name(output.name.replace(".ome", f"{kind}.ome"))).read()
        assert np.array_equal(voxels, open_volume(folder / "memory" / f"in{kind}.ome.zarr").read())
    table = output.with_name(output.name.replace(".ome.zarr", "_objects.csv"))
    assert table.read_text() == (folder / "memory" / "in_objects.csv").read_text()
    assert not output.with_name(f"{output.name}.unfinished").exists()
    return True


def test_the_result_is_that_of_memory_with_its_geometry_and_a_pyramid(folder, tmp_path, capsys):
    output = tmp_path / "out.ome.zarr"
    assert run(to_store(folder, output)) == 0
    printed = capsys.readouterr().err
    assert re.search(r"^in: \d+ objects?, ", printed, re.MULTILINE)  # by its case, as from memory
    assert "in.ome.zarr:" not in printed
    assert same_as_memory(folder, output)
    volume = open_volume(output)
    assert (volume.spacing, volume.unit, volume.origin) == (SPACING, "nm", ORIGIN)
    before = (output / "0" / "zarr.json").stat().st_mtime_ns
    assert run(to_store(folder, output)) == 0  # done already
    assert (output / "0" / "zarr.json").stat().st_mtime_ns == before


def test_what_stopped_goes_on(folder, tmp_path, capsys, monkeypatch):
    """A slab that fails stops the run; then the same command does what is left."""
    source, output = tmp_path / "in.ome.zarr", tmp_path / "out.ome.zarr"
    shutil.copytree(folder / "in.ome.zarr", source)
    predict = segment.predict_slab

    def fail_at_the_third(predictor, job, plane, start, voxels):
        if start > 16 or plane != "xy":
            raise OSError(5, "Input/output error")
        return predict(predictor, job, plane, start, voxels)

    monkeypatch.setattr(segment, "predict_slab", fail_at_the_third)
    assert run(to_store(folder, output, source=source)) == 1
    note = " ".join(capsys.readouterr().out.split())
    assert "Input/output error" in note
    assert "run the same command again" in note
    assert not output.exists()
    work = tmp_path / "out.ome.zarr.unfinished"
    first = work / "xy" / "slab_00000000.npz"
    written = first.stat().st_mtime_ns
    assert run(to_store(folder, output, "--min_size", "21", source=source)) == 2  # not that run
    assert "--overwrite" in capsys.readouterr().err
    assert first.stat().st_mtime_ns == written
    predicted = []
    monkeypatch.setattr(
        segment,
        "predict_slab",
        lambda *given: predicted.append(given[2:]) or predict(*given),
    )
    assert run(to_store(folder, output, source=source)) == 0
    assert ("xy", 0) not in [slab[:2] for slab in predicted]
    assert same_as_memory(folder, output)


def test_a_wrong_chunk_is_said_before_anything_is_predicted(folder, tmp_path, capsys):
    source, output = tmp_path / "in.ome.zarr", tmp_path / "out.ome.zarr"
    shutil.copytree(folder / "in.ome.zarr", source)
    (source / "0" / "c" / "1" / "1" / "1").write_bytes(b"wrong")
    assert run(to_store(folder, output, source=source)) == 1
    assert "cannot be read" in " ".join(capsys.readouterr().out.split())
    assert [item.name for item in tmp_path.iterdir()] == ["in.ome.zarr"]


def test_input_and_older_stores_are_kept(folder, tmp_path, capsys):
    store = tmp_path / "in.ome.zarr"
    shutil.copytree(folder / "in.ome.zarr", store)
    assert run(to_store(folder, store, "--overwrite", source=store)) == 2
    assert "results never replace their input" in capsys.readouterr().err
    older = tmp_path / "older.ome.zarr"
    shutil.copytree(folder / "memory" / "in.ome.zarr", older)
    assert run(to_store(folder, older, "--overwrite")) == 2
    assert "already exists" in capsys.readouterr().err
    for kept, same in ((store, folder / "in.ome.zarr"), (older, folder / "memory" / "in.ome.zarr")):
        assert np.array_equal(open_volume(kept).read(), open_volume(same).read())


def test_a_run_that_is_stopped_while_it_delivers_goes_on(folder, tmp_path, monkeypatch):
    output, moved = tmp_path / "out.ome.zarr", []
    rename = Path.rename

    def stop_at_the_second(path, target):
        if path.parent.name.endswith(".unfinished") and path.name.endswith(".ome.zarr"):
            moved.append(path.name)
            if len(moved) == 2:
                raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stop_at_the_second)
    assert run(to_store(folder, output)) == 1
    assert (tmp_path / "out_xy.ome.zarr").exists()
    monkeypatch.undo()
    assert run(to_store(folder, output)) == 0
    assert same_as_memory(folder, output)


@pytest.fixture(scope="module")
def begun(folder, tmp_path_factory):
    """A run that was stopped when all that was left was to deliver it."""
    place = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(out_of_core, "_deliver", stop)
        assert run(to_store(folder, place / "out.ome.zarr")) == 130
    return place


def stop(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "name", "then"),
    [
        (Run, "start", "before"),
        (Run, "start", "after"),
        (out_of_core, "begin_work", "after"),
        (out_of_core, "_deliver", "after"),
        (Run, "finish", "before"),
        (Run, "finish", "after"),
        (out_of_core, "clear_work", "before"),
        (shutil, "rmtree", "before"),
        (shutil, "rmtree", "after"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.rpartition(".")[2],
)
def test_ctrl_c_in_a_run_that_goes_on_keeps_what_is_finished(
    folder, begun, tmp_path, monkeypatch, owner, name, then, capsys
):
    place, original = tmp_path / "here", getattr(owner, name)
    shutil.copytree(begun, place)
    work, manifest = place / "out.ome.zarr.unfinished", place / "out.planewise.json"
    slabs = {path: path.read_bytes() for path in work.rglob("slab_*.npz")}

    def stopped(*arguments, **keywords):
        if then == "before":
            raise KeyboardInterrupt
        original(*arguments, **keywords)
        raise KeyboardInterrupt

    if name == "rmtree":  # of what is left of the work, when its description is gone already; not of a temporary folder
        monkeypatch.setattr("planewise.inference.out_of_core.job.shutil", SimpleNamespace(rmtree=stopped))
    else:
        monkeypatch.setattr(owner, name, stopped)
    assert run(to_store(folder, place / "out.ome.zarr")) == 130
    assert manifest.exists()
    monkeypatch.undo()
    if any(made == "" for made in json.loads(manifest.read_text())["cases"]["out"]["outputs"].values()):
        assert {path: path.read_bytes() for path in work.rglob("slab_*.npz")} == slabs
    monkeypatch.setattr(segment, "predict_slab", lambda *_: pytest.fail("it was predicted already"))
    monkeypatch.setattr(segment, "label_block", lambda *_: pytest.fail("it was done already"))
    assert run(to_store(folder, place / "out.ome.zarr")) == 0, capsys.readouterr().err
    assert same_as_memory(folder, place / "out.ome.zarr")
    assert sorted(item.name for item in place.iterdir() if item.suffix != ".zarr") == [
        "out.planewise.json",
        "out_objects.csv",
    ]


@pytest.mark.parametrize(
    ("begun_by", "words"), [({"planewise": "0.0.1"}, "planewise 0.0.1"), ({}, "an earlier version of planewise")]
)
def test_work_that_this_version_cannot_continue_names_the_one_that_began_it(
    folder, begun, tmp_path, capsys, begun_by, words
):
    place = tmp_path / "here"
    shutil.copytree(begun, place)
    file = place / "out.ome.zarr.unfinished" / "run.json"
    content = json.loads(file.read_text())
    assert content.pop("planewise") == version("planewise")
    file.write_text(json.dumps(content | begun_by | {"layout": 1}))
    assert run(to_store(folder, place / "out.ome.zarr")) == 2
    said = f"out.ome.zarr.unfinished: holds the unfinished work of {words}, which planewise {version('planewise')} "
    assert (
        f"{said}cannot continue; start again with --overwrite, or finish it with that version"
        in capsys.readouterr().err
    )
    assert run(to_store(folder, place / "out.ome.zarr", "--overwrite")) == 0
    assert same_as_memory(folder, place / "out.ome.zarr")


def test_work_begun_otherwise_by_another_version_names_that(folder, begun, tmp_path, capsys):
    place = tmp_path / "here"
    shutil.copytree(begun, place)
    manifest = place / "out.planewise.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": "0.0.1"}))
    assert run(to_store(folder, place / "out.ome.zarr", "--min_extent", "2")) == 2
    words = "holds results that were made differently by planewise 0.0.1 (--min_extent 1 -> 2); give another output, or"
    assert words in capsys.readouterr().err
    assert run(to_store(folder, place / "out.ome.zarr")) == 0  # the version alone is no difference
    assert same_as_memory(folder, place / "out.ome.zarr")


def test_a_run_that_is_begun_otherwise_is_refused_and_with_overwrite_takes_nothing_of_it(
    folder, begun, tmp_path, capsys
):
    """Of several planes that vote, the votes too lie in the work folder, beside the planes' own folders."""
    place = tmp_path / "here"
    shutil.copytree(begun, place)
    assert (place / "out.ome.zarr.unfinished" / "voted.npz").exists()
    other = ("--pixel_vote_thr", "1")
    assert run(to_store(folder, place / "out.ome.zarr", *other)) == 2
    assert "out.ome.zarr: holds results that were made differently (--pixel_vote_thr 2 -> 1)" in capsys.readouterr().err
    assert run(to_store(folder, place / "out.ome.zarr", *other, "--overwrite")) == 0
    assert run(to_store(folder, tmp_path / "anew.ome.zarr", *other)) == 0
    anew = open_volume(tmp_path / "anew.ome.zarr").read()
    assert np.array_equal(open_volume(place / "out.ome.zarr").read(), anew)
    assert not np.array_equal(anew, open_volume(folder / "memory" / "in.ome.zarr").read())


@pytest.mark.slow
@pytest.mark.parametrize(("function", "count"), [("link_plane", 2), ("fuse_block", 1)])
def test_a_run_that_is_killed_goes_on(folder, tmp_path, function, count):
    output = tmp_path / "out.ome.zarr"
    run_until_killed(to_store(folder, output), f"{SEGMENT}:{function}", count)
    assert any((tmp_path / "out.ome.zarr.unfinished" / "xz").glob("slab_*.npz"))
    assert not output.exists()
    assert run(to_store(folder, output)) == 0
    assert same_as_memory(folder, output)


def test_two_runs_on_one_store(folder, tmp_path, capsys):
    import fcntl

    work = tmp_path / "out.ome.zarr.unfinished"
    work.mkdir()
    with (work / "lock").open("w") as file:
        file.write("process 1 on somewhere")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run(to_store(folder, tmp_path / "out.ome.zarr")) == 2
    assert "is in use by another run (process 1 on somewhere)" in capsys.readouterr().err


def test_missing_chunks_are_counted(folder, tmp_path, capsys):
    source = tmp_path / "in.ome.zarr"
    shutil.copytree(folder / "in.ome.zarr", source)
    for name in ("0/0/0", "1/2/3"):
        (source / "0" / "c" / name).unlink()
    assert run(to_store(folder, tmp_path / "out.ome.zarr", source=source)) == 0
    assert "2 of 32 chunks are not stored; they are read as 0" in " ".join(capsys.readouterr().err.split())
    for file, name in (("out", "in"), ("out_xy", "in_xy")):  # labels, called as their case is
        about = zarr.open_group(tmp_path / f"{file}.ome.zarr", mode="r").attrs["ome"]
        assert about["image-label"] == {}
        assert about["multiscales"][0]["name"] == name


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--memory", "50KB"], "--memory"),
        (["--devices", "2"], "--workers 2"),
        (["--workers", "2", "--output", "folder"], "--workers"),
        (["--input", "."], "is a folder of 1 volume, but a store takes one volume: give --input in.ome.zarr, or"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[0],
)
def test_what_cannot_be_used_is_refused(folder, tmp_path, more, words, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert run(to_store(folder, tmp_path / "out.ome.zarr", *more)) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--memory", "4 parsecs"], "--memory 4 parsecs: must be a size such as 4GB"),
        (["--output", "M.yaml/out.ome.zarr"], "--output M.yaml/out.ome.zarr: is below M.yaml, a file"),
    ],
    ids=["memory", "output"],
)
def test_a_size_that_is_none_and_a_file_as_a_folder_are_refused(folder, tmp_path, capsys, monkeypatch, more, words):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as refused:
        run(to_store(folder, tmp_path / "out.ome.zarr", *more))
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


def test_a_full_disk_keeps_what_is_finished(folder, tmp_path, capsys):
    """A small file system, mounted for this test alone; where that is not allowed there is nothing to test on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=112k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        output = disk / "out.ome.zarr"
        assert run(to_store(folder, output)) == 1
        printed = capsys.readouterr()
        note = " ".join(printed.out.split())
        assert "No space left on device" in note
        assert f"the disk of {disk} is full: " in note
        assert "run the same command again" in note
        assert "Traceback" not in printed.err
        assert any((disk / "out.ome.zarr.unfinished" / "xy").glob("slab_*.npz"))
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert run(to_store(folder, output)) == 0
        assert same_as_memory(folder, output)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_two_processes_one_of_them_killed(folder, tmp_path):
    """Workers of this machine: the result is the same, also if one dies in the middle."""
    output = tmp_path / "out.ome.zarr"
    kill_one = "kill(multiprocessing.active_children()[0].pid)"
    process = start(
        to_store(folder, output, "--workers", "2"), kill_one, f"{WORKERS}:Cluster.submit", 20
    )  # of the second plane
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "is lost; " in err
    assert same_as_memory(folder, output)


@pytest.fixture
def scheduler(tmp_path):
    """Start a scheduler with one worker, and return (the scheduler's process, its address); all end with the test."""
    processes = []

    def begin():
        address = tmp_path / f"scheduler{len(processes)}.json"
        for role in ("scheduler", "worker"):
            more = {
                "scheduler": ["--port", "0", "--host", "127.0.0.1"],
                "worker": ["--nthreads", "1", "--death-timeout", "5", "--local-directory", tmp_path],
            }
            command = [Path(sys.executable).parent / "dask", role, "--scheduler-file", address, "--no-dashboard"]
            process = subprocess.Popen([*command, *more[role]], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
            processes.append(process)
            if role == "scheduler":
                wait_until(lambda: address.exists() and address.read_text().rstrip().endswith("}"), process)
                voxels = json.loads(address.read_text())["address"]
        return processes[-2], voxels

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_scheduler_that_dies_leaves_work_to_go_on_with(folder, tmp_path, scheduler):
    """In processes of their own: what dask leaves open when its scheduler is killed ends with them."""
    output = tmp_path / "out.ome.zarr"
    process, tcp = scheduler()
    client = start(to_store(folder, output, "--scheduler", tcp), f"kill({process.pid})", f"{WORKERS}:Cluster.submit", 8)
    out, err = client.communicate()
    assert client.returncode == 1, out + err
    note = " ".join(out.split())
    assert "the scheduler no longer answers" in note
    assert "run the same command again" in note
    assert "Traceback" not in out + err
    command = [sys.executable, "-m", "planewise", *to_store(folder, output, "--scheduler", scheduler()[1])]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert same_as_memory(folder, output)


def test_stores_are_scored_as_files_are(folder, tmp_path):
    """Evaluation and comparison read OME-Zarr slab by slab; the numbers are those of TIFFs."""
    voxels = open_volume(folder / "memory" / "in.ome.zarr")
    truth = open_volume(folder / "memory" / "in_xy.ome.zarr")
    for kind in ("tiff", "ome.zarr"):
        write_labels(tmp_path / kind / "truth" / f"a.{kind}", truth.with_voxels(truth.read()))
        write_labels(tmp_path / kind / "pred" / f"a.{kind}", voxels.with_voxels(voxels.read()))
        assert run(["mito", "evaluate", str(tmp_path / kind / "pred"), str(tmp_path / kind / "truth")]) == 0
    results = [(tmp_path / kind / "pred" / "evaluation" / RESULTS).read_text() for kind in ("tiff", "ome.zarr")]
    assert results[0] == results[1]
    assert "ok" in results[0]
