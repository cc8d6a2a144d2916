"""Both trainings as a user runs them: stopped and gone on with, made longer, refused, spoiled; what is kept of each."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from planewise.cli import run
from planewise.training.checkpoint import load_checkpoint
from planewise.training.metrics_file import MetricsFile
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from trainings import Training


@pytest.fixture(params=["mito", "ild"])
def training(request, tmp_path):
    return Training(request.param, tmp_path)


@pytest.fixture(scope="module", params=["mito", "ild"])
def trained(request, tmp_path_factory):
    """A training that nothing stopped, called whole."""
    training = Training(request.param, tmp_path_factory.mktemp(request.param))
    assert run(training.command("whole", 3)) == 0
    return training


@pytest.fixture
def stopped(monkeypatch):
    """Run a training that gets a signal when it has done some steps; return its exit code."""

    def stop(command, number, steps):
        add, done = MetricsFile.add, []

        def watched(metrics, row):
            add(metrics, row)
            done.append(row)
            if len(done) == steps:
                os.kill(os.getpid(), number)

        with monkeypatch.context() as patched:
            patched.setattr(MetricsFile, "add", watched)
            return run(command)

    return stop


def same(one, other):
    return all(torch.equal(value, other["network"][name]) for name, value in one["network"].items())


def test_stopped_at_step_3_it_goes_on_to_the_same_model(trained, stopped, capsys):
    """By Ctrl-C, or by a batch system; of every signal the loop's own tests say the same."""
    number = {"mito": signal.SIGINT, "ild": signal.SIGUSR1}[trained.app]
    name = f"stopped_by_{number.name}"
    assert stopped(trained.command(name, 3), number, 3) == 128 + number
    err = capsys.readouterr().err
    assert "Saved at step 3 of 6: the same command with --resume goes on from there" in err
    assert err.splitlines()[-1].startswith("planewise: stopped")
    assert trained.last(name)["step"] == 3
    assert not list(trained.folder.rglob(".writing-*"))
    assert run([*trained.command(name, 3), "--resume"]) == 0
    assert same(trained.last(name), trained.last("whole"))
    assert trained.model(name).exists()


def test_a_finished_training_is_done_and_more_train_on(training, capsys):
    assert run(training.command("m", 1)) == 0
    made = training.model("m").stat().st_mtime_ns
    assert run([*training.command("m", 1), "--resume"]) == 0
    assert "is trained already" in capsys.readouterr().err
    assert training.model("m").stat().st_mtime_ns == made
    assert run([*training.command("m", 3), "--resume"]) == 0
    assert "Steps 3 to 6 are added" in capsys.readouterr().err
    assert training.last("m")["step"] == 6
    assert training.model("m").stat().st_mtime_ns > made


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
def test_another_training_is_no_resumption(trained, stopped, capsys, finished):
    name = "whole" if finished else "unfinished"
    assert finished or stopped(trained.command(name, 3), signal.SIGTERM, 1) == 143
    before = (trained.logs(name) / "last.ckpt").read_bytes()
    other = ["--learning_rate", "0.5", "--batch_size", "4", "--seed", "9"]
    assert run([*trained.command(name, 9, *other), "--resume"]) == 2
    printed = capsys.readouterr().err
    old = {"mito": ("0.003", 2), "ild": ("1e-05", 1)}[trained.app]
    for words in (f"learning_rate: {old[0]} -> 0.5", f"batch_size: {old[1]} -> 4", "seed: 0 -> 9"):
        assert words in printed
    assert run([*trained.command(name, 1), "--resume"]) == 2
    fewer = "fewer iterations 6 -> 2" if trained.app == "mito" else "fewer epochs 3 -> 1"
    assert fewer in capsys.readouterr().err
    assert (trained.logs(name) / "last.ckpt").read_bytes() == before


def test_other_data_are_no_resumption_of_a_finished_training(tmp_path, capsys):
    training = Training("mito", tmp_path)
    assert run(training.command("m", 1)) == 0
    image = tmp_path / "data" / "imagesTr" / "phantom_train1_0000.tiff"
    write_volume(image, Volume(open_volume(image).read()[:, ::-1].copy()))
    assert run([*training.command("m", 1), "--resume"]) == 2
    assert "was trained on other slices (data changed: phantom_train1)" in capsys.readouterr().err


def test_a_loss_that_is_no_number_is_named_and_what_was_good_is_kept(training, capsys):
    rate = ["--learning_rate", "1e30", "--checkpoint_interval", "1"]
    assert run(training.command("m", 20, *rate)) == 1
    err = capsys.readouterr().err
    last = [line for line in err.splitlines() if line.startswith("planewise: ")][-1]
    assert "is nan" in last or "is inf" in last
    assert "train again with a smaller --learning_rate" in last
    assert "Traceback" not in err
    for name in ("last.ckpt", "best.ckpt"):
        if (training.logs("m") / name).exists():
            kept = load_checkpoint(training.logs("m") / name)
            assert f"{name} of step {kept['step']}" in last
            assert all(value.isfinite().all() for value in kept["network"].values())
    assert not training.model("m").exists()


