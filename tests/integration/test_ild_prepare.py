"""ild prepare as a user runs it, again and again in one folder: whose slices lie there, made from what."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from planewise.apps.ild import prepare
from planewise.apps.ild.prepared_folder import record_of_slices
from planewise.cli import run
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, read_manifest, write_manifest
from planewise.data.phantom import write_chest_dataset
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.volumes.files import open_volume, write_volume

TRAIN = ["--from_scratch", "--image_size", "64", "--epochs", "1", "--batch_size", "8", "--num_workers", "0",
         "--device", "cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    write_chest_dataset(folder, 0, (5, 32, 32), train_cases=4)
    return folder


@pytest.fixture
def data(phantoms, tmp_path):
    """Four training cases and two test cases, P0 to P3 and T0 and T1."""
    return renamed(phantoms, tmp_path / "data", ["P0", "P1", "P2", "P3"], ["T0", "T1"])


def renamed(phantoms, folder, train, tests):
    shutil.copytree(phantoms, folder)
    for split, names in (("Tr", train), ("Ts", tests)):
        old = sorted(path.name.split(".")[0] for path in (folder / f"labels{split}").iterdir())
        for was, name in zip(old, names):
            (folder / f"labels{split}" / f"{was}.nii.gz").rename(folder / f"labels{split}" / f"{name}.nii.gz")
            image = folder / f"images{split}" / f"{was}_0000.nii.gz"
            image.rename(image.with_name(f"{name}_0000.nii.gz"))
        for was in old[len(names) :]:
            (folder / f"labels{split}" / f"{was}.nii.gz").unlink()
            (folder / f"images{split}" / f"{was}_0000.nii.gz").unlink()
    return folder


def prepare_ild(data, work, *options):
    return run(["ild", "prepare", str(data), str(work), "--num_workers", "0", "--min_voxels", "0", "--min_pixels", "0",
                *options])  # fmt: skip


def sides(work):
    """Return the parts of each case that has a file or a slice, of the files themselves."""
    result = {}
    for path in work.rglob("np*/**/*"):
        if path.suffix == ".npz":
            result.setdefault(path.stem, set()).add(path.parts[-3].removeprefix("npz_"))
        elif path.suffix == ".npy":
            result.setdefault(path.stem.rpartition("-")[0], set()).add(path.parts[-3])
    return result


def content(work):
    return {path.relative_to(work): (path.read_bytes(), path.stat().st_mtime_ns) for path in work.rglob("*.np*")
            if path.is_file()}  # fmt: skip


def begun(work):
    """Return the cases that the manifest calls begun: files that have no fingerprint."""
    return {case for case, record in read_manifest(work / MANIFEST).cases.items() if not all(record.outputs.values())}


def split_file(folder, **parts):
    path = folder / "asked.json"
    path.write_text(json.dumps(parts))
    return ["--split", str(path)]


def test_patients_and_split_are_printed_and_written_before_any_work(phantoms, tmp_path, capsys, monkeypatch):
    data = renamed(phantoms, tmp_path / "data", ["P0_scan1", "P0_scan2", "P1_scan1"], ["T_a"])
    work = tmp_path / "work"
    seen = []

    def stop(case, *_):
        seen.append((capsys.readouterr().out, json.loads((work / "split.json").read_text()),
                     json.loads((work / "patients.json").read_text()), list(work.rglob("*.np*/*"))))  # fmt: skip
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "_prepare_case", stop)
    assert prepare_ild(data, work) == 130
    printed, split, patients, written = seen[0]
    assert patients == {"P0_scan1": "P0", "P0_scan2": "P0", "P1_scan1": "P1", "T_a": "T_a"}
    assert {"P0_scan1", "P0_scan2"} in (set(split["train"]), set(split["valid"]))
    assert "P0_scan1, P0_scan2" in printed
    assert not written


def test_names_that_do_not_settle_it_are_refused_and_the_options_settle_it(phantoms, tmp_path, capsys):
    data = renamed(phantoms, tmp_path / "data", ["P00_a", "P00_b", "P01_a"], ["P02_a"])
    work = tmp_path / "work"
    assert prepare_ild(data, work) == 2
    err = capsys.readouterr().err
    assert "P00_a, P00_b" in err
    assert "--patient_pattern" in err
    assert "--patients FILE" in err
    assert not work.exists()
    assert prepare_ild(data, work, "--patient_pattern", "(") == 2
    assert "--patient_pattern (" in capsys.readouterr().err
    table = tmp_path / "who.csv"
    table.write_text("case,patient\nP00_a,anna\nP00_b,anna\nP01_a,bob\n")
    assert prepare_ild(data, work, "--patients", str(table)) == 2
    assert "no patient for P02_a" in capsys.readouterr().err
    assert not work.exists()
    with table.open("a") as file:
        file.write("P02_a,carl\n")
    assert prepare_ild(data, work, "--patients", str(table)) == 0
    assert json.loads((work / "patients.json").read_text())["P00_b"] == "anna"
    assert prepare_ild(data, work, "--patients", str(work / "patients.json")) == 0
    assert "prepared already" in capsys.readouterr().err
    assert prepare_ild(data, work, "--patient_pattern", r"^(P\d+)") == 0  # other names, and the same split
    assert "prepared already" in capsys.readouterr().err


def test_a_truth_that_is_a_prediction_nobody_reviewed_is_warned_of(data, tmp_path, capsys):
    truths = data / "labelsTr"
    record = CaseRecord({"/scans/P0": "1"}, {"P0.nii.gz": fingerprint(truths / "P0.nii.gz")})
    write_manifest(truths / MANIFEST, Manifest(MadeFrom({"command": "ild predict"}, {}), "m.pth", {"P0": record}))
    assert prepare_ild(data, tmp_path / "work", *split_file(tmp_path, train=5)) == 2  # before any work
    assert f"WARNING: {truths}: P0.nii.gz: predicted by planewise ild predict with m.pth" in capsys.readouterr().err


@pytest.mark.parametrize("parts", [{"train": 5}, {"train": []}, {"train": None}, {"train": ["P0"], "test": ["P0"]}])
def test_a_bad_split_is_refused_before_anything_is_prepared(data, tmp_path, parts, capsys):
    assert prepare_ild(data, tmp_path / "work", *split_file(tmp_path, **parts)) == 2
    assert "--split" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_the_same_again_does_no_work(data, tmp_path, capsys, monkeypatch):
    work = tmp_path / "work"
    assert prepare_ild(data, work) == 0
    before = content(work)
    capsys.readouterr()
    monkeypatch.setattr(prepare, "_prepare_case", None)
    assert prepare_ild(data, work) == 0
    assert "it is prepared already" in capsys.readouterr().err
    assert content(work) == before


def test_another_split_leaves_nobody_on_two_sides_and_touches_nothing_else(data, tmp_path, capsys):
    work = tmp_path / "work"
    first = split_file(tmp_path, train=["P0", "P1"], valid=["P2"], test=["T0"])
    assert prepare_ild(data, work, *first, "--save_nii") == 0
    for path in ("notes.txt", "npy/train/notes.txt", "npz_train/CT_ILD/mine.csv", "MedSAM2-Tiny-ILD/model.pth"):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text("mine")
    capsys.readouterr()
    second = split_file(tmp_path, train=["P2"], valid=["P0"], test=["T1", "P3"])
    assert prepare_ild(data, work, *second) == 0
    assert "another split" in capsys.readouterr().err
    assert sides(work) == {"P2": {"train"}, "P0": {"valid"}, "T1": {"test"}, "P3": {"test"}}
    assert not list(work.rglob("*.nii.gz"))
    for path in ("notes.txt", "npy/train/notes.txt", "npz_train/CT_ILD/mine.csv", "MedSAM2-Tiny-ILD/model.pth"):
        assert (work / path).read_text() == "mine"
    assert run(["ild", "train", str(work), *TRAIN]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--window", "soft-tissue"], "window: -600.0 1500.0 -> 40.0 400.0"),
        (["--slices", "labelled"], "slices: both -> labelled"),
        (["--min_pixels", "40"], "min_pixels: 0 -> 40"),
    ],
)
def test_other_options_give_exactly_what_a_new_folder_gets(data, tmp_path, options, message, capsys):
    assert prepare_ild(data, tmp_path / "again") == 0
    assert prepare_ild(data, tmp_path / "again", *options) == 0
    assert message in capsys.readouterr().err
    assert prepare_ild(data, tmp_path / "new", *options) == 0
    again, new = ({path: bytes_ for path, (bytes_, _) in content(tmp_path / name).items()} for name in ("again", "new"))
    assert again.keys() == new.keys()
    slices = [path for path in new if path.suffix == ".npy"]
    assert all(again[path] == new[path] for path in slices)
    assert slices


def test_changed_data_are_prepared_again_and_patients_that_are_gone_go(data, tmp_path, capsys):
    work = tmp_path / "work"
    assert prepare_ild(data, work) == 0
    image = data / "imagesTr" / "P1_0000.nii.gz"
    volume = open_volume(image)
    voxels = np.array(volume.read())
    voxels[0, 0, 0] += 100
    write_volume(image, volume.with_voxels(voxels))
    for path in (data / "imagesTr" / "P2_0000.nii.gz", data / "labelsTr" / "P2.nii.gz"):
        path.unlink()
    capsys.readouterr()
    assert prepare_ild(data, work) == 0
    err = capsys.readouterr().err
    assert "data changed: P1" in err
    assert "data gone: P2, P2 (truth)" in err
    assert "P2" not in sides(work)


def test_a_killed_prepare_is_not_trained_on_and_goes_on_where_it_stopped(data, tmp_path, capsys, monkeypatch):
    work = tmp_path / "work"
    real = prepare._prepare_case
    split = split_file(tmp_path, train=["P0", "P1"], valid=["P2"], test=["T0"])

    def killed(case, *rest):
        if case.name == "P1":
            real(case, *rest)  # its files are written, and nobody has heard of it
            raise KeyboardInterrupt
        return real(case, *rest)

    monkeypatch.setattr(prepare, "_prepare_case", killed)
    assert prepare_ild(data, work, *split) == 130
    assert begun(work) == {"P1", "P2", "T0"}
    assert run(["ild", "train", str(work), *TRAIN]) == 2
    assert "not all of its patients are prepared; let planewise ild prepare" in capsys.readouterr().err

    done = []
    monkeypatch.setattr(prepare, "_prepare_case", lambda case, *rest: (done.append(case.name), real(case, *rest))[1])
    assert prepare_ild(data, work, *split) == 0
    assert "1 of 4 cases are prepared already" in capsys.readouterr().err
    assert done == ["P1", "P2", "T0"]
    assert sides(work) == {"P0": {"train"}, "P1": {"train"}, "P2": {"valid"}, "T0": {"test"}}

    monkeypatch.setattr(prepare, "_prepare_case", killed)
    other = split_file(tmp_path, train=["P1"], valid=["P0"], test=["T0"])
    assert prepare_ild(data, work, *other) == 130
    monkeypatch.setattr(prepare, "_prepare_case", real)
    other = split_file(tmp_path, train=["P2"], valid=["P1"], test=["T0"])
    assert prepare_ild(data, work, *other) == 0
    assert sides(work) == {"P2": {"train"}, "P1": {"valid"}, "T0": {"test"}}


@pytest.mark.slow
def test_nothing_is_written_after_a_kill_and_the_next_run_replaces_what_was(data, tmp_path):
    arguments = ["ild", "prepare", str(data), str(tmp_path / "work"), "--num_workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", "planewise", *arguments], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    journal = tmp_path / "work" / MANIFEST
    workers = []
    while len(workers) < 2 and process.poll() is None:
        workers = psutil.Process(process.pid).children(recursive=True) if journal.exists() else []
        time.sleep(0.01)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert len(workers) >= 2
    assert not alive
    assert begun(tmp_path / "work")
    for name in ("work", "new"):
        assert prepare_ild(data, tmp_path / name, "--window", "soft-tissue") == 0
    again, new = ({path: bytes_ for path, (bytes_, _) in content(tmp_path / name).items()} for name in ("work", "new"))
    assert again.keys() == new.keys()
    assert all(again[path] == new[path] for path in new if path.suffix == ".npy")


def test_a_case_that_failed_is_tried_again_and_the_others_are_kept(data, tmp_path, capsys):
    work = tmp_path / "work"
    image = data / "imagesTr" / "P1_0000.nii.gz"
    whole = image.read_bytes()
    image.write_bytes(whole[:-200])
    assert prepare_ild(data, work) == 1
    printed = capsys.readouterr()
    assert printed.out.count("P1_0000.nii.gz") == 1  # when it is found, and only counted at the end
    assert printed.err.splitlines()[-1] == "1 problem in all"
    assert "P1" not in sides(work)
    assert run(["ild", "train", str(work), *TRAIN]) == 0
    assert prepare_ild(data, work) == 1
    assert "5 of 6 cases are prepared already" in capsys.readouterr().err
    image.write_bytes(whole)
    assert prepare_ild(data, work) == 0
    assert set(sides(work)) == {"P0", "P1", "P2", "P3", "T0", "T1"}


def test_slices_that_are_not_as_recorded_are_not_trained_on(data, tmp_path, capsys):
    work = tmp_path / "work"
    split = split_file(tmp_path, train=["P0", "P1"], valid=["P2"], test=["T0"])
    assert prepare_ild(data, work, *split) == 0
    images = work / "npy" / "train" / "imgs"
    (images / "P0-001.npy").rename(tmp_path / "kept.npy")
    assert run(["ild", "train", str(work), *TRAIN]) == 2
    assert "1 files are missing" in capsys.readouterr().err
    assert prepare_ild(data, work, *split) == 0  # which repairs it
    shutil.copy(images / "P0-001.npy", images / "P9-001.npy")
    assert run(["ild", "train", str(work), *TRAIN]) == 2
    assert "1 files do not belong there" in capsys.readouterr().err
    assert prepare_ild(data, work, *split) == 2
    assert "P9-001.npy" in capsys.readouterr().err
    (images / "P9-001.npy").unlink()
    assert run(["ild", "train", str(work), *TRAIN]) == 0


def test_a_training_is_resumed_on_its_slices_only(data, tmp_path, capsys):
    work = tmp_path / "work"
    assert prepare_ild(data, work) == 0
    assert run(["ild", "train", str(work), *TRAIN]) == 0
    key = record_of_slices(work / "npy").made_from.key
    assert json.loads((work / "MedSAM2-Tiny-ILD" / "training" / "prepared.json").read_text())["key"] == key
    assert run(["ild", "train", str(work), *TRAIN, "--resume"]) == 0
    assert prepare_ild(data, work, "--seed", "1") == 0
    assert run(["ild", "train", str(work), *TRAIN, "--resume"]) == 2
    assert "was trained on other slices" in capsys.readouterr().err
    run_again = ["ild", "run", str(data), str(work), "--seed", "1", "--min_voxels", "0", "--min_pixels", "0", *TRAIN]
    assert run([*run_again, "--resume"]) == 2  # its model may have seen who is tested now
    assert "was trained on other slices" in capsys.readouterr().err


def test_a_file_that_an_option_names_and_is_not_there_is_refused_before_any_work(data, tmp_path, capsys):
    work, nothing = tmp_path / "work", tmp_path / "nothing"
    assert prepare_ild(data, work, "--lungs", str(nothing)) == 2
    assert f"--lungs {nothing}: no such file or folder" in capsys.readouterr().err
    predict = ["ild", "predict", str(data / "imagesTr"), str(work), "--base", "sam2_hiera_tiny"]
    for option in ("--lungs", "--truth", "--codes"):
        assert run([*predict, option, str(nothing)]) == 2
        assert f"{option} {nothing}: no such file or folder" in capsys.readouterr().err
    assert run(["ild", "train", str(work), "--from_scratch"]) == 2
    assert f"{work}: no such folder; planewise ild prepare makes the slices" in capsys.readouterr().err
    work.mkdir()
    assert run(["ild", "train", str(work), "--from_scratch"]) == 2
    assert f"{work / 'npy'}: no such folder of slices; run planewise ild prepare" in capsys.readouterr().err
    work.rmdir()
    assert run(["check", str(data), "--patients", str(nothing)]) == 2
    assert f"--patients {nothing}: no such file or folder" in capsys.readouterr().err
    assert not work.exists()


def test_patients_without_a_record_are_not_mixed_with_others(data, tmp_path, capsys):
    work = tmp_path / "work"
    assert prepare_ild(data, work) == 0
    (work / MANIFEST).unlink()  # as an older version left it
    assert run(["ild", "train", str(work), *TRAIN]) == 0
    assert "no record of what its slices were made from: they are used as they are" in capsys.readouterr().err
    before = content(work)
    assert prepare_ild(data, work, "--seed", "1") == 2
    assert "that its manifest does not name" in capsys.readouterr().err
    assert content(work) == before


def test_npz_to_npy_makes_what_prepare_made_and_says_what_is_stale(data, tmp_path, capsys):
    work = tmp_path / "work"
    split = split_file(tmp_path, train=["P0", "P1"], valid=["P2"], test=["T0"])
    assert prepare_ild(data, work, *split) == 0
    folders = [work / f"npz_{part}" / "CT_ILD" for part in ("train", "valid")]
    assert prepare.slices_from_npz(*folders, tmp_path / "published") == 0
    ours, theirs = (
        {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*.npy")}
        for folder in (work / "npy", tmp_path / "published")
    )
    assert ours == theirs
    assert run(["ild", "train", str(tmp_path / "model"), "--npy_path", str(tmp_path / "published"), *TRAIN]) == 0
    assert "has no record" in capsys.readouterr().err
    assert prepare.slices_from_npz(folders[1], folders[0], tmp_path / "published") == 1  # the sides exchanged
    assert "P0-000.npy" in capsys.readouterr().out


def test_a_name_in_imagestr_and_imagests_is_tested_and_a_split_may_not_name_it(phantoms, tmp_path, capsys):
    data = renamed(phantoms, tmp_path / "data", ["P0", "P1", "P2"], ["P0"])
    assert prepare_ild(data, tmp_path / "work") == 0
    assert "1 training cases are of patients in the test part, and left out: P0" in capsys.readouterr().err
    assert sides(tmp_path / "work")["P0"] == {"test"}
    asked = split_file(tmp_path, train=["P0"], valid=["P1"])
    assert prepare_ild(data, tmp_path / "other", *asked) == 2
    assert "imagesTr and imagesTs both have P0" in capsys.readouterr().err


def test_nobody_to_train_on_is_refused(phantoms, tmp_path, capsys):
    data = renamed(phantoms, tmp_path / "data", ["P0_scan1", "P0_scan2"], ["P0_scan3"])
    assert prepare_ild(data, tmp_path / "work") == 2
    assert "every patient of imagesTr is tested" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_a_folder_with_results_of_another_command_is_refused(data, tmp_path, capsys):
    work = tmp_path / "work"
    work.mkdir()
    write_manifest(work / MANIFEST, Manifest(MadeFrom({"command": "ild predict"}, {}), "", {}))
    assert prepare_ild(data, work) == 2
    assert f"{work}: holds results of planewise ild predict; give another work_dir" in capsys.readouterr().err
    assert [path.name for path in work.iterdir()] == [MANIFEST]


@pytest.mark.parametrize("options", [(), ("--seed", "1")])
def test_patients_that_were_edited_are_kept(data, tmp_path, capsys, options):
    work = tmp_path / "work"
    split = split_file(tmp_path, train=["P0", "P1"], valid=["P2"], test=["T0"])
    assert prepare_ild(data, work, *split) == 0
    path = work / "npz_test" / "CT_ILD" / "T0.npz"
    with np.load(path) as file:
        fields = dict(file)
    np.savez_compressed(path, **(fields | {"imgs": fields["imgs"] // 2}))
    before = content(work)
    assert prepare_ild(data, work, *split, *options) == 2
    assert "T0.npz: was changed after it was made, and is kept" in capsys.readouterr().err
    assert content(work) == before


def test_only_the_patient_that_changed_is_prepared_again(data, tmp_path, monkeypatch):
    work = tmp_path / "work"
    split = split_file(tmp_path, train=["P0", "P1"], valid=["P2"], test=["T0"])
    assert prepare_ild(data, work, *split) == 0
    image = data / "imagesTr" / "P1_0000.nii.gz"
    volume = open_volume(image)
    write_volume(image, volume.with_voxels(np.asarray(volume.read()) + 100))
    real, done = prepare._prepare_case, []
    monkeypatch.setattr(prepare, "_prepare_case", lambda case, *rest: (done.append(case.name), real(case, *rest))[1])
    assert prepare_ild(data, work, *split) == 0
    assert done == ["P1"]
    assert run(["ild", "train", str(work), *TRAIN]) == 0


@pytest.mark.parametrize("name", ["npy/train/gts/P0-999.npy", "npz_train/CT_ILD/P0_img.nii.gz"])
def test_somebodys_file_that_is_called_as_a_patients_is_kept(data, tmp_path, capsys, name):
    """Beside patients that are done, and where none is yet."""
    work, split = tmp_path / "work", split_file(tmp_path, train=["P0"], valid=["P1"], test=["T0"])
    path = work / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert prepare_ild(data, work, *split, "--save_nii") == 2
    path.rename(tmp_path / "aside")
    assert prepare_ild(data, work, *split) == 0
    (tmp_path / "aside").rename(path)
    assert prepare_ild(data, work, *split, "--seed", "3", "--save_nii") == 2
    assert f"does not name ({name})" in capsys.readouterr().err
    assert path.read_text() == "mine"
