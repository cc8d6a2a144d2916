"""Two trainings of one model at once: the second is refused; a killed one keeps nobody out."""

import socket

import pytest

from planewise.cli import run
from stopped import run_until_killed, start, wait_until
from trainings import Training

SLEEP = "__import__('time').sleep(600)"
LOOPS = {"mito": "planewise.apps.mito.train:train", "ild": "planewise.apps.ild.train:train"}


def folder_of(training):
    """Where the lock of a training called "m" lies, and its name."""
    if training.app == "mito":
        return training.folder / "m", "FinetunedMitoNet"
    return training.folder, "m"


@pytest.fixture(params=["mito", "ild"])
def training(request, tmp_path):
    return Training(request.param, tmp_path)


@pytest.mark.slow
def test_a_second_training_is_refused_until_the_first_is_killed(training, capsys):
    folder, name = folder_of(training)
    lock = folder / f".{name}.lock"
    first = start(training.command("m", 1), SLEEP, LOOPS[training.app], 1)
    try:
        wait_until(lambda: training.logs("m").exists() or (lock.exists() and lock.read_text() != ""), first)
        for more in ([], ["--overwrite"], ["--resume"]):
            assert run([*training.command("m", 1), *more]) == 2
            said = capsys.readouterr().err
            assert f"{folder}: a training of {name} is running there; wait for its end, or give another --" in said
            assert f"(process {first.pid} on {socket.gethostname()})" in said
    finally:
        first.kill()
        first.communicate()
    assert lock.exists()  # nobody was left to remove it
    assert run([*training.command("m", 1), "--overwrite"]) == 0
    assert not lock.exists()


def test_a_training_that_is_refused_leaves_no_folder(tmp_path, capsys):
    assert run(["mito", "train", str(tmp_path / "none"), str(tmp_path / "new" / "models")]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_training_killed_before_its_first_checkpoint_begins_anew_with_the_same_command(training, capsys):
    run_until_killed(training.command("m", 1), "planewise.training.loop:MetricsFile.add", 1)
    assert not (training.logs("m") / "last.ckpt").exists()
    assert run(training.command("m", 1)) == 0
