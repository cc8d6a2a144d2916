import csv
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from test_slice_folder import make_case

from planewise.errors import PlanewiseError
from planewise.models.model_file import ModelFile
from planewise.models.panoptic_deeplab import build
from planewise.training.checkpoint import load_checkpoint
from planewise.training.loop import BEST, LAST, METRICS, LoopOptions, train
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import read_slice_folder, write_slice_folder

OPTIONS = LoopOptions(
    iterations=6, batch_size=4, learning_rate=0.003, seed=3, checkpoint_interval=2, accelerator="cpu", devices=1,
    precision="32", num_workers=0, identity={"patch_size": 32},
)  # fmt: skip


class Interrupted(PanopticTask):
    """A training that is stopped in its n-th step."""

    steps_left = 10**6

    def loss(self, network, batch):
        self.steps_left -= 1
        if self.steps_left < 0:
            raise KeyboardInterrupt
        return super().loss(network, batch)


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    write_slice_folder([make_case(folder, "a", (40, 48, 56))], folder / "2d", ("xy",), lambda name: None)
    return folder / "2d"


@pytest.fixture
def make_task(slices):
    def make():
        torch.manual_seed(0)
        return Interrupted(build("mitonet_small"), ModelFile(norms={"mean": 0.5, "std": 0.1}), slices, 32, "all", 3)

    return make


def rows(folder):
    with (folder / METRICS).open(newline="") as file:
        return list(csv.DictReader(file))


def without_clock(folder):
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows(folder)]


def same_weights(a, b):
    first, second = load_checkpoint(a / LAST)["network"], load_checkpoint(b / LAST)["network"]
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_seed_gives_the_same_training_twice_and_with_workers(tmp_path, make_task):
    for name, workers in (("a", 0), ("b", 0), ("c", 2)):
        train(make_task(), replace(OPTIONS, num_workers=workers), tmp_path / name, resume=False)
        assert without_clock(tmp_path / name) == without_clock(tmp_path / "a")
        assert same_weights(tmp_path / name, tmp_path / "a")


@pytest.mark.parametrize("stopped_in", [2, 3, 5])
def test_a_resumed_training_ends_as_if_it_had_not_stopped(tmp_path, make_task, stopped_in):
    train(make_task(), OPTIONS, tmp_path / "whole", resume=False)
    task = make_task()
    task.steps_left = stopped_in
    with pytest.raises(KeyboardInterrupt):
        train(task, OPTIONS, tmp_path / "parts", resume=False)
    assert load_checkpoint(tmp_path / "parts" / LAST)["step"] == stopped_in // 2 * 2
    train(make_task(), OPTIONS, tmp_path / "parts", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    assert without_clock(tmp_path / "whole") == without_clock(tmp_path / "parts")


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_any_number_of_iterations(tmp_path, make_task, iterations):
    train(make_task(), replace(OPTIONS, iterations=iterations, checkpoint_interval=100), tmp_path, resume=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == iterations
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(1, iterations + 1))


def test_the_rate_rises_to_its_peak_and_falls(tmp_path, make_task):
    train(make_task(), replace(OPTIONS, iterations=20, checkpoint_interval=100), tmp_path, resume=False)
    rates = [float(row["learning_rate"]) for row in rows(tmp_path)]
    assert rates.index(max(rates)) in (5, 6)  # 30 % of the steps
    assert max(rates) == pytest.approx(0.003, rel=0.05)
    assert rates[-1] < rates[0] < 0.0003


def test_the_best_checkpoint_is_the_one_that_validated_best(tmp_path, make_task):
    task = make_task()
    scores = iter([0.2, 0.7, 0.4])
    task.validate = lambda device: {"score": (score := next(scores)), "iou": score, "loss": 1.0}
    train(task, OPTIONS, tmp_path, resume=False)
    assert load_checkpoint(tmp_path / BEST)["step"] == 4
    assert load_checkpoint(tmp_path / LAST)["step"] == 6


def test_resuming_another_training_is_refused(tmp_path, make_task):
    train(make_task(), replace(OPTIONS, iterations=2), tmp_path, resume=False)
    with pytest.raises(PlanewiseError, match=r"last\.ckpt.*seed 3, not 4"):
        train(make_task(), replace(OPTIONS, iterations=2, seed=4), tmp_path, resume=True)
    with pytest.raises(PlanewiseError, match="patch_size 32, not 64"):
        train(make_task(), replace(OPTIONS, iterations=2, identity={"patch_size": 64}), tmp_path, resume=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_slice_is_named_without_a_traceback(tmp_path, slices, make_task, workers):
    copy = tmp_path / "2d"
    shutil.copytree(slices, copy)
    for path in (copy / "train" / "images").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    task = make_task()
    task.pairs = read_slice_folder(copy, "train")
    with pytest.raises(PlanewiseError, match=r"^[^\n]*train/images/a_xy_\d+\.tiff[^\n]*$"):
        train(task, replace(OPTIONS, num_workers=workers), tmp_path / "m", resume=False)


def test_a_damaged_checkpoint_is_named(tmp_path, make_task):
    (tmp_path / LAST).write_bytes(b"PK\3\4 half a file")
    with pytest.raises(PlanewiseError, match=r"last\.ckpt"):
        train(make_task(), OPTIONS, tmp_path, resume=True)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, make_task):
    with pytest.raises(PlanewiseError, match="--batch_size 4 cannot be shared by --devices 3"):
        train(make_task(), replace(OPTIONS, devices=3), tmp_path, resume=False)


def test_two_processes_share_the_batch(tmp_path, slices):
    torch.manual_seed(0)
    task = PanopticTask(build("mitonet_small"), ModelFile(norms={"mean": 0.5, "std": 0.1}), slices, 32, "all", 3)
    train(task, replace(OPTIONS, iterations=2, devices=2), tmp_path, resume=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == 2
    assert [int(row["step"]) for row in rows(tmp_path)] == [1, 2]


class DyingTask(PanopticTask):
    """Its second process is killed in the second step, or fails."""

    how = "killed"

    def loss(self, network, batch):
        if torch.distributed.get_rank() == 1:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("this cannot be")
        return super().loss(network, batch)


@pytest.mark.parametrize(
    ("how", "words"), [("killed", r"died \(SIGKILL"), ("fails", "failed: ValueError: this cannot be")]
)
def test_a_process_that_ends_ends_the_others_with_its_error(tmp_path, slices, how, words):
    task = DyingTask(build("mitonet_small"), ModelFile(norms={"mean": 0.5, "std": 0.1}), slices, 32, "all", 3)
    task.how = how
    with pytest.raises(PlanewiseError, match=words):
        train(task, replace(OPTIONS, iterations=2, devices=2), tmp_path, resume=False)


def test_several_nodes_are_started_from_outside(tmp_path, make_task, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(PlanewiseError, match=r"2 processes are needed, .* torchrun"):
        train(make_task(), replace(OPTIONS, num_nodes=2), tmp_path, resume=False)
    with pytest.raises(PlanewiseError, match="--batch_size 4 cannot be shared by --devices 1 on --num_nodes 3"):
        train(make_task(), replace(OPTIONS, num_nodes=3), tmp_path, resume=False)
