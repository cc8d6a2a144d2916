"""One interface, three ways: what holds of all of them, and what each does when its workers are lost."""

import os
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from adder import Adder, add, die, die_unless, fail, first_of
from planewise.data.intensity import IntensityRange
from planewise.errors import PlanewiseError
from planewise.inference import executor as executors
from planewise.inference.cluster import Cluster, Patience, done_again
from planewise.inference.executor import ThisProcess, WorkerDied, executor, name_of
from planewise.inference.planes import SharedPredictor, SliceOptions
from planewise.inference.processes import Processes
from planewise.inference.worker import SHARED_FOR, Loading, Worker, take_gpu, threads_of_each
from planewise.volumes.machine import CORES, cores_of_each, machine_cores

AS_IT_IS = SliceOptions(IntensityRange(0.0, 1.0), 0.0, 1.0, 1)


def check_all_holds(workers, processes):
    """``processes``: how many others may do the work; None: this one."""
    pieces = [workers.submit_loaded(add, value, 10) for value in range(6)]
    assert workers.wait(pieces, 0) == []
    results = [workers.result(piece) for piece in pieces]
    assert [total for total, *_ in results] == [10, 11, 12, 13, 14, 15]
    assert {device for _, device, *_ in results} == {"cpu"}
    by = {process for _, _, process, _ in results}
    assert by == {os.getpid()} if processes is None else os.getpid() not in by and len(by) <= processes
    assert len({(process, loaded) for *_, process, loaded in results}) == len(by)  # each has loaded once
    assert workers.result(workers.submit(first_of, pieces[3])) == 13  # a result is an argument
    failing = workers.submit_loaded(fail, "a")
    for ask in (lambda: workers.result(failing), lambda: workers.wait([failing], 0)):
        with pytest.raises(PlanewiseError, match="a cannot be read"):
            ask()
    with pytest.raises(PlanewiseError, match="a cannot be read"):
        workers.result(workers.submit(first_of, failing))


def check_slices_are_shared(workers, raised=ValueError):
    batches = [np.full((2, 4, 4), value, np.float32) for value in range(5)]
    results = list(SharedPredictor(workers).predict(batches, AS_IT_IS))
    assert [float(outputs[1].logits.max()) for outputs in results] == [1, 2, 3, 4, 5]  # in order
    with pytest.raises(raised):
        list(SharedPredictor(workers).predict([None], AS_IT_IS))


def test_here():
    with executor(Adder, "cpu") as workers:
        assert isinstance(workers, ThisProcess)
        assert workers.in_this_process
        assert workers.size == 1
        check_all_holds(workers, None)
        check_slices_are_shared(workers)


def test_here_what_needs_nothing_loaded_is_done_in_threads_beside_the_rest():
    finished, go_on = [], threading.Event()

    def late():
        go_on.wait(10)
        time.sleep(0.05)
        finished.append(threading.current_thread())

    with ThisProcess(Adder) as workers:
        workers.submit(late)
        caller = workers.result(workers.submit_loaded(lambda loaded: threading.current_thread()))
        assert caller is threading.current_thread()
        assert not finished
        failing = workers.submit_loaded(fail, "a")
        go_on.set()
        with pytest.raises(PlanewiseError, match="a cannot be read"):
            workers.wait([failing], 0)
        assert len(finished) == 1  # no thread writes any more, of whatever work
        assert finished[0] is not caller


@pytest.mark.slow
def test_processes():
    with executor(Adder, "cpu", devices=2) as workers:
        assert isinstance(workers, Processes)
        assert workers.size == 2
        assert not workers.in_this_process
        check_all_holds(workers, 2)
        assert workers.result(workers.submit(machine_cores)) == cores_of_each(2)
        check_slices_are_shared(workers)


@pytest.mark.slow
def test_what_a_process_did_that_died_is_done_again_and_said(tmp_path, capsys):
    with Processes(Adder, "cpu", 2) as workers:
        others = [workers.submit_loaded(add, value, 0) for value in range(4)]
        assert workers.result(workers.submit_loaded(die_unless, str(tmp_path / "once"))) == "done"
        assert [workers.result(other)[0] for other in others] == [0, 1, 2, 3]
    printed = capsys.readouterr().err
    assert printed.count("of 2 died (killed, or out of memory); done again: die unless") == 1
    assert len(printed.splitlines()) == 1


