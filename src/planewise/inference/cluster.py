"""Work done by the workers of a dask scheduler, on this or other machines."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from uuid import uuid4

from planewise.errors import PlanewiseError, first_line
from planewise.inference.executor import Executor, SchedulerGone, WorkerDied, name_of
from planewise.inference.worker import Loading, Source, Worker, threads_of_each
from planewise.processes import shielded
from planewise.progress import say
from planewise.volumes.machine import CORES, cores_of_each

START_SECONDS = 60  # that a scheduler may take to answer
TOPIC = "planewise"  # of the workers' messages
SILENT = logging.CRITICAL + 1


@dataclass(frozen=True)
class Patience:
    """How long work waits for a worker: a message after ``seconds``, an error after ``times`` as long."""

    seconds: float = 30
    times: int = 120


class Cluster(Executor):
    """The workers of a running scheduler, or ``count`` processes of this machine that live as long as this object.

    Tasks of a worker that dies, and the tasks they depend on, are done again by another, with a message. Raises
    PlanewiseError if dask is not installed, or if the scheduler does not answer.
    """

    def __init__(
        self, source: Source, device: str, scheduler: str | None, count: int, patience: Patience = Patience()
    ) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise PlanewiseError("--workers and --scheduler need dask: pip install planewise[cluster]") from error
        super().__init__(Loading(source, device, None if scheduler else threads_of_each(count, device)))
        for name in (*logging.root.manager.loggerDict, "asyncio"):
            if name.startswith(("distributed", "asyncio")):
                logging.getLogger(name).setLevel(SILENT)  # errors are reported once, by planewise
        self._patience, self._scheduler, self._droughts = patience, scheduler, 0
        self._mark = uuid4().hex  # in the keys of this run's tasks, also of those that only other tasks wait for
        self._submitted = 0
        self._cluster: Any = None
        self._sharing = (_with_share,) if scheduler else ()  # our own workers begin with their share of the cores
        if scheduler is None:
            with shielded():
                self._cluster = LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    memory_limit=None,
                    silence_logs=SILENT,
                    env={CORES: str(cores_of_each(count))},
                )
        try:
            self._client = Client(self._cluster or scheduler, timeout=START_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            raise PlanewiseError(f"--scheduler {scheduler}: does not answer ({error}); start dask scheduler") from error
        self._topics = {"all": self._hear, TOPIC: lambda event: say(event[1])}
        for topic, handler in self._topics.items():
            self._client.subscribe_topic(topic, handler)

    @property
    def size(self) -> int:
        """How many workers there are now, or one that is waited for."""
        return max(1, self._workers())

    def _workers(self) -> int:
        return len(self._ask(lambda: self._client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """See ``Executor``."""
        return self._submit(name_of(work, arguments), *self._sharing, work, *arguments)

    def submit_loaded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """See ``Executor``."""
        return self._submit(name_of(work, arguments), *self._sharing, _with_loaded, self.loading, work, *arguments)

    def _submit(self, name: str, *call: Any) -> Any:
        if self._client.status != "running":  # it would be kept for a scheduler that may never come back
            raise self._gone()
        self._submitted += 1
        key = f"{name}-{self._mark}.{self._submitted}"
        return self._ask(lambda: self._client.submit(*call, key=key, pure=False))

    def result(self, submitted: Any) -> Any:
        """See ``Executor``."""
        self.first_done([submitted])
        return self._ask(submitted.result)

    def first_done(self, submitted: list[Any]) -> set[Any]:
        """See ``Executor``. Where there is no worker it is mentioned; in the end it raises PlanewiseError."""
        from distributed import wait

        def some() -> set[Any]:
            try:
                done: set[Any] = wait(submitted, self._patience.seconds, "FIRST_COMPLETED").done
            except TimeoutError:
                return set()
            return done

        while not (done := self._ask(some)):
            self._mention_drought()
        self._droughts = 0
        return done

    def _mention_drought(self) -> None:
        """Print once that there are no workers. Raises PlanewiseError if that lasts."""
        if self._workers():
            self._droughts = 0
            return
        self._droughts += 1
        seconds = self._patience.seconds * self._droughts
        if self._droughts >= self._patience.times:
            raise PlanewiseError(f"{self._where()} has had no workers for {seconds:g} s; start dask worker")
        if self._droughts == 1:
            say(
                f"{self._where()} has no workers, for {seconds:g} s now; waiting for one, at most "
                f"{self._patience.seconds * self._patience.times / 60:g} min: start dask worker, or wait for the batch "
                "system"
            )

    def _gone(self) -> SchedulerGone:
        return SchedulerGone(f"{self._where()}: the scheduler no longer answers")

    def _where(self) -> str:
        return f"--scheduler {self._scheduler}" if self._scheduler else "--workers: dask"

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Print what a scheduler's event means for this work: that a worker is lost, and which tasks are done again."""
        _, what = event
        if what.get("action") != "remove-worker":
            return
        keys = (*what["processing-tasks"], *what["lost-computed-tasks"])
        lost = [key for key in keys if f"-{self._mark}." in key]
        if lost or not what["expected"]:
            say(f"worker {what['worker']} is lost; {done_again(lost)}")

    def _ask(self, ask: Callable[[], Any]) -> Any:
        """Return dask's answer. Raises the PlanewiseError of the work, or one with the text of another exception."""
        from distributed import KilledWorker
        from distributed.comm import CommClosedError
        from distributed.utils import CancelledError

        try:
            return ask()
        except PlanewiseError:
            raise
        except KilledWorker as error:
            raise WorkerDied(
                f"{_name(error.task)}: {error.allowed_failures + 1} workers died while they did it (killed, or out of "
                "memory); a smaller --batch_size or --memory needs less"
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise self._gone() from error
        except Exception as error:  # the work's own
            if self._client.status != "running":
                raise self._gone() from error
            raise PlanewiseError(f"a task failed ({type(error).__name__}: {first_line(error)})") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client.status == "running":
            for topic in self._topics:  # else the scheduler would go on telling us of the workers that we end
                self._client.unsubscribe_topic(topic)
        with suppress(OSError, TimeoutError):  # of a scheduler that is gone
            self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=5)


def _name(key: Any) -> str:
    return str(key).rpartition("-")[0]


def done_again(keys: list[str]) -> str:
    """Return the text for repeated tasks with these keys: "done again: label block, predict slab xy 0"."""
    names = Counter(map(_name, keys))
    shown = ", ".join(name if times == 1 else f"{times} x {name}" for name, times in sorted(names.items()))
    return f"done again: {shown}" if shown else "nothing has to be done again"


def _with_share(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do work with the worker's share of its machine's cores: those that run now, and their threads, may all work."""
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()

    def threads() -> int:
        workers = sync(worker.loop, worker.scheduler.identity)["workers"]  # all of them, in every version of dask
        host = workers[worker.address]["host"]
        return sum(other["nthreads"] for other in workers.values() if other["host"] == host)

    Worker.of(worker).share_cores(threads)
    return work(*arguments)


def _with_loaded(loading: Loading, work: Callable[..., Any], *arguments: Any) -> Any:
    from distributed import get_worker

    worker = get_worker()

    def tell(line: str) -> None:
        worker.log_event(TOPIC, f"worker {worker.address} {line}")

    return work(Worker.of(worker).loaded(loading, tell), *arguments)
