import csv
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from test_slice_folder import make_case

from planewise.errors import PlanewiseError, WorkFailed
from planewise.models.model_file import ModelFile
from planewise.models.panoptic_deeplab import Architecture, PanopticUNet
from planewise.processes import Terminated
from planewise.training.checkpoint import is_finished, load_checkpoint
from planewise.training.loop import BEST, LAST, train
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import METRICS
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import read_slice_folder, write_slice_folder

OPTIONS = LoopOptions(
    iterations=6, batch_size=4, learning_rate=0.003, seed=3, checkpoint_interval=2, accelerator="cpu", devices=1,
    precision="32", num_workers=0, identity={"patch_size": 32},
)  # fmt: skip
AVERAGED = replace(OPTIONS, averaging=0.7)
SMALLEST = Architecture("unet", blocks=(1, 1, 1, 1), width=4, channels=8)  # the loop is the same for every network


class Interrupted(PanopticTask):
    """A training that gets a signal in its n-th step, and whose loss is no number from the n-th on."""

    signalled_in, number, times = 0, signal.SIGINT, 1
    spoiled_in, term = 10**6, "ce"
    taken = 0

    def loss(self, network, batch):
        self.taken += 1
        if self.taken == self.signalled_in:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
        terms = super().loss(network, batch)
        if self.taken >= self.spoiled_in:
            terms[self.term] = terms["total"] = terms[self.term] * float("nan")
        return terms


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    write_slice_folder([make_case(folder, "a", (12, 48, 56))], folder / "2d", ("xy",), lambda name: None)
    return folder / "2d"


def task_on(slices, kind=PanopticTask):
    torch.manual_seed(0)
    return kind(PanopticUNet(SMALLEST), ModelFile(norms={"mean": 0.5, "std": 0.1}), slices, 32, "all", 3)


@pytest.fixture(scope="module")
def make_task(slices):
    return lambda: task_on(slices, Interrupted)


@pytest.fixture(scope="module")
def whole(make_task, tmp_path_factory):
    """A training that nothing stopped, to hold others against."""
    folder = tmp_path_factory.mktemp("whole")
    train(make_task(), OPTIONS, folder, resume=False)
    return folder


@pytest.fixture(scope="module")
def averaged(make_task, tmp_path_factory):
    """The same with an average of its weights."""
    folder = tmp_path_factory.mktemp("averaged")
    train(make_task(), AVERAGED, folder, resume=False)
    return folder


def rows(folder):
    with (folder / METRICS).open(newline="") as file:
        return list(csv.DictReader(file))


def without_clock(folder):
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows(folder)]


def same_weights(a, b):
    first, second = load_checkpoint(a / LAST)["network"], load_checkpoint(b / LAST)["network"]
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_seed_gives_the_same_training_twice_and_with_workers(tmp_path, make_task, whole):
    for name, workers in (("again", 0), ("workers", 2)):
        train(make_task(), replace(OPTIONS, num_workers=workers), tmp_path / name, resume=False)
        assert without_clock(tmp_path / name) == without_clock(whole)
        assert same_weights(tmp_path / name, whole)


@pytest.mark.parametrize(
    ("number", "stopped_in"), [(signal.SIGINT, 1), (signal.SIGTERM, 2), (signal.SIGUSR1, 3), (signal.SIGUSR2, 6)]
)
def test_a_training_saves_where_it_is_stopped_and_ends_as_if_it_had_not_been(
    tmp_path, make_task, whole, capsys, number, stopped_in
):
    task = make_task()
    task.signalled_in, task.number = stopped_in, number
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Terminated) as stopped:
        train(task, OPTIONS, tmp_path / "parts", resume=False)
    if number != signal.SIGINT:
        assert stopped.value.code == 128 + number
    assert f"Saved at step {stopped_in} of 6: the same command with --resume" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "parts" / LAST)["step"] == stopped_in
    assert not list(tmp_path.rglob(".writing-*"))
    train(make_task(), OPTIONS, tmp_path / "parts", resume=True)
    assert same_weights(whole, tmp_path / "parts")
    assert without_clock(whole) == without_clock(tmp_path / "parts")
    assert load_checkpoint(whole / BEST)["step"] == load_checkpoint(tmp_path / "parts" / BEST)["step"]
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_an_averaged_training_goes_on_from_its_average(tmp_path, make_task, averaged):
    task = make_task()
    task.signalled_in = 3
    with pytest.raises(KeyboardInterrupt):
        train(task, AVERAGED, tmp_path, resume=False)
    train(make_task(), AVERAGED, tmp_path, resume=True)
    assert same_weights(averaged, tmp_path)
    assert without_clock(averaged) == without_clock(tmp_path)
    averages = [load_checkpoint(folder / LAST)["averaged"] for folder in (averaged, tmp_path)]
    assert all(torch.equal(value, averages[1][name]) for name, value in averages[0].items())