@pytest.mark.slow
def test_work_that_kills_its_workers_is_given_up_and_no_other(capsys):
    with Processes(Adder, "cpu", 1) as workers:
        deadly, harmless = workers.submit_loaded(die), workers.submit_loaded(add, 1, 2)
        with pytest.raises(WorkerDied, match=r"die: a worker process died .*, 3 times; a smaller --batch_size"):
            workers.result(deadly)
        assert workers.result(harmless)[0] == 3
    assert capsys.readouterr().err.count("done again: die") == 2


@pytest.fixture
def scheduler(monkeypatch):
    """Start a scheduler in this process, on a machine with 8 cores, with workers in threads."""
    from distributed import LocalCluster

    monkeypatch.setenv(CORES, "8")
    with ExitStack() as running:

        def begin(count, threads=1):
            return running.enter_context(
                LocalCluster(
                    n_workers=count,
                    processes=False,
                    threads_per_worker=threads,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=50,
                )
            )

        yield begin


def test_the_workers_of_a_scheduler(scheduler):
    with executor(Adder, "cpu", scheduler=scheduler(1).scheduler_address) as workers:
        assert isinstance(workers, Cluster)
        assert workers.size == 1
        results = [workers.result(workers.submit_loaded(add, value, 10)) for value in range(3)]
        assert [total for total, *_ in results] == [10, 11, 12]
        assert len({loaded for *_, loaded in results}) == 1  # loaded once
        assert workers.result(workers.submit(first_of, workers.submit_loaded(add, 3, 10))) == 13
        with pytest.raises(PlanewiseError, match="a cannot be read"):
            workers.wait([workers.submit_loaded(fail, "a")], 0)
        check_slices_are_shared(workers, PlanewiseError)


def test_the_workers_of_a_scheduler_share_the_cores_of_their_machine(scheduler, monkeypatch):
    from distributed import Scheduler

    asked, identity = [], Scheduler.identity

    def told(itself, **given):
        asked.append(given)
        return identity(itself, **given)

    monkeypatch.setattr(Scheduler, "identity", told)
    with Cluster(Adder, "cpu", scheduler(1, threads=3).scheduler_address, 0) as workers:
        asked.clear()  # what dask itself asks as it starts
        assert [workers.result(workers.submit(machine_cores)) for _ in range(3)] == [2, 2, 2]
    assert asked == [{}]  # by the worker, for all its tasks, and without what older dask does not take


def test_a_worker_asks_now_and_then_who_shares_its_machine(monkeypatch):
    used, asked = [], iter((4, 2))
    monkeypatch.setattr("planewise.inference.worker.machine_cores", lambda: 8)
    monkeypatch.setattr("planewise.inference.worker.use_cores", used.append)
    worker = Worker()
    for _ in range(SHARED_FOR + 1):
        worker.share_cores(lambda: next(asked))
    assert used == [2, 4]


def test_no_workers_are_mentioned_once_and_not_waited_for_for_ever(scheduler, capsys):
    address = scheduler(0).scheduler_address
    with (
        Cluster(Adder, "cpu", address, 0, Patience(seconds=0, times=4)) as workers,
        pytest.raises(PlanewiseError, match=f"--scheduler {address} has had no workers for"),
    ):
        workers.result(workers.submit_loaded(add, 1, 2))
    printed = capsys.readouterr().err
    assert printed.count("has no workers") == 1
    assert "start dask worker" in printed


def test_workers_that_come_late_are_used(scheduler, capsys):
    cluster = scheduler(0)
    patience = Patience(seconds=0.01, times=10**6)
    with Cluster(Adder, "cpu", cluster.scheduler_address, 0, patience) as workers:
        late = workers.submit_loaded(add, 1, 2)
        workers._mention_drought()
        assert "has no workers" in capsys.readouterr().err
        cluster.scale(1)
        assert workers.result(late)[0] == 3


def test_a_scheduler_that_ends_while_it_is_waited_for_is_told(scheduler):
    cluster = scheduler(0)
    with Cluster(Adder, "cpu", cluster.scheduler_address, 0) as workers:
        waiting = workers.submit_loaded(add, 1, 2)
        cluster.close()
        for ask in (
            lambda: workers.result(waiting),
            lambda: workers.wait([waiting], 0),
            lambda: workers.submit_loaded(add, 1, 2),
        ):
            with pytest.raises(PlanewiseError, match=r"--scheduler inproc.*: the scheduler no longer answers"):
                ask()