def test_the_model_says_what_it_was_validated_on(training, capsys):
    assert run(training.command("m", 1)) == 0
    printed = capsys.readouterr().err
    if training.app == "mito":
        content = yaml.safe_load(training.model("m").with_suffix(".yaml").read_text())["trained"]
        validated, dataset = "a slab of phantom_train1", "data"
    else:
        content = torch.load(training.model("m"), weights_only=True)["trained"]
        validated, dataset = "b", training.folder.name
    best = load_checkpoint(training.logs("m") / "best.ckpt")
    assert (content["validated_on"], content["dataset"]) == (validated, dataset)
    assert (content["step"], content["score"], content["loss"]) == (best["step"], best["score"], best["loss"])
    assert f"The best is step {best['step']}: score" in printed
    assert f"validated on {validated}" in printed


def test_where_no_end_of_the_volume_has_an_object_the_loss_decides(tmp_path, capsys):
    training = Training("mito", tmp_path)
    labels = np.zeros((32, 64, 72), np.uint8)
    labels[14:18, 30:34, 34:38] = 1
    write_labels(tmp_path / "data" / "instancesTr" / "phantom_train1.tiff", Volume(labels, (8, 8, 8), "nm"))
    assert run(training.command("m", 2, "--checkpoint_interval", "1")) == 0
    assert "nothing to score, loss" in capsys.readouterr().err
    with (training.logs("m") / "metrics.csv").open() as file:
        head, *rows = (line.strip().split(",") for line in file)
    assert "val_score" not in head
    losses = [float(row[head.index("val_loss")]) for row in rows]
    best = load_checkpoint(training.logs("m") / "best.ckpt")
    assert best["step"] == 1 + max(i for i, loss in enumerate(losses) if loss == min(losses))
    assert yaml.safe_load(training.model("m").with_suffix(".yaml").read_text())["trained"]["score"] is None


def test_a_model_of_another_program_is_not_replaced_unless_it_is_trained_on(tmp_path, capsys):
    training = Training("ild", tmp_path)
    assert run(training.command("m", 1)) == 0
    published = tmp_path / "theirs"
    published.mkdir()
    os.link(tmp_path / "m" / "medsam_model_latest.pth", published / "medsam_model_latest.pth")
    before = (published / "medsam_model_latest.pth").read_bytes()
    assert run(training.command("theirs", 1)) == 2
    assert "medsam_model_latest.pth, which another program trained" in capsys.readouterr().err
    assert (published / "medsam_model_latest.pth").read_bytes() == before
    arguments = [word for word in training.command("theirs", 1) if word != "--from_scratch"]
    assert run([*arguments, "--base", str(published / "medsam_model_latest.pth")]) == 0
    assert "medsam_model_latest.pth will be replaced after the training" in capsys.readouterr().err
    assert Path(published / "medsam_model_latest.pth").read_bytes() != before


def test_each_problem_of_the_data_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("planewise.apps.mito.train.train", lambda *given: False)  # as if another process trained
    training = Training("mito", tmp_path)
    for case in ("damaged", "turned", "alone", "unlabelled"):
        copy_case(tmp_path / "data", case)
    images, truths = tmp_path / "data" / "imagesTr", tmp_path / "data" / "instancesTr"
    (images / "damaged_0000.tiff").write_bytes((images / "damaged_0000.tiff").read_bytes()[:9000])
    write_volume(truths / "turned.tiff", Volume(open_volume(truths / "turned.tiff").read().transpose(2, 1, 0).copy()))
    (truths / "alone.tiff").unlink()
    write_volume(truths / "unlabelled.tiff", Volume(np.zeros_like(open_volume(truths / "unlabelled.tiff").read())))
    assert run(training.command("m", 1)) == 1
    printed = capsys.readouterr()
    for case in ("damaged", "turned", "alone", "unlabelled"):
        said = [line for line in printed.out.splitlines() if f"{case}.tiff" in line or f"{case}_0000.tiff" in line]
        assert len(said) == 1, said
    assert printed.err.splitlines()[-1] == "4 problems in all"


def copy_case(dataset, name):
    """Add a case to the dataset, with the image and the truth of the first."""
    for folder, file in (("imagesTr", "_0000.tiff"), ("instancesTr", ".tiff")):
        first = min((dataset / folder).glob("*.tiff"))
        shutil.copy(first, dataset / folder / f"{name}{file}")