def test_the_average_is_what_is_validated_and_kept_as_the_best(tmp_path, make_task):
    options = replace(AVERAGED, iterations=2)  # of which the only validation is the best
    train(make_task(), options, tmp_path, resume=False)
    last, best = (load_checkpoint(tmp_path / name) for name in (LAST, BEST))
    weight = "semantic_head.head.1.weight"
    assert not torch.equal(last["averaged"][weight], last["network"][weight])
    assert torch.equal(best["network"][weight], last["averaged"][weight])


def test_an_average_changes_no_step(whole, averaged):
    assert same_weights(whole, averaged)


def test_ctrl_c_once_more_stops_at_once(tmp_path, make_task):
    task = make_task()
    task.signalled_in, task.times = 4, 2
    with pytest.raises(KeyboardInterrupt):
        train(task, OPTIONS, tmp_path, resume=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == 2


def test_more_iterations_are_trained_on_with_a_schedule_of_their_own(tmp_path, make_task, capsys):
    whole, longer = replace(OPTIONS, iterations=3), replace(OPTIONS, iterations=7)
    train(make_task(), whole, tmp_path / "finished", resume=False)
    train(make_task(), longer, tmp_path / "finished", resume=True)
    assert "Steps 4 to 7 are added" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "finished" / LAST)["step"] == 7
    rates = [row["learning_rate"] for row in rows(tmp_path / "finished")]
    train(make_task(), replace(OPTIONS, iterations=4), tmp_path / "four", resume=False)
    assert rates[3:] == [row["learning_rate"] for row in rows(tmp_path / "four")]

    task = make_task()  # added before it was finished, and stopped again among the added steps: no difference
    task.signalled_in = 2
    with pytest.raises(KeyboardInterrupt):
        train(task, whole, tmp_path / "stopped", resume=False)
    task = make_task()
    task.signalled_in = 3
    with pytest.raises(KeyboardInterrupt):
        train(task, longer, tmp_path / "stopped", resume=True)
    assert load_checkpoint(tmp_path / "stopped" / LAST)["step"] == 5
    with pytest.raises(PlanewiseError, match="fewer iterations 7 -> 3"):
        train(make_task(), whole, tmp_path / "stopped", resume=True)
    train(make_task(), longer, tmp_path / "stopped", resume=True)
    assert same_weights(tmp_path / "finished", tmp_path / "stopped")
    assert [row["learning_rate"] for row in rows(tmp_path / "stopped")] == rates


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