def test_a_lost_worker_is_told_with_what_is_done_again(scheduler, capsys):
    with Cluster(Adder, "cpu", scheduler(1).scheduler_address, 0) as workers:
        mine = workers.submit_loaded(add, 1, 2)
        workers.result(mine)
        event = {"action": "remove-worker", "worker": "tcp://node7:1", "expected": False}
        workers._hear((0.0, event | {"processing-tasks": set(), "lost-computed-tasks": {mine.key, "another's-1"}}))
        workers._hear((0.0, event | {"processing-tasks": set(), "lost-computed-tasks": set(), "expected": True}))
        workers._hear((0.0, {"action": "add-worker", "worker": "tcp://node8:1"}))
    assert capsys.readouterr().err == "worker tcp://node7:1 is lost; done again: add 1 2\n"


def test_what_is_done_again_is_counted():
    assert done_again(["predict slab xy 0-1f", "label block-2f", "label block-3f"]) == (
        "done again: 2 x label block, predict slab xy 0"
    )
    assert done_again([]) == "nothing has to be done again"


def test_a_scheduler_that_does_not_answer_is_refused(monkeypatch):
    monkeypatch.setattr("planewise.inference.cluster.START_SECONDS", 0.1)
    with pytest.raises(PlanewiseError, match=r"tcp://127\.0\.0\.1:1: does not answer .*start dask scheduler"):
        Cluster(Adder, "cpu", "tcp://127.0.0.1:1", 0)


def test_names_of_work():
    assert name_of(die_unless, ("a.nii", np.zeros(3), slice(3), 5)) == "die unless a.nii 5"


# ---- what a worker has


def test_each_worker_takes_a_gpu_of_its_own_until_there_are_no_more(tmp_path):
    taken = [take_gpu(["GPU-a", "GPU-b"], tmp_path) for _ in range(5)]
    assert [(gpu.device, gpu.shared) for gpu in taken] == [
        ("cuda:0", False), ("cuda:1", False), ("cuda:0", True), ("cuda:1", True), ("cuda:0", True)
    ]  # fmt: skip
    os.close(taken[1].lock)  # its worker has ended
    again = take_gpu(["GPU-a", "GPU-b"], tmp_path)
    assert (again.device, again.shared) == ("cuda:1", False)
    seen_by_one = take_gpu(["GPU-c"], tmp_path)  # as a batch system shows it one GPU alone
    assert (seen_by_one.device, seen_by_one.shared) == ("cuda:0", False)


def test_workers_load_for_their_gpu_once_and_say_what_they_share(tmp_path, monkeypatch):
    monkeypatch.setattr("planewise.inference.worker.gpus", lambda: ["GPU-a"])
    monkeypatch.setattr("planewise.inference.worker.take_gpu", lambda ids: take_gpu(ids, tmp_path))
    printed = []
    workers = [Worker.of(type("Process", (), {})()) for _ in range(2)]
    loading = Loading(Adder, "cuda")
    results = [worker.loaded(loading, printed.append) for worker in (*workers, *workers)]
    assert [adder.device for adder in results] == ["cuda:0"] * 4
    assert results[0] is results[2]
    assert results[1] is results[3]
    assert printed == ["shares cuda:0 with another worker: its machine has no GPU left"]


def test_what_is_loaded_belongs_to_a_process_and_another_model_takes_its_place():
    class Process:
        pass

    process = Process()
    assert Worker.of(process) is Worker.of(process)
    assert Worker.of(process) is not Worker.of(Process())
    one = Worker.of(process).loaded(Loading(Adder, "cpu"))
    assert Worker.of(process).loaded(Loading(Adder, "cpu")) is one
    assert Worker.of(process).loaded(Loading(Adder, "mps")).device == "mps"


def test_more_workers_than_gpus_is_said(monkeypatch, capsys):
    monkeypatch.setattr(executors, "gpus", lambda: ["GPU-a"])
    with executor(Adder, "cuda", devices=2):
        pass
    assert "2 workers share 1 GPU: this machine has no more" in capsys.readouterr().err
    with executor(Adder, "cpu", devices=2), executor(Adder, "cuda", devices=1):
        pass
    assert capsys.readouterr().err == ""


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of_each(2, "cpu") == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("planewise.volumes.machine.machine_cores", lambda: 8)
    assert (threads_of_each(2, "cpu"), threads_of_each(20, "cpu"), threads_of_each(2, "cuda")) == (4, 1, 1)
