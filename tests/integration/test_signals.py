"""Ctrl-C, which a terminal sends to every process, and SIGTERM, which a batch system sends to one or to all of them.

Each comes at a moment that the command itself chooses; ``communicate`` returns when no process of it is left, since
each holds the pipes.
"""

import os
import signal
import subprocess
import sys

import pytest

from planewise.data.phantom import write_chest_dataset, write_phantom_dataset
from planewise.training.checkpoint import load_checkpoint
from stopped import ENVIRONMENT, start, wait_until
from untrained import write_untrained

pytestmark = pytest.mark.slow
TRAIN = ["--model_config", "MitoNet_small.yaml", "--from_scratch", "--patch_size", "64", "--batch_size", "2",
         "--train_planes", "xy", "--iterations", "100000", "--device", "cpu"]  # fmt: skip
COMMANDS = {
    "Ctrl-C": ("os.killpg(os.getpgrp(), signal.SIGINT)", 130, "planewise: stopped."),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", 143, "planewise: stopped (SIGTERM)."),
    "SIGTERM to all": ("os.killpg(os.getpgrp(), signal.SIGTERM)", 143, "planewise: stopped (SIGTERM)."),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset of each kind, and a model."""
    folder = tmp_path_factory.mktemp("signals")
    write_phantom_dataset(folder / "em", 0, (32, 64, 72), (24, 40, 56), 1, bodies=8)
    write_chest_dataset(folder / "ct", 0, (8, 48, 48), train_cases=3)
    write_untrained(folder)
    return folder


def check_stopped(process, code, words):
    out, err = process.communicate()
    assert process.returncode == code, out + err
    assert err.strip().splitlines()[-1].startswith(words), err
    for noise in ("Traceback", "leaked", "Error", "Exception"):
        assert noise not in out + err
    return err


@pytest.mark.parametrize("how", COMMANDS)
@pytest.mark.parametrize("what", ["train", "predict", "predict by processes", "store by workers", "prepare"])
def test_a_command_stops_in_one_line(folder, tmp_path, what, how):
    action, code, words = COMMANDS[how]
    image = str(folder / "em" / "imagesTs" / "phantom_test1_0000.tiff")
    predict = ["mito", "predict", "--trained_model", str(folder / "M.yaml"), "--input", image, "--device", "cpu",
               "--batch_size", "1", "--output"]  # fmt: skip
    arguments, where, count = {
        "train": (["mito", "train", str(folder / "em"), str(tmp_path / "m"), "--num_workers", "2", *TRAIN,
                   "--output_data_path", str(tmp_path / "2d")], "planewise.training.metrics_file:MetricsFile.add", 2),
        "predict": ([*predict, str(tmp_path / "o")], "planewise.inference.planes:NetworkPredictor.outputs", 2),
        "predict by processes": ([*predict, str(tmp_path / "o"), "--devices", "2"],
                                 "planewise.processes:WorkerPool.submit", 4),
        "store by workers": ([*predict, str(tmp_path / "o.ome.zarr"), "--workers", "2"],
                             "planewise.inference.cluster:Cluster.submit", 3),
        "prepare": (["ild", "prepare", str(folder / "ct"), str(tmp_path / "w"), "--num_workers", "2"],
                    "planewise.processes:WorkerPool.submit", 3),
    }[what]  # fmt: skip
    err = check_stopped(start(arguments, action, where, count, "after"), code, words)
    assert what != "train" or "Saved at step 2 of 100000" in err
    assert not list(tmp_path.rglob(".writing-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_training_of_two_processes_stops_in_one_line(folder, tmp_path, number):
    command = [sys.executable, "-m", "planewise", "mito", "train", folder / "em", tmp_path / "m", *TRAIN,
               "--devices", "2", "--num_workers", "0", "--output_data_path", tmp_path / "2d"]  # fmt: skip
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)  # fmt: skip
    metrics = tmp_path / "m" / "FinetunedMitoNet_training" / "metrics.csv"
    wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 2, process)
    os.killpg(process.pid, number)
    err = check_stopped(process, 128 + number, "planewise: stopped")
    step = load_checkpoint(metrics.with_name("last.ckpt"))["step"]
    assert f"Saved at step {step} of 100000" in err


def test_processes_end_with_one_that_is_killed(folder, tmp_path):
    process = start(["ild", "prepare", str(folder / "ct"), str(tmp_path / "w"), "--num_workers", "2"],
                    "kill(os.getpid())", "planewise.processes:WorkerPool.submit", 3, "after")  # fmt: skip
    process.communicate()  # returns when the last of them has ended
    assert process.returncode == -signal.SIGKILL


WHILE_COMPILING = """
import signal, sys
from numba.core.codegen import JITCodeLibrary
from planewise.cli import guarded

noted = JITCodeLibrary._object_compiled_hook.__func__

def note(cls, module, compiled):
    signal.raise_signal(int(sys.argv[1]))  # as one that came while LLVM compiled, which Python handles here first
    return noted(cls, module, compiled)

def work():
    from numba import njit

    njit(cache=True)(lambda x: x + 1)(1)
    signal.pause()

JITCodeLibrary._object_compiled_hook = classmethod(note)
sys.exit(guarded(work))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_kernel_is_compiled_is_not_lost(tmp_path, number, code):
    script = tmp_path / "compile.py"
    script.write_text(WHILE_COMPILING)
    done = subprocess.run(
        [sys.executable, str(script), str(number.value)], capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("planewise: stopped")
    assert done.stderr.count("\n") == 1
