"""ild as a user runs it: the commands, on a small phantom, with what goes wrong."""

import csv
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom import write_dicom
from planewise.cli import run
from planewise.data.manifest import MANIFEST
from planewise.data.phantom import write_chest_dataset
from planewise.models import sam2
from planewise.report.class_tables import RESULTS, SUMMARY
from planewise.volumes.files import open_volume
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume
from stopped import ENVIRONMENT

TRAIN = ["--from_scratch", "--image_size", "64", "--epochs", "1", "--batch_size", "4", "--num_workers", "0",
         "--device", "cpu"]  # fmt: skip
PREPARE = ["--min_voxels", "0", "--min_pixels", "0"]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def results(folder):
    with (folder / RESULTS).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A dataset, and everything that ``ild run`` leaves."""
    folder = tmp_path_factory.mktemp("ild")
    write_chest_dataset(folder / "data", 0, (8, 48, 48), train_cases=3)
    code = run(["ild", "run", str(folder / "data"), str(folder / "work"), "--prompts", "truth", *PREPARE, *TRAIN])
    assert code == 0
    return folder


def test_run_leaves_every_stage_s_files(job):
    work = job / "work"
    left = files(work)
    split = json.loads((work / "split.json").read_text())
    assert sorted(split["train"] + split["valid"]) == ["CT_phantom1", "CT_phantom2", "CT_phantom3"]
    assert len(split["valid"]) == 1
    assert split["test"] == ["CT_phantomhealthy", "CT_phantomtest"]
    assert "npz_test/CT_ILD/CT_phantomtest.npz" in left
    assert any(name.startswith("npy/train/imgs/CT_phantom") for name in left)
    for name in ("medsam_model_best.pth", "medsam_model_latest.pth", "hub/model.safetensors", "training/metrics.csv",
                 "training/training_curve.png"):  # fmt: skip
        assert f"MedSAM2-Tiny-ILD/{name}" in left
    segs = work / "segs" / "MedSAM2-Tiny-ILD"
    assert f"evaluation/{SUMMARY}" in files(segs)
    assert {"evaluation/dsc_ground_glass.png", "evaluation/CT_phantomtest.png"} <= set(files(segs))
    assert "boxes from truth (an oracle)" in (segs / "evaluation" / "report.html").read_text()
    rows = results(segs / "evaluation")
    assert [row["name"] for row in rows] == ["ground_glass", "reticulation", "honeycombing"] * 2
    assert {row["prompts"] for row in rows} == {"truth (an oracle)"}
    assert "truth (an oracle)" in (segs / "evaluation" / SUMMARY).read_text()


def test_a_prediction_lies_on_the_file_s_own_grid(job):
    image = open_volume(job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz")
    predicted = open_volume(job / "work" / "segs" / "MedSAM2-Tiny-ILD" / "CT_phantomtest.nii.gz")
    assert predicted.shape == image.shape
    assert predicted.spacing == pytest.approx(image.spacing)
    assert predicted.origin == pytest.approx(image.origin)
    assert np.allclose(predicted.direction, image.direction)
    assert predicted.voxels.dtype == np.uint8


def test_without_test_images_some_patients_are_kept_for_the_test_and_scored(job, tmp_path, capsys):
    shutil.copytree(job / "data", tmp_path / "data", ignore=shutil.ignore_patterns("*Ts"))
    arguments = ["ild", "run", str(tmp_path / "data"), str(tmp_path / "w"), "--prompts", "truth", "--test_share", "0.3"]
    assert run([*arguments, *PREPARE, *TRAIN]) == 0
    (tested,) = json.loads((tmp_path / "w" / "split.json").read_text())["test"]
    rows = results(tmp_path / "w" / "segs" / "MedSAM2-Tiny-ILD" / "evaluation")
    assert {row["case"] for row in rows} == {tested}
    assert "2 true cases have no prediction, and are not scored" in capsys.readouterr().err


def test_unstable_masks_are_replaced_where_that_is_asked_for_and_results_know_it(job, tmp_path, capsys, monkeypatch):
    model = job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"
    patient = job / "work" / "npz_test" / "CT_ILD" / "CT_phantomtest.npz"
    replaced = []
    monkeypatch.setattr(sam2, "stable_masks", lambda masks, ious: replaced.append(1) or masks[:, :, 1])

    def predict(name, *more):
        words = ("--trained_model", str(model), "--prompts", "truth", "--device", "cpu")
        return run(["ild", "predict", str(patient), str(tmp_path / name), *words, *more])

    assert predict("kept") == 0
    assert replaced == []
    assert predict("replaced", "--stability_fallback") == 0
    assert replaced
    capsys.readouterr()
    assert predict("kept", "--stability_fallback") == 2
    assert "--stability_fallback not given -> given" in capsys.readouterr().err


def test_the_model_s_card_says_how_it_came_about(job):
    folder = job / "work" / "MedSAM2-Tiny-ILD"
    trained = torch.load(folder / "medsam_model_best.pth", weights_only=True)["trained"]
    card = (folder / "hub" / "README.md").read_text()
    assert trained["base"] == "random weights"
    rows = {"data": "dataset", "finished": "date", "step": "step", "planewise": "planewise", "on": "validated_on"}
    for row, key in rows.items():
        assert f"| {row} | {trained[key]} |" in card


@pytest.mark.slow
def test_two_processes_give_the_same_volumes(job, tmp_path):
    prepared = job / "work" / "npz_train" / "CT_ILD"
    model = job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"
    shutil.copytree(prepared, tmp_path / "in")
    (tmp_path / "in" / "bad.npz").write_bytes(b"no archive")
    for devices in ("1", "2"):
        code = run(["ild", "predict", str(tmp_path / "in"), str(tmp_path / devices), "--trained_model", str(model),
                    "--prompts", "truth", "--device", "cpu", "--devices", devices])  # fmt: skip
        assert code == 1
    names = [path.name for path in (tmp_path / "1").glob("*.nii.gz")]
    assert len(names) == 2
    for name in names:
        assert np.array_equal(open_volume(tmp_path / "1" / name).read(), open_volume(tmp_path / "2" / name).read())


def test_the_model_is_in_the_published_form(job):
    content = torch.load(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth", weights_only=True)
    assert all(key.startswith("sam2_model.") for key in content["model"])
    assert "sam2_model.image_encoder.trunk.patch_embed.proj.weight" in content["model"]


def test_predicting_volumes_gives_what_predicting_prepared_patients_gives(job, tmp_path):
    model = job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"
    code = run(["ild", "predict", str(job / "data" / "imagesTs"), str(tmp_path), "--trained_model", str(model),
                "--truth", str(job / "data" / "labelsTs"), "--device", "cpu", "--visualize"])  # fmt: skip
    assert code == 0
    a = read_labels(tmp_path / "CT_phantomtest.nii.gz").read()
    b = read_labels(job / "work" / "segs" / "MedSAM2-Tiny-ILD" / "CT_phantomtest.nii.gz").read()
    assert np.array_equal(a, b)
    assert (tmp_path / "CT_phantomtest.png").exists()


def test_two_files_for_one_patient_are_refused_and_the_others_predicted(job, tmp_path, capsys):
    model = job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"
    source = job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz"
    (tmp_path / "in").mkdir()
    for name in ("PAT_0001", "PAT_0002", "CT_phantomtest_0000"):
        shutil.copy(source, tmp_path / "in" / f"{name}.nii.gz")
    command = ["ild", "predict", str(tmp_path / "in"), str(tmp_path / "out"), "--trained_model", str(model),
               "--truth", str(job / "data" / "labelsTs"), "--device", "cpu"]  # fmt: skip
    assert run(command) == 1
    assert "PAT_0001.nii.gz,PAT_0002.nii.gz" in "".join(capsys.readouterr().out.split())  # a table folds long names
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["CT_phantomtest.nii.gz"]


def test_boxes_from_a_file_and_a_second_run(job, tmp_path, capsys):
    model = str(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "case,class,slice,x0,y0,x1,y1\nCT_phantomtest,reticulation,3,5,20,20,40\nCT_phantomtest,2,99,5,20,20,40\n"
    )
    arguments = ["ild", "predict", str(job / "work" / "npz_test" / "CT_ILD"), str(tmp_path / "out"), "--trained_model",
                 model, "--prompts", str(boxes), "--device", "cpu"]  # fmt: skip
    assert run(arguments) == 1
    out = capsys.readouterr()
    assert "line 3" in out.out
    assert set(np.unique(read_labels(tmp_path / "out" / "CT_phantomtest.nii.gz").read())) <= {0, 2}
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["options"]["prompts"] == str(boxes)
    run(arguments)
    assert "done already" in capsys.readouterr().err


def test_the_model_before_fine_tuning_goes_the_same_way(job, tmp_path):
    base = str(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_latest.pth")
    code = run(["ild", "predict", str(job / "work" / "npz_test" / "CT_ILD"), str(tmp_path), "--trained_model", "none",
                "--base", base, "--device", "cpu"])  # fmt: skip
    assert code == 0
    assert (tmp_path / "CT_phantomtest.nii.gz").exists()


def test_evaluate_reads_the_written_predictions(job, tmp_path, capsys):
    truth = job / "data" / "labelsTs"
    shutil.copytree(truth, tmp_path / "copy")
    assert run(["ild", "evaluate", str(tmp_path / "copy"), str(truth)]) == 0
    assert {row["dsc"] for row in results(tmp_path / "copy" / "evaluation")} == {"1.000000", ""}
    (tmp_path / "copy" / "CT_phantomhealthy.nii.gz").rename(tmp_path / "healthy.nii.gz")
    assert run(["ild", "evaluate", str(tmp_path / "copy"), str(truth)]) == 1
    assert "counted as an empty prediction" in " ".join(capsys.readouterr().out.split())
    volume = open_volume(truth / "CT_phantomtest.nii.gz")
    write_labels(tmp_path / "zero" / "CT_phantomtest.nii.gz", volume.with_voxels(np.zeros(volume.shape, np.uint8)))
    shutil.move(tmp_path / "healthy.nii.gz", tmp_path / "zero" / "CT_phantomhealthy.nii.gz")
    assert run(["ild", "evaluate", str(tmp_path / "zero"), str(truth)]) == 0
    assert {row["dsc"] for row in results(tmp_path / "zero" / "evaluation")} == {"0.000000", ""}
    (tmp_path / "zero" / "CT_phantomtest.nii.gz").write_bytes(b"torn")
    assert run(["ild", "evaluate", str(tmp_path / "zero"), str(truth)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_scans_of_one_patient_are_averaged_before_patients_are(tmp_path, capsys):
    labels = np.zeros((4, 10, 20), np.uint8)
    labels[1:3, :, :10] = 1
    for case, width in (("P00_scan1", 10), ("P00_scan2", 0), ("P01", 10)):
        write_labels(tmp_path / "labelsTs" / f"{case}.nii.gz", Volume(labels, unit="mm"))
        predicted = labels * (np.arange(20) < width)
        write_labels(tmp_path / "segs" / f"{case}.nii.gz", Volume(predicted, unit="mm"))
    command = ["ild", "evaluate", str(tmp_path / "segs"), str(tmp_path / "labelsTs")]
    assert run(command) == 0
    printed = capsys.readouterr()
    assert "The 3 cases are of 2 patients" in printed.err
    assert "Mean over patients" in printed.out
    assert re.search(r"class 1\s+0.750 .*2 patients \(3 cases\)", printed.out)
    folder = tmp_path / "segs" / "evaluation"
    summary = (folder / SUMMARY).read_text()
    assert "3 cases of 2 patients, whose means are averaged" in summary
    assert re.search(r"Dice in 3D +0.7500   n = 2 patients \(3 cases\)", summary)
    assert [row["patient"] for row in results(folder)] == ["P00", "P00", "P01"]
    assert "2 patients (3 cases)" in (folder / "report.html").read_text()
    assert run([*command, "--patient_pattern", "(.*)"]) == 0
    assert re.search(r"Dice in 3D +0.6667   n = 3\n", (folder / SUMMARY).read_text())


def test_ground_glass_in_the_old_window_is_warned_of(job, tmp_path, capsys):
    arguments = ["ild", "prepare", str(job / "data"), str(tmp_path), "--window", "soft-tissue", "--num_workers", "0"]
    assert run([*arguments, *PREPARE]) == 0
    err = capsys.readouterr().err
    assert "WARNING: ground_glass" in err
    assert run(["ild", "prepare", str(job / "data"), str(tmp_path), "--window_level", "40"]) == 2


def test_a_patient_is_never_on_two_sides(job, tmp_path, capsys):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["CT_phantom1"], "valid": ["CT_phantom2"], "test": ["CT_phantomtest"]}))
    arguments = ["ild", "prepare", str(job / "data"), str(tmp_path / "w"), "--num_workers", "0", "--split", str(split)]
    assert run(arguments) == 0
    assert json.loads((tmp_path / "w" / "split.json").read_text())["valid"] == ["CT_phantom2"]
    assert run([*arguments, "--patient_pattern", "CT_phantom"]) == 2
    assert "each must be in one part" in capsys.readouterr().err
    split.write_text(json.dumps({"train": ["nobody"]}))
    assert run(arguments) == 2


def test_voxels_on_two_sides_of_the_split_are_said(job, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(job / "data", data)
    shutil.copy(data / "imagesTr" / "CT_phantom2_0000.nii.gz", data / "imagesTs" / "CT_phantomtest_0000.nii.gz")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["CT_phantom1"], "valid": ["CT_phantom2"], "test": ["CT_phantomtest"]}))
    arguments = ["ild", "prepare", str(data), str(tmp_path / "w"), "--num_workers", "0", "--split", str(split)]
    assert run([*arguments, *PREPARE]) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("WARNING: test case"))
    assert "100 % of its voxels (18,432) are those of validation case CT_phantom2 at an offset of (0, 0, 0)" in line
    assert run(["ild", "prepare", str(job / "data"), str(tmp_path / "w2"), "--num_workers", "0", *PREPARE]) == 0
    assert "are those of" not in capsys.readouterr().err


def test_a_bad_patient_is_a_row_and_the_others_are_done(job, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(job / "data", data)
    path = data / "imagesTr" / "CT_phantom2_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    assert run(["ild", "prepare", str(data), str(tmp_path / "w"), "--num_workers", "0", *PREPARE]) == 1
    out = "".join(capsys.readouterr().out.split())  # a table folds long names
    assert "CT_phantom2_0000.nii.gz" in out
    assert "isthefilecomplete?" in out
    assert len(list((tmp_path / "w").rglob("*.npz"))) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ild", "train", "{d}"], "--base"),
        (["ild", "train", "{d}", "--from_scratch"], "ild prepare"),
        (["ild", "train", "{d}", "--base", "{d}/none.pt"], "none.pt: no such file"),
        (["ild", "predict", "{d}/none", "{d}/o", "--base", "x.pt"], "none: no such file"),
        (["ild", "predict", "{d}", "{d}/o"], "--base"),
        (["ild", "prepare", "{d}", "{d}/w"], "dataset.json"),
        (["ild", "run", "{d}", "{d}/w", "--base", "none.pt"], "--base none.pt"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_used_is_refused(tmp_path, arguments, words, capsys):
    assert run([argument.format(d=tmp_path) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_a_dataset_of_dicom_series(job, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(job / "data" / "labelsTr", data / "labelsTr")
    meta = json.loads((job / "data" / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**meta, "file_ending": ".dcm"}))
    for number in (1, 3):  # those that are stored as DICOM is read
        voxels = open_volume(job / "data" / "imagesTr" / f"CT_phantom{number}_0000.nii.gz").read()
        write_dicom(data / "imagesTr" / f"CT_phantom{number}", voxels)
    series = open_volume(data / "imagesTr" / "CT_phantom3")
    assert np.array_equal(series.read(), voxels)
    assert series.spacing == pytest.approx((5, 2.5, 2.5))
    code = run(["ild", "prepare", str(data), str(tmp_path / "dicom"), "--num_workers", "0", *PREPARE])
    assert code == 1  # the second case has labels and no series: a row
    run(["ild", "prepare", str(job / "data"), str(tmp_path / "nifti"), "--num_workers", "0", *PREPARE])
    for number in (1, 3):
        patients = [next((tmp_path / kind).rglob(f"CT_phantom{number}.npz")) for kind in ("dicom", "nifti")]
        with np.load(patients[0]) as a, np.load(patients[1]) as b:
            assert np.array_equal(a["imgs"], b["imgs"])
            assert np.array_equal(a["gts"], b["gts"])


def test_training_goes_on_and_runs_in_half_precision_with_checkpointing(job, tmp_path):
    shutil.copytree(job / "work" / "npy", tmp_path / "npy")
    arguments = ["ild", "train", str(tmp_path), *TRAIN, "--precision", "bf16", "--gradient_checkpointing"]
    assert run(arguments) == 0
    assert run(arguments) == 2  # a model is there
    assert run([*arguments, "--resume"]) == 0


@pytest.mark.slow
def test_two_nodes_train_one_model(job, tmp_path):
    """As a batch system starts them: the same command on each, here on one machine."""
    shutil.copytree(job / "work" / "npy", tmp_path / "npy")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [Path(sys.executable).parent / "torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--master-addr",
             "127.0.0.1", "--master-port", str(port)]  # fmt: skip
    command = ["-m", "planewise", "ild", "train", tmp_path, *TRAIN, "--num_nodes", "2"]
    nodes = [subprocess.Popen([*start, "--node-rank", str(rank), *command], env=ENVIRONMENT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) for rank in (0, 1)]  # fmt: skip
    message = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(message)
    folder = tmp_path / "MedSAM2-Tiny-ILD"
    assert (folder / "medsam_model_best.pth").exists()
    assert ["The model is" in text for text in message] == [True, False]