@pytest.mark.parametrize(
    ("scores", "losses", "best"),
    [
        ([1.0, 1.0, 1.0], [3.0, 1.0, 2.0], 4),  # the loss settles ties
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], 6),  # or else the later is the better
        ([None, None, None], [3.0, 1.0, 2.0], 4),  # nothing to score
        ([0.7, 0.9, 0.8], [1.0, 2.0, 0.5], 4),
    ],
)
def test_the_first_validation_is_never_the_best_by_a_tie(tmp_path, make_task, scores, losses, best):
    task = make_task()
    left = iter(zip(scores, losses))

    def validate(device):
        score, loss = next(left)
        return {"loss": loss} if score is None else {"score": score, "loss": loss}

    task.validate = validate
    train(task, OPTIONS, tmp_path, resume=False)
    kept = load_checkpoint(tmp_path / BEST)
    assert (kept["step"], kept["score"], kept["loss"]) == (best, scores[best // 2 - 1], losses[best // 2 - 1])


@pytest.mark.parametrize("spoiled_in", [1, 4])
def test_a_loss_that_is_no_number_ends_a_training_before_it_reaches_the_weights(tmp_path, make_task, spoiled_in):
    task = make_task()
    task.spoiled_in = spoiled_in
    with pytest.raises(WorkFailed, match=f"in step {spoiled_in} the loss ce is nan") as failed:
        train(task, OPTIONS, tmp_path, resume=False)
    if spoiled_in == 1:
        assert "nothing was saved before" in str(failed.value)
        return
    assert "last.ckpt of step 2 and best.ckpt of step 2 are kept" in str(failed.value)
    assert all(value.isfinite().all() for value in load_checkpoint(tmp_path / LAST)["network"].values())


def test_a_validation_that_is_no_number_is_never_kept(tmp_path, make_task):
    task = make_task()
    scores = iter([0.5, float("nan")])
    task.validate = lambda device: {"score": (score := next(scores)), "iou": score, "loss": 1.0}
    with pytest.raises(WorkFailed, match=r"after step 4 the validation's score is nan; last.ckpt of step 2"):
        train(task, OPTIONS, tmp_path, resume=False)


def test_a_gradient_that_is_no_number_is_named(tmp_path, make_task):
    task = make_task()
    next(task.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(WorkFailed, match="in step 1 the gradient's norm is"):
        train(task, replace(OPTIONS, clip_norm=1.0), tmp_path, resume=False)


def test_resuming_another_training_is_refused(tmp_path, make_task):
    options = replace(OPTIONS, iterations=4, counted_in=("epochs", 2))
    train(make_task(), options, tmp_path, resume=False)
    other = replace(options, iterations=2, seed=4, learning_rate=0.1, batch_size=2, identity={"patch_size": 64})
    with pytest.raises(PlanewiseError, match=r"last\.ckpt: belongs to a training with other options") as refused:
        train(make_task(), other, tmp_path, resume=True)
    for words in ("batch_size: 4 -> 2", "learning_rate: 0.003 -> 0.1", "seed: 3 -> 4", "patch_size: 32 -> 64",
                  "fewer epochs 2 -> 1"):  # fmt: skip
        assert words in str(refused.value)
    assert is_finished(tmp_path / LAST, vars(options))
    assert not is_finished(tmp_path / LAST, vars(replace(options, iterations=5)))
    with pytest.raises(PlanewiseError, match=r"seed: 3 -> 4\)"):
        is_finished(tmp_path / LAST, vars(replace(options, seed=4)))


def test_resuming_on_a_base_that_has_another_network_now_is_refused(tmp_path, slices, make_task):
    train(make_task(), OPTIONS, tmp_path, resume=False)
    task = make_task()
    task.network = PanopticUNet(replace(SMALLEST, channels=4))
    with pytest.raises(PlanewiseError, match=r"last\.ckpt: its training was begun with another network than the base"):
        train(task, replace(OPTIONS, iterations=8), tmp_path, resume=True)


def test_a_damaged_slice_is_named_without_a_traceback(tmp_path, slices, make_task):
    copy = tmp_path / "2d"
    shutil.copytree(slices, copy)
    for path in (copy / "train" / "images").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    task = make_task()
    task.pairs = read_slice_folder(copy, "train")
    with pytest.raises(PlanewiseError, match=r"^[^\n]*train/images/a_xy_\d+\.tiff[^\n]*$"):
        train(task, OPTIONS, tmp_path / "m", resume=False)


def test_a_damaged_checkpoint_is_named(tmp_path, make_task):
    (tmp_path / LAST).write_bytes(b"PK\3\4 half a file")
    with pytest.raises(PlanewiseError, match=r"last\.ckpt"):
        train(make_task(), OPTIONS, tmp_path, resume=True)


@pytest.mark.slow
def test_two_processes_share_the_batch(tmp_path, slices):
    task = task_on(slices)
    train(task, replace(OPTIONS, iterations=2, devices=2), tmp_path, resume=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == 2
    assert [int(row["step"]) for row in rows(tmp_path)] == [1, 2]


class SignallingTask(PanopticTask):
    """Its second process has the first signalled, in the second step."""

    number, taken = signal.SIGTERM, 0

    def loss(self, network, batch):
        self.taken += 1
        if self.taken == 2 and torch.distributed.get_rank() == 1:
            os.kill(os.getppid(), self.number)
        return super().loss(network, batch)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_processes_save_where_they_are_stopped(tmp_path, slices, capsys, number):
    task = task_on(slices, SignallingTask)
    task.number = number
    with pytest.raises((KeyboardInterrupt, Terminated)):
        train(task, replace(OPTIONS, iterations=10**6, checkpoint_interval=10**6, devices=2), tmp_path, resume=False)
    step = load_checkpoint(tmp_path / LAST)["step"]
    assert 2 <= step == len(rows(tmp_path))
    assert f"Saved at step {step} of 1000000" in capsys.readouterr().err
    assert not list(tmp_path.rglob(".writing-*"))


class SpoiledTask(PanopticTask):
    """Its validation, which the first process does alone, gives no number."""

    def validate(self, device):
        return {"loss": float("inf")}


@pytest.mark.slow
def test_two_processes_end_when_a_validation_is_no_number(tmp_path, slices):
    task = task_on(slices, SpoiledTask)
    with pytest.raises(WorkFailed, match="after step 2 the validation's loss is inf; nothing was saved before"):
        train(task, replace(OPTIONS, devices=2), tmp_path, resume=False)


class DyingTask(PanopticTask):
    """Its second process is killed in the second step, or fails."""

    how = "killed"

    def loss(self, network, batch):
        if torch.distributed.get_rank() == 1:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("this cannot be")
        return super().loss(network, batch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("killed", r"died \(SIGKILL.*; nothing was saved before: begin anew without --resume, or with a smaller"),
        ("fails", "failed: ValueError: this cannot be"),
    ],
)
def test_a_process_that_ends_ends_the_others_with_its_error(tmp_path, slices, how, words):
    task = task_on(slices, DyingTask)
    task.how = how
    with pytest.raises(PlanewiseError, match=words):
        train(task, replace(OPTIONS, iterations=2, devices=2), tmp_path, resume=False)


def test_more_workers_than_cores_are_started_and_said_in_our_words(make_task, tmp_path, capsys, monkeypatch, recwarn):
    monkeypatch.setattr("planewise.training.loop.machine_cores", lambda: 1)
    monkeypatch.setattr("torch._utils.cpu_count", lambda: 1)
    train(make_task(), replace(OPTIONS, iterations=1, num_workers=2), tmp_path, resume=False)
    assert "--num_workers 2: more than the cores that this process may use, 1" in capsys.readouterr().err
    assert not [warning for warning in recwarn if "DataLoader" in str(warning.message)]
