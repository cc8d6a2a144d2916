"""mito as a user runs it: the commands, on a small phantom, with everything that goes wrong."""

import csv
import json
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch

from planewise.cli import run
from planewise.compat.scripts import run_script
from planewise.data.manifest import MANIFEST
from planewise.data.phantom import write_phantom_dataset
from planewise.report.tables import RESULTS, SUMMARY
from planewise.training.checkpoint import load_checkpoint
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import read_labels
from planewise.volumes.volume import Volume
from stopped import ENVIRONMENT, run_until_killed, start

SMALL = ["--model_config", "MitoNet_small.yaml", "--from_scratch", "--patch_size", "64", "--batch_size", "2",
         "--num_workers", "0", "--device", "cpu"]  # fmt: skip


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def same_results(one, other):
    """Whether two folders of results hold the same: volumes by their voxels, tables by their text."""
    assert files(one) == files(other)
    for name in set(files(one)) - {MANIFEST}:
        if name.endswith(".csv"):
            assert (one / name).read_text() == (other / name).read_text()
        else:
            assert np.array_equal(open_volume(one / name).read(), open_volume(other / name).read())
    return True


def results(folder):
    with (folder / RESULTS).open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def make_dataset(folder, train_cases=1):
    write_phantom_dataset(folder, 0, (32, 64, 72), (24, 40, 56), train_cases, bodies=8)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset and a model that has seen little of it, made by the original command line."""
    folder = tmp_path_factory.mktemp("mito")
    dataset = make_dataset(folder / "Dataset001_Phantom", train_cases=2)
    words = [str(dataset), str(folder / "models"), "--model_name", "M", "--iterations", "4",
             "--test_after_training", "--test_axes", "xy", "xz", "yz", *SMALL]  # fmt: skip
    assert run_script("mitoNet_finetune_from_nnunet", words) == 0
    return folder


def test_training_leaves_the_documented_files(trained):
    dataset = trained / "Dataset001_Phantom"
    assert files(dataset / "imagesTs_mitoNet_FT") == [
        f"evaluation/{RESULTS}",
        f"evaluation/{SUMMARY}",
        "evaluation/objects.csv",
        "evaluation/planewise_scores.json",
        "evaluation/report.html",
        "evaluation/results.csv",
        "evaluation/results.json",
        "phantom_test1.tiff",
        "phantom_test1_objects.csv",
        "phantom_test1_xy.tiff",
        "phantom_test1_xz.tiff",
        "phantom_test1_yz.tiff",
        MANIFEST,
    ]
    assert files(trained / "models") == [
        "M.pth",
        "M.yaml",
        "M_training/best.ckpt",
        "M_training/last.ckpt",
        "M_training/metrics.csv",
        "M_training/phantom_test1.png",
        "M_training/prepared.json",
        "M_training/training_curve.png",
    ]
    assert results(dataset / "imagesTs_mitoNet_FT" / "evaluation")["phantom_test1"]["status"] == "ok"
    predicted = open_volume(dataset / "imagesTs_mitoNet_FT" / "phantom_test1.tiff")
    assert predicted.spacing == (8, 8, 8)
    assert predicted.unit == "nm"
    assert predicted.shape == (24, 40, 56)


def test_the_model_is_in_the_published_form(trained):
    scripted = torch.jit.load(trained / "models" / "M.pth")
    with torch.inference_mode():
        outputs = scripted(torch.zeros(1, 1, 32, 32), render_steps=2, interpolate_ins=True)
    assert outputs["sem_logits"].shape == (1, 1, 32, 32)


def test_a_copied_model_folder_means_itself_and_says_how_it_came_about(trained):
    text = (trained / "models" / "M.yaml").read_text()
    assert "\nmodel: M.pth\n" in text
    assert str(trained) not in text
    for printed in (
        "\nobject_sizes:\n",
        "dataset: Dataset001_Phantom",
        "base: random weights",
        "base_licence: null",
        "planewise: ",
    ):
        assert printed in text


def predict(trained, source, output, *options):
    return run(["mito", "predict", "--trained_model", str(trained / "models" / "M.yaml"), "--input", str(source),
                "--output", str(output), "--device", "cpu", *options])  # fmt: skip


IMAGE = "Dataset001_Phantom/imagesTs/phantom_test1_0000.tiff"


def test_a_volume_of_other_pixels_than_the_training_is_said(trained, tmp_path, capsys):
    volume = open_volume(trained / IMAGE)
    coarse = Volume(np.asarray(volume.read()), (24, 24, 24), "nm")
    write_volume(tmp_path / "coarse.tiff", coarse)
    assert predict(trained, tmp_path / "coarse.tiff", tmp_path / "o", "--axes", "xy") == 0
    assert "pixels are 24 nm, those of the training 8 nm: objects look 3 times smaller" in " ".join(
        capsys.readouterr().err.split()
    )
    assert predict(trained, trained / IMAGE, tmp_path / "o2", "--axes", "xy") == 0
    assert "those of the training" not in " ".join(capsys.readouterr().err.split())


def test_a_second_run_skips_what_is_done_unless_told(trained, tmp_path, capsys):
    assert predict(trained, trained / IMAGE, tmp_path, "--axes", "xy") == 0
    assert files(tmp_path) == ["phantom_test1.tiff", "phantom_test1_objects.csv", "phantom_test1_xy.tiff", MANIFEST]
    made = (tmp_path / "phantom_test1.tiff").stat().st_mtime_ns
    assert predict(trained, trained / IMAGE, tmp_path, "--axes", "xy") == 0
    assert (tmp_path / "phantom_test1.tiff").stat().st_mtime_ns == made
    assert "done already" in capsys.readouterr().err
    assert predict(trained, trained / IMAGE, tmp_path, "--axes", "xy", "--overwrite") == 0
    assert (tmp_path / "phantom_test1.tiff").stat().st_mtime_ns > made


def test_results_of_another_model_or_other_options_are_neither_taken_for_these_nor_replaced(trained, tmp_path, capsys):
    out, models = tmp_path / "out", tmp_path / "models"
    assert predict(trained, trained / IMAGE, out, "--axes", "xy") == 0
    made = (out / "phantom_test1.tiff").read_bytes()
    assert predict(trained, trained / IMAGE, out, "--axes", "xy", "--min_size", "21") == 2
    assert "--min_size by the objects trained on (the smaller of " in (err := capsys.readouterr().err)
    assert "but too few are whole) -> 21" in err
    shutil.copytree(trained / "models", models)
    with (models / "M.pth").open("ab") as file:
        file.write(b"another")  # which TorchScript's reader does not mind
    other = ["mito", "predict", "--trained_model", str(models / "M.yaml"), "--input", str(trained / IMAGE), "--output",
             str(out), "--axes", "xy"]  # fmt: skip
    assert run(other) == 2  # a folder that was copied means its own weights
    assert "model: M.pth" in capsys.readouterr().err
    assert (out / "phantom_test1.tiff").read_bytes() == made


def test_a_model_never_lies_among_images_or_truth(trained, capsys):
    data = (trained / IMAGE).parents[1]
    for folder in ("imagesTr", "instancesTr", "imagesTs"):
        assert run(["mito", "train", str(data), str(data / folder), "--from_scratch", "--device", "cpu"]) == 2
        assert "results never replace their input" in capsys.readouterr().err
        assert not [path for path in (data / folder).iterdir() if path.suffix in (".pth", ".yaml")]


def test_an_input_is_never_an_output(trained, tmp_path, capsys):
    shutil.copy(trained / IMAGE, tmp_path / "cell.tiff")
    raw = (tmp_path / "cell.tiff").read_bytes()
    for more in ((), ("--overwrite",)):
        assert predict(trained, tmp_path, tmp_path, "--axes", "xy", *more) == 2
        assert "results never replace their input" in capsys.readouterr().err
    assert (tmp_path / "cell.tiff").read_bytes() == raw
    assert files(tmp_path) == ["cell.tiff"]


def test_one_plane_is_its_own_result(trained, tmp_path):
    assert predict(trained, trained / IMAGE, tmp_path, "--axes", "xz", "--min_size", "20") == 0
    final, plane = (read_labels(tmp_path / f"phantom_test1{suffix}.tiff").read() for suffix in ("", "_xz"))
    assert np.array_equal(final, plane)


@pytest.mark.slow
def test_two_processes_give_the_same_volumes(trained, tmp_path):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    image = trained / "Dataset001_Phantom" / "imagesTs" / "phantom_test1_0000.tiff"
    for name in "ab":
        shutil.copy(image, inputs / f"{name}.tiff")
    assert predict(trained, inputs, tmp_path / "one") == 0
    assert predict(trained, inputs, tmp_path / "two", "--devices", "2") == 0
    assert same_results(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_the_work_of_a_killed_process_is_done_again(trained, tmp_path):
    """One of two workers is killed: that is said, a new one does its slices again, and the result is the same."""
    rng = np.random.default_rng(0)
    write_volume(tmp_path / "in" / "long.tiff", Volume(rng.integers(0, 255, (40, 96, 96), np.uint8)))
    write_volume(tmp_path / "in" / "next.tiff", Volume(rng.integers(0, 255, (8, 32, 32), np.uint8)))
    arguments = ["mito", "predict", "--trained_model", trained / "models/M.yaml", "--input", tmp_path / "in",
                 "--axes", "xy", "--device", "cpu", "--precision", "32", "--pixel_vote_thr", "1",
                 "--batch_size", "4"]  # fmt: skip
    kill_one = "kill(multiprocessing.active_children()[0].pid)"
    moment = "planewise.processes:WorkerPool.submit"
    process = start([*arguments, "--devices", "2", "--output", tmp_path / "out"], kill_one, moment, 5)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "of 2 died (killed, or out of memory); done again: predict batch" in err
    assert "Traceback" not in out + err
    assert run([str(one) for one in (*arguments, "--output", tmp_path / "here")]) == 0
    for name in ("long.tiff", "next.tiff"):
        killed, whole = (open_volume(tmp_path / folder / name).read() for folder in ("out", "here"))
        assert np.array_equal(killed, whole)


def test_one_bad_file_does_not_stop_the_others(trained, tmp_path, capsys):
    source = tmp_path / "images"
    source.mkdir()
    for name in ("a", "b", "c", "d"):
        shutil.copy(trained / IMAGE, source / f"{name}_0000.tiff")
    (source / "b_0000.tiff").write_bytes((trained / IMAGE).read_bytes()[:9000])
    tifffile.imwrite(source / "c_0000.tiff", np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    assert predict(trained, source, tmp_path / "out", "--axes", "xy") == 1
    assert files(tmp_path / "out") == [
        "a.tiff",
        "a_objects.csv",
        "a_xy.tiff",
        "d.tiff",
        "d_objects.csv",
        "d_xy.tiff",
        MANIFEST,
    ]
    out = capsys.readouterr()
    assert "2 problems" in out.out
    assert "b_0000.tiff" in out.out
    assert "3 channels" in out.out
    assert "Traceback" not in out.out + out.err


@pytest.mark.parametrize(
    "voxels",
    [
        np.random.default_rng(1).integers(0, 255, (2, 30, 40)).astype(np.uint8),
        np.arange(20 * 9 * 5).reshape(20, 9, 5).astype(np.uint16),
        np.random.default_rng(0).random((4, 20, 20)).astype(np.float16),
        np.random.default_rng(0).integers(-900, 900, (1, 17, 40)).astype(np.int16),
    ],
    ids=["two slices", "sides under the padding", "float16", "one slice of int16"],
)
def test_odd_volumes(trained, tmp_path, voxels):
    tifffile.imwrite(tmp_path / "odd.tif", voxels, photometric="minisblack")
    assert predict(trained, tmp_path / "odd.tif", tmp_path / "out") == 0
    assert open_volume(tmp_path / "out" / "odd.tiff").shape == voxels.shape


def test_downsampling_and_nifti(trained, tmp_path):
    volume = open_volume(trained / IMAGE)
    direction = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
    nifti = Volume(volume.read()[:, :37], (8.0, 8.0, 8.0), "mm", (1.0, 2.0, 3.0), direction)
    write_volume(tmp_path / "case.nii.gz", nifti)
    assert predict(trained, tmp_path / "case.nii.gz", tmp_path / "out", "--downsampling", "2") == 0
    of_planes = [f"case_{plane}.nii.gz" for plane in ("xy", "xz", "yz")]
    assert files(tmp_path / "out") == ["case.nii.gz", "case_objects.csv", *of_planes, MANIFEST]
    result = open_volume(tmp_path / "out" / "case.nii.gz")
    assert result.shape == (24, 37, 56)
    assert result.origin == pytest.approx((1, 2, 3))
    assert np.allclose(result.direction, direction)


def test_in_a_folder_only_what_does_not_fit_is_streamed(trained, tmp_path, capsys):
    inputs, image = tmp_path / "inputs", open_volume(trained / IMAGE).read()
    write_volume(inputs / "large.tiff", Volume(image))
    write_volume(inputs / "small.nii.gz", Volume(image[:8]))
    assert predict(trained, inputs, tmp_path / "memory", "--min_size", "20") == 0
    assert "is streamed" not in capsys.readouterr().err
    assert predict(trained, inputs, tmp_path / "out", "--min_size", "20", "--memory", "100KB") == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert "large: would need" in printed
    assert "more than --memory 100KB: it is streamed" in printed
    assert "small: would need" not in printed
    assert same_results(tmp_path / "out", tmp_path / "memory")
    assert predict(trained, inputs, tmp_path / "out", "--min_size", "20", "--memory", "100KB") == 0
    assert "large: done already" in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_file(trained, tmp_path):
    write_volume(tmp_path / "a_0000.tiff", Volume(open_volume(trained / IMAGE).read()))
    command = [sys.executable, "-m", "planewise", "mito", "predict", "--trained_model", trained / "models" / "M.yaml",
               "--input", tmp_path / "a_0000.tiff", "--output", tmp_path / "out", "--axes", "xy"]  # fmt: skip

    environment = {**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}  # torn bytecode would outlive the test

    def small_files_only():  # what a write meets when no block is free, without a disk to fill
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files_only, env=environment)
    assert result.returncode == 1, result.stderr
    assert "cannot be written" in " ".join(result.stdout.split())
    assert "Traceback" not in result.stdout + result.stderr
    assert files(tmp_path / "out") == []


def test_evaluate(trained, tmp_path):
    truth = trained / "Dataset001_Phantom" / "instancesTs"
    shutil.copytree(truth, tmp_path / "copy")
    assert run(["mito", "evaluate", str(tmp_path / "copy"), str(truth), "--output", str(tmp_path)]) == 0
    row = results(tmp_path)["phantom_test1"]
    assert float(row["f1_50"]) == float(row["pq_50"]) == float(row["voxel_dice"]) == 1


def test_evaluate_a_semantic_truth_by_the_name_of_its_folder(trained, tmp_path):
    dataset = trained / "Dataset001_Phantom"
    folders = [str(dataset / name) for name in ("instancesTs", "labelsTs")]
    assert run(["mito", "evaluate", *folders, "--output", str(tmp_path)]) == 0
    row = results(tmp_path)["phantom_test1"]
    assert float(row["voxel_iou"]) == 1
    assert row["n_truth"] == row["f1_50"] == ""


def test_evaluate_tells_what_it_could_not_score(trained, tmp_path, capsys):
    truth = trained / "Dataset001_Phantom" / "instancesTs"
    (tmp_path / "pred").mkdir()
    (tmp_path / "pred" / "phantom_test1.tiff").write_bytes(b"II*\0half")
    assert run(["mito", "evaluate", str(tmp_path / "pred"), str(truth)]) == 1
    assert "phantom_test1.tiff" in results(tmp_path / "pred" / "evaluation")["phantom_test1"]["status"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mito", "train", "{d}/nowhere", "{d}/m"], "nowhere: no such folder"),
        (["mito", "train", "{d}", "{d}/m"], "dataset.json: is missing"),
        (["mito", "train", "{d}", "{d}/m", "--model_config", "nonesuch.yaml"], "nonesuch.yaml: no such model config"),
        (["mito", "train", "{d}", "{d}/m", "--resume"], "train without --resume"),
        (["mito", "train", "{d}", "{d}/m", "--patch_size", "100"], "multiple of 16"),
        (
            ["mito", "predict", "--trained_model", "{d}/m.yaml", "--input", "{d}/i", "--output", "{d}/o"],
            "{d}/i: no such",
        ),
        (["mito", "evaluate", "{d}/p", "{d}/t"], "{d}/p: no such file or folder"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_used_is_refused_before_any_work(tmp_path, arguments, words, capsys):
    assert run([argument.format(d=tmp_path) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert words.format(d=tmp_path) in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_not_trained_over(trained, capsys):
    arguments = [
        "mito",
        "train",
        str(trained / "Dataset001_Phantom"),
        str(trained / "models"),
        "--model_name",
        "M",
        *SMALL,
    ]
    assert run(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_dataset_with_some_bad_cases_is_used_without_them(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "data", train_cases=2)
    (dataset / "imagesTr" / "stray_0000.tiff").write_bytes(b"")
    code = run(
        ["mito", "train", str(dataset), str(tmp_path / "m"), "--iterations", "1", "--train_planes", "xy", *SMALL]
    )
    assert code == 1
    assert "stray_0000.tiff" in capsys.readouterr().out
    assert (tmp_path / "m" / "FinetunedMitoNet.pth").exists()


def test_test_cases_that_cannot_be_predicted_are_named_and_the_model_stays(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "data")
    (image,) = (dataset / "imagesTs").glob("*.tiff")
    write_volume(image, Volume(np.full(open_volume(image).shape, 7, np.uint8), (8.0, 8.0, 8.0), "nm"))
    code = run(["mito", "train", str(dataset), str(tmp_path / "m"), "--iterations", "1", "--train_planes", "xy",
                "--test_after_training", "--test_axes", "xy", *SMALL])  # fmt: skip
    assert code == 1
    assert f"{image.name}" in capsys.readouterr().out
    assert (tmp_path / "m" / "FinetunedMitoNet.pth").exists()


def test_without_instances_components_of_the_labels_are_trained_on(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "data")
    for split in ("Tr", "Ts"):
        shutil.rmtree(dataset / f"instances{split}")
    code = run(["mito", "train", str(dataset), str(tmp_path / "m"), "--iterations", "1", "--train_planes", "xy",
                "--test_after_training", "--test_axes", "xy", *SMALL])  # fmt: skip
    assert code == 0
    assert "26-connected components" in capsys.readouterr().err
    row = results(dataset / "imagesTs_mitoNet_FT" / "evaluation")["phantom_test1"]
    assert row["voxel_recall"] != ""
    assert row["n_truth"] == ""


def test_anisotropic_voxels_are_cut_in_xy_only(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "data")
    for folder in ("imagesTr", "instancesTr"):
        (dataset / folder / "phantom_train1.json").write_text(json.dumps({"spacing": [40, 8, 8]}))
    assert run(["mito", "train", str(dataset), str(tmp_path / "m"), "--iterations", "1", *SMALL]) == 0
    assert "anisotropic" in capsys.readouterr().err
    assert {path.name.split("_")[2] for path in (tmp_path / "data_2d" / "train" / "images").iterdir()} == {"xy"}


def test_test_voxels_in_the_training_data_are_said_before_training(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "data", train_cases=2)
    trained, held = (open_volume(dataset / "imagesTr" / f"phantom_train{i}_0000.tiff").read() for i in (1, 2))
    held[:16] = trained[3:19]
    write_volume(dataset / "imagesTr" / "phantom_train2_0000.tiff", Volume(held))  # of both a slab is held out
    write_volume(dataset / "imagesTs" / "another_0000.tiff", Volume(trained[4:28, 11:51, 5:61]))
    arguments = ["mito", "train", str(dataset), str(tmp_path / "m"), "--iterations", "1", "--train_planes", "xy"]
    assert run([*arguments, *SMALL]) == 0
    printed = capsys.readouterr().err
    lines = [line for line in printed.splitlines() if line.startswith("WARNING: ")]
    assert len(lines) == 3  # the test case shares some with either
    assert lines[0].startswith("WARNING: test case another: 100 % of its voxels (53,760) are those of training case ")
    assert lines[1].startswith("WARNING: test case another: 62.5 % of its voxels (33,600) are those of training case ")
    assert lines[2].startswith("WARNING: training case phantom_train2: 50 % of its voxels (73,728) are those of")
    assert "at an offset of (4, 11, 5)" in lines[0]
    assert printed.index(lines[0]) < printed.index("Training FinetunedMitoNet")


@pytest.mark.slow
def test_fine_tuning_a_published_file_and_reusing_its_slices(trained, tmp_path):
    dataset = trained / "Dataset001_Phantom"
    code = run(["mito", "train", str(dataset), str(tmp_path), "--model_config", str(trained / "models" / "M.yaml"),
                "--model_name", "Again", "--iterations", "1", "--skip_conversion", "--patch_size", "64", "--batch_size",
                "2", "--num_workers", "0", "--finetune_layer", "none", "--device", "cpu"])  # fmt: skip
    assert code == 0
    before, after = (
        torch.jit.load(path).state_dict() for path in (trained / "models" / "M.pth", tmp_path / "Again.pth")
    )
    assert set(before) == set(after)
    assert all(torch.equal(value, after[name]) for name, value in before.items() if name.startswith("encoder."))
    assert not all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.slow
def test_a_killed_training_is_resumed_to_the_same_result(tmp_path):
    dataset = make_dataset(tmp_path / "data")

    def arguments(name):
        return ["mito", "train", str(dataset), str(tmp_path / name), "--iterations", "12", "--checkpoint_interval", "4",
                "--train_planes", "xy", *SMALL]  # fmt: skip

    run_until_killed(arguments("killed"), "planewise.training.metrics_file:MetricsFile.add", 6)
    last = tmp_path / "killed" / "FinetunedMitoNet_training" / "last.ckpt"
    assert load_checkpoint(last)["step"] == 4
    assert not (tmp_path / "killed" / "FinetunedMitoNet.yaml").exists()

    assert run([*arguments("killed"), "--resume"]) == 0
    assert run(arguments("whole")) == 0
    resumed, straight = (
        load_checkpoint(tmp_path / name / "FinetunedMitoNet_training" / "last.ckpt")["network"]
        for name in ("killed", "whole")
    )
    assert all(torch.equal(value, straight[name]) for name, value in resumed.items())


@pytest.mark.slow
def test_real_data(real_data, tmp_path):
    dataset = tmp_path / "Dataset001_HippocampusMito"
    shutil.copytree(real_data / dataset.name, dataset, copy_function=shutil.copyfile)
    code = run(["mito", "train", str(dataset), str(tmp_path / "m"), "--iterations", "1", "--train_planes", "xy",
                "--test_after_training", "--test_axes", "xy", *SMALL])  # fmt: skip
    assert code == 0
    row = results(dataset / "imagesTs_mitoNet_FT" / "evaluation")["hippo_test1"]
    assert row["status"] == "ok"
    assert row["n_truth"] == "3"
    assert open_volume(dataset / "imagesTs_mitoNet_FT" / "hippo_test1.tiff").spacing == (5, 5, 5)
